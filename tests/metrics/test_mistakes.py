"""Planted mistakes must be found, each as what it is; correcting a kind removes just that kind."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17
from sandglass.metrics import oks
from sandglass.metrics.mistakes import MISTAKES, Kind, correct, find_mistakes

AREA = 10_000.0
GRID = np.array([[x, y] for x in range(0, 600, 200) for y in range(0, 1200, 200)], float)[:17]  # joints far apart
SIGMAS = np.array(COCO17.sigmas)
LEFT, RIGHT = COCO17.joints.index("left_wrist"), COCO17.joints.index("right_wrist")
NOSE, KNEE = 0, COCO17.joints.index("left_knee")


def distance(nearness, joint):
    """How far off a joint is when its nearness is this."""
    return 2 * SIGMAS[joint] * np.sqrt(-2 * np.log(nearness) * AREA)


@pytest.fixture
def crowd(make_people):
    """Two people on the first photograph, one on the second."""
    points = np.stack([GRID, GRID + np.array([90, 90]), GRID])
    return make_people(points, image=[0, 0, 1], areas=[AREA] * 3)


def found_kinds(people, found):
    kinds = find_mistakes(people, found).kinds
    return {(int(n), int(k)): Kind(kinds[n, k]) for n, k in np.argwhere(kinds != Kind.GOOD)}


def test_the_truth_has_no_mistakes(crowd, answer):
    assert find_mistakes(crowd, answer(crowd)).shares() == {Kind.GOOD: 1.0, **dict.fromkeys(MISTAKES, 0.0)}


def test_each_planted_mistake_is_found_as_what_it_is(crowd, answer):
    found = answer(crowd)
    points = found.keypoints.copy()
    points[0, NOSE] += (distance(0.86, NOSE), 0)  # still good
    points[0, KNEE] += (0, distance(0.84, KNEE))
    points[0, LEFT] = crowd.keypoints[0, RIGHT] + (3, -2)
    points[0, RIGHT] = crowd.keypoints[1, RIGHT] + (1, 1)
    points[1, LEFT] = crowd.keypoints[0, RIGHT]  # the twin of another person is somebody else too
    points[1, NOSE] = (5000, 5000)
    points[2, LEFT] = crowd.keypoints[1, LEFT]  # but that person is on another photograph
    found = replace(found, keypoints=points)
    assert found_kinds(crowd, found) == {
        (0, KNEE): Kind.JITTER,
        (0, LEFT): Kind.INVERSION,
        (0, RIGHT): Kind.SWAP,
        (1, LEFT): Kind.SWAP,
        (1, NOSE): Kind.MISS,
        (2, LEFT): Kind.MISS,
    }
    mistakes = find_mistakes(crowd, found)
    assert mistakes.counts()[Kind.SWAP].tolist() == [int(k in (LEFT, RIGHT)) for k in range(17)]
    assert mistakes.shares()[Kind.MISS] == pytest.approx(2 / 51)


def test_a_joint_on_the_midline_has_no_other_side(crowd, answer):
    found = answer(crowd)
    found.keypoints[0, NOSE] += (distance(0.4, NOSE), 0)
    assert found_kinds(crowd, found) == {(0, NOSE): Kind.MISS}


def test_unlabelled_joints_and_unfound_people_are_no_mistakes(crowd, answer):
    visibility = crowd.visibility.copy()
    visibility[0, [LEFT, NOSE]] = 0
    people = replace(crowd, visibility=visibility)
    points = crowd.keypoints.copy()
    points[0, [NOSE, LEFT]] = (5000, 5000)
    points[0, RIGHT] = crowd.keypoints[0, LEFT]  # its twin is not labelled, so nobody can call it an inversion
    found = replace(answer(people), keypoints=points).select(np.array([0, 1]))
    kinds = found_kinds(people, found)
    assert kinds.pop((0, NOSE)) == kinds.pop((0, LEFT)) == Kind.UNLABELLED
    assert kinds.pop((0, RIGHT)) == Kind.MISS
    assert kinds == {(2, k): Kind.UNFOUND for k in range(17)}
    shares = find_mistakes(people, found).shares()
    assert sum(shares.values()) == pytest.approx(1)
    nobody = find_mistakes(people, found.select(np.arange(0)))
    assert (nobody.kinds[2] == Kind.UNFOUND).all() and np.isnan(nobody.shares()[Kind.GOOD])


def test_correcting_removes_that_kind_and_nothing_else(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    people = people.select(people.labelled > 0)
    found = simulate(people, seed=0)
    mistakes = find_mistakes(people, found)
    counts = {kind: int(values.sum()) for kind, values in mistakes.counts().items()}
    assert all(counts[kind] > 20 for kind in MISTAKES), counts
    by_row = mistakes.rows
    for kind in MISTAKES:
        better = correct(found, mistakes, kind)
        changed = (better.keypoints != found.keypoints).any(-1)
        assert changed.sum() == counts[kind]
        near = oks.nearness(better.keypoints[by_row], people.keypoints, people.areas, people.skeleton.sigmas)
        mended = mistakes.kinds == kind
        bound = 0.85 if kind in (Kind.JITTER, Kind.MISS) else 0.0
        assert (near[mended] >= bound).all()


def test_a_corrected_inversion_keeps_its_offset(crowd, answer):
    found = answer(crowd)
    found.keypoints[0, LEFT] = crowd.keypoints[0, RIGHT] + (3, -2)
    better = correct(found, find_mistakes(crowd, found), Kind.INVERSION)
    np.testing.assert_allclose(better.keypoints[0, LEFT], crowd.keypoints[0, LEFT] + (3, -2))
