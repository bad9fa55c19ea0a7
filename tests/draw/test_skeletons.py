"""Diagrams of skeletons: twins stand opposite each other, heads are up, and nothing depends on having limbs."""

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.draw.plot import to_png
from sandglass.draw.skeletons import layout, skeleton_diagram, usual_places

CHAIN = Skeleton.from_dict({"joints": ["a", "b", "c", "d"], "edges": [[0, 1], [1, 2], [2, 3]]})


def test_twins_mirror_each_other_with_left_at_the_right() -> None:
    points = layout(COCO17)
    np.testing.assert_allclose(points, (points * (-1, 1))[list(COCO17.mirror)], atol=1e-9)
    assert all(points[a, 0] > 0 > points[b, 0] for a, b in COCO17.pairs)
    assert points[0, 1] < points[11, 1] < points[15, 1]  # nose, hip, ankle: y grows downwards


def test_a_chain_is_a_straight_line_of_equal_steps() -> None:
    points = layout(CHAIN)
    steps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(steps, np.abs(np.subtract.outer(range(4), range(4))), atol=0.02)


@pytest.mark.parametrize("joints", [["a"], ["a", "b"], ["left_a", "right_a"], [f"joint{i}" for i in range(40)]])
def test_any_skeleton_can_be_drawn(joints: list[str]) -> None:
    skeleton = Skeleton.from_dict({"joints": joints})
    assert np.isfinite(layout(skeleton)).all()
    assert to_png(skeleton_diagram(skeleton)).startswith(b"\x89PNG")


def test_places_are_medians_of_what_is_labelled() -> None:
    boxes = np.array([[0.0, 0, 10, 20], [100, 100, 110, 120], [0, 0, 10, 20]])
    points = np.array([[[1.0, 2], [5, 5]], [[102, 106], [0, 0]], [[9, 20], [0, 0]]])
    places = usual_places(points, np.array([[2, 0], [1, 0], [2, 0]], np.uint8), boxes)
    assert places[0].tolist() == [0.2, 0.3] and np.isnan(places[1]).all()
    two = Skeleton.from_dict({"joints": ["a", "b"]})
    assert to_png(skeleton_diagram(two, places)).startswith(b"\x89PNG")
