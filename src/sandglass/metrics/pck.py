"""Percentage of correct keypoints. Distances are image pixels; thresholds are shares of a person's own length.

The measure that this project grew out of is not rebuilt: it compared x alone, took the width of the hips for the
torso and the distance of the eyes for the head, and counted unlabelled joints as correct when nothing was found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.metrics import oks

# Where the torso is not labelled it is estimated, so that one threshold means one tolerance for everybody.
# Medians over those people of COCO train2017 (109,787) and MPII (134) whose torso is known:
TORSO_PER_FACE: Final = 3.7  # face: the longest of ear to ear and ear to nose; quartiles 3.1 and 4.5
TORSO_PER_HEAD: Final = 2.6  # head: MPII's normaliser, 0.6 x its head segment; quartiles 2.3 and 2.9
TORSO_PER_BOX: Final = 0.37  # the longer side of the box; quartiles 0.31 and 0.50


@dataclass(frozen=True, eq=False)
class Lengths:
    """The pixels that errors are measured against: (N,), NaN for nobody; `kind` (N,) tells where each is from."""

    pixels: Floats
    kind: NDArray[np.str_]

    def counts(self) -> dict[str, int]:
        """How many people each kind of length serves, most first."""
        kinds, counts = np.unique(self.kind, return_counts=True)
        return {str(kinds[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def torso_lengths(people: People) -> Lengths:
    """Left shoulder to right hip, the torso's diameter (Sapp & Taskar 2013, MODEC; Toshev & Szegedy 2014, DeepPose).

    Where that is not labelled: the other diagonal; else the head; else the face; else the box, each times
    the stated factor.
    """
    faces = [
        _between(people, *ends) for ends in (("left_ear", "right_ear"), ("left_ear", "nose"), ("right_ear", "nose"))
    ]
    return _first_known(
        {
            "torso": _between(people, "left_shoulder", "right_hip"),
            "torso, other diagonal": _between(people, "right_shoulder", "left_hip"),
            "head": TORSO_PER_HEAD * people.head_sizes,
            "face": TORSO_PER_FACE * np.fmax.reduce(faces),
            "box": TORSO_PER_BOX * _longer_side(people),
        }
    )


def head_lengths(people: People) -> Lengths:
    """The data set's own head sizes (PCKh, Andriluka et al. 2014); people without one are not counted."""
    return _first_known({"head": people.head_sizes})


def box_lengths(people: People) -> Lengths:
    """The longer side of the box (Yang & Ramanan 2013)."""
    return _first_known({"box": _longer_side(people)})


LENGTHS: Final[Mapping[str, Callable[[People], Lengths]]] = {
    "torso": torso_lengths,
    "head": head_lengths,
    "box": box_lengths,
}


def _between(people: People, a: str, b: str) -> Floats:
    """The distance of two joints by name (N,), NaN where one is not labelled or the skeleton has none."""
    i, j = people.skeleton.find(a), people.skeleton.find(b)
    if i is None or j is None:
        return np.full(len(people), np.nan)
    known = (people.visibility[:, i] > 0) & (people.visibility[:, j] > 0)
    return np.where(known, np.linalg.norm(people.keypoints[:, i] - people.keypoints[:, j], axis=-1), np.nan)


def _longer_side(people: People) -> Floats:
    return (people.boxes[:, 2:] - people.boxes[:, :2]).max(-1)


def _first_known(choices: Mapping[str, Floats]) -> Lengths:
    """For each person the first length of more than nothing."""
    known = np.array([(values > 0) & np.isfinite(values) for values in choices.values()])
    first = np.where(known.any(0), known.argmax(0), len(choices))
    n = len(first)
    table = np.vstack([*choices.values(), np.full(n, np.nan)])
    return Lengths(table[first, np.arange(n)], np.array([*choices, "none"])[first])


