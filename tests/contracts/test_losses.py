"""Every loss in LOSSES: zero when perfect, positive otherwise, blind where the weight is 0, as slow references say.

A loss that is added to LOSSES needs its formula, cell by cell, in REFERENCES here.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sandglass.core.errors import BadInput
from sandglass.models.codec import Codec, CodecConfig
from sandglass.training.losses import DISTRIBUTIONS, LOSSES, LossConfig, total

B, S, K, SIZE = 3, 2, 4, (40, 32)  # crops of 40 x 32 pixels: maps (8, 10)
EVERY = pytest.mark.parametrize("name", sorted(LOSSES))
HEATMAPS = sorted(LOSSES.keys() - DISTRIBUTIONS)


def _mse(out: np.ndarray, target: np.ndarray) -> float:
    return sum((o - t) ** 2 for o, t in zip(out.flat, target.flat, strict=True)) / out.size


def _weighted_mse(out: np.ndarray, target: np.ndarray) -> float:
    cells = zip(out.flat, target.flat, strict=True)
    return sum((82.0 if t > 0.01 else 1.0) * (o - t) ** 2 for o, t in cells) / out.size


def _euclidean(out: np.ndarray, target: np.ndarray) -> float:
    return math.sqrt(sum((o - t) ** 2 for o, t in zip(out.flat, target.flat, strict=True)))


def _focal(out: np.ndarray, target: np.ndarray) -> float:
    return sum(abs(o - t) * (o - t) ** 2 for o, t in zip(out.flat, target.flat, strict=True)) / out.size


def _cross_entropy(out: np.ndarray, target: np.ndarray) -> float:
    partition = sum(math.exp(o) for o in out.flat)
    chances = [math.exp(o) / partition for o in out.flat]
    return sum(t * math.log(t / p) for t, p in zip(target.flat, chances, strict=True) if t > 0)


REFERENCES = {
    "mse": _mse,
    "weighted_mse": _weighted_mse,
    "euclidean": _euclidean,
    "focal": _focal,
    "cross_entropy": _cross_entropy,
}


def targets(name: str) -> tuple[Tensor, Tensor]:
    """What the codec of that loss paints for random joints: (B, 1, K, h, w), and their weight, some of it 0."""
    kind = "distribution" if name in DISTRIBUTIONS else "heatmap"
    rng = np.random.default_rng(5)
    points = torch.from_numpy(rng.uniform(2, 30, (B, K, 2)))
    weight = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 0]], dtype=torch.float64)
    return Codec(CodecConfig(size=SIZE, sigmas=(1.5,), kind=kind)).encode(points, weight, S)


def perfect(name: str, target: Tensor) -> Tensor:
    """Outputs that say exactly what the target says, on both stacks."""
    outputs = (target.log() + 3.0 if name in DISTRIBUTIONS else target).expand(-1, S, -1, -1, -1)
    return outputs.clone().requires_grad_()


def noisy(name: str, target: Tensor, size: float = 0.3) -> Tensor:
    noise = torch.randn(B, S, *target.shape[2:], generator=torch.Generator().manual_seed(7), dtype=target.dtype)
    return (perfect(name, target) + size * noise).detach().requires_grad_()


def test_every_loss_has_a_reference() -> None:
    assert REFERENCES.keys() == LOSSES.keys()


@EVERY
def test_zero_when_perfect_and_positive_otherwise(name: str) -> None:
    target, _ = targets(name)
    at_best = LOSSES[name](perfect(name, target), target)
    assert at_best.shape == (B, S, K)
    assert at_best.abs().max() < 1e-9
    for size in (0.01, 0.3):
        assert (LOSSES[name](noisy(name, target, size), target) > 10 * at_best.abs().max()).all()


@EVERY
def test_equal_to_the_slow_reference(name: str) -> None:
    target, _ = targets(name)
    outputs = noisy(name, target).detach()
    found = LOSSES[name](outputs, target)
    for b in range(B):
        for s in range(S):
            for k in range(K):
                slow = REFERENCES[name](outputs[b, s, k].numpy(), target[b, 0, k].numpy())
                assert float(found[b, s, k]) == pytest.approx(slow, rel=1e-9, abs=1.1e-6 if name == "euclidean" else 0)


@EVERY
def test_a_step_down_the_gradient_lowers_it(name: str) -> None:
    target, weight = targets(name)
    outputs = noisy(name, target)
    before = total(LossConfig(name=name), outputs, target, weight)[0]
    (slope,) = torch.autograd.grad(before, outputs)
    lower = outputs.detach() - 1e-3 * slope / slope.norm()
    assert total(LossConfig(name=name), lower, target, weight)[0] < before


@EVERY
@pytest.mark.parametrize("hardest", [0, 2])
def test_blind_where_the_weight_is_zero(name: str, hardest: int) -> None:
    target, weight = targets(name)
    outputs = noisy(name, target)
    config = LossConfig(name=name, hardest=hardest)
    value, count = total(config, outputs, target, weight)
    (slope,) = torch.autograd.grad(value, outputs)
    hidden = (weight == 0)[:, None].expand(B, S, K)
    assert (slope[hidden] == 0).all()
    assert slope[~hidden].flatten(1).abs().amax(1).count_nonzero() >= (count * S).item()
    other = outputs.detach() + 100 * hidden[..., None, None]
    assert total(config, other, target, weight)[0] == value


@EVERY
@pytest.mark.parametrize("size", [1e3, -1e3])
def test_finite_on_extreme_logits(name: str, size: float) -> None:
    target, weight = (part.float() for part in targets(name))
    outputs = torch.zeros(B, S, K, *target.shape[-2:])
    outputs[..., 3, 4] = size
    outputs.requires_grad_()
    value, _ = total(LossConfig(name=name), outputs, target, weight)
    (slope,) = torch.autograd.grad(value, outputs)
    assert value.isfinite() and value > 0
    assert slope.isfinite().all() and slope.abs().max() > 0


def quotient(config: LossConfig, outputs: Tensor, target: Tensor, weight: Tensor) -> float:
    value, count = total(config, outputs, target, weight)
    return float(value / count)


@EVERY
def test_total_is_a_mean_over_labelled_joints_summed_over_stacks(name: str) -> None:
    target, weight = targets(name)
    outputs = noisy(name, target).detach()
    each = LOSSES[name](outputs, target)
    labelled = [each[b, :, k].sum() for b in range(B) for k in range(K) if weight[b, k]]
    assert quotient(LossConfig(name=name), outputs, target, weight) == pytest.approx(
        float(sum(labelled)) / 8, rel=1e-12
    )


@EVERY
def test_a_target_for_each_stack_is_taken_stack_by_stack(name: str) -> None:
    """Coarse to fine: the target then has the stacks' axis."""
    target, weight = targets(name)
    outputs = noisy(name, target).detach()
    both = torch.cat([target, target.roll(1, -1)], 1)
    alone = [total(LossConfig(name=name), outputs[:, s : s + 1], both[:, s : s + 1], weight)[0] for s in range(S)]
    assert float(total(LossConfig(name=name), outputs, both, weight)[0]) == pytest.approx(float(sum(alone)), rel=1e-12)


