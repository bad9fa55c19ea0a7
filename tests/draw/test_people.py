"""Laws of the skeletons over photographs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandglass.core.pose import Pose
from sandglass.core.skeleton import COCO17, Skeleton, infer_mirror
from sandglass.draw import people

NAMES = ("left_hand", "right_hand", "belly", "left_foot", "right_foot")
TOY = Skeleton("toy", NAMES, ((0, 2), (1, 2), (2, 3), (2, 4), (3, 4)), infer_mirror(NAMES), (0.07,) * 5)
POINTS = np.array([[20.5, 30.5], [80.5, 30.5], [50.5, 50.5], [30.5, 90.5], [70.5, 90.5]])


def grey(height=120, width=100):
    return np.full((height, width, 3), 128, np.uint8)


def draw(present=(1, 1, 1, 1, 1), points=POINTS, **more):
    return people.draw_pose(grey(), points, np.array(present, bool), TOY, **more)


def at(image, point):
    return tuple(int(v) for v in image[int(point[1]), int(point[0])])


def test_every_present_joint_has_the_colour_of_its_side():
    image = draw()
    assert at(image, POINTS[0]) == at(image, POINTS[3]) == people.LEFT
    assert at(image, POINTS[1]) == at(image, POINTS[4]) == people.RIGHT
    assert at(image, POINTS[2]) == people.TINTS[0]


def test_limbs_have_the_colour_of_their_side_and_cross_ones_the_middle():
    image = draw(scale=100)
    assert at(image, (POINTS[0] + POINTS[2]) / 2) == people.LEFT
    assert at(image, (POINTS[1] + POINTS[2]) / 2) == people.RIGHT
    assert at(image, (POINTS[3] + POINTS[4]) / 2) == people.TINTS[0]


@pytest.mark.parametrize("absent", range(5))
def test_an_absent_joint_leaves_its_place_untouched(absent):
    present = np.arange(5) != absent
    x, y = POINTS[absent].astype(int)
    assert (draw(present)[y - 8 : y + 9, x - 8 : x + 9] == 128).all()


def test_without_joints_the_picture_is_the_same_and_never_the_callers():
    image = grey()
    drawn = people.draw_pose(image, POINTS, np.zeros(5, bool), TOY)
    assert (drawn == image).all()
    people.draw_pose(image, POINTS, np.ones(5, bool), TOY, box=np.array([5.0, 5, 90, 110]))
    assert (image == 128).all()


@pytest.mark.parametrize(("x", "y"), [(50.5, 60.5), (50.0, 60.0), (50.25, 60.75), (49.9, 61.3)])
def test_a_dot_is_centred_on_its_point_to_a_twentieth_of_a_pixel(x, y):
    points = np.full((5, 2), 50.0)
    points[2] = x, y
    drawn = people.draw_pose(grey() * 0, points, np.arange(5) == 2, TOY, scale=300)
    mass = drawn.sum(-1).astype(float)
    rows, columns = np.indices(mass.shape) + 0.5
    centre = (columns * mass).sum() / mass.sum(), (rows * mass).sum() / mass.sum()
    assert centre == pytest.approx((x, y), abs=0.05)


def test_lines_are_as_thick_as_the_person_is_large():
    changed = [int((draw(scale=scale) != 128).any(-1).sum()) for scale in (10, 150, 300)]
    assert changed[0] < changed[1] < changed[2]
    assert changed[0] < 0.5 * changed[2]


def test_the_size_comes_from_the_box_then_from_the_joints():
    assert people.person_size(POINTS, np.ones(5, bool), np.array([0.0, 0, 40, 90])) == 60
    assert people.person_size(POINTS, np.ones(5, bool)) == 60  # they span 60 x 60
    assert people.person_size(POINTS, np.arange(5) == 0) == 0


def test_a_doubtful_joint_has_a_smaller_dot():
    alone = (0, 0, 1, 0, 0)
    changed = [(draw(alone, scale=300, scores=np.full(5, s)) != 128).sum() for s in (0.0, 0.5, 1.0)]
    assert changed[0] < changed[1] < changed[2]
    assert changed[0] > 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=64), min_size=10, max_size=10), st.lists(st.floats(width=64), min_size=4, max_size=4))
def test_no_coordinate_breaks_the_drawing(points, box):
    drawn = draw(points=np.array(points).reshape(5, 2), box=np.array(box), scale=50)
    assert drawn.shape == grey().shape


def test_what_is_not_finite_or_far_away_is_left_out():
    for bad in (np.nan, np.inf, 1e9):
        points = POINTS.copy()
        points[0] = bad
        assert (draw(points=points, scale=50) == draw((0, 1, 1, 1, 1), scale=50)).all()


def test_small_photographs_grow_and_large_ones_stay():
    assert people.legible(grey(1000, 700))[1] == 1.0
    image, factor = people.legible(grey(64, 80))
    assert (factor, image.shape) == (8.0, (512, 640, 3))
    assert people.legible(grey(480, 640), [60.0])[1] == 2.0  # until the person is 120 pixels large
    assert people.legible(grey(480, 640), [5.0])[1] == 2.5  # but no further than 1,600 pixels
    assert people.legible(grey(4, 5))[1] == 8.0


def test_points_grow_with_the_photograph():
    image = grey(60, 80) * 0
    image[20, 30] = 255
    large, factor = people.legible(image)
    rows, columns = np.indices(large.shape[:2]) + 0.5
    mass = large[..., 0].astype(float)
    centre = (columns * mass).sum() / mass.sum(), (rows * mass).sum() / mass.sum()
    assert centre == pytest.approx((30.5 * factor, 20.5 * factor), abs=0.05)


def pose(points, box):
    return Pose(points, np.ones(len(points)), np.ones(len(points), bool), np.array(box, float), 1.0)


def test_small_people_are_drawn_over_large_ones_each_with_its_tint():
    small = pose(POINTS * 0.2 + POINTS[2] * 0.8, [40, 40, 60, 60])
    large = pose(POINTS, [0, 0, 100, 120])
    for poses in ([small, large], [large, small]):
        image = people.draw_poses(grey(), poses, TOY, enlarge=False)
        tint = people.TINTS[poses.index(small)]
        assert at(image, POINTS[2]) == tint


def test_poses_may_be_none_and_the_whole_body_is_drawn():
    assert (people.draw_poses(grey(700, 700), [], TOY) == 128).all()
    k = np.random.default_rng(0).uniform(50, 600, (17, 2))
    image = people.draw_poses(grey(700, 700), [pose(k, [50, 50, 600, 600])], COCO17)
    assert all(at(image, p) != (128, 128, 128) for p in k)


def test_a_close_up_shows_the_points_where_it_says():
    image = grey(200, 300) * 0
    image[80:82, 120:122] = 255  # centred on (121, 81)
    points = np.array([[121.0, 81.0]])
    tile, inside = people.close_up(image, np.array([100.0, 60, 160, 120]), points, side=320)
    assert tile.shape == (320, 320, 3)
    rows, columns = np.indices(tile.shape[:2]) + 0.5
    mass = tile[..., 0].astype(float)
    centre = (columns * mass).sum() / mass.sum(), (rows * mass).sum() / mass.sum()
    assert centre == pytest.approx(tuple(inside[0]), abs=0.1)


def test_a_close_up_of_an_empty_box_is_black():
    tile, inside = people.close_up(grey(), np.array([10.0, 10, 10, 10]), POINTS)
    assert not tile.any()
    assert np.isnan(inside).all()


def test_the_ellipse_is_the_contour_that_holds_half():
    """Samples of the Gaussian: half of them fall inside what was drawn."""
    covariance = np.array([[500.0, 150.0], [150.0, 250.0]])
    spread = np.stack([covariance] * 5)
    centre = np.array([50.5, 60.5])
    points = np.stack([centre] * 5)
    image = people.draw_pose(grey(), points, np.array([0, 0, 1, 0, 0], bool), TOY, spread=spread, scale=60)
    rim = (image != 128).any(-1)
    inside = np.zeros(rim.shape, np.uint8)
    contours, _ = cv2.findContours(rim.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(inside, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    samples = np.random.default_rng(0).multivariate_normal(centre, covariance, 20_000)
    column, row = np.clip(samples.astype(int), 0, [[99, 119]]).T
    assert inside[row, column].mean() == pytest.approx(0.5, abs=0.05)


def test_ellipses_hide_under_dots_and_follow_what_is_present():
    small, large = np.stack([np.eye(2) * 0.01] * 5), np.stack([np.eye(2) * 100.0] * 5)
    plain = draw()
    assert (draw(spread=small) == plain).all() and (draw(spread=np.full((5, 2, 2), np.nan)) == plain).all()
    assert (draw(spread=large) != plain).any()
    none = (0, 0, 0, 0, 0)
    assert (draw(none, spread=large) == grey()).all()
    assert draw(spread=np.stack([np.eye(2) * 1e12] * 5)).shape == plain.shape  # far outside, and no crash


def test_the_spread_grows_with_an_enlarged_photograph():
    spread = np.stack([np.eye(2) * 60.0] * 5)
    pose = Pose(POINTS, np.ones(5), np.ones(5, bool), np.array([10.0, 20, 90, 100]), 1.0, spread)
    image = people.draw_poses(grey(), [pose], TOY)
    bare = people.draw_poses(grey(), [replace(pose, spread=None)], TOY)
    factor = image.shape[0] / 120
    changed = np.argwhere((image != bare).any(-1))
    reach = 1.18 * np.sqrt(60) * factor
    top = POINTS[0, 1] * factor - reach
    assert changed[:, 0].min() == pytest.approx(top, abs=0.06 * image.shape[0])


def test_a_mistake_is_ringed_and_led_home():
    image = grey()
    people.mark_mistake(image, np.array([30.5, 30.5]), np.array([80.5, 30.5]), 60)
    assert min(at(image, (55, 30))) > 240 and min(at(image, (80, 30))) > 240 and people.MARK == (255, 255, 255)
    assert (image[:20] == 128).all() and (image[45:] == 128).all()
    untouched = grey()
    people.mark_mistake(untouched, np.array([np.nan, 3]), np.array([80.5, 30.5]), 60)
    assert (untouched == grey()).all()
