"""Wrong flip pairs are told and repaired; right ones are left alone."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.pose import People
from sandglass.data.doctor.mirrors import check_mirror, distances, repaired


def with_mirror(people: People, **twins: str) -> People:
    mirror, find = list(people.skeleton.mirror), people.skeleton.find
    for a, b in twins.items():
        i, j = find(a), find(b)
        assert i is not None and j is not None
        mirror[i], mirror[j] = j, i
    return replace(people, skeleton=replace(people.skeleton, mirror=tuple(mirror)))


def test_the_right_mirror_is_right(drawn: People) -> None:
    assert check_mirror(drawn) == []


@pytest.mark.parametrize(
    "twins",
    [
        {"left_elbow": "left_knee", "right_elbow": "right_knee"},
        {"left_shoulder": "right_hip", "left_hip": "right_shoulder"},
        {"left_wrist": "left_wrist", "right_wrist": "right_wrist"},
    ],
)
def test_wrong_pairs_are_told_and_repaired(drawn: People, twins: dict[str, str]) -> None:
    wrong = with_mirror(drawn, **twins)
    told = {finding.what.split()[0] for finding in check_mirror(wrong)}
    assert told == set(twins) | set(twins.values())
    assert repaired(distances(wrong), wrong.skeleton.mirror) == drawn.skeleton.mirror


def test_joints_that_nobody_has_are_left_alone(drawn: People) -> None:
    visibility = drawn.visibility.copy()
    visibility[:, :5] = 0
    assert check_mirror(replace(drawn, visibility=visibility)) == []
    assert check_mirror(drawn.select(np.arange(20))) == []
