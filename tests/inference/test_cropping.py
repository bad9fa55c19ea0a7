"""The crop as a graph shows what core.image.warp shows: grey levels differ by one, and seldom."""

import numpy as np
import pytest
import torch

from sandglass.core import geometry
from sandglass.core.image import warp
from sandglass.inference.cropping import PLAN, Plan, cutting
from sandglass.inference.engines import onnxruntime_run, openvino_run

pytest.importorskip("onnx")


def smooth(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Noise whose neighbours are alike, as in photographs."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (shape[0] // 3 + 2, shape[1] // 3 + 2, 3), np.uint8)
    return cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def random_boxes(shape: tuple[int, int], count: int) -> np.ndarray:
    """Some inside, some over the border, small and large."""
    rng = np.random.default_rng(shape[0])
    x, y = (np.sort(rng.uniform(-30, side + 30, (count, 2)), 1) for side in (shape[1], shape[0]))
    boxes = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)
    return boxes[(boxes[:, 2:] - boxes[:, :2] > 2).all(1)].astype(np.float32)


def run(engine, size, photo, boxes, padding=1.25):
    """Crops (N, h, w, 3) as the graph cuts them, by torch's plan."""
    plan = dict(zip(PLAN, Plan(size, padding)(torch.from_numpy(photo), torch.from_numpy(boxes)), strict=True))
    names = [entry.name for entry in cutting(size).graph.input]
    inputs = [photo if name == "photo" else plan[name].numpy() for name in names]
    (crops,) = engine(cutting(size).SerializeToString())(inputs)
    return crops.transpose(0, 2, 3, 1), plan


def wanted(size, photo, boxes, padding=1.25):
    matrices = geometry.image_from_crop(boxes.astype(np.float64), size, padding)
    return np.stack([warp(photo, matrix, size) for matrix in matrices]).astype(np.float64), matrices


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine(request):
    pytest.importorskip(request.param)
    return onnxruntime_run if request.param == "onnxruntime" else openvino_run


@pytest.mark.parametrize("size", [(64, 64), (48, 64)])
@pytest.mark.parametrize("shape", [(90, 120), (250, 333), (700, 500)])
def test_it_cuts_what_warp_cuts(engine, size, shape):
    photo, boxes = smooth(shape), random_boxes(shape, 12)
    crops, plan = run(engine, size, photo, boxes)
    want, matrices = wanted(size, photo, boxes)
    assert np.abs(crops - want).max() <= 1 and np.abs(crops - want).mean() < 0.02
    np.testing.assert_allclose(plan["scale"].ravel(), matrices[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(plan["corner"][:, 0], matrices[:, :, 2], atol=1e-3)


def test_the_first_call_is_as_good_as_the_next(engine):
    """OpenVINO once gave another answer to the first call, for a box smaller than the crop."""
    photo, boxes = smooth((200, 200)), np.array([[80, 60, 110, 110]], np.float32)
    np.testing.assert_allclose(run(engine, (64, 64), photo, boxes)[0], wanted((64, 64), photo, boxes)[0], atol=1)


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0, 5.0])
def test_whole_factors_are_not_missed_by_a_rounding(engine, scale):
    """At exactly n image pixels a crop pixel, single and double precision must choose the same blocks."""
    photo = smooth((420, 420))
    starts = np.array([[3.7, 11.1], [40.3, 0.9], [51.2, 33.3]])
    boxes = np.concatenate([starts, starts + 64 * scale / 1.25], 1).astype(np.float32)
    np.testing.assert_allclose(run(engine, (64, 64), photo, boxes)[0], wanted((64, 64), photo, boxes)[0], atol=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 400), (5, 5)])
def test_photographs_of_any_shape(engine, shape):
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    boxes = np.array([[0, 0, shape[1], shape[0]], [-5, -5, 5, 5], [0, 0, 400, 400]], np.float32)
    crops, _ = run(engine, (64, 64), photo, boxes)
    assert np.abs(crops - wanted((64, 64), photo, boxes)[0]).max() <= 2  # pixels stand for many: weights round more


def test_beyond_the_photograph_it_is_black(engine):
    photo = np.full((50, 60, 3), 200, np.uint8)
    boxes = np.array([[500, 500, 600, 600], [-900, 10, -600, 40], [30, 0, 90, 50]], np.float32)
    crops, _ = run(engine, (64, 64), photo, boxes)
    assert not crops[:2].any()
    assert crops[2].max() == 200 and not crops[2][:, -8:].any()
