"""The parts of one run, built and checked before its first step: what can fail, fails here."""

import ctypes
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import torch
from rich.console import Console
from torch import Tensor, nn

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.augment import Batch, Painter
from sandglass.data.crops import PersonCrops
from sandglass.data.filters import keep, tally_table
from sandglass.data.loader import Loader, Order, cpu_count
from sandglass.data.photos import check_photos, without_photos
from sandglass.data.sets import parse_sets, read_set, read_sets
from sandglass.evaluation.scores import Scores, people_to_predict
from sandglass.inference.runtimes import pick_device
from sandglass.models.codec import Codec
from sandglass.models.zoo import build, cost
from sandglass.training.config import CONFIG_FILE, RunConfig
from sandglass.training.journal import Journal
from sandglass.training.schedule import Average
from sandglass.training.state import STATE_FILE, Position, load_state
from sandglass.training.step import Step, has_bf16, optimiser

MAX_THREADS = 16  # of the CPU, unless the user asks for more: a server is shared
MAX_MISSING = 0.1  # share of photographs that may be missing before a data set counts as broken


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
    journal: Journal
    started: float  # time.monotonic() of a run that had never been interrupted
    saved: float  # seconds of the run at its last resume state
    logged: float  # and at its last row in the journal
    waited: float = 0.0  # seconds that the loop had waited for data by then
    pending: list[tuple[Tensor, Tensor, list[Batch]]] = field(default_factory=list)  # steps not yet in the journal
    assessed: int = -1  # the step of the last evaluation
    scores: Scores | None = None  # and what it found

    @property
    def seconds(self) -> float:
        """Wall clock of the run so far, earlier sittings included."""
        return time.monotonic() - self.started


def prepare(config: RunConfig, out: Path, resume: bool, console: Console) -> Run:
    """Read the data, build the network, open the journal; with `resume`, put the saved state back.

    Raises BadInput for anything that would stop the run later.
    """
    check_writable(out)
    if not resume and (out / CONFIG_FILE).exists():
        raise BadInput(f"{out} already holds a run; choose another --out, or go on with --resume {out}")
    if not config.schedule.steps and not config.schedule.minutes:
        raise BadInput("a run needs an end: give --steps or --minutes")
    sets, val = _read(config, console)
    config = replace(config, model=replace(config.model, skeleton=_skeleton(sets, val)))
    device = _machine(config)
    torch.manual_seed(config.seed)
    network = build(config.model).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optim = optimiser(config.optimiser, network)
    average = Average(network, config.average)
    people = sum(len(crops) for crops, _ in sets)
    position = Position(people=people)
    if resume:
        position = load_state(out, network, average, optim, device)
        if position.people != people:
            raise BadInput(f"{out / STATE_FILE}: made with {position.people} people, the data now hold {people}")
    config.save(out)
    run = Run(
        config=config,
        out=out,
        device=device,
        network=network,
        average=average,
        optim=optim,
        step=_step(config, network, optim, device),
        loader=_loader(config, sets),
        val=val,
        position=position,
        journal=Journal(out, position.step, console),
        started=time.monotonic() - position.seconds,
        saved=position.seconds,
        logged=position.seconds,
    )
    _introduce(run)
    return run


def _read(config: RunConfig, console: Console) -> tuple[list[tuple[PersonCrops, float]], People | None]:
    """The people to train on, filtered and told about, and the set to score on."""
    chosen = []
    tallies = []
    read = read_sets(parse_sets(config.train))
    budget = int(config.cache_gib * 2**30)
    for people, weight in read:
        people, tally = keep(_with_photos(people, console), config.filter)
        tallies.append(tally)
        chosen.append((PersonCrops(people, config.crop, budget), weight))
        budget -= chosen[-1][0].cache_bytes
    console.print(tally_table(tallies))
    return chosen, _to_score_on(config.val) if config.val else None


def _to_score_on(name: str) -> People:
    """The validation set, which must be whole: what is missing would show at the first evaluation, hours from now."""
    people = read_set(name)
    problems = check_photos(people_to_predict(people, "coco-gt"))
    if problems:
        raise BadInput(f"{problems[0].path}: {problems[0].why}; --val needs all photographs of {people.source}")
    return people


def _with_photos(people: People, console: Console) -> People:
    problems = check_photos(people)
    if not problems:
        return people
    first = f"the first: {problems[0].path}, {problems[0].why}"
    if len(problems) > MAX_MISSING * len(people.image_paths):
        raise BadInput(f"{people.source}: {len(problems)} of {len(people.image_paths)} photographs unusable ({first})")
    left = without_photos(people, problems)
    console.print(f"{people.source}: {len(people) - len(left)} people left out, {len(problems)} photographs ({first})")
    return left


def _skeleton(sets: list[tuple[PersonCrops, float]], val: People | None) -> Skeleton:
    """The skeleton of the data is the model's."""
    skeleton = sets[0][0].people.skeleton
    if val is not None and val.skeleton.joints != skeleton.joints:
        raise BadInput(f"{val.source} has other joints ('{val.skeleton.name}') than the training data's")
    return skeleton


def _keep_memory() -> None:
    """Let glibc keep what the network frees: giving it back costs a page fault for every page of the next step."""
    with suppress(OSError, AttributeError):  # another C library, another system
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 * 2**20)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(option, value)


def _machine(config: RunConfig) -> torch.device:
    """The device; and how many threads the CPU lends to the network."""
    _keep_memory()
    cv2.setNumThreads(1)  # the loader has threads of its own
    torch.set_num_threads(config.threads or min(cpu_count(), MAX_THREADS))
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


def _step(config: RunConfig, network: nn.Module, optim: torch.optim.Optimizer, device: torch.device) -> Step:
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
    )


def _loader(config: RunConfig, sets: list[tuple[PersonCrops, float]]) -> Loader:
    crops = [crop for crop, _ in sets]
    order = Order([len(crop) for crop in crops], [weight for _, weight in sets], config.seed)
    workers = config.workers or max(1, min(cpu_count() // 2, MAX_THREADS))
    return Loader(crops, order, config.augment, config.crop, crops[0].people.skeleton, config.seed, workers)


def _introduce(run: Run) -> None:
    """Two lines on what is about to happen."""
    codec = run.config.model.codec
    weight = cost(run.network, codec.size)
    bf16 = run.config.precision == "bf16" or (run.config.precision == "auto" and has_bf16(run.device))
    run.journal.say(
        f"{run.config.model.network} {dict(run.config.model.options)}: {weight.parameters / 1e6:.2f} M parameters, "
        f"{weight.gmac:.2f} GMAC at {codec.size[0]}x{codec.size[1]} (width x height), {len(run.config.model.skeleton)} "
        "joints"
    )
    threads = f", {torch.get_num_threads()} threads" if run.device.type == "cpu" else ""
    start = f" from step {run.position.step}" if run.position.step else ""
    run.journal.say(
        f"{run.config.recipe} on {run.device}{threads}, {'bf16' if bf16 else 'fp32'}, batch {run.config.batch}, "
        f"{len(run.loader.order):,} examples an epoch, {run.loader.workers} loader threads; into {run.out}{start}"
    )
