"""Augmentation: numbers that depend on nothing but (seed, example), and points that go where the pixels go."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.augment import STRENGTHS, AugmentConfig, draw, move, uniforms
from sandglass.data.crops import CropConfig

CROP = CropConfig(size=(96, 128))
K = len(COCO17)
HARD = replace(STRENGTHS["strong"], shift=0.1, half_body=0.5, rotate_chance=0.8)


def people(count, seed=0):
    """Keypoints (B, K, 2) within the cut and weights (B, K), a few of them 0."""
    rng = np.random.default_rng(seed)
    middle = np.array(CROP.cut_size) / 2
    points = middle + rng.uniform(-0.45, 0.45, (count, K, 2)) * np.array(CROP.size)
    return points, (rng.random((count, K)) < 0.8).astype(np.float32)


def drawn(config, count=2000, seed=3, first=0, skeleton=COCO17):
    points, weight = people(count)
    points, weight = points[:, : len(skeleton)], weight[:, : len(skeleton)]
    return draw(config, CROP, skeleton, points, weight, seed, np.arange(first, first + count))


def parts(d):
    """What each cut_from_crop consists of: (flip, angle in degrees, zoom, centre)."""
    linear = d.cut_from_crop[..., :2]
    zoom = geometry.scale_of(d.cut_from_crop)
    flip = np.linalg.det(linear) < 0
    angle = np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))
    centre = geometry.apply(d.cut_from_crop, np.tile(np.array(CROP.size) / 2, (len(zoom), 1)))
    return flip, angle, zoom, centre


# The numbers.


def test_uniforms_are_pinned():
    """A run that is resumed by a later version, or on another machine, sees the same examples."""
    want = [
        [0.66100772, 0.98443733, 0.64139173],
        [0.34948002, 0.74012847, 0.21530675],
        [0.12742428, 0.51457678, 0.87477857],
    ]
    np.testing.assert_allclose(uniforms(0, np.array([0, 1, 10**9]), 3), want, atol=1e-8)
    np.testing.assert_allclose(uniforms(7, np.array([0]), 2), [[0.46102108, 0.90502942]], atol=1e-8)


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**62), min_size=1, max_size=6), st.integers(1, 40))
@settings(max_examples=50)
def test_a_number_depends_on_seed_example_and_column_alone(seed, examples, count):
    whole = uniforms(seed, np.array(examples), count)
    assert whole.shape == (len(examples), count) and (whole >= 0).all() and (whole < 1).all()
    for i, example in enumerate(examples):
        np.testing.assert_array_equal(uniforms(seed, np.array([example]), count)[0], whole[i])
    np.testing.assert_array_equal(uniforms(seed, np.array(examples), count + 3)[:, :count], whole)


def test_uniforms_are_uniform_and_independent():
    u = uniforms(11, np.arange(20_000), 12)
    assert np.abs(u.mean(0) - 0.5).max() < 0.01 and np.abs(u.var(0) - 1 / 12).max() < 0.002
    cells = np.stack([np.bincount((column * 50).astype(int), minlength=50) for column in u.T])
    assert ((cells - 400) ** 2 / 400).sum(1).max() < 100  # chi squared, 49 degrees: 1 in 50,000
    between = np.atleast_2d(np.corrcoef(np.concatenate([u[1:], u[:-1], uniforms(12, np.arange(1, 20_000), 12)], 1).T))
    np.fill_diagonal(between, 0)
    assert np.abs(between).max() < 0.035  # columns, neighbouring examples, neighbouring seeds
    assert len(np.unique(u)) == u.size


def test_any_batching_draws_the_same():
    points, weight = people(40)
    whole = draw(HARD, CROP, COCO17, points, weight, 5, np.arange(100, 140))
    for rows in (slice(0, 1), slice(1, 17), slice(17, 40)):
        part = draw(HARD, CROP, COCO17, points[rows], weight[rows], 5, np.arange(100, 140)[rows])
        for name, value in vars(part).items():
            np.testing.assert_array_equal(value, getattr(whole, name)[rows], err_msg=name)


# What is drawn.


def test_nothing_is_drawn_where_nothing_is_asked_for():
    d = drawn(AugmentConfig())
    flip, angle, zoom, centre = parts(d)
    assert not flip.any() and not d.flip.any() and not angle.any()
    np.testing.assert_allclose(zoom, 1)
    np.testing.assert_allclose(centre, np.tile(np.array(CROP.cut_size) / 2, (len(zoom), 1)))
    np.testing.assert_allclose(d.colour, np.tile(np.eye(3, 4), (len(zoom), 1, 1)), atol=1e-12)
    assert not d.blur.any() and not d.noise.any() and d.holes.shape == (2000, 0, 4)


def test_geometry_is_drawn_as_its_config_says():
    config = AugmentConfig(flip=0.3, rotate=40, rotate_chance=0.6, scale=0.25, shift=0.1)
    d = drawn(config)
    flip, angle, zoom, centre = parts(d)
    np.testing.assert_array_equal(flip, d.flip)
    assert flip.mean() == pytest.approx(0.3, abs=0.04)
    turned = np.abs(angle) > 1e-9
    assert turned.mean() == pytest.approx(0.6, abs=0.04)
    assert np.abs(angle).max() == pytest.approx(40, abs=0.5) and abs(angle.mean()) < 1.5
    assert (angle[turned] > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert zoom.min() == pytest.approx(1 / 1.25, abs=0.002) and zoom.max() == pytest.approx(1.25, abs=0.002)
    assert abs(np.log(zoom).mean()) < 0.01  # as often larger as smaller
    moved = (centre - np.array(CROP.cut_size) / 2) / (np.array(CROP.size) * zoom[:, None])
    assert np.abs(moved).max() == pytest.approx(0.1, abs=0.001) and np.abs(moved.mean(0)).max() < 0.005


def test_half_a_body_is_shown_whole():
    config = AugmentConfig(half_body=1.0)
    points, weight = people(400)
    upper = np.isin(np.arange(K), COCO17.upper)
    low, high = (np.array(CROP.cut_size) / 2 + np.array(CROP.size) * share for share in (-0.4, 0.4))
    points[..., 0] = 0.4 * points[..., 0] + 0.6 * CROP.cut_size[0] / 2
    points[:, upper, 1] = np.clip(points[:, upper, 1], low[1], low[1] + 0.25 * CROP.size[1])
    points[:, ~upper, 1] = np.clip(points[:, ~upper, 1], high[1] - 0.25 * CROP.size[1], high[1])
    weight = np.where(weight[:, ~upper].sum(1, keepdims=True) >= 3, weight, 1)
    d = draw(config, CROP, COCO17, points, weight, 3, np.arange(400))
    inside, _ = move(d, points, weight, COCO17)
    shown = ((inside > 0) & (inside < np.array(CROP.size))).all(-1) | (weight == 0)
    whole_upper, whole_lower = shown[:, upper].all(1), shown[:, ~upper].all(1)
    assert (whole_upper | whole_lower).all()
    assert (whole_upper & ~whole_lower).mean() > 0.2 and (whole_lower & ~whole_upper).mean() > 0.2
    assert parts(d)[2].max() < 0.95  # closer than the whole person


def test_half_bodies_need_three_joints_and_a_skeleton_that_has_halves():
    points, weight = people(200)
    few = weight * 0
    few[:, :2] = 1
    for args in ((COCO17, few), (Skeleton.from_dict({"joints": [str(k) for k in range(K)]}), weight)):
        skeleton, labelled = args
        d = draw(AugmentConfig(half_body=1.0), CROP, skeleton, points, labelled, 3, np.arange(200))
        np.testing.assert_allclose(parts(d)[2], 1)
    some = draw(AugmentConfig(half_body=0.3), CROP, COCO17, points, np.ones_like(weight), 3, np.arange(200))
    middle = np.array(CROP.cut_size) / 2
    assert (parts(some)[3] != middle).any(1).mean() == pytest.approx(0.3, abs=0.1)


def test_half_a_body_looks_at_labelled_joints_within_the_cut_alone():
    points, weight = people(100)
    points[:, 3], weight[:, 4] = 1e6, 0
    points[:, 4] = np.nan
    d = draw(AugmentConfig(half_body=1.0), CROP, COCO17, points, weight, 3, np.arange(100))
    assert np.isfinite(d.cut_from_crop).all()
    _, _, zoom, centre = parts(d)
    assert (centre > 0).all() and (centre < np.array(CROP.cut_size)).all() and (zoom <= 1.2 + 1e-9).all()


def test_strengths_of_the_rest_keep_their_bounds():
    d = drawn(AugmentConfig(blur=0.4, noise=0.03, holes=3, hole_size=0.2))
    assert (d.blur > 0).mean() == pytest.approx(0.4, abs=0.04) and d.blur.max() <= 1
    assert 0 <= d.noise.min() < 0.001 and d.noise.max() == pytest.approx(0.03, abs=0.001)
    assert d.noise_at.min() >= 0 and d.noise_at.max() < 512
    extent = (d.holes[..., 2:] - d.holes[..., :2]) / np.array(CROP.size)
    assert extent.min() >= 0 and extent.max() == pytest.approx(0.2, abs=0.01)
    number = (extent > 0).all(-1).sum(1)
    np.testing.assert_allclose(np.bincount(number, minlength=4) / 2000, 0.25, atol=0.04)


# Colour: on the numbers, as a slow reading of what was asked for.


def test_brightness_adds_and_contrast_turns_about_the_middle():
    d = drawn(AugmentConfig(brightness=0.2))
    np.testing.assert_allclose(d.colour[..., :3], np.tile(np.eye(3), (2000, 1, 1)), atol=1e-12)
    assert np.ptp(d.colour[..., 3], axis=1).max() < 1e-12
    assert np.abs(d.colour[..., 3]).max() == pytest.approx(0.2, abs=0.001)
    d = drawn(AugmentConfig(contrast=0.5))
    np.testing.assert_allclose(d.colour @ (0.5, 0.5, 0.5, 1), 0.5)
    strength = d.colour[:, 0, 0]
    assert strength.min() == pytest.approx(1 / 1.5, abs=0.002) and strength.max() == pytest.approx(1.5, abs=0.002)


def test_saturation_and_hue_leave_grey_grey():
    for config in (AugmentConfig(saturation=0.5), AugmentConfig(hue=90)):
        d = drawn(config)
        for level in (0.0, 0.3, 1.0):
            np.testing.assert_allclose(d.colour @ (level, level, level, 1), level, atol=1e-9)
    d = drawn(AugmentConfig(saturation=0.5))
    luma = np.array([0.299, 0.587, 0.114])
    colours = np.random.default_rng(0).random((50, 3))
    for matrix in d.colour[:20]:
        np.testing.assert_allclose((colours @ matrix[:, :3].T) @ luma, colours @ luma)  # as light as before


def test_hue_turns_the_circle_of_colours():
    """A third of a turn carries red to green or blue."""
    d = drawn(AugmentConfig(hue=180))
    turned = d.colour[:, :, 0]  # where pure red goes
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1)
    np.testing.assert_allclose(turned.sum(1), 1)
    assert np.abs(turned - [0, 1, 0]).max(1).min() < 0.01 and np.abs(turned - [0, 0, 1]).max(1).min() < 0.01
    small = drawn(AugmentConfig(hue=15)).colour[:, :, 0]
    assert small[:, 0].min() == pytest.approx((1 + 2 * np.cos(np.radians(15))) / 3, abs=1e-3)


# Points.


def slow_move(d, points, weight, skeleton, i):
    """One person, one joint at a time: solve for the crop point, then take the twin's name."""
    out, labels = np.zeros_like(points), np.zeros(len(points))
    for k in range(len(points)):
        a, b, tx, c, e, ty = d.cut_from_crop[i].ravel()
        x, y = points[k, 0] - tx, points[k, 1] - ty
        det = a * e - b * c
        name = skeleton.mirror[k] if d.flip[i] else k
        out[name] = (e * x - b * y) / det, (a * y - c * x) / det
        labels[name] = weight[k]
    return out, labels