@dataclass(frozen=True, eq=False)
class Errors:
    """How far every joint of N people was missed.

    pixels: (N, K) distance in image pixels; inf where the person was not found. Unlabelled joints have no
    meaning here and are not counted.
    """

    skeleton: Skeleton
    pixels: Floats  # (N, K)
    visibility: NDArray[np.uint8]  # (N, K)
    lengths: Lengths  # (N,)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Errors":
        """The errors of some people: those of one size, of one photograph."""
        lengths = Lengths(self.lengths.pixels[chosen], self.lengths.kind[chosen])
        return replace(self, pixels=self.pixels[chosen], visibility=self.visibility[chosen], lengths=lengths)

    def counted(self) -> NDArray[np.bool_]:
        """The denominator (N, K): joints that are labelled, on people who have a length."""
        return (self.visibility > 0) & np.isfinite(self.lengths.pixels)[:, None]

    def relative(self) -> Floats:
        """Distances as shares of each person's length: (N, K)."""
        return self.pixels / self.lengths.pixels[:, None]

    def right(self, threshold: float) -> NDArray[np.bool_]:
        """The numerator (N, K): counted joints not further off than `threshold` lengths."""
        return self.counted() & (self.relative() <= threshold)


def errors(people: People, predictions: Predictions, lengths: str = "torso") -> Errors:
    """Measure every person against the prediction that answers for them (`oks.match`).

    Every joint's best guess counts, present or not. `lengths` is a key of LENGTHS.
    """
    rows = oks.match(people, predictions)
    pixels = np.full(people.visibility.shape, np.inf)
    hit = rows >= 0
    pixels[hit] = np.linalg.norm(predictions.keypoints[rows[hit]] - people.keypoints[hit], axis=-1)
    return Errors(people.skeleton, pixels, people.visibility, LENGTHS[lengths](people))


@dataclass(frozen=True)
class Pck:
    """Shares of correct joints at one threshold, all joints pooled; NaN where no joint was counted."""

    threshold: float
    value: float
    per_joint: Mapping[str, float]
    left: float
    right: float
    middle: float
    visible: float  # labelled 2
    hidden: float  # labelled 1
    joints: int  # counted


def pck(found: Errors, threshold: float = 0.2) -> Pck:
    """The share of labelled joints that lie within `threshold` times their person's length."""
    counted, right = found.counted(), found.right(threshold)
    side = np.array([found.skeleton.side(k) for k in range(len(found.skeleton))])

    def share(mask: NDArray[np.bool_]) -> float:
        total = int((counted & mask).sum())
        return float((right & mask).sum() / total) if total else float("nan")

    columns = np.eye(len(found.skeleton), dtype=bool)
    return Pck(
        threshold=threshold,
        value=share(np.ones_like(counted)),
        per_joint={name: share(columns[k]) for k, name in enumerate(found.skeleton.joints)},
        left=share(side == "left"),
        right=share(side == "right"),
        middle=share(side == "middle"),
        visible=share(found.visibility == 2),
        hidden=share(found.visibility == 1),
        joints=int(counted.sum()),
    )


def curve(found: Errors, thresholds: Floats) -> Floats:
    """PCK over thresholds: (T,)."""
    values = np.sort(found.relative()[found.counted()])
    if not len(values):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(values, thresholds, "right") / len(values)


def area_under_curve(found: Errors, limit: float = 0.5) -> float:
    """The mean PCK over all thresholds from 0 to `limit`: exact, without a grid."""
    values = found.relative()[found.counted()]
    return float(np.maximum(0, 1 - values / limit).mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class EndPoint:
    """How far off found joints are, in image pixels; people who were not found are left out and told."""

    mean: float
    median: float
    per_joint: Mapping[str, float]  # means
    missed: int  # labelled joints of people who were not found


def end_point_error(found: Errors) -> EndPoint:
    """Mean and median distance of the labelled joints of people who were found."""
    labelled = found.visibility > 0
    used = labelled & np.isfinite(found.pixels)

    def mean(values: Floats) -> float:
        return float(values.mean()) if len(values) else float("nan")

    per_joint = {name: mean(found.pixels[used[:, k], k]) for k, name in enumerate(found.skeleton.joints)}
    values = found.pixels[used]
    median = float(np.median(values)) if len(values) else float("nan")
    return EndPoint(mean(values), median, per_joint, int((labelled & ~used).sum()))
