"""One run, top to bottom: read, build; for each step: batch, loss, step, log; now and then: evaluate, save."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from sandglass import __version__
from sandglass.core.errors import BadInput
from sandglass.data.augment import Batch
from sandglass.evaluation.evaluate import evaluate
from sandglass.evaluation.protocols import people_to_predict
from sandglass.inference.predictor import Predictor
from sandglass.inference.runtimes import TorchRuntime
from sandglass.inference.world import joined
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.zoo import build
from sandglass.training.config import BEST_FILE, LAST_FILE, RunConfig
from sandglass.training.distributed import Pulse, parallel
from sandglass.training.fitting import out_of_memory
from sandglass.training.journal import METRICS_FILE, clock
from sandglass.training.meter import meter_line
from sandglass.training.run import Run, prepare
from sandglass.training.schedule import progress, rate
from sandglass.training.state import STATE_FILE, save_state
from sandglass.training.watch import Diverged

PROTOCOL = "coco-gt"  # of the scores along the way


def train(config: RunConfig, out: Path, *, resume: bool = False, console: Console | None = None) -> Path:
    """Train a model in the folder `out`, or go on in it; returns the path of its best checkpoint.

    Under torchrun, together with the other processes, which see the same folder. Ctrl-C and SIGTERM save first, then
    end the process with the customary status (130, 143). Raises BadInput for data, configs and folders that cannot be
    used, before the first step; Diverged when the loss explodes; at the end, when the disk did not take what was
    learnt.
    """
    with joined() as world:
        return _train(world.together(lambda: prepare(config, out, resume, console or Console(), world)))


def _train(run: Run) -> Path:
    config, world, out = run.config, run.world, run.out
    if world.size > 1:
        run.step.model = parallel(world, run.network, run.device, config.compile == "on")
    share = config.batch // config.accumulate
    batches = run.loader.batches(run.position.step * config.batch, share, world.rank, world.size)
    pulse = Pulse(world)
    with closing(run.journal), closing(batches), interruptible(patient=world.size > 1) as caught:
        due = evaluations(run)
        if progress(config.schedule, run.position.step, run.seconds) >= 1:
            run.journal.say(f"{out} is at its end, step {run.position.step}; --steps or --minutes move it")
        if not run.position.step:
            save(run)
            _check_saved(run)  # a full disk ends the run here, before anything was learnt
        while True:
            seconds, stop = pulse(run.seconds, caught[0] if caught else 0)
            done = progress(config.schedule, run.position.step, seconds)
            if done >= 1 or stop:
                break
            with run.meter.during("data"):
                parts = list(islice(batches, config.accumulate))
            lr = config.optimiser.lr * rate(config.schedule, run.position.step, done)
            loss, norm = take(run, parts, lr)
            run.average.update(run.network, run.position.step)
            run.position = replace(run.position, step=run.position.step + 1)
            run.pending.append((loss, norm, [part.index for part in parts]))
            if run.position.step % config.log_every == 0:
                log(run, lr, done)
            look = due(run.position.step, done)
            if look or seconds - run.saved > 60 * config.save_minutes:
                save(run)  # before an evaluation too: whoever stops us in the middle of a long one costs no step
                run.saved = seconds  # the clock of all ranks: they save at once
            if look:
                assess(run)
        if not stop and run.assessed != run.position.step:
            assess(run)
        save(run)
        run.journal.say(run.meter.summary())
        _check_saved(run)
        if stop:
            run.journal.say(f"stopped at step {run.position.step}; go on with: sandglass train --resume {out}")
            raise SystemExit(128 + stop)
        run.journal.progress(1.0, f"{run.position.step} steps in {clock(run.seconds)}")
    return out / BEST_FILE


def evaluations(run: Run) -> Callable[[int, float], bool]:
    """Whether it is time to evaluate, by step or by share of the run; never twice for one mark."""
    config = run.config
    if config.evaluate_every:
        return lambda step, _: step % config.evaluate_every == 0
    passed = int(progress(config.schedule, run.position.step, run.position.seconds) * config.evaluations)

    def due(_: int, done: float) -> bool:
        nonlocal passed
        mark = int(done * config.evaluations)
        new, passed = mark > passed, max(mark, passed)
        return new

    return due


def take(run: Run, parts: list[Batch], lr: float) -> tuple[Tensor, Tensor]:
    """One step, handed to the device. Raises BadInput when its memory does not hold it."""
    try:
        found = run.step(parts, lr)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        config = run.config
        raise BadInput(
            f"out of memory on {run.device} at step {run.position.step + 1}, with {config.batch // config.accumulate} "
            f"people at once; go on with --resume {run.out} --accumulate {2 * config.accumulate}, or start with a "
            "smaller --batch"
        ) from None
    run.meter.queued()
    return found


def log(run: Run, lr: float, done: float) -> None:
    """One row for the steps since the last one. Waits for the device, and finds out if the loss exploded."""
    losses = torch.stack([loss for loss, _, _ in run.pending]).tolist()
    norms = torch.stack([norm for _, norm, _ in run.pending]).tolist()
    _check_sane(run, losses, norms)
    run.pending.clear()
    step, seconds = run.position.step, run.seconds
    figures = run.meter.figures(len(losses) * run.config.batch)
    row = {
        "step": step,
        "epoch": round(step * run.config.batch / len(run.loader.order), 4),
        "loss": float(np.mean(losses)),
        "lr": lr,
        "seconds": round(seconds, 3),
        "images": step * run.config.batch,
        "grad_norm": float(np.mean(norms)),
        "skipped": len(run.loader.skipped),
    }
    run.journal.row(row | figures)
    left = seconds / done - seconds if done > 0 else 0.0
    run.journal.progress(done, f"step {step}  loss {row['loss']:.4g}  {meter_line(figures)}  {clock(left)} left")


def _check_sane(run: Run, losses: list[float], norms: list[float]) -> None:
    found = run.watch.wrong(losses, norms)
    if found is not None:
        first, why = found
        rows = torch.cat(run.pending[first][2]).cpu().numpy()
        rows = run.world.gather(rows)
        if not run.world.first:
            raise SystemExit(2)  # rank 0 says it
        raise Diverged(
            f"{why} at step {run.position.step - len(losses) + first + 1}, on annotations {run.loader.people(rows)}; "
            f"go on from the last good state, of step {run.saved_step}, with --resume {run.out} and a lower --lr than "
            f"{run.config.optimiser.lr:g}"
        )


def assess(run: Run) -> None:
    """Score the averaged weights on the validation set; keep them as last, and as best if they are."""
    config = run.config
    done = progress(config.schedule, run.position.step, run.seconds)
    if run.pending:
        log(run, run.optim.param_groups[0]["lr"], done)
    network = build(config.model).to(run.device)
    network.load_state_dict(run.average.tensors)
    run.world.follow(network)
    predictor = run.world.shared(Predictor(TorchRuntime(network, config.model, run.device), config.model))
    run.assessed = run.position.step
    if not run.world.first:
        if run.val is not None:
            predictor.predict(people_to_predict(run.val, PROTOCOL))  # this rank's share
        return
    figures: dict[str, Any] = {}
    better = run.val is None
    if run.val is not None:
        began = run.seconds
        with run.meter.during("evaluation"):
            run.scores, _ = evaluate(predictor, run.val, PROTOCOL, intervals=0)
        figures = {k: v for k, v in run.scores.to_dict().items() if isinstance(v, int | float)}
        row = {"step": run.position.step, "seconds": round(run.seconds, 3), **figures}
        row |= {"per_joint": dict(run.scores.per_joint), "evaluation_seconds": round(run.seconds - began, 3)}
        run.journal.row(row)
        value = run.scores.figures["AP"] or 0.0
        better = value >= run.position.best  # of equals, the one that has learnt longer
        pck = run.scores.figures["PCK@0.2"] or 0.0
        run.journal.say(
            f"step {run.position.step:>6}  AP {value:.3f}  PCK@0.2 {pck:.3f}  on {run.val.source}, "
            f"{PROTOCOL}{'  (best so far)' if better and value else ''}"
        )
        if not value and run.position.best < 0:  # the first of a run: why it is 0, once
            for note in run.scores.notes:
                if note.startswith("AP is 0"):
                    run.journal.say(f"  {note}")
        run.position = replace(run.position, best=max(value, run.position.best))
    summary = _summary(run, figures)
    for name in (LAST_FILE, BEST_FILE) if better else (LAST_FILE,):
        _keep(run, name, partial(save_checkpoint, run.out / name, network, config.model, summary))


def _summary(run: Run, figures: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells of its training."""
    config = run.config
    return {
        "sandglass": __version__,
        "recipe": config.recipe,
        **({"init": Path(config.init).name} if config.init else {}),
        "steps": run.position.step,
        "images": run.position.step * config.batch,
        "seconds": round(run.seconds, 1),
        "people": run.position.people,
        "data_fingerprint": run.position.data,
        "train": _taught_by(run),
        "val": Path(config.val).name,
        "scores": figures,
    }


