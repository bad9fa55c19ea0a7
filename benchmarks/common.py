"""What the benchmarks of training share: drawn data, a run that is driven by hand, a table and the last line."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1))

import torch
from rich.console import Console
from rich.table import Table

from sandglass.core.cores import cpu_count
from sandglass.data.figures import write_figures
from sandglass.data.packing import write_pack
from sandglass.data.sets import parse_set
from sandglass.recipes import classic, resized
from sandglass.training.config import RunConfig
from sandglass.training.losses import LossConfig
from sandglass.training.run import Run, prepare
from sandglass.training.step import OptimiserConfig


def arguments(text: str | None) -> argparse.ArgumentParser:
    """The flags that all of them have; the first paragraph of `text` is the help."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs, its figures mean nothing")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU for the network; 0: all that may be used")
    parser.add_argument("--workers", type=int, default=0, help="that decode photographs; 0: half of the cores")
    return parser


@contextmanager
def data(named: str, people: int) -> Iterator[str]:
    """The set that was named, or drawn people as JPEG files in a folder that goes away."""
    if named:
        yield named
        return
    with tempfile.TemporaryDirectory() as folder:
        write_figures(Path(folder), "train", people, seed=0)
        yield f"{folder}@train"


@contextmanager
def packed(named: str, people: int, config: RunConfig) -> Iterator[str]:
    """The pack that was named, or one of drawn people."""
    if named:
        yield named
        return
    with data("", people) as drawn, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.pack"
        write_pack(path, [parse_set(drawn)], config.crop, config.filter, workers=cpu_count())
        yield str(path)


def hourglass(
    train: str, *, stacks: int, channels: int, side: int, batch: int, given: argparse.Namespace, **changes: Any
) -> RunConfig:
    """A run of the usual kind at full speed: `stacks` x `channels` at side x side, Gaussians, squared error, Adam."""
    config = resized(classic(), size=(side, side), stacks=stacks, channels=channels, batch=batch)
    config = replace(
        config,
        train=(train,),
        loss=LossConfig(name="mse"),
        optimiser=OptimiserConfig(name="adam", lr=2.5e-4),
        schedule=replace(config.schedule, steps=10**6),
        average=0.995,
        precision="auto",
        device=given.device,
        threads=given.threads,
        workers=given.workers,
    )
    return replace(config, **changes)


@contextmanager
def ready(config: RunConfig) -> Iterator[Run]:
    """The parts of a run, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        run = prepare(config, Path(folder) / "run", False, Console(quiet=True))
        with closing(run.journal):
            yield run


@dataclass(frozen=True)
class Pace:
    """How fast some steps were."""

    images_per_second: float
    data_wait: float  # share of the time
    tflops: float
    peak_share: float | None
    memory_gib: float | None


class Drive:
    """The loop of a run without its journal: batch, step, average; as often as one likes."""

    def __init__(self, run: Run) -> None:
        self.run, self.steps = run, 0
        config = run.config
        self.batches = run.loader.batches(0, config.batch // config.accumulate)

    def __call__(self, steps: int) -> Pace:
        """Take that many steps; the clock stops when the device is done."""
        run = self.run
        wait(run.device)
        run.meter.figures(0)  # from here on
        for _ in range(steps):
            with run.meter.during("data"):
                parts = list(islice(self.batches, run.config.accumulate))
            run.step(parts, run.config.optimiser.lr)
            run.meter.queued()
            run.average.update(run.network, self.steps)
            self.steps += 1
        wait(run.device)
        return Pace(**run.meter.figures(steps * run.config.batch))  # type: ignore[arg-type]

    def close(self) -> None:
        self.batches.close()


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def middle(paces: Sequence[Pace]) -> Pace:
    """The median of each figure."""
    return Pace(
        median(p.images_per_second for p in paces),
        median(p.data_wait for p in paces),
        median(p.tflops for p in paces),
        None if paces[0].peak_share is None else median(p.peak_share or 0.0 for p in paces),
        paces[-1].memory_gib,
    )


def cells(pace: Pace) -> list[str]:
    """A pace as the columns of COLUMNS."""
    share = f"{pace.peak_share:.0%}" if pace.peak_share is not None else ""
    memory = f"{pace.memory_gib:.1f}" if pace.memory_gib is not None else ""
    return [f"{pace.images_per_second:.1f}", f"{pace.data_wait:.1%}", f"{pace.tflops:.3g}", share, memory]


COLUMNS = ("images/s", "data wait", "TFLOP/s", "of peak", "GiB")


def machine(device: torch.device) -> str:
    """What the figures were measured on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    return f"{device.type}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], figures: Mapping[str, Any]) -> None:
    """The table for people, and the last line for programs."""
    table = Table()
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    print(title)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(json.dumps(figures))


def seconds(began: float) -> float:
    """Since `time.perf_counter()` was `began`."""
    return time.perf_counter() - began
