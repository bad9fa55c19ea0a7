"""Boxes for each frame: given, or around the last pose, or the whole frame when the person is lost."""

import numpy as np
import pytest

from sandglass.core.pose import Pose
from sandglass.core.skeleton import COCO17
from sandglass.inference.following import Follower
from sandglass.inference.smoothing import SmoothingConfig
from sandglass.inference.tracking import body

K = len(COCO17)
RNG = np.random.default_rng(3)
FIGURE = np.stack([np.linspace(-15, 15, K)[RNG.permutation(K)], np.linspace(-40, 40, K)], -1)
PHOTO = np.zeros((240, 320, 3), np.uint8)


def pose_at(x, y=120.0, score=1.0, present=True):
    keypoints = FIGURE + np.array([x, y])
    return Pose(keypoints, np.ones(K), np.full(K, present), np.array([x - 20, y - 45, x + 20, y + 45]), score)


class Look:
    """Answers as told, and remembers the boxes that it was asked with."""

    def __init__(self, *answers):
        self.answers, self.boxes = list(answers), []

    def __call__(self, photo, boxes):
        self.boxes.append(boxes)
        return self.answers.pop(0)


def test_one_person_is_followed_lost_and_found_again():
    gone = pose_at(0, present=False)
    look = Look([pose_at(100)], [pose_at(104)], [gone], [pose_at(200)], [pose_at(200)])
    follower = Follower(COCO17, look)
    seen = [follower(PHOTO, i / 30) for i in range(4)]
    assert look.boxes[0] is None and look.boxes[3] is None  # at first, and when lost: in the same frame
    for box, x in ((look.boxes[1], 100), (look.boxes[2], 104), (look.boxes[4], 200)):
        assert box.shape == (1, 4)
        assert (box[0, :2] < body(pose_at(x))[:2]).all() and (box[0, 2:] > body(pose_at(x))[2:]).all()
    assert [[person.id for person in frame] for frame in seen] == [[1], [1], [2], [2]]


def test_nobody_is_in_a_frame_where_nothing_is_found():
    look = Look([pose_at(0, present=False)], [pose_at(90)])
    follower = Follower(COCO17, look)
    assert follower(PHOTO, 0.0) == [] and len(follower(PHOTO, 0.1)) == 1
    assert look.boxes == [None, None]  # one look at a frame of which nothing is known


def test_given_boxes_are_looked_into_and_doubles_left_out():
    look = Look([pose_at(100, score=0.5), pose_at(100.5, score=0.9), pose_at(200)], [], [pose_at(100)])
    given = {0: np.zeros((3, 4)), 1: np.zeros((0, 4))}
    follower = Follower(COCO17, look, lambda photo, number: given.get(number))
    seen = follower(PHOTO, 0.0)
    assert [person.pose.score for person in seen] == [0.9, 1.0]
    assert follower(PHOTO, 0.1) == [] and look.boxes[1] is given[1]  # no boxes: nobody is there, nobody is sought
    assert follower(PHOTO, 0.2)[0].id == 1 and look.boxes[2] is None  # a frame that the file does not name


def test_smoothing_lowers_the_jitter_and_keeps_the_rest():
    noisy = [pose_at(100 + dx, 120 + dy) for dx, dy in RNG.normal(0, 1, (60, 2))]
    follower = Follower(COCO17, Look(*[[pose] for pose in noisy]), smoothing=SmoothingConfig())
    last = [follower(PHOTO, i / 30)[0] for i in range(60)][-1]
    assert follower.smooth.value < follower.raw.value / 3
    assert last.pose.score == noisy[-1].score and last.pose.box is noisy[-1].box
    plain = Follower(COCO17, Look(*[[pose] for pose in noisy]))
    assert plain(PHOTO, 0.0)[0].pose is noisy[0]


def test_memory_stays_bounded_however_many_come_and_go():
    follower = Follower(COCO17, Look(*[[pose_at(100)] for _ in range(50)]), smoothing=SmoothingConfig())
    for i in range(50):
        assert follower(PHOTO, 2.0 * i)[0].id == i + 1
    assert len(follower.filters) == len(follower.raw.before) == len(follower.tracker.tracks) == 1
    assert len(follower.identities) == 50 and follower.frames == 50
    assert np.isnan(follower.raw.value)


def test_a_frame_cannot_come_twice():
    follower = Follower(COCO17, Look([pose_at(1)], [pose_at(1)]), smoothing=SmoothingConfig())
    follower(PHOTO, 1.0)
    with pytest.raises(AssertionError):
        follower(PHOTO, 1.0)