def _taught_by(run: Run) -> list[str]:
    """The data sets with their weights, without their folders: those that a pack was made of, not the pack."""
    order = run.loader.order
    weights = (f"{share / size:.3g}" for share, size in zip(order.shares, order.sizes, strict=True))
    names = (Path(crops.source).name for crops in run.loader.sets)
    return [name if weight == "1" else f"{name}:{weight}" for name, weight in zip(names, weights, strict=True)]


def save(run: Run) -> None:
    """The resume state: where the run stands, to the bit."""
    if run.pending:
        log(run, run.optim.param_groups[0]["lr"], progress(run.config.schedule, run.position.step, run.seconds))
    run.position = replace(run.position, seconds=run.seconds)
    _keep(run, STATE_FILE, partial(save_state, run.out, run.position, run.network, run.average, run.optim))
    run.saved = run.seconds
    if STATE_FILE not in run.unsaved:
        run.saved_step = run.position.step


def _keep(run: Run, name: str, write: Callable[[], None]) -> None:
    """Write a file of the run. A full disk does not end it: somebody may make room before the next attempt."""
    if not run.world.first:
        return
    run.unsaved.pop(name, None)
    try:
        with run.meter.during("saving"):
            write()
    except BadInput as error:
        run.unsaved[name] = str(error)
        run.journal.say(f"{error}; training goes on, and tries again in {run.config.save_minutes:g} minutes")


def _check_saved(run: Run) -> None:
    if run.journal.unwritten:
        run.unsaved[METRICS_FILE] = run.journal.unwritten
    if run.unsaved:
        raise BadInput(
            f"{next(iter(run.unsaved.values()))}; not saved at step {run.position.step}: {', '.join(run.unsaved)}; "
            f"make room, and go on from step {run.saved_step} with --resume {run.out}"
        )


@contextmanager
def interruptible(patient: bool = False) -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM, and then holds the signal; a second one ends at once.

    Not so the `patient`: torchrun and a cluster's scheduler may both pass on the one signal that was meant.
    """
    caught: list[int] = []

    def note(number: int, _: Any) -> None:
        if caught and not patient:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: whoever runs us there handles signals
        yield caught
        return
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