def test_points_move_as_one_by_one():
    points, weight = people(200)
    d = draw(HARD, CROP, COCO17, points, weight, 9, np.arange(200))
    assert d.flip.any() and not d.flip.all()
    moved, labelled = move(d, points, weight, COCO17)
    for i in range(200):
        want, labels = slow_move(d, points[i], weight[i], COCO17, i)
        assert np.abs(moved[i] - want).max() < 1e-3
        np.testing.assert_array_equal(labelled[i], labels)


def test_a_mirror_is_w_minus_x_and_swaps_names():
    points, weight = people(50)
    plain, _ = move(draw(AugmentConfig(), CROP, COCO17, points, weight, 0, np.arange(50)), points, weight, COCO17)
    d = draw(AugmentConfig(flip=1.0), CROP, COCO17, points, weight, 0, np.arange(50))
    mirrored, labels = move(d, points, weight, COCO17)
    twin = list(COCO17.mirror)
    np.testing.assert_allclose(mirrored[:, twin, 0], CROP.size[0] - plain[..., 0], atol=1e-9)
    np.testing.assert_allclose(mirrored[:, twin, 1], plain[..., 1], atol=1e-9)
    np.testing.assert_array_equal(labels[:, twin], weight)


@pytest.mark.parametrize(
    "options",
    [
        {"flip": -0.1}, {"flip": 1.1}, {"flip": float("nan")}, {"rotate": -1.0}, {"rotate": float("nan")},
        {"scale": float("inf")}, {"rotate_chance": 2.0}, {"half_body": -1.0}, {"blur": 7.0}, {"noise": -0.1},
        {"holes": -1}, {"hole_size": -0.5}, {"hue": float("nan")},
    ],
)  # fmt: skip
def test_impossible_strengths_are_refused(options):
    with pytest.raises(BadInput, match="needs probabilities"):
        AugmentConfig(**options)


def test_the_strengths_grow():
    names = ("none", "light", "medium", "strong")
    assert tuple(STRENGTHS) == names
    for name in ("rotate", "scale", "brightness", "saturation", "hue", "noise", "holes"):
        values = [getattr(STRENGTHS[strength], name) for strength in names]
        assert values == sorted(values), name


def test_a_batch_stays_on_the_cpu_as_it_is():
    from sandglass.data.augment import Batch

    points, weight = people(3)
    d = draw(HARD, CROP, COCO17, points, weight, 9, np.arange(3))
    batch = Batch.of(np.zeros((3, 192, 144, 3), np.uint8), points, weight, d, np.arange(3))
    there = batch.to(torch.device("cpu"))
    assert len(batch) == 3 and all(getattr(there, f.name) is getattr(batch, f.name) for f in fields(Batch))
    assert batch.keypoints.dtype == batch.grid.dtype == batch.colour.dtype == torch.float32
