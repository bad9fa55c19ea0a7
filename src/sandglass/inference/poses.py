"""Lists of poses as arrays, and without doubles."""

from collections.abc import Sequence

import numpy as np

from sandglass.core.pose import Pose, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.metrics.oks import nms


def as_predictions(found: Sequence[tuple[int, Sequence[Pose]]], skeleton: Skeleton) -> Predictions:
    """Poses by image id as arrays."""
    rows = [(image_id, pose) for image_id, poses in found for pose in poses]
    k = len(skeleton)
    return Predictions(
        skeleton=skeleton,
        image_ids=np.array([image_id for image_id, _ in rows], np.int64),
        keypoints=np.array([pose.keypoints for _, pose in rows]).reshape(-1, k, 2),
        scores=np.array([pose.scores for _, pose in rows]).reshape(-1, k),
        present=np.array([pose.present for _, pose in rows], bool).reshape(-1, k),
        boxes=np.array([pose.box for _, pose in rows]).reshape(-1, 4),
        score=np.array([pose.score for _, pose in rows]),
        people=np.full(len(rows), -1, np.int64),
    )


def distinct(poses: Sequence[Pose], skeleton: Skeleton) -> list[Pose]:
    """The poses of one photograph without those that show a person twice, in their order (OKS-NMS)."""
    if len(poses) < 2:
        return list(poses)
    keep = nms(as_predictions([(0, poses)], skeleton))
    return [pose for pose, kept in zip(poses, keep, strict=True) if kept]
