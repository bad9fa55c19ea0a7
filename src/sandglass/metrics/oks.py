"""Object keypoint similarity. Points are image pixels, pixel centres at +0.5; boxes are xyxy; nothing is missing
by its coordinates."""

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.pose import Floats, People, Predictions

Rows = NDArray[np.int64]

NMS_THRESHOLD = 0.9  # as in Sun et al. 2019 (HRNet), arxiv.org/abs/1902.09212
_NMS_ROWS = 1000  # predictions at a time: memory stays bounded, however many boxes a detector gives
_EPS = float(np.spacing(1))


def nearness(found: Floats, keypoints: Floats, areas: Floats, sigmas: tuple[float, ...] | Floats) -> Floats:
    """OKS of single joints, in 0..1: found (..., K, 2) against keypoints (..., K, 2), areas (...); gives (..., K)."""
    return np.exp(-np.square(found - keypoints).sum(-1) / _scale(areas, sigmas))


def _scale(areas: Floats, sigmas: tuple[float, ...] | Floats) -> Floats:
    """The squared distances at which a joint's similarity has fallen to 1 / e: (..., K)."""
    return 2 * (2 * np.asarray(sigmas, np.float64)) ** 2 * (areas + _EPS)[..., None]


def similarity(
    found: Floats,
    keypoints: Floats,
    visibility: NDArray[np.uint8],
    areas: Floats,
    boxes: Floats,
    sigmas: tuple[float, ...],
) -> Floats:
    """OKS by COCO's formula (cocodataset.org/#keypoints-eval), in 0..1.

    Leading axes broadcast: found (..., K, 2) against a labelled person's keypoints (..., K, 2), visibility
    (..., K), areas (...) and boxes (..., 4); gives (...). Unlabelled joints are out. A person without any
    labelled joint is as similar as every joint lies within the box, grown by its own size on each side:
    such people are never scored, but excuse what was found on them.
    """
    labelled = visibility > 0
    count = labelled.sum(-1)
    joints = np.where(labelled, nearness(found, keypoints, areas, sigmas), 0).sum(-1) / np.maximum(count, 1)
    if count.all():
        return joints
    extent = boxes[..., 2:] - boxes[..., :2]
    low, high = boxes[..., :2] - extent, boxes[..., 2:] + extent
    point = found - 0.5  # COCO holds pixel indices against its boxes here, so half a pixel is part of the rule
    outside = np.maximum(0, low[..., None, :] - point) + np.maximum(0, point - high[..., None, :])
    return np.where(count > 0, joints, np.exp(-np.square(outside).sum(-1) / _scale(areas, sigmas)).mean(-1))


def matched(people: People, predictions: Predictions, rows: Rows) -> Floats:
    """OKS of each person (N,) with the prediction in `rows` (N,); 0 where that is -1."""
    assert rows.shape == (len(people),)
    if not len(predictions):
        return np.zeros(len(people))
    values = similarity(
        predictions.keypoints[rows],
        people.keypoints,
        people.visibility,
        people.areas,
        people.boxes,
        people.skeleton.sigmas,
    )
    return np.where(rows >= 0, values, 0)


def between(people: People, predictions: Predictions) -> Floats:
    """OKS of every prediction with every person (P, N), whatever photograph they are on."""
    return similarity(
        predictions.keypoints[:, None],
        people.keypoints[None],
        people.visibility[None],
        people.areas[None],
        people.boxes[None],
        people.skeleton.sigmas,
    )


def pairs(people: People, predictions: Predictions) -> tuple[Rows, Rows, Floats]:
    """Each prediction with each person of its photograph: rows of predictions, rows of people, their OKS."""
    image = people.image_ids[people.image]
    order = np.argsort(image, kind="stable")
    first = np.searchsorted(image[order], predictions.image_ids, "left")
    counts = np.searchsorted(image[order], predictions.image_ids, "right") - first
    found, at = spans(first, counts)
    person = order[at]
    return found, person, matched(people.select(person), predictions, found)


def spans(first: Rows, counts: Rows) -> tuple[Rows, Rows]:
    """The places first[i] … first[i] + counts[i] - 1 of N spans, one after the other; before them, the i of each."""
    row = np.repeat(np.arange(len(first)), counts)
    return row, np.repeat(first, counts) + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


def match(people: People, predictions: Predictions, least: float = 0.0) -> Rows:
    """The prediction that answers for each person: rows (N,), -1 for nobody.

    A prediction made in a person's labelled box is that person's, however bad. The others are given away
    greedily, the most similar pair of a photograph first, each once; a similarity of `least` or below is no match.
    """
    rows = np.full(len(people), -1, np.int64)
    if not len(people) or not len(predictions):
        return rows
    order = np.argsort(people.ids)
    at = np.minimum(np.searchsorted(people.ids[order], predictions.people), len(people) - 1)
    known = (predictions.people >= 0) & (people.ids[order][at] == predictions.people)
    rows[order[at[known]]] = np.flatnonzero(known)

    free = np.flatnonzero(predictions.people < 0)
    found, person, values = pairs(people, predictions.select(free))
    taken = np.zeros(len(free), bool)
    for i in np.argsort(-values, kind="stable"):
        if values[i] > least and rows[person[i]] < 0 and not taken[found[i]]:
            rows[person[i]] = free[found[i]]
            taken[found[i]] = True
    return rows


def nms(predictions: Predictions, threshold: float = NMS_THRESHOLD) -> NDArray[np.bool_]:
    """Which predictions to keep (P,): the best of each photograph, and those unlike all better ones kept.

    Two poses are alike when their OKS, all joints counted and the mean of their box areas as scale, exceeds
    `threshold`. For detector boxes, where one person may have been looked into more than once.
    """
    keep = np.ones(len(predictions), bool)
    order = np.lexsort((-predictions.score, predictions.image_ids))
    for start in range(0, len(order), _NMS_ROWS):
        better, worse = _rivals(predictions.image_ids[order], start, start + _NMS_ROWS)
        better, worse = order[better], order[worse]
        alike = _likeness(predictions, better, worse) > threshold
        for one, other in zip(better[alike].tolist(), worse[alike].tolist(), strict=True):
            if keep[one]:
                keep[other] = False
    return keep


def _rivals(image_ids: Rows, start: int, stop: int) -> tuple[Rows, Rows]:
    """Each of the rows start..stop of sorted `image_ids` (P,) with every later one of its photograph, in order."""
    rows = np.arange(start, min(stop, len(image_ids)))
    counts = np.searchsorted(image_ids, image_ids[rows], "right") - rows - 1
    better, worse = spans(rows + 1, counts)
    return start + better, worse


def _likeness(poses: Predictions, one: Rows, other: Rows) -> Floats:
    """OKS of poses with others, by rows (R,): all joints counted, the mean of the two boxes' areas as scale."""
    areas = geometry.area(poses.boxes)
    scale = (areas[one] + areas[other]) / 2
    return nearness(poses.keypoints[one], poses.keypoints[other], scale, poses.skeleton.sigmas).mean(-1)
