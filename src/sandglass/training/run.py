"""The parts of one run, built and checked before its first step: what can fail, fails here."""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from sandglass.core.cores import Neighbours, cpu_count
from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.augment import Painter
from sandglass.data.filters import tally_table
from sandglass.data.loader import Loader, Order
from sandglass.data.photos import check_photos
from sandglass.data.resident import resident_cuts, room_for_cuts
from sandglass.data.sets import parse_sets, read_set
from sandglass.data.sources import Sources, read_sources
from sandglass.evaluation.scores import Scores, people_to_predict
from sandglass.inference.world import ALONE, World
from sandglass.models.checkpoint import start_from
from sandglass.models.codec import Codec
from sandglass.models.zoo import build, cost
from sandglass.training.batchnorm import synchronised
from sandglass.training.config import CONFIG_FILE, LAST_FILE, RunConfig
from sandglass.training.distributed import check_batch, describe
from sandglass.training.fitting import compile_where_it_pays, largest_batch, made_up, scaled
from sandglass.training.journal import Journal, Silence
from sandglass.training.machine import all_cores, share_out, spared, take_machine
from sandglass.training.meter import Meter
from sandglass.training.schedule import Average, progress, rate
from sandglass.training.state import STATE_FILE, Position, has_state, load_state
from sandglass.training.step import Step, optimiser, uses_bf16
from sandglass.training.watch import Watch


@dataclass
class Run:
    """One run in motion."""

    config: RunConfig
    out: Path
    device: torch.device
    network: nn.Module
    average: Average
    optim: torch.optim.Optimizer
    step: Step
    loader: Loader
    val: People | None
    position: Position
    journal: Journal | Silence
    world: World
    meter: Meter
    started: float  # time.monotonic() of a run that had never been interrupted
    saved: float  # seconds of the run at its last resume state
    saved_step: int  # and its step
    unsaved: dict[str, str] = field(default_factory=dict)  # files that the disk did not take, and why
    watch: Watch = field(default_factory=Watch)
    # Steps that are not yet in the journal: loss, gradient norm and, for each part, the rows of its people.
    pending: list[tuple[Tensor, Tensor, list[Tensor]]] = field(default_factory=list)
    assessed: int = -1  # the step of the last evaluation
    scores: Scores | None = None  # and what it found

    @property
    def seconds(self) -> float:
        """Wall clock of the run so far, earlier sittings included."""
        return time.monotonic() - self.started


