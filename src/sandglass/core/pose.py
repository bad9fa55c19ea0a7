"""People as they were labelled, poses as they were found. Image pixels, pixel centres at +0.5; boxes are xyxy."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandglass.core.skeleton import Skeleton

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Person:
    """One labelled person.

    keypoints: (K, 2) image pixels; what stands there where visibility is 0 has no meaning.
    visibility: (K,) 0 not labelled, 1 labelled but hidden, 2 labelled and visible.
    area: square pixels (of the segment, where the data set has one), the scale of OKS.
    head_size: the length in pixels that PCKh measures by (MPII: 0.6 x the head segment), NaN where unknown.
    """

    id: int
    image_id: int
    image_path: Path
    image_size: tuple[int, int]  # (w, h)
    box: Floats  # (4,) xyxy
    keypoints: Floats  # (K, 2)
    visibility: NDArray[np.uint8]  # (K,)
    area: float
    crowd: bool
    head_size: float


@dataclass(frozen=True, eq=False)
class People:
    """A whole data set: a table of M images and a table of N people, as arrays.

    `image` (N,) holds each person's row in the table of images. Iterating gives `Person`s, in order.
    """

    source: str  # what the user called it, for messages: "coco@train"
    skeleton: Skeleton
    image_ids: NDArray[np.int64]  # (M,)
    image_paths: tuple[Path, ...]  # M
    image_sizes: NDArray[np.int32]  # (M, 2) as (w, h)
    image: NDArray[np.int64]  # (N,)
    ids: NDArray[np.int64]  # (N,)
    boxes: Floats  # (N, 4)
    keypoints: Floats  # (N, K, 2)
    visibility: NDArray[np.uint8]  # (N, K)
    areas: Floats  # (N,)
    crowd: NDArray[np.bool_]  # (N,)
    head_sizes: Floats  # (N,)

    def __post_init__(self) -> None:
        n, k, m = len(self.ids), len(self.skeleton), len(self.image_ids)
        assert self.keypoints.shape == (n, k, 2) and self.visibility.shape == (n, k), self.keypoints.shape
        assert self.boxes.shape == (n, 4) and self.areas.shape == self.crowd.shape == self.head_sizes.shape == (n,)
        assert len(self.image_paths) == m and self.image_sizes.shape == (m, 2)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Person:
        row = int(self.image[i])
        w, h = self.image_sizes[row]
        return Person(
            id=int(self.ids[i]),
            image_id=int(self.image_ids[row]),
            image_path=self.image_paths[row],
            image_size=(int(w), int(h)),
            box=self.boxes[i],
            keypoints=self.keypoints[i],
            visibility=self.visibility[i],
            area=float(self.areas[i]),
            crowd=bool(self.crowd[i]),
            head_size=float(self.head_sizes[i]),
        )

    def __iter__(self) -> Iterator[Person]:
        return (self[i] for i in range(len(self)))

    @property
    def labelled(self) -> NDArray[np.int64]:
        """How many joints of each person are labelled: (N,)."""
        return (self.visibility > 0).sum(1).astype(np.int64)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "People":
        """The people that a mask or an index chooses; the table of images stays whole."""
        per_person = ("image", "ids", "boxes", "keypoints", "visibility", "areas", "crowd", "head_sizes")
        return replace(self, **{name: getattr(self, name)[chosen] for name in per_person})


@dataclass(frozen=True, eq=False)
class Pose:
    """One person as the network sees it.

    keypoints: (K, 2) image pixels. Every joint has its best guess, also where it is not present.
    scores: (K,) in 0..1, how sure the network is of each joint.
    present: (K,) whether the joint's score reaches the threshold; what is drawn and counted.
    box: (4,) the box that was looked into.
    score: of the person, in 0..1.
    spread: (K, 2, 2) how far off each joint may be, as its heatmap sees it: covariance, square image pixels; None
        where nobody asked.
    """

    keypoints: Floats
    scores: Floats
    present: NDArray[np.bool_]
    box: Floats
    score: float
    spread: Floats | None = None


@dataclass(frozen=True, eq=False)
class Predictions:
    """Poses of many photographs, as arrays: what a predictor gives and a scorer takes.

    present: (P, K) joints whose score reached the threshold; absent joints keep their best guess.
    people: (P,) annotation id of the person whose labelled box was looked into, -1 for any other box.
    """

    skeleton: Skeleton
    image_ids: NDArray[np.int64]  # (P,)
    keypoints: Floats  # (P, K, 2) image pixels
    scores: Floats  # (P, K) in 0..1
    present: NDArray[np.bool_]  # (P, K)
    boxes: Floats  # (P, 4) xyxy
    score: Floats  # (P,) in 0..1
    people: NDArray[np.int64]  # (P,)

    def __len__(self) -> int:
        return len(self.image_ids)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Predictions":
        """The predictions that a mask or an index chooses."""
        names = ("image_ids", "keypoints", "scores", "present", "boxes", "score", "people")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})
