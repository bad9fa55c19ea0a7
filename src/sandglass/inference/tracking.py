"""Who is who from frame to frame. Poses are image pixels, (x, y), pixel centres at +0.5; times are seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.pose import Floats, Pose
from sandglass.core.skeleton import Skeleton
from sandglass.metrics.oks import similarity

MIN_JOINTS = 3  # present joints, fewer of which make nobody


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """When a pose is somebody who was there before."""

    least: float = 0.15  # likeness, in 0..1, below which nobody is taken for somebody
    patience: float = 1.0  # seconds for which a person who is lost is remembered
    inertia: float = 0.1  # seconds over which the speed of a person is averaged
    coast: float = 0.3  # seconds for which somebody unseen is thought to move on at that speed


@dataclass(eq=False)
class Track:
    """One person over time."""

    id: int
    pose: Pose  # as last seen
    time: float  # when that was
    size: float  # of the person, pixels, averaged over time
    velocity: Floats  # (2,) pixels a second, of the body as a whole

    def expect(self, time: float, coast: float) -> tuple[Floats, Floats]:
        """Keypoints (K, 2) and box (4,) where the person should be at `time`."""
        shift = self.velocity * min(time - self.time, coast)
        return self.pose.keypoints + shift, body(self.pose) + np.tile(shift, 2)


class Tracker:
    """Gives poses the numbers of the people they belong to, frame after frame.

    A pose is as like a person as their OKS over the joints present in both, or, where these are fewer than three, as
    the overlap of their boxes (IoU); the person is expected to have moved on at the speed it had. The most alike
    pair is settled first, each once. Whoever is left is new.
    """

    def __init__(self, skeleton: Skeleton, config: TrackingConfig | None = None) -> None:
        self.skeleton = skeleton
        self.config = config or TrackingConfig()
        self.tracks: list[Track] = []
        self.count = 0

    def __call__(self, poses: Sequence[Pose], time: float) -> list[Track]:
        """The person whom each pose shows, in the order of the poses, at a `time` later than the last.

        Each pose must have at least three joints present. Ids count from 1 and are never given twice.
        """
        assert all(pose.present.sum() >= MIN_JOINTS for pose in poses)
        assert all(time > track.time for track in self.tracks), "time runs forward"
        self.tracks = [track for track in self.tracks if time - track.time <= self.config.patience]
        alike = self._alike(poses, time)
        owners: list[Track | None] = [None] * len(poses)
        for flat in np.argsort(-alike, axis=None, kind="stable"):
            i, j = np.unravel_index(flat, alike.shape)
            if alike[i, j] < self.config.least:
                break
            if owners[i] is None and self.tracks[j] not in owners:
                owners[i] = self.tracks[j]
        return [self._renew(pose, owner, time) for pose, owner in zip(poses, owners, strict=True)]

    def _alike(self, poses: Sequence[Pose], time: float) -> Floats:
        """How like every pose is to every track, in 0..1: (P, T)."""
        if not poses or not self.tracks:
            return np.zeros((len(poses), len(self.tracks)))
        expected = [track.expect(time, self.config.coast) for track in self.tracks]
        boxes = np.array([box for _, box in expected])
        shared = _present(poses)[:, None] & _present([track.pose for track in self.tracks])[None]
        oks = similarity(
            np.array([pose.keypoints for pose in poses])[:, None],
            np.array([points for points, _ in expected])[None],
            shared.astype(np.uint8),
            np.array([track.size**2 for track in self.tracks])[None],
            boxes[None],
            self.skeleton.sigmas,
        )
        iou = geometry.overlap(np.array([body(pose) for pose in poses]), boxes)
        return np.where(shared.sum(-1) >= MIN_JOINTS, oks, iou)

    def _renew(self, pose: Pose, track: Track | None, time: float) -> Track:
        size = person_extent(pose)
        if track is None:
            self.count += 1
            track = Track(self.count, pose, time, size, np.zeros(2))
            self.tracks.append(track)
            return track
        step = time - track.time
        weight = 1 - np.exp(-step / self.config.inertia)
        shared = pose.present & track.pose.present
        if shared.sum() >= MIN_JOINTS:  # the median: a waving hand moves nobody
            moved = np.median(pose.keypoints[shared] - track.pose.keypoints[shared], axis=0)
            track.velocity = track.velocity + weight * (moved / step - track.velocity)
        track.size += weight * (size - track.size)
        track.pose, track.time = pose, time
        return track


def body(pose: Pose) -> Floats:
    """The box (4,) around the joints that are present, of which there must be one."""
    seen = pose.keypoints[pose.present]
    return np.concatenate([seen.min(0), seen.max(0)])


def person_extent(pose: Pose) -> float:
    """How large a person is, in pixels: the longer side of the box around the present joints, which turning sideways
    or folding the arms hardly changes, made comparable with the square root of a standing person's area."""
    low, high = body(pose).reshape(2, 2)
    return 0.6 * float((high - low).max())


def _present(poses: Sequence[Pose]) -> NDArray[np.bool_]:
    return np.array([pose.present for pose in poses])
