"""What every process does for test_distributed.py under torchrun: `ranks.py checks FOLDER`, `ranks.py dies FOLDER`."""

import copy
import hashlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from sandglass import cli, recipes
from sandglass.core.errors import BadInput
from sandglass.data.sets import read_set
from sandglass.inference.predictor import Predictor
from sandglass.inference.runtimes import TorchRuntime
from sandglass.inference.world import World, joined
from sandglass.models.checkpoint import load_checkpoint
from sandglass.training import journal, run, train
from sandglass.training.batchnorm import synchronised
from sandglass.training.config import RunConfig
from sandglass.training.step import Step

journal._tensorboard = lambda *_: None  # it takes its time to start
prepare = run.prepare


@contextmanager
def before_step(act: Callable[[int], object]) -> Iterator[None]:
    """Call `act` with 1, 2, ... as this process begins its steps."""
    plain, count = Step.__call__, 0

    def call(self: Step, *args: Any) -> Any:
        nonlocal count
        count += 1
        act(count)
        return plain(self, *args)

    Step.__call__ = call  # type: ignore[reportAttributeAccessIssue]
    yield
    Step.__call__ = plain


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """The same for the same bits alone."""
    return hashlib.sha256(b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)).hexdigest()


def far(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())


def go(world: World, folder: Path, name: str, resume: bool = False) -> dict[str, Any]:
    """Train the config that lies in jobs/NAME; how it ended, what the terminal showed, what this rank holds."""
    runs: list[run.Run] = []

    def kept(*args: Any) -> run.Run:
        if name == "one fault" and not world.first:
            raise BadInput("rank 1 alone finds a fault")
        runs.append(prepare(*args))
        return runs[-1]

    train.prepare = kept
    console, end = Console(file=io.StringIO(), width=250), "done"
    try:
        train.train(RunConfig.load(folder / "jobs" / name), folder / name, resume=resume, console=console)
    except BadInput as error:
        end = str(error)
    except SystemExit as stop:
        end = f"exit {stop.code}"
    told = {"end": end, "text": console.file.getvalue()}  # type: ignore[attr-defined]
    for one in runs:
        told |= {"step": one.position.step, "weights": fingerprint(one.network.parameters())}
        told |= {"statistics": fingerprint(one.network.buffers())}
        told |= {"average": fingerprint(one.average.tensors.values())}
    return told


def batch_norm(world: World) -> dict[str, float]:
    """Outputs, gradients and statistics of shares of a batch, which are not equal, against the whole's in one process.

    The values lie far from 0, where a difference of squares would lose its digits.
    """
    torch.manual_seed(0)
    plain = nn.Sequential(nn.BatchNorm2d(5), nn.Softplus(), nn.Conv2d(5, 4, 3, bias=False), nn.BatchNorm2d(4))
    for parameter in plain.parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    ours = synchronised(copy.deepcopy(plain), torch.device("cpu"))
    images, target = 3 * torch.randn(7, 5, 8, 8) + 40, torch.randn(7, 4, 6, 6).square()
    share = slice(0, 2) if world.first else slice(2, 7)
    found = []
    for network, rows in ((plain, slice(0, 7)), (ours, share)):
        x = images[rows].clone().requires_grad_()
        y = network(x)
        (y * target[rows]).square().sum().backward()
        found.append((y, x.grad))
    (y, dx), (our_y, our_dx) = found
    gaps = {"output": far(our_y, y[share]), "input": far(our_dx, dx[share])}
    for (name, one), two in zip(plain.named_parameters(), ours.parameters(), strict=True):
        assert one.grad is not None and two.grad is not None
        gaps[name] = far(world.add_up(two.grad), one.grad)
    for (name, one), two in zip(plain.named_buffers(), ours.buffers(), strict=True):
        gaps[name] = far(two.double(), one.double())
    gaps["in evaluation"] = far(ours.eval()(images), plain.eval()(images))
    return gaps


def predictions(world: World, folder: Path, data: str) -> None:
    """Everybody in a set: in batches of 3, in a single batch, and nobody."""
    network, spec = load_checkpoint(folder / "sync" / "last.safetensors")
    predictor = world.shared(Predictor(TorchRuntime(network, spec, torch.device("cpu")), spec))
    people, found = read_set(data), {}
    for name, batch, some in (("threes", 3, people), ("one", 32, people), ("none", 3, people.select(np.arange(0)))):
        predictor.batch = batch
        answer = predictor.predict(some)
        fields = ("keypoints", "scores", "present", "score", "people", "image_ids")
        found |= {f"{name} {field}": getattr(answer, field) for field in fields}
    np.savez(folder / f"predictions{world.rank}.npz", **found)


def diverged(world: World, folder: Path) -> dict[str, Any]:
    """A run in which rank 1 alone meets what is no number."""
    plain = Step.forward

    def poisoned(self: Step, *args: Any) -> tuple[Tensor, Tensor]:
        error, count = plain(self, *args)
        return error * (float("nan") if world.rank else 1.0), count

    Step.forward = poisoned  # type: ignore[reportAttributeAccessIssue]
    told = go(world, folder, "diverged")
    Step.forward = plain
    return told


def clocks(world: World, folder: Path) -> dict[str, Any]:
    """A run of a minute, with ten seconds a step on rank 0's clock and thirty on rank 1's."""
    now = 0.0

    def tick(_: int) -> None:
        nonlocal now
        now += 10.0 if world.first else 30.0

    run.time = SimpleNamespace(monotonic=lambda: now)  # type: ignore[attr-defined]
    with before_step(tick):
        told = go(world, folder, "clocks")
    run.time = time  # type: ignore[attr-defined]
    return told


def checks(folder: Path) -> None:
    """One launch, many runs: to start processes costs more than all of them."""
    with joined() as world:
        torch.set_num_threads(1)
        told: dict[str, Any] = {"batch norm": batch_norm(world)}
        for name in ("sync", "local", "parts", "half", "odd", "one fault", "taken", "started"):
            told[name] = go(world, folder, name)
        told["from one"] = go(world, folder, "from one", resume=True)
        with before_step(lambda step: os.kill(os.getpid(), signal.SIGTERM) if world.rank and step == 3 else None):
            told["stopped"] = go(world, folder, "stopped")
        told["clocks"], told["diverged"] = clocks(world, folder), diverged(world, folder)
        predictions(world, folder, RunConfig.load(folder / "jobs" / "sync").train[0])
        (folder / f"rank{world.rank}.json").write_text(json.dumps(told))


def dies(folder: Path) -> None:
    """The command. Its first life ends in step 5, when rank 1 is killed; the second in its sixth step, by an error."""
    life, rank = os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"]

    def die(step: int) -> None:
        if (life, rank, step) == ("0", "1", 5):
            os.kill(os.getpid(), signal.SIGKILL)
        if (life, rank, step) == ("1", "1", 6):
            raise RuntimeError("the second life of rank 1 is over")

    config = RunConfig.load(folder / "jobs" / "dies")
    recipes.RECIPES["tiny"] = lambda: config
    words = ["train", "tiny", "--data", config.train[0], "--out", folder / "dies", "--device", "cpu", "--threads", 1]
    sys.argv = ["sandglass", *map(str, words)]
    with before_step(die):
        sys.exit(cli.main())


if __name__ == "__main__":
    {"checks": checks, "dies": dies}[sys.argv[1]](Path(sys.argv[2]))
