"""Frames in, people with identities out: looking, tracking and smoothing. Image pixels; times are seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sandglass.core import geometry
from sandglass.core.image import Photo
from sandglass.core.pose import Floats, Pose
from sandglass.core.skeleton import Skeleton
from sandglass.inference.poses import distinct
from sandglass.inference.smoothing import Jitter, OneEuro, SmoothingConfig
from sandglass.inference.tracking import MIN_JOINTS, Tracker, TrackingConfig, body

Look = Callable[[Photo, Floats | None], Sequence[Pose]]  # a Predictor; None: the whole photograph shows one person
Boxes = Callable[[Photo, int], Floats | None]  # a frame and its number -> (B, 4) xyxy; None where nobody knows
ROOM = 0.25  # of a person's longer side, by which the box for the next frame is larger on each side


@dataclass(frozen=True, eq=False)
class Seen:
    """A person in a frame: an identity that stays, and a pose, smoothed where that was asked for."""

    id: int
    pose: Pose


class Follower:
    """Follows people through the frames of a video, one after the other.

    Boxes come from `boxes` where it gives any for a frame. Else the one person of the video is followed: in the next
    frame they are looked for where they were last, with room around, and in the whole frame when they are lost.
    `raw` and `smooth` hold the jitter before and after smoothing; without smoothing they agree.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        look: Look,
        boxes: Boxes | None = None,
        *,
        smoothing: SmoothingConfig | None = None,
        tracking: TrackingConfig | None = None,
    ) -> None:
        self.skeleton, self.look, self.boxes, self.smoothing = skeleton, look, boxes, smoothing
        self.tracker = Tracker(skeleton, tracking)
        self.filters: dict[int, OneEuro] = {}
        self.raw, self.smooth = Jitter(), Jitter()
        self.last: list[Pose] = []
        self.frames = 0
        self.identities: set[int] = set()

    def __call__(self, photo: Photo, time: float) -> list[Seen]:
        """The people of the next frame, at a `time` later than the last: those with at least three joints present.

        Where boxes are given, poses that show the same person twice are left out (OKS-NMS).
        """
        given = None if self.boxes is None else self.boxes(photo, self.frames)
        wanted = given if given is not None else self._near(photo)
        poses = [pose for pose in self.look(photo, wanted) if pose.present.sum() >= MIN_JOINTS]
        if given is None and wanted is not None and not poses:  # lost: look everywhere at once
            poses = [pose for pose in self.look(photo, None) if pose.present.sum() >= MIN_JOINTS]
        self.last = poses = distinct(poses, self.skeleton)
        self.frames += 1
        seen = []
        for pose, track in zip(poses, self.tracker(poses, time), strict=True):
            calm = pose
            if self.smoothing is not None:
                one_euro = self.filters.setdefault(track.id, OneEuro(len(self.skeleton), self.smoothing))
                calm = replace(pose, keypoints=one_euro(pose.keypoints, pose.present, time, track.size))
            self.raw.add(track.id, pose.keypoints, pose.present, time, track.size)
            self.smooth.add(track.id, calm.keypoints, pose.present, time, track.size)
            self.identities.add(track.id)
            seen.append(Seen(track.id, calm))
        self._forget({person.id for person in seen})
        return seen

    def _near(self, photo: Photo) -> Floats | None:
        """The box (1, 4) for a person who was in the last frame; None where nobody was."""
        if not self.last:
            return None
        box = body(max(self.last, key=lambda pose: pose.score))
        room = ROOM * float((box[2:] - box[:2]).max())
        near = geometry.clip(box + room * np.array([-1, -1, 1, 1]), (photo.shape[1], photo.shape[0]))
        return near[None] if (near[2:] - near[:2] >= 1).all() else None

    def _forget(self, here: set[int]) -> None:
        """Who is no longer tracked, so that memory stays bounded; jitter is counted in frames in a row only."""
        tracked = {track.id for track in self.tracker.tracks}
        self.filters = {person: known for person, known in self.filters.items() if person in tracked}
        self.raw.forget(here)
        self.smooth.forget(here)
