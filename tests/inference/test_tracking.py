"""Identities stay: when two people cross, when one is hidden for a while; nobody's number is given twice."""

import numpy as np
import pytest

from sandglass.core.pose import Pose
from sandglass.core.skeleton import COCO17
from sandglass.inference.tracking import Tracker, body

K = len(COCO17)
RNG = np.random.default_rng(5)
FIGURE = np.stack([np.linspace(-20, 20, K)[RNG.permutation(K)], np.linspace(-80, 80, K)], -1)


def pose_at(x, y=200.0, figure=FIGURE, noise=0.0, present=None):
    keypoints = figure + np.array([x, y]) + RNG.normal(0, noise, (K, 2))
    there = np.ones(K, bool) if present is None else present
    return Pose(keypoints, np.ones(K), there, np.array([x - 40, y - 90, x + 40, y + 90]), 1.0)


def test_two_people_who_cross_keep_their_numbers():
    tracker, other = Tracker(COCO17), FIGURE[:, ::1] * np.array([-1, 1])
    numbers = []
    for i in range(90):
        t = i / 30
        poses = [pose_at(100 + 130 * t, noise=2), pose_at(490 - 130 * t, 205.0, other, noise=2)]
        order = RNG.permutation(2)
        ids = [track.id for track in tracker([poses[j] for j in order], t)]
        numbers.append([ids[int(np.flatnonzero(order == j)[0])] for j in (0, 1)])
    assert all(row == numbers[0] for row in numbers) and tracker.count == 2


def test_twins_who_cross_keep_their_numbers_by_their_speed():
    tracker, rows = Tracker(COCO17), []
    for i in range(90):
        t = i / 30
        rows.append([track.id for track in tracker([pose_at(100 + 130 * t), pose_at(494 - 130 * t)], t)])
    assert all(row == [1, 2] for row in rows)


def test_who_is_hidden_for_a_while_is_known_again_and_not_after_long():
    tracker = Tracker(COCO17)
    assert tracker([pose_at(100), pose_at(400)], 0.0)[0].id == 1
    assert [track.id for track in tracker([pose_at(400)], 0.1)] == [2]
    assert [track.id for track in tracker([pose_at(402), pose_at(101)], 0.9)] == [2, 1]
    assert tracker([], 1.0) == []
    assert [track.id for track in tracker([pose_at(101)], 2.5)] == [3]
    assert len(tracker.tracks) == 1


def test_somebody_elsewhere_is_somebody_else():
    tracker = Tracker(COCO17)
    tracker([pose_at(100)], 0.0)
    assert [track.id for track in tracker([pose_at(300)], 0.03)] == [2]


def test_poses_that_share_no_joints_are_matched_by_their_boxes():
    tracker, upper = Tracker(COCO17), np.arange(K) % 2 == 0
    tracker([pose_at(100, present=upper)], 0.0)
    assert [track.id for track in tracker([pose_at(103, present=~upper)], 0.03)] == [1]


def test_speed_is_the_bodys_and_a_waving_hand_is_none():
    tracker = Tracker(COCO17)
    for i in range(60):
        pose = pose_at(100 + 3.0 * i)
        pose.keypoints[:4] += 40 * np.sin(i)
        (track,) = tracker([pose], i / 30)
    assert track.velocity == pytest.approx([90, 0], abs=1)


def test_the_body_is_what_is_present():
    present = np.arange(K) < 2
    assert np.array_equal(body(pose_at(0, 0, present=present)), [*FIGURE[:2].min(0), *FIGURE[:2].max(0)])