def prepare(config: RunConfig, out: Path, resume: bool, console: Console, world: World = ALONE) -> Run:
    """Read the data, build the network, open the journal; with `resume`, put the saved state back.

    A job that torchrun has started again goes on by itself. Ranks do not wait for one another in here. Raises
    BadInput for anything that would stop the run later.
    """
    others, config = Neighbours(), config.settled()
    resume = _check(config, out, resume, world)
    console = console if world.first else Console(quiet=True)
    sources, val = _read(config, console, world)
    config = replace(config, model=replace(config.model, skeleton=_skeleton(sources, val)))
    device = take_machine(config, world)
    cuts = _resident(config, sources, device, console)
    config = _fit_batch(config, device, sources, console)
    network = _network(config, device, world)
    if config.init and not (resume and has_state(out)):
        _say(console, start_from(network, config.init))
    optim = optimiser(config.optimiser, network)
    average = Average(network, config.average)
    position = Position(people=sources.people, data=sources.fingerprint, spared=spared(config, device, world, others))
    if resume and _is_begun(out, console, world):
        position, told = load_state(out, network, average, optim, device)
        _check_data(out, position, sources)
        _say(console, told, _new_rate(RunConfig.load(out), config, position))
    if world.first:
        config.save(out)
    loading = share_out(config, device, position.spared)
    step = _step(config, network, optim, device, world)
    if world.size == 1:
        _say(console, compile_where_it_pays(step, config.compile, made_up(config, config.batch // config.accumulate)))
    step.painter.resident = cuts  # not before the trial: its made-up batch is no row of the data
    run = Run(
        config=config,
        out=out,
        device=device,
        network=network,
        average=average,
        optim=optim,
        step=step,
        loader=_loader(config, sources, device, loading, resident=cuts is not None),
        val=val,
        position=position,
        journal=Journal(out, position.step, console) if world.first else Silence(),
        world=world,
        meter=_meter(config, network, device, world),
        started=time.monotonic() - position.seconds,
        saved=position.seconds,
        saved_step=position.step,
    )
    _introduce(run)
    return run


def _check(config: RunConfig, out: Path, resume: bool, world: World) -> bool:
    """Whether there is a run to go on with. Raises BadInput for what can be known without the data."""
    check_writable(out)
    if world.restarts > 0 and (out / CONFIG_FILE).exists():  # torchrun also starts again what was refused
        resume = resume or RunConfig.load(out).is_run_of(config)
    if world.first and not resume and (out / CONFIG_FILE).exists():
        raise BadInput(f"{out} already holds a run; choose another --out, or go on with --resume {out}")
    if not config.schedule.steps and not config.schedule.minutes:
        raise BadInput("a run needs an end: give --steps or --minutes")
    check_batch(world, config.batch, config.accumulate)
    if config.fit_batch and world.size > 1:
        raise BadInput(f"--batch 0 is for one process; find it there, and give {world.size} times that")
    return resume


def _is_begun(out: Path, console: Console, world: World) -> bool:
    """Whether there is a state to go on from; a run that was killed before its first one starts from the beginning.

    Raises BadInput where there is no run, or one whose state was taken away.
    """
    for left in out.glob(".*.part") if world.first else ():  # of a write that was killed
        left.unlink(missing_ok=True)
    if has_state(out):
        return True
    if not (out / CONFIG_FILE).is_file() or (out / LAST_FILE).exists():
        raise BadInput(f"{out / STATE_FILE}: no resume state; start the run anew in another --out")
    _say(console, f"{out}: ended before its first state was saved; starting from the beginning")
    return False


def _new_rate(old: RunConfig, new: RunConfig, position: Position) -> str:
    """What a later end, or another peak, does to the learning rate of a run; "" where that does not rise."""
    before, after = _rate(old, position), _rate(new, position)
    if after <= 1.05 * before:
        return ""
    return f"the learning rate rises from {before:.1e} to {after:.1e}, and falls from there to the new end"


def _rate(config: RunConfig, position: Position) -> float:
    done = progress(config.schedule, position.step, position.seconds)
    return config.optimiser.lr * rate(config.schedule, position.step, done)


def _say(console: Console, *lines: str) -> None:
    for line in filter(None, lines):
        console.print(line, highlight=False)


def _read(config: RunConfig, console: Console, world: World) -> tuple[Sources, People | None]:
    """The people to train on, filtered and told about, and the set to score on."""
    budget = int(config.cache_gib * 2**30) // world.local_size
    specs = parse_sets(config.train, config.skeleton)
    sources = read_sources(specs, config.crop, config.filter, budget, partial(_say, console))
    if sources.tallies:
        console.print(tally_table(sources.tallies))
    return sources, _to_score_on(config.val, config.skeleton) if config.val else None


def _to_score_on(name: str, skeleton: str) -> People:
    """The validation set, which must be whole: what is missing would show at the first evaluation, hours from now."""
    people = read_set(name, skeleton)
    problems = check_photos(people_to_predict(people, "coco-gt"))
    if problems:
        raise BadInput(f"{problems[0].path}: {problems[0].why}; --val needs all photographs of {people.source}")
    return people


def _check_data(out: Path, position: Position, sources: Sources) -> None:
    """Other data would give other examples under the same numbers. States of earlier versions know only the count."""
    place = out / STATE_FILE
    if position.people != sources.people:
        raise BadInput(f"{place}: made with {position.people} people, the data now hold {sources.people}")
    if position.data not in ("", sources.fingerprint):
        raise BadInput(f"{place}: the labels, photographs or pack are not those it was made with; put them back")


def _resident(config: RunConfig, sources: Sources, device: torch.device, console: Console) -> Tensor | None:
    """All cuts on the device, where they are packed and it has room; `cache_gib` 0 forbids it."""
    room = room_for_cuts(device) if config.cache_gib else 0
    cuts = resident_cuts([crops for crops, _ in sources.sets], device, room, config.workers or cpu_count())
    if cuts is not None:
        _say(console, f"the cuts of {len(cuts):,} people live on {device}: {cuts.nbytes / 2**30:.2f} GiB")
    return cuts


def _skeleton(sources: Sources, val: People | None) -> Skeleton:
    """The skeleton of the data is the model's."""
    skeleton = sources.skeleton
    if val is not None and val.skeleton.joints != skeleton.joints:
        raise BadInput(f"{val.source} has other joints ('{val.skeleton.name}') than the training data's")
    return skeleton


def _network(config: RunConfig, device: torch.device, world: World) -> nn.Module:
    """As the seed draws it."""
    torch.manual_seed(config.seed)
    network = build(config.model)
    if world.size > 1 and config.batch_norm == "sync":
        network = synchronised(network, device)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _meter(config: RunConfig, network: nn.Module, device: torch.device, world: World) -> Meter:
    gmac = cost(network, config.model.codec.size).gmac
    return Meter(gmac, device, uses_bf16(config.precision, device), world.size)


def _fit_batch(config: RunConfig, device: torch.device, sources: Sources, console: Console) -> RunConfig:
    """The config; if wished with the largest batch that the device holds, and the learning rate that belongs to it."""
    if not config.fit_batch:
        return config
    if device.type == "cpu":
        raise BadInput("--batch 0 looks for the largest batch that a GPU holds; give --batch on a CPU")

    def attempt(size: int) -> None:
        network = build(config.model).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        step = _step(config, network, optimiser(config.optimiser, network), device, ALONE)
        step([made_up(config, size)] * 2, 0.0)[0].item()

    size = config.accumulate * largest_batch(attempt, sources.people // config.accumulate)
    if not size:
        raise BadInput(f"not even 2 people fit into the memory of {device}; choose a smaller --size or --channels")
    chosen = scaled(config.optimiser, size, config.batch)
    _say(
        console,
        f"batch {size}: the largest power of two that fits {device}; learning rate {config.optimiser.lr:g} at the "
        f"recipe's batch {config.batch} becomes {chosen.lr:.3g} (x {chosen.lr / config.optimiser.lr:.3g})",
    )
    return replace(config, batch=size, optimiser=chosen, fit_batch=False)


def _step(
    config: RunConfig, network: nn.Module, optim: torch.optim.Optimizer, device: torch.device, world: World
) -> Step:
    model = config.model
    return Step(
        network,
        Codec(model.codec),
        Painter(config.augment, model.codec.size, model.mean, model.std, device),
        config.loss,
        optim,
        stacks=int(model.options.get("stacks", 2)),
        clip=config.optimiser.clip,
        precision=config.precision,
        device=device,
        world=world,
    )


def _loader(config: RunConfig, sources: Sources, device: torch.device, workers: int, resident: bool) -> Loader:
    crops = [crop for crop, _ in sources.sets]
    order = Order([len(crop) for crop in crops], [weight for _, weight in sources.sets], config.seed)
    pin = device.type == "cuda"
    return Loader(crops, order, config.augment, config.crop, sources.skeleton, config.seed, workers, resident, pin)


def _introduce(run: Run) -> None:
    """Two lines on what is about to happen."""
    codec = run.config.model.codec
    weight = cost(run.network, codec.size)
    bf16 = uses_bf16(run.config.precision, run.device)
    run.journal.say(
        f"{run.config.model.network} {dict(run.config.model.options)}: {weight.parameters / 1e6:.2f} M parameters, "
        f"{weight.gmac:.2f} GMAC at {codec.size[0]}x{codec.size[1]} (width x height), {len(run.config.model.skeleton)} "
        "joints"
    )
    busy = f", {torch.get_num_threads()} threads" if run.device.type == "cpu" else ""
    if run.position.spared and not run.config.threads:
        taken = f"{run.position.spared} of {all_cores()} cores"
        run.journal.say(f"{taken} left to what else runs on this machine; --threads {all_cores()} takes them all")
    start = f" from step {run.position.step}" if run.position.step else ""
    if run.world.size > 1:
        run.journal.say(describe(run.world, run.config.batch // run.config.accumulate, run.config.batch_norm))
    run.journal.say(
        f"{run.config.recipe} on {run.device}{busy}, {'bf16' if bf16 else 'fp32'}, batch {run.config.batch}, "
        f"{len(run.loader.order):,} examples an epoch, {run.loader.workers} loader threads; into {run.out}{start}"
    )
