"""Percentage of correct keypoints. Distances are image pixels; thresholds are shares of a person's own length.

The measure that this project grew out of is not rebuilt: it compared x alone, took the width of the hips for the
torso and the distance of the eyes for the head, and counted unlabelled joints as correct when nothing was found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.metrics import groups, oks

HEAD_PER_SEGMENT: Final = 0.6  # MPII's `pckh_normalize` is 0.6 x the diagonal of the head's rectangle

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


def segment_lengths(people: People) -> Lengths:
    """The whole head: from the data set's head size, else from the top of the head to the neck, where joints are so
    called; people without either are not counted."""
    ends = [_between(people, "head_top", neck) for neck in ("upper_neck", "neck")]
    return _first_known({"head": people.head_sizes / HEAD_PER_SEGMENT, "head to neck": np.fmax.reduce(ends)})


def box_lengths(people: People) -> Lengths:
    """The longer side of the box (Yang & Ramanan 2013)."""
    return _first_known({"box": _longer_side(people)})


LENGTHS: Final[Mapping[str, Callable[[People], Lengths]]] = {
    "torso": torso_lengths,
    "head": head_lengths,
    "head segment": segment_lengths,
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
    areas: Floats  # (N,) square pixels
    lengths: Lengths  # (N,)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Errors":
        """The errors of some people: those of one size, of one photograph."""
        lengths = Lengths(self.lengths.pixels[chosen], self.lengths.kind[chosen])
        parts = {name: getattr(self, name)[chosen] for name in ("pixels", "visibility", "areas")}
        return replace(self, lengths=lengths, **parts)

    def by(self, lengths: Lengths) -> "Errors":
        """The same errors, measured against other lengths."""
        return replace(self, lengths=lengths)

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
    return Errors(people.skeleton, pixels, people.visibility, people.areas, LENGTHS[lengths](people))


@dataclass(frozen=True)
class Means:
    """A figure as the mean over all counted joints, and over parts of them; NaN where a part has none.

    parts: left, right and middle joints; visible (labelled 2) and hidden (labelled 1) ones; those of small, medium
    and large people (`groups.by_size`). joints: how many were counted.
    """

    value: float
    per_joint: Mapping[str, float]
    parts: Mapping[str, float]
    joints: int


Terms = tuple[NDArray[Any], NDArray[np.bool_]]  # values (N, K), and which of them count


def _means(found: Errors, values: NDArray[Any], counted: NDArray[np.bool_]) -> Means:
    """Mean values (N, K) over the joints that are counted (N, K)."""

    def mean(mask: NDArray[np.bool_]) -> float:
        chosen = values[counted & mask]
        return float(chosen.mean()) if len(chosen) else float("nan")

    return Means(
        value=mean(np.ones_like(counted)),
        per_joint={name: mean(mask) for name, mask in joint_masks(found.skeleton).items()},
        parts={name: mean(mask) for name, mask in part_masks(found).items()},
        joints=int(counted.sum()),
    )


def joint_masks(skeleton: Skeleton) -> dict[str, NDArray[np.bool_]]:
    """Each joint's column: name -> (K,)."""
    return dict(zip(skeleton.joints, np.eye(len(skeleton), dtype=bool), strict=True))


def part_masks(found: Errors) -> dict[str, NDArray[np.bool_]]:
    """The parts of `Means`: name -> which joints belong to it, (N, K) or what broadcasts to that."""
    side = np.array([found.skeleton.side(k) for k in range(len(found.skeleton))])
    return {
        **{name: side == name for name in ("left", "right", "middle")},
        **{name: found.visibility == label for name, label in (("visible", 2), ("hidden", 1))},
        **{name: rows[:, None] for name, rows in groups.by_size(found.areas).items()},
    }


def pck(found: Errors, threshold: float = 0.2) -> Means:
    """The share of labelled joints that lie within `threshold` times their person's length."""
    return _means(found, *pck_terms(found, threshold))


def curve(found: Errors, thresholds: Floats) -> Floats:
    """PCK over thresholds: (T,)."""
    values = np.sort(found.relative()[found.counted()])
    if not len(values):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(values, thresholds, "right") / len(values)


def area_under_curve(found: Errors, limit: float = 0.5) -> Means:
    """The mean PCK over all thresholds from 0 to `limit`: exact, without a grid.

    A joint that is off by d lengths is right at all thresholds above d: at the share 1 - d / limit of them.
    """
    return _means(found, *area_terms(found, limit))


def end_point_error(found: Errors, *, relative: bool = False) -> Means:
    """How far off the labelled joints of found people are, in image pixels or as shares of each person's length.

    People who were not found have no distance and are left out: `joints` tells how many joints were not.
    """
    return _means(found, *distance_terms(found, relative=relative))


def area_terms(found: Errors, limit: float = 0.5) -> Terms:
    """What `area_under_curve` is the mean of."""
    return np.maximum(0, 1 - found.relative() / limit), found.counted()


def distance_terms(found: Errors, *, relative: bool = False) -> Terms:
    """What `end_point_error` is the mean of."""
    values = found.relative() if relative else found.pixels
    labelled = found.counted() if relative else found.visibility > 0
    return values, labelled & np.isfinite(found.pixels)


def pck_terms(found: Errors, threshold: float) -> Terms:
    """What `pck` is the mean of."""
    return found.right(threshold), found.counted()
