"""Every person is in one group of each kind; overlaps by hand and against all pairs of boxes."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core import geometry
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.metrics.groups import by_joints, by_overlap, by_size, overlapping


def test_sizes_are_cocos():
    got = by_size(np.array([1023.9, 1024, 9216, 9216.1]))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in got.items()} == {
        "small": [0],
        "medium": [1, 2],
        "large": [3],
    }


@pytest.mark.parametrize(("k", "names"), [
    (17, ["1-5 joints", "6-10 joints", "11-15 joints", "16-17 joints"]),
    (2, ["1 joint", "2 joints"]),
    (1, ["1 joint"]),
    (5, ["1-2 joints", "3 joints", "4 joints", "5 joints"]),
])  # fmt: skip
def test_joints_are_split_into_like_shares_of_any_skeleton(make_people, k, names):
    skeleton = COCO17 if k == 17 else Skeleton("k", tuple(map(str, range(k))), (), tuple(range(k)), (0.1,) * k)
    visibility = np.tril(np.full((k, k), 2))  # 1, 2, ... k joints
    got = by_joints(make_people(np.zeros((k, k, 2)), skeleton=skeleton, visibility=visibility))
    assert list(got) == names
    assert np.sum(list(got.values()), axis=0).tolist() == [1] * k


def test_overlap_by_hand(make_people):
    boxes = [
        [0, 0, 10, 10], [9, 0, 19, 10], [5, 0, 15, 10],  # the first two share a tenth of their width: 10 of 190
        [0, 0, 10, 10],  # on another photograph
        [0, 0, 10, 10],  # a crowd
    ]  # fmt: skip
    people = make_people(np.zeros((5, 17, 2)), boxes=boxes, image=[0, 0, 0, 1, 0], crowd=[0, 0, 0, 0, 1])
    assert overlapping(people).tolist() == [1, 1, 2, 0, 2]
    got = by_overlap(people.select(~people.crowd))
    assert got["alone"].tolist() == [False, False, False, True]
    assert got["1-2 others"].tolist() == [True, True, True, False]
    point = replace(people, boxes=np.zeros((5, 4)))
    assert overlapping(point).tolist() == [0] * 5


def test_overlap_equals_all_pairs_on_real_labels(coco_val, coco_people):
    people = coco_people(coco_val)
    got = overlapping(people)
    for image in np.unique(people.image):
        here = np.flatnonzero(people.image == image)
        table = geometry.overlap(people.boxes[here], people.boxes[here]) >= 0.1
        np.fill_diagonal(table, False)
        assert got[here].tolist() == table[:, ~people.crowd[here]].sum(1).tolist()
    assert got.max() > 2
