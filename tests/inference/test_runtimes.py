"""The runtime: pixels are normalised as the spec says, and a mirrored look is turned back before it is averaged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sandglass.core.cores import Neighbours
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.inference.runtimes import TorchRuntime, leave_busy_cores, pick_device
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

CPU = torch.device("cpu")
SPEC = ModelSpec(
    network="hourglass",
    options={},
    codec=CodecConfig(size=(48, 64)),
    skeleton=COCO17,
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.25, 0.2),
)
CROPS = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), np.uint8)


class Echo(nn.Module):
    """Keeps what it was shown; answers with something that depends on every pixel, and on left and right."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.look = nn.Conv2d(3, 2 * 17, 4, stride=4)

    def forward(self, x):
        self.seen = x
        return self.look(x).unflatten(1, (2, 17))


def runtime(spec=SPEC):
    return TorchRuntime(Echo(), spec, CPU)


def test_the_network_sees_normalised_rgb():
    engine = runtime()
    engine(CROPS, False)
    want = (CROPS / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    np.testing.assert_allclose(engine.network.seen.permute(0, 2, 3, 1), want, atol=1e-5)
    assert not engine.network.training and "torch on cpu" in engine.name


@pytest.mark.parametrize("kind", ["heatmap", "distribution"])
def test_flip_averaging_is_the_formula(kind):
    """Heatmaps, not coordinates; the mirrored picture's maps are mirrored back and its sides renamed."""
    spec = replace(SPEC, codec=replace(SPEC.codec, kind=kind))
    engine = runtime(spec)
    got = engine(CROPS, True)
    plain, other = engine(CROPS, False), engine(np.ascontiguousarray(CROPS[:, :, ::-1]), False)
    assert got.shape == (3, 2, 17, 16, 12)
    want = torch.empty_like(got)
    for k in range(17):
        for column in range(12):
            twin = other[:, :, COCO17.mirror[k], :, 11 - column]
            want[:, :, k, :, column] = (plain[:, :, k, :, column] + twin) / 2
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_a_flip_averaged_answer_is_its_own_mirror():
    engine = runtime()
    plain, other = engine(CROPS, True), engine(np.ascontiguousarray(CROPS[:, :, ::-1]), True)
    torch.testing.assert_close(other.flip(-1)[:, :, list(COCO17.mirror)], plain, atol=1e-5, rtol=1e-4)


def test_distributions_sum_to_one():
    spec = replace(SPEC, codec=replace(SPEC.codec, kind="distribution"))
    for flip in (False, True):
        torch.testing.assert_close(runtime(spec)(CROPS, flip).sum((-1, -2)), torch.ones(3, 2, 17))


def test_evaluation_mode_and_no_gradient_whatever_was_before():
    engine = runtime()
    engine.network.train()
    answer = engine(CROPS, False)
    assert not engine.network.training and not answer.requires_grad


def test_devices():
    assert pick_device("cpu") == CPU and pick_device().type in ("cpu", "cuda", "mps")
    for name in ("cuda:99", "abacus", ""):
        with pytest.raises(BadInput, match=f"device '{name}' is not here .*; use auto or cpu") as caught:
            pick_device(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("said", "busy", "expected"), [(None, 1, 3), (None, 0, 4), (None, 9, 1), ("4", 1, 4)])
def test_busy_cores_are_left_alone_unless_somebody_says_how_many(said, busy, expected, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(Neighbours, "busy", lambda *_: busy)
    if said is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        leave_busy_cores(Neighbours())
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
