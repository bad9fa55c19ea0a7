"""What kind of mistake each joint is: jitter, inversion, swap or miss. Points are image pixels.

After Ronchi & Perona 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
arxiv.org/abs/1707.05388. Nearness is the OKS of a single joint (`oks.nearness`).
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.metrics import oks

GOOD_FROM: Final = 0.85  # nearness to the right place
NEAR_FROM: Final = 0.5  # nearness to any place
FOUND_FROM: Final = 0.1  # OKS: what is less like a person, made in no labelled box, does not answer for them


class Kind(IntEnum):
    """What became of one joint."""

    UNLABELLED = 0  # not labelled: nothing is said about it
    UNFOUND = 1  # the person has no prediction
    GOOD = 2  # nearness to its place of at least 0.85
    JITTER = 3  # near its place (0.5 to 0.85), but not on it
    INVERSION = 4  # on the person's other side: near the joint's mirror twin
    SWAP = 5  # on somebody else: near the same joint, or its twin, of another person
    MISS = 6  # near nothing of these


MISTAKES: Final = (Kind.JITTER, Kind.INVERSION, Kind.SWAP, Kind.MISS)


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The kind of every joint of N people, and what is needed to correct it.

    rows: (N,) the prediction that answers for each person, -1 for none.
    corrected: (N, K, 2) where the joint would stand without its mistake; a good joint stays.
    """

    skeleton: Skeleton
    kinds: NDArray[np.uint8]  # (N, K)
    rows: NDArray[np.int64]  # (N,)
    corrected: Floats  # (N, K, 2)

    def counts(self) -> dict[Kind, NDArray[np.int64]]:
        """How many of each kind, by joint: kind -> (K,)."""
        return {kind: (self.kinds == kind).sum(0) for kind in Kind}

    def shares(self) -> dict[Kind, float]:
        """The share of each kind among the labelled joints of people who were found; NaN where there are none."""
        judged = int((self.kinds >= Kind.GOOD).sum())
        kinds = (Kind.GOOD, *MISTAKES)
        return {kind: float((self.kinds == kind).sum() / judged) if judged else float("nan") for kind in kinds}


def find_mistakes(people: People, predictions: Predictions) -> Mistakes:
    """Judge every labelled joint of every person who has a prediction (`oks.match`, with OKS above 0.1).

    `people` are all people of the photographs: a swap is seen only if the other person is among them. A joint
    near its own place is never a mistake of another kind, an inversion comes before a swap.
    """
    rows = oks.match(people, predictions, FOUND_FROM)
    hit = np.flatnonzero(rows >= 0)
    here = people.select(hit)
    found = predictions.keypoints[rows[hit]]  # (P, K, 2)
    themselves, mirror = np.arange(len(here)), np.array(people.skeleton.mirror)
    own, _ = _near(found, here, themselves, np.arange(len(mirror)))
    twin, twin_place = _near(found, here, themselves, mirror)  # on the midline the joint itself: never both
    other, other_place = _near_others(found, hit, people)

    kinds = np.full(people.visibility.shape, Kind.UNFOUND, np.uint8)
    conditions = [own >= GOOD_FROM, own >= NEAR_FROM, twin >= NEAR_FROM, other >= NEAR_FROM]
    kinds[hit] = np.select(conditions, [Kind.GOOD, Kind.JITTER, Kind.INVERSION, Kind.SWAP], Kind.MISS)
    kinds[people.visibility == 0] = Kind.UNLABELLED

    corrected = np.zeros(people.keypoints.shape)
    corrected[hit] = found
    offset = np.zeros(people.keypoints.shape)  # from the wrong joint; kept when it is put on the right one
    offset[hit] = np.where((kinds[hit] == Kind.INVERSION)[..., None], found - twin_place, found - other_place)
    astray = (kinds == Kind.INVERSION) | (kinds == Kind.SWAP)
    corrected[astray] = (people.keypoints + offset)[astray]
    off = (kinds == Kind.JITTER) | (kinds == Kind.MISS)
    corrected[off] = _just_good(corrected, people)[off]
    return Mistakes(people.skeleton, kinds, rows, corrected)


def correct(predictions: Predictions, mistakes: Mistakes, kind: Kind) -> Predictions:
    """The predictions without one kind of mistake.

    Jitter and misses are pulled towards their place until they are just good (nearness 0.85); inversions and
    swaps keep their offset from the wrong joint but have it from the right one.
    """
    keypoints = predictions.keypoints.copy()
    person, joint = np.nonzero((mistakes.kinds == kind) & (mistakes.rows >= 0)[:, None])
    keypoints[mistakes.rows[person], joint] = mistakes.corrected[person, joint]
    return replace(predictions, keypoints=keypoints)


def _near(found: Floats, people: People, rows: NDArray[np.int64], joints: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Nearness of found (P, K, 2) to other joints, `joints` (K,), of people `rows` (P,); 0 to unlabelled ones."""
    place = people.keypoints[rows][:, joints]
    sigmas = np.asarray(people.skeleton.sigmas)[joints]
    near = oks.nearness(found, place, people.areas[rows], sigmas)
    return np.where(people.visibility[rows][:, joints] > 0, near, 0), place


def _near_others(found: Floats, hit: NDArray[np.int64], people: People) -> tuple[Floats, Floats]:
    """The greatest nearness to the same joint, or its twin, of anybody else on the photograph, and where that is."""
    best, place = np.zeros(found.shape[:2]), np.zeros(found.shape)
    image = people.image
    order = np.argsort(image, kind="stable")
    first = np.searchsorted(image[order], image[hit], "left")
    count = np.searchsorted(image[order], image[hit], "right") - first
    for step in range(int(count.max(initial=0))):  # at most as often as the fullest photograph has people
        rows = np.flatnonzero(step < count)
        rivals = order[first[rows] + step]
        rows, rivals = rows[rivals != hit[rows]], rivals[rivals != hit[rows]]
        for joints in (np.arange(len(people.skeleton)), np.array(people.skeleton.mirror)):
            near, where = _near(found[rows], people, rivals, joints)
            better = near > best[rows]
            best[rows] = np.where(better, near, best[rows])
            place[rows] = np.where(better[..., None], where, place[rows])
    return best, place


def _just_good(found: Floats, people: People) -> Floats:
    """Found joints (N, K, 2) moved straight towards their place until their nearness is 0.85."""
    sigmas = np.asarray(people.skeleton.sigmas)
    # A hair inside, so that rounding does not leave it outside.
    radius = 2 * sigmas * np.sqrt(-2 * np.log(GOOD_FROM) * people.areas[:, None]) * (1 - 1e-9)
    offset = found - people.keypoints
    far = np.linalg.norm(offset, axis=-1)
    return people.keypoints + offset * np.minimum(1, radius / np.maximum(far, 1e-12))[..., None]
