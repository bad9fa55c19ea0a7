"""Affines and boxes: maps compose and invert, a crop lies around its box, whatever the crop's aspect."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandglass.core import geometry

RNG = np.random.default_rng(3)
NUMBER = st.floats(-1000, 1000)
SIDE = st.floats(1, 1000)


def affines(count):
    return np.concatenate([RNG.normal(0, 1, (count, 2, 2)) + 2 * np.eye(2), RNG.normal(0, 50, (count, 2, 1))], -1)


def test_one_affine_by_hand():
    quarter_turn = np.array([[0.0, -1, 10], [1, 0, 20]])  # (x, y) -> (10 - y, 20 + x)
    np.testing.assert_allclose(geometry.apply(quarter_turn, np.array([3.0, 4.0])), [6, 23])
    np.testing.assert_allclose(geometry.apply(quarter_turn, np.array([[3.0, 4], [0, 0]])), [[6, 23], [10, 20]])


def test_a_stack_of_affines_moves_each_its_own_points():
    matrices, points = affines(5), RNG.normal(0, 100, (5, 7, 2))
    whole = geometry.apply(matrices, points)
    for i in range(5):
        np.testing.assert_allclose(whole[i], geometry.apply(matrices[i], points[i]))
    np.testing.assert_allclose(geometry.apply(matrices, points[:, 0]), whole[:, 0])
    # As many joints as people, or as many as coordinates, must not be mistaken for them.
    np.testing.assert_allclose(geometry.apply(matrices[:2], points[:2, :2]), whole[:2, :2])


def test_composition_is_one_after_the_other_and_inversion_undoes():
    outer, inner, points = affines(6), affines(6), RNG.normal(0, 100, (6, 4, 2))
    both = geometry.apply(geometry.compose(outer, inner), points)
    np.testing.assert_allclose(both, geometry.apply(outer, geometry.apply(inner, points)))
    np.testing.assert_allclose(geometry.apply(geometry.invert(outer), geometry.apply(outer, points)), points)
    np.testing.assert_allclose(geometry.compose(outer[0], inner[0]), geometry.compose(outer, inner)[0])
    with pytest.raises(np.linalg.LinAlgError):
        geometry.invert(np.zeros((2, 3)))


def test_scale_is_that_of_lengths():
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 5], [np.sin(angle), np.cos(angle), 6]])
    assert geometry.scale_of(3 * turn) == pytest.approx(3)
    mirrored = turn * np.array([-1, 1, 1])
    np.testing.assert_allclose(geometry.scale_of(np.stack([2 * turn, mirrored])), [2, 1])


@given(NUMBER, NUMBER, SIDE, SIDE, st.sampled_from([(256, 256), (192, 256), (256, 192), (64, 320)]), st.floats(0.5, 4))
def test_a_crop_lies_around_its_box(x, y, w, h, size, padding):
    matrix = geometry.image_from_crop(np.array([x, y, x + w, y + h]), size, padding)
    assert matrix[0, 0] == matrix[1, 1] > 0 and matrix[0, 1] == matrix[1, 0] == 0  # one scale, not turned
    low, high = geometry.apply(matrix, np.array([[0.0, 0], size]))
    np.testing.assert_allclose((low + high) / 2, [x + w / 2, y + h / 2], atol=1e-9)
    # The longer side, by the crop's aspect, is padded exactly; the other at least.
    ratio = (high - low) / (w, h)
    assert ratio.min() == pytest.approx(padding)


def test_a_crop_of_the_whole_photograph_is_the_identity():
    matrix = geometry.image_from_crop(np.array([0.0, 0, 192, 256]), (192, 256), 1.0)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 0]])
    boxes = RNG.uniform(0, 50, (3, 2, 4)) + np.array([0, 0, 60, 60])
    stack = geometry.image_from_crop(boxes, (192, 256), 1.25)
    assert stack.shape == (3, 2, 2, 3)
    np.testing.assert_array_equal(stack[2, 1], geometry.image_from_crop(boxes[2, 1], (192, 256), 1.25))


def test_boxes_by_hand():
    a = np.array([[0.0, 0, 10, 10], [20, 20, 30, 40]])
    np.testing.assert_allclose(geometry.area(a), [100, 200])
    assert geometry.area(np.array([5.0, 5, 4, 9])) == 0  # inside out
    b = np.array([[5.0, 5, 15, 15], [0, 0, 10, 10], [50, 50, 60, 60], [7, 7, 7, 7]])
    np.testing.assert_allclose(geometry.overlap(a, b), [[25 / 175, 1, 0, 0], [0, 0, 0, 0]])
    assert geometry.overlap(b[3:], b[3:]) == 0  # a flat box: no 0 / 0
    np.testing.assert_allclose(geometry.clip(np.array([-5.0, 3, 500, 90]), (100, 50)), [0, 3, 100, 50])
    np.testing.assert_allclose(geometry.grow(np.array([[10.0, 20, 20, 60]]), 1.5), [[7.5, 10, 22.5, 70]])
