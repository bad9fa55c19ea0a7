"""One run, top to bottom: read, build; for each step: batch, loss, step, log; now and then: evaluate, save."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from sandglass import __version__
from sandglass.core.errors import BadInput
from sandglass.evaluation.evaluate import evaluate
from sandglass.inference.predictor import Predictor
from sandglass.inference.runtimes import TorchRuntime
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.zoo import build
from sandglass.training.config import RunConfig
from sandglass.training.journal import clock
from sandglass.training.run import Run, prepare
from sandglass.training.schedule import progress, rate
from sandglass.training.state import STATE_FILE, save_state

LOG_EVERY = 10  # steps between rows of the journal: the only times at which the loop waits for the device
BEST_FILE, LAST_FILE = "model.safetensors", "last.safetensors"


class Diverged(BadInput):
    """The loss is no longer a number."""


def train(config: RunConfig, out: Path, *, resume: bool = False, console: Console | None = None) -> Path:
    """Train a model in the folder `out`, or go on in it; returns the path of its best checkpoint.

    Ctrl-C and SIGTERM save first, then end the process with the customary status (130, 143). Raises BadInput
    for data, configs and folders that cannot be used, before the first step; Diverged when the loss explodes.
    """
    run = prepare(config, out, resume, console or Console())
    config = run.config
    share = config.batch // config.accumulate
    batches = run.loader.batches(run.position.step * config.batch, share)
    with closing(run.journal), closing(batches), interruptible() as stop:
        due = evaluations(run)
        while (done := progress(config.schedule, run.position.step, run.seconds)) < 1 and not stop:
            parts = list(islice(batches, config.accumulate))
            lr = config.optimiser.lr * rate(config.schedule, run.position.step, done)
            loss, norm = run.step(parts, lr)
            run.average.update(run.network, run.position.step)
            run.position = replace(run.position, step=run.position.step + 1)
            run.pending.append((loss, norm, parts))
            if run.position.step % LOG_EVERY == 0:
                log(run, lr, done)
            if due(run.position.step, done):
                assess(run)
            if run.seconds - run.saved > 60 * config.save_minutes:
                save(run)
        if not stop and run.assessed != run.position.step:
            assess(run)
        save(run)
        if stop:
            run.journal.say(f"stopped at step {run.position.step}; go on with: sandglass train --resume {out}")
            raise SystemExit(128 + stop[0])
        run.journal.progress(1.0, f"{run.position.step} steps in {clock(run.seconds)}")
    return out / BEST_FILE


def evaluations(run: Run) -> Callable[[int, float], bool]:
    """Whether it is time to evaluate, by step or by share of the run; never twice for one mark."""
    config = run.config
    if config.evaluate_every:
        return lambda step, _: step % config.evaluate_every == 0
    passed = int(progress(config.schedule, run.position.step, run.seconds) * config.evaluations)

    def due(_: int, done: float) -> bool:
        nonlocal passed
        mark = int(done * config.evaluations)
        new, passed = mark > passed, max(mark, passed)
        return new

    return due


def log(run: Run, lr: float, done: float) -> None:
    """One row for the steps since the last one. Waits for the device, and finds out if the loss exploded."""
    losses = torch.stack([loss for loss, _, _ in run.pending]).tolist()
    norms = torch.stack([norm for _, norm, _ in run.pending]).tolist()
    _check_finite(run, losses, norms)
    run.pending.clear()
    step, seconds = run.position.step, run.seconds
    images = len(losses) * run.config.batch
    waited, took = run.loader.waited - run.waited, seconds - run.logged
    run.waited, run.logged = run.loader.waited, seconds
    row = {
        "step": step,
        "epoch": round(step * run.config.batch / len(run.loader.order), 4),
        "loss": float(np.mean(losses)),
        "lr": lr,
        "images_per_second": round(images / max(took, 1e-9), 2),
        "seconds": round(seconds, 3),
        "images": step * run.config.batch,
        "grad_norm": float(np.mean(norms)),
        "data_wait": round(waited / max(took, 1e-9), 4),
        "skipped": len(run.loader.skipped),
    }
    run.journal.row(row)
    left = seconds / done - seconds if done > 0 else 0.0
    run.journal.progress(
        done,
        f"step {step}  loss {row['loss']:.4g}  {row['images_per_second']:.0f} img/s  "
        f"data wait {row['data_wait']:.0%}  {clock(left)} left",
    )


def _check_finite(run: Run, losses: list[float], norms: list[float]) -> None:
    bad = [i for i, pair in enumerate(zip(losses, norms, strict=True)) if not np.isfinite(pair).all()]
    if bad:
        step = run.position.step - len(losses) + bad[0] + 1
        rows = np.concatenate([part.index.cpu().numpy() for part in run.pending[bad[0]][2]])
        saved = (run.out / STATE_FILE).exists()
        raise Diverged(
            f"the loss is {losses[bad[0]]} and the gradient {norms[bad[0]]} at step {step}, on annotations "
            f"{run.loader.ids(rows)}; "
            + (f"go on from the last good state with --resume {run.out} and" if saved else "start anew with")
            + f" a lower --lr than {run.config.optimiser.lr:g}"
        )


def assess(run: Run) -> None:
    """Score the averaged weights on the validation set; keep them as last, and as best if they are."""
    config = run.config
    done = progress(config.schedule, run.position.step, run.seconds)
    if run.pending:
        log(run, run.optim.param_groups[0]["lr"], done)
    network = build(config.model).to(run.device)
    network.load_state_dict(run.average.tensors)
    figures: dict[str, Any] = {}
    better = run.val is None
    if run.val is not None:
        began = run.seconds
        predictor = Predictor(TorchRuntime(network, config.model, run.device), config.model)
        run.scores, _ = evaluate(predictor, run.val, intervals=0)
        figures = {k: v for k, v in run.scores.to_dict().items() if isinstance(v, int | float)}
        row = {"step": run.position.step, "seconds": round(run.seconds, 3), **figures}
        row |= {"per_joint": dict(run.scores.per_joint), "evaluation_seconds": round(run.seconds - began, 3)}
        run.journal.row(row)
        value = run.scores.figures["AP"] or 0.0
        better = value >= run.position.best  # of equals, the one that has learnt longer
        pck = run.scores.figures["PCK@0.2"] or 0.0
        run.journal.say(
            f"step {run.position.step:>6}  AP {value:.3f}  PCK@0.2 {pck:.3f}  on {run.val.source}, "
            f"coco-gt{'  (best so far)' if better else ''}"
        )
        run.position = replace(run.position, best=max(value, run.position.best))
    summary = _summary(run, figures)
    save_checkpoint(run.out / LAST_FILE, network, config.model, summary)
    if better:
        save_checkpoint(run.out / BEST_FILE, network, config.model, summary)
    run.assessed = run.position.step
    run.logged = run.seconds  # the next row's rate is of training alone


def _summary(run: Run, figures: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint tells of its training."""
    config = run.config
    return {
        "sandglass": __version__,
        "recipe": config.recipe,
        "steps": run.position.step,
        "images": run.position.step * config.batch,
        "seconds": round(run.seconds, 1),
        "people": run.position.people,
        "train": [Path(name).name for name in config.train],
        "val": Path(config.val).name,
        "scores": figures,
    }


def save(run: Run) -> None:
    """The resume state: where the run stands, to the bit."""
    if run.pending:
        log(run, run.optim.param_groups[0]["lr"], progress(run.config.schedule, run.position.step, run.seconds))
    run.position = replace(run.position, seconds=run.seconds)
    save_state(run.out, run.position, run.network, run.average, run.optim)
    run.saved = run.seconds


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM, and then holds the signal; a second one ends at once."""
    caught: list[int] = []

    def note(number: int, _: Any) -> None:
        if caught:
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
