"""One step: parts add up to their batch, the gradient is clipped, the rate is set, bf16 runs where it is asked for."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sandglass.core.errors import BadInput
from sandglass.data.augment import STRENGTHS, AugmentConfig, Batch, Painter
from sandglass.data.coco import read_coco
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.loader import Loader, Order
from sandglass.models.codec import Codec, CodecConfig
from sandglass.models.hourglass import HourglassConfig, StackedHourglass
from sandglass.training.losses import LossConfig
from sandglass.training.step import OptimiserConfig, Step, autocast, optimiser

CPU = torch.device("cpu")
CODEC = CodecConfig(size=(64, 64), sigmas=(1.5,), kind="distribution")
NAMES = ("muon", "adamw", "adam", "rmsprop", "sgd")
MakeStep = Callable[..., Step]


class Plain(nn.Module):
    """One convolution, no norm: what it says of one crop does not depend on the others."""

    def __init__(self, joints: int = 17) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, joints, 4, stride=4)
        nn.init.normal_(self.conv.weight, std=0.05, generator=torch.Generator().manual_seed(2))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[:, None]


@pytest.fixture
def batch(tiny_coco: Path) -> Batch:
    """Eight examples; the first two of them have few labelled joints."""
    people = read_coco(tiny_coco, "train")
    crops = PersonCrops(people.select(people.labelled >= 5), CropConfig(size=(64, 64)))
    loader = Loader([crops], Order([5], [1.0], 0), AugmentConfig(), crops.config, people.skeleton, 0, 1)
    found = loader.batch(0, 8)
    found.weight[:2, 3:] = 0
    return found


def make_step(network: nn.Module, *, loss: LossConfig | None = None, **changes: Any) -> Step:
    config = OptimiserConfig(name="sgd", lr=0.1)
    painter = Painter(AugmentConfig(), CODEC.size, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), CPU)
    settings: dict[str, Any] = {"stacks": 1, "clip": 0.0, "precision": "fp32", "device": CPU} | changes
    loss = loss or LossConfig(name="cross_entropy")
    return Step(network, Codec(CODEC), painter, loss, optimiser(config, network), **settings)


def part(batch: Batch, rows: slice) -> Batch:
    return Batch(*(getattr(batch, f.name)[rows] for f in fields(batch)))


@pytest.mark.parametrize("loss", [LossConfig(name="cross_entropy"), LossConfig(name="cross_entropy", hardest=4)])
@pytest.mark.parametrize("cuts", [(0, 4, 8), (0, 2, 8), (0, 1, 2, 5, 8)])
def test_parts_add_up_to_their_batch(batch: Batch, cuts: tuple[int, ...], loss: LossConfig) -> None:
    """Also where the parts have different numbers of labelled joints: a mean of means would weigh those wrongly."""
    whole, pieces = Plain(), Plain()
    expected = make_step(whole, loss=loss)([batch], 0.1)
    slices = [slice(a, b) for a, b in pairwise(cuts)]
    found = make_step(pieces, loss=loss)([part(batch, rows) for rows in slices], 0.1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    moved = whole.conv.weight - Plain().conv.weight
    torch.testing.assert_close(pieces.conv.weight - Plain().conv.weight, moved, rtol=1e-4, atol=1e-5)
    assert moved.abs().max() > 1e-3


def test_loss_is_that_of_the_network_before_the_step(batch: Batch) -> None:
    network = Plain()
    step = make_step(network)
    value, count = step.forward(batch)
    assert count == batch.weight.sum() == 2 * 3 + 6 * 17
    assert step([batch], 0.1)[0] == pytest.approx(float(value.detach() / count), rel=1e-6)
    assert step.forward(batch)[0] < value


def test_the_gradient_is_clipped_to_its_norm(batch: Batch) -> None:
    network = Plain()
    before = torch.cat([p.detach().flatten().clone() for p in network.parameters()])
    _, norm = make_step(network, clip=0.01)([batch], 0.1)
    assert norm > 0.05, "the norm that is told is the one before the clip"
    moved = torch.cat([p.detach().flatten() for p in network.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(0.1 * 1.9 * 0.01, rel=1e-3)  # Nesterov's first step: 1 + 0.9 of it


def test_no_clip_leaves_the_gradient(batch: Batch) -> None:
    plain, loose = Plain(), Plain()
    norm = make_step(plain)([batch], 0.1)[1]
    make_step(loose, clip=float(norm) * 2)([batch], 0.1)
    torch.testing.assert_close(plain.conv.weight, loose.conv.weight, rtol=0, atol=0)


def test_the_rate_is_set_and_the_gradient_forgotten(batch: Batch) -> None:
    network = Plain()
    step = make_step(network)
    step([batch], 0.0)
    assert torch.equal(network.conv.weight, Plain().conv.weight)
    step([batch], 0.25)
    assert [group["lr"] for group in step.optim.param_groups] == [0.25, 0.25]
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", [LossConfig(name="cross_entropy"), LossConfig(name="cross_entropy", hardest=4)])
def test_a_step_never_waits_for_its_device(name: str, loss: LossConfig, batch: Batch) -> None:
    """On a device that has shapes but no values, whatever would carry one to the host fails: item, tolist, if, cpu."""
    meta = torch.device("meta")
    hourglass = HourglassConfig(stacks=1, channels=8, depth=1)
    network = (StackedHourglass(hourglass, 17) if name == "muon" and not loss.hardest else Plain()).to(meta)
    painter = Painter(STRENGTHS["strong"], CODEC.size, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), meta)
    optim = optimiser(OptimiserConfig(name=name), network)  # type: ignore[arg-type]
    step = Step(network, Codec(CODEC), painter, loss, optim, stacks=1, clip=1.0, precision="fp32", device=meta)
    value, norm = step([batch, batch], 0.1)
    assert value.is_meta and norm.is_meta
    with pytest.raises(RuntimeError):
        value.item()


def test_bf16_runs_and_keeps_weights_and_loss_in_fp32(batch: Batch) -> None:
    torch.manual_seed(0)
    network = StackedHourglass(HourglassConfig(stacks=1, channels=8, depth=2), 17)
    exact = make_step(network).forward(batch)[0]
    step = make_step(network, precision="bf16")
    value = step.forward(batch)[0]
    assert value.dtype == torch.float32 and value != exact
    assert float(value.detach()) == pytest.approx(float(exact.detach()), rel=0.02)
    loss, norm = step([batch], 0.01)
    assert loss.isfinite() and norm.isfinite()
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in network.parameters())


def test_autocast_is_off_where_fp32_is_asked_for() -> None:
    with autocast("fp32", CPU):
        assert not torch.is_autocast_enabled("cpu")
    with autocast("bf16", CPU):
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_lowers_the_loss(name: str, batch: Batch) -> None:
    network = Plain()
    step = make_step(network)
    step.optim = optimiser(OptimiserConfig(name=name), network)  # type: ignore[arg-type]
    losses = [float(step([batch], 0.02)[0]) for _ in range(10)]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_decay_is_for_kernels_alone(name: str) -> None:
    network = StackedHourglass(HourglassConfig(stacks=1, channels=8, depth=1), 3)
    groups = optimiser(OptimiserConfig(name=name, weight_decay=0.1), network).param_groups  # type: ignore[arg-type]
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decay.keys() == {id(p) for p in network.parameters()}
    assert all(decay[id(p)] == (0.1 if p.ndim == 4 else 0.0) for p in network.parameters())


@pytest.mark.parametrize(
    "fields", [{"lr": 0.0}, {"lr": -1.0}, {"lr": float("nan")}, {"weight_decay": -1}, {"clip": -1}]
)
def test_impossible_optimisers_are_refused(fields: dict) -> None:
    with pytest.raises(BadInput, match="positive learning rate and no negative numbers"):
        replace(OptimiserConfig(), **fields)


def test_building_an_optimiser_does_not_import_the_compiler() -> None:
    """It would cost seconds at the start of every run; and all that an optimiser does still works."""
    text = (
        "import sys, torch\n"
        "from sandglass.training.step import OptimiserConfig, optimiser\n"
        "network = torch.nn.Conv2d(3, 4, 3)\n"
        "one = optimiser(OptimiserConfig(name='muon'), network)\n"
        "network(torch.ones(1, 3, 4, 4)).sum().backward()\n"
        "one.step(); one.zero_grad()\n"
        "one.load_state_dict(one.state_dict())\n"
        "print(len(one.state), 'torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("2 False", "")