@EVERY
@pytest.mark.parametrize("hardest", [1, 2, 3])
def test_hardest_counts_the_worst_joints_of_each_person(name: str, hardest: int) -> None:
    target, weight = targets(name)
    outputs = noisy(name, target).detach()
    each = LOSSES[name](outputs, target).numpy()
    value, count = 0.0, 0
    for b in range(B):
        labelled = [k for k in range(K) if weight[b, k]]
        count += min(hardest, len(labelled))
        for s in range(S):
            value += sum(sorted((each[b, s, k] for k in labelled), reverse=True)[:hardest])
    config = LossConfig(name=name, hardest=hardest)
    assert quotient(config, outputs, target, weight) == pytest.approx(value / count, rel=1e-12)


@EVERY
def test_hardest_of_as_many_as_there_are_is_all(name: str) -> None:
    target, weight = targets(name)
    outputs = noisy(name, target).detach()
    plain = total(LossConfig(name=name), outputs, target, weight)
    assert total(LossConfig(name=name, hardest=K), outputs, target, weight) == plain
    assert total(LossConfig(name=name, hardest=K + 1), outputs, target, weight) == plain


@pytest.mark.parametrize("name", HEATMAPS)
def test_unlabelled_teaches_empty_maps(name: str) -> None:
    """The seed's mistake 2, for those who want to measure it: whatever stands in an unlabelled joint's place."""
    target, weight = targets(name)
    assert target[0, 0, 1].max() > 0.5, "something is painted for the unlabelled joint, or the test says nothing"
    config = LossConfig(name=name, unlabelled=True)
    outputs = noisy(name, target).detach()
    empty = target * weight[:, None, :, None, None]
    by_hand = total(LossConfig(name=name), outputs, empty, torch.ones_like(weight))
    assert total(config, outputs, target, weight) == by_hand
    assert by_hand[1] == B * K
    silent = torch.where(weight[:, None, :, None, None] > 0, perfect(name, target).detach(), 0.0)
    assert abs(quotient(config, silent, target, weight)) < 1e-9


@EVERY
def test_nobody_labelled_is_no_loss_and_no_gradient(name: str) -> None:
    target, weight = targets(name)
    outputs = noisy(name, target)
    value, count = total(LossConfig(name=name), outputs, target, torch.zeros_like(weight))
    assert value == 0 and count == 0
    assert (torch.autograd.grad(value, outputs)[0] == 0).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "l7"}, "loss 'l7' is not known; choose one of .*'mse'"),
        ({"name": "cross_entropy", "unlabelled": True}, "no empty map to teach; set unlabelled = false"),
        ({"hardest": -1}, "give 0 for all of them"),
    ],
)
def test_impossible_configs_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LossConfig(**fields)
