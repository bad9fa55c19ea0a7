"""Laws of the heatmap pictures."""

import cv2
import numpy as np
import pytest

from sandglass.core.skeleton import COCO17, Skeleton, infer_mirror
from sandglass.draw import heatmaps

NAMES = ("left_hand", "right_hand", "belly")
TOY = Skeleton("toy", NAMES, (), infer_mirror(NAMES), (0.07,) * 3)
CROP = np.full((256, 256, 3), 90, np.uint8)


def spot(column, row, size=(64, 64), height=1.0):
    rows, columns = np.indices(size)
    return (height * np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / 8)).astype(np.float32)


def brightest(image):
    """The place (x, y) where a picture is brightest, of a smooth patch rather than of a single pixel."""
    blurred = cv2.GaussianBlur(image.sum(-1).astype(np.float32), (0, 0), 3)
    row, column = np.unravel_index(int(blurred.argmax()), blurred.shape)
    return column + 0.5, row + 0.5


def cell(grid, row, column, size=(128, 128)):
    x, y = heatmaps._corner(row, column, size)
    return grid[y : y + size[1], x : x + size[0]]


def test_the_glow_stands_where_the_map_has_its_peak():
    picture = heatmaps.heat(CROP, spot(40, 10), (256, 256))
    assert brightest(picture) == pytest.approx((40.5 * 4, 10.5 * 4), abs=1)


def test_nothing_negative_and_no_nan_glows():
    dark = heatmaps.heat(CROP, np.zeros((64, 64)), (128, 128))
    for values in (-spot(20, 20), np.full((64, 64), np.nan), np.full((64, 64), -np.inf)):
        assert (heatmaps.heat(CROP, values, (128, 128)) == dark).all()
    assert (dark == dark[0, 0]).all()  # an even crop stays even


def test_weak_maps_stay_dim_under_a_given_top():
    full = heatmaps.heat(CROP, spot(30, 30), (64, 64), 1.0).max()
    weak = heatmaps.heat(CROP, spot(30, 30, height=0.1), (64, 64), 1.0).max()
    assert weak < 0.5 * full


def test_the_overlay_shows_every_joint():
    places = [(10, 10), (50, 20), (30, 55)]
    picture = heatmaps.overlay(CROP, np.stack([spot(*p, height=h) for p, h in zip(places, (1, 0.5, 0.9), strict=True)]))
    assert picture.shape == CROP.shape
    for x, y in places:
        assert picture[y * 4 + 2, x * 4 + 2].sum() > 500
    assert picture[0, 0].sum() < 300


def test_the_grid_has_a_row_for_each_stack_and_the_truth_and_a_column_for_each_joint():
    places = [(10, 10), (50, 20), (30, 55)]
    truth = np.stack([spot(*p) for p in places])
    maps = np.stack([truth * 0.2, truth * 0.6])
    grid = heatmaps.heatmap_grid(CROP, maps, truth, TOY)
    for row in range(3):
        for column, (x, y) in enumerate(places, start=1):
            assert brightest(cell(grid, row, column)) == pytest.approx(((x + 0.5) * 2, (y + 0.5) * 2), abs=1.5)


def test_seventeen_joints_fall_into_two_bands_and_a_band_more_doubles_the_height():
    maps, truth = np.zeros((2, 17, 64, 48), np.float32), np.zeros((17, 64, 48), np.float32)
    crop = np.zeros((256, 192, 3), np.uint8)
    two = heatmaps.heatmap_grid(crop, maps, truth, COCO17)
    one = heatmaps.heatmap_grid(crop, maps, truth, COCO17, columns=18)
    assert two.shape[0] == 2 * one.shape[0]
    assert two.shape[1] < 0.6 * one.shape[1]


def test_an_unlabelled_joint_has_no_truth_and_no_ring():
    truth = np.stack([spot(10, 10), np.zeros((64, 64), np.float32), spot(30, 55)])
    maps = np.stack([np.stack([spot(10, 10), spot(40, 40), spot(30, 55)])])
    grid = heatmaps.heatmap_grid(CROP, maps, truth, TOY)
    unringed = heatmaps.heatmap_grid(CROP, maps, None, TOY)
    assert (cell(grid, 0, 1) != cell(unringed, 0, 1)).any()
    assert (cell(grid, 0, 2) == cell(unringed, 0, 2)).all()
    hatched = cell(grid, 1, 2)
    assert len(np.unique(hatched.reshape(-1, 3), axis=0)) > 2  # stripes and words
    assert (np.ptp(hatched.astype(int), axis=-1) < 40).all()  # grey, no heat
    said = heatmaps.heatmap_grid(CROP, maps, truth, TOY, labelled=np.array([True, False, True]))
    assert (said == grid).all()


def test_the_truth_may_be_unknown():
    maps = np.stack([np.stack([spot(10, 10)] * 3)] * 2)
    without = heatmaps.heatmap_grid(CROP, maps, None, TOY)
    assert without.shape[0] == heatmaps.heatmap_grid(CROP, maps, maps[0], TOY).shape[0] - 128 - heatmaps.GAP
