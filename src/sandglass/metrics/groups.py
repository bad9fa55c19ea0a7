"""Groups of people: by size, by how many others they overlap, by how many joints are labelled. Boxes are xyxy.

Overlap and joints are grouped as Ronchi & Perona 2017 do (arxiv.org/abs/1707.05388).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.pose import Floats, People
from sandglass.metrics.oks import spans

Mask = NDArray[np.bool_]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

MEDIUM: Final = (32.0**2, 96.0**2)  # square pixels: COCO's bounds
OVERLAPPING_FROM: Final = 0.1  # intersection over union of two boxes


def by_size(areas: Floats) -> dict[str, Mask]:
    """People of areas (N,) as COCO calls them: name -> (N,)."""
    low, high = MEDIUM
    return {"small": areas < low, "medium": (areas >= low) & (areas <= high), "large": areas > high}


def by_overlap(people: People) -> dict[str, Mask]:
    """By the number of other people on the photograph, crowds left out, whose box overlaps theirs."""
    count = overlapping(people)
    return {"alone": count == 0, "1-2 others": (count == 1) | (count == 2), "3 or more": count > 2}


def by_joints(people: People) -> dict[str, Mask]:
    """By the number of labelled joints: 1-5, 6-10, 11-15, 16-17 of 17, and like shares of any other K."""
    k = len(people.skeleton)
    ends = sorted({max(1, round(k * share)) for share in (0.3, 0.6, 0.9)} | {k})
    starts = [1, *(end + 1 for end in ends[:-1])]
    count = people.labelled
    return {
        f"{low}-{high} joints" if low < high else f"{high} joint{'s' * (high > 1)}": (count >= low) & (count <= high)
        for low, high in zip(starts, ends, strict=True)
    }


def overlapping(people: People) -> NDArray[np.int64]:
    """How many other people, crowds left out, overlap each: (N,)."""
    one, other = pairs(people)
    low = np.maximum(people.boxes[one, :2], people.boxes[other, :2])
    high = np.minimum(people.boxes[one, 2:], people.boxes[other, 2:])
    shared = np.maximum(0, high - low).prod(-1)
    areas = geometry.area(people.boxes)
    near = shared >= OVERLAPPING_FROM * (areas[one] + areas[other] - shared)
    counted = near & (one != other) & (shared > 0) & ~people.crowd[other]
    return np.bincount(one[counted], minlength=len(people)).astype(np.int64)


def pairs(people: People) -> Pairs:
    """Rows of everybody with everybody on the same photograph, themselves among them."""
    order = np.argsort(people.image, kind="stable")
    first = np.searchsorted(people.image[order], people.image, "left")
    counts = np.searchsorted(people.image[order], people.image, "right") - first
    one, at = spans(first, counts)
    return one, order[at]
