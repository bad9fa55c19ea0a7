"""Early exit: each crop ends at its first sure stack, as if it had been looked at alone and whole."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.inference.exits import Exit
from sandglass.inference.predictor import Predictor
from sandglass.models.codec import Codec

CROPS = np.random.default_rng(4).integers(0, 256, (11, 64, 48, 3), np.uint8)
BOXES = np.array([[4.0 * i, 3, 4.0 * i + 30, 60] for i in range(11)])
PHOTO = np.random.default_rng(5).integers(0, 256, (80, 90, 3), np.uint8)


def load(checkpoint, early=None, **given):
    return Predictor.load(checkpoint, device="cpu", runtime="torch", early=early, **given)


def test_the_score_rule_asks_every_present_joint():
    rule = Exit(score=0.5)
    scores = np.array([[0.5, 0.9, 0.1], [0.4, 0.9, 0.9], [0.9, 0.9, 0.9]])
    present = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], bool)
    assert rule.sure(scores, present, np.zeros((3, 3, 2)), None).tolist() == [True, False, False]


def test_the_movement_rule_needs_a_stack_before_and_ignores_absent_joints():
    rule = Exit(still=5.0)
    points = np.array([[[3.0, 4], [0, 0]], [[3, 4.1], [0, 0]], [[0, 0], [90, 0]]])
    present = np.array([[1, 1], [1, 1], [1, 0]], bool)
    scores = np.ones((3, 2))
    assert not rule.sure(scores, present, points, None).any()
    assert rule.sure(scores, present, points, np.zeros((3, 2, 2))).tolist() == [True, False, True]


@pytest.mark.parametrize("given", [{}, {"score": 0.5, "still": 2.0}, {"score": -0.1}, {"still": float("nan")}])
def test_one_bound_that_is_a_number(given):
    with pytest.raises(BadInput, match="early exit needs one bound"):
        Exit(**given)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_each_crop_ends_where_it_would_alone(checkpoint, flip, threshold):
    """Against the slow way: all stacks of each crop, then the first of them that the rule accepts."""
    whole = load(checkpoint, flip=flip, threshold=threshold)
    boxes = BOXES
    first = load(checkpoint, flip=flip, threshold=threshold, stacks=1).look(PHOTO, boxes)
    last = whole.look(PHOTO, boxes)
    for bound in np.quantile(first.scores.min(1), [0, 0.3, 0.7, 1]):
        rule = Exit(score=float(bound))
        found = load(checkpoint, rule, flip=flip, threshold=threshold, batch=4).look(PHOTO, boxes)
        early = rule.sure(first.scores, first.scores >= threshold, first.keypoints, None)
        assert found.stacks.tolist() == np.where(early, 1, 2).tolist()
        for name in ("keypoints", "scores", "spread"):
            mask = early.reshape(-1, *[1] * (getattr(found, name).ndim - 1))
            slow = np.where(mask, getattr(first, name), getattr(last, name))
            np.testing.assert_allclose(getattr(found, name), slow, atol=1e-3, rtol=1e-4)
    assert (last.stacks == 2).all()


def test_who_is_never_sure_gets_all_stacks_and_who_always_is_one(checkpoint):
    whole = load(checkpoint).look(PHOTO, BOXES)
    never = load(checkpoint, Exit(score=2.0)).look(PHOTO, BOXES)
    np.testing.assert_allclose(never.keypoints, whole.keypoints, atol=1e-3)
    assert (never.stacks == 2).all()
    assert (load(checkpoint, Exit(score=0.0), threshold=0.0).look(PHOTO, BOXES).stacks == 1).all()
    assert (load(checkpoint, Exit(still=1e6), threshold=0.0).look(PHOTO, BOXES).stacks == 2).all()  # two to compare


def test_a_crop_that_is_done_is_not_looked_at_again(checkpoint):
    seen = []
    runtime: Any = load(checkpoint).runtime

    def visit(rows, maps):
        seen.append((rows.tolist(), len(maps)))
        return rows % 2 == 0

    runtime.until(CROPS, True, visit)
    assert seen == [(list(range(11)), 11), ([1, 3, 5, 7, 9], 5)]
    seen.clear()
    runtime.until(CROPS, False, lambda rows, maps: seen.append(len(rows)) or np.ones(len(rows), bool))
    assert seen == [11]


def test_only_an_engine_that_runs_stack_by_stack_can_stop(checkpoint):
    class Whole:
        name = "a graph"

        def __call__(self, crops, flip):
            raise AssertionError

    with pytest.raises(BadInput, match="a graph runs all stacks at once"):
        Predictor(Whole(), load(checkpoint).spec, early=Exit(score=0.5))


def test_a_cut_predictor_says_what_the_whole_ones_first_stack_says(checkpoint):
    """Also with a sigma for each stack: the score of a distribution is read with the stack's own."""
    whole, short = load(checkpoint), load(checkpoint, stacks=1)
    maps = whole.maps(CROPS)
    points, scores, _ = whole.read(maps[:, 0], 1)
    again, said, _ = short.read(short.maps(CROPS)[:, 0], 1)
    np.testing.assert_allclose(points, again, atol=1e-3)
    np.testing.assert_allclose(scores, said, atol=1e-5)
    fine = replace(whole.spec, codec=replace(whole.spec.codec, kind="distribution", sigmas=(4.0, 1.0)))
    sharp = Predictor(whole.runtime, fine)
    soft = maps[:, 0].clip(min=1e-6) / maps[:, 0].clip(min=1e-6).sum((-1, -2), keepdims=True)
    _, expected = Codec(replace(fine.codec, sigmas=(4.0,))).decode(torch.from_numpy(soft))
    np.testing.assert_allclose(sharp.read(soft, 1)[1], expected.numpy(), atol=1e-6)


def test_the_spread_is_in_image_pixels(checkpoint):
    """A box twice as large, of a photograph twice as large: four times the covariance."""
    predictor = load(checkpoint)
    large = np.kron(PHOTO, np.ones((2, 2, 1), np.uint8))
    box = np.array([[10.0, 5, 60, 70]])
    one, two = predictor.look(PHOTO, box), predictor.look(large, 2 * box)
    crop = predictor.look(PHOTO, box)
    assert (np.linalg.eigvalsh(crop.spread) > -1e-6).all()
    np.testing.assert_allclose(two.spread.mean() / one.spread.mean(), 4, rtol=0.2)  # resampled, so not exact
    poses = predictor(PHOTO, box)
    np.testing.assert_array_equal(poses[0].spread, one.spread[0])
