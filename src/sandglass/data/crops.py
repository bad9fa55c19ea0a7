"""One person at a time: cuts of photographs around labelled people. Points are cut pixels, (x, y), centres at +0.5.

A *crop* is what the network sees; a *cut* is the larger piece of photograph around it, at the same scale, so that
shift, scale and rotation find photograph and not black corners.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.image import Photo, warp
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.photos import read_photo


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How a crop lies around a person's box, and how much larger its cut is."""

    size: tuple[int, int]  # of the crop (width, height), pixels
    padding: float = 1.25  # side of the crop over side of the box
    margin: float = 1.5  # side of the cut over side of the crop

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not (0.5 <= self.padding <= 4 and 1 <= self.margin <= 4):
            raise BadInput(f"{self}: a crop needs positive sides, 0.5 ... 4 boxes of padding and a margin of 1 ... 4")

    @property
    def cut_size(self) -> tuple[int, int]:
        """(w, h) of the cut: even more pixels on both sides, so that the crop lies exactly in its middle."""
        w, h = (s + 2 * round(s * (self.margin - 1) / 2) for s in self.size)
        return w, h


@dataclass(frozen=True, eq=False)
class Sample:
    """One person, cut out. The image stays (H, W, 3) until it is on the device: there it becomes channels-last."""

    image: Photo  # (H, W, 3), of cut_size
    keypoints: NDArray[np.float32]  # (K, 2) cut pixels
    weight: NDArray[np.float32]  # (K,) 0 where not labelled
    index: int  # row in the data set


class CutCache:
    """Memory for the first cuts of a set, so that they are decoded once and not every epoch."""

    def __init__(self, people: int, cut_size: tuple[int, int], budget: int) -> None:
        w, h = cut_size
        self.rows = min(people, max(budget, 0) // (w * h * 3))
        self._cuts = np.empty((self.rows, h, w, 3), np.uint8)  # pages are taken when they are written
        self._filled = np.zeros(self.rows, bool)

    @property
    def nbytes(self) -> int:
        """Memory that the cuts take once all have been seen."""
        return self._cuts.nbytes

    def get(self, i: int) -> Photo | None:
        return self._cuts[i] if i < self.rows and self._filled[i] else None

    def put(self, i: int, cut: Photo) -> None:
        if i < self.rows:
            self._cuts[i] = cut
            self._filled[i] = True  # after the pixels: another thread may look at any moment


class Crops(ABC):
    """People as samples, by row, wherever their pixels come from. Safe to call from several threads.

    Cuts are kept in memory once they were asked for, as many as `cache` has room for.
    """

    def __init__(
        self,
        source: str,
        skeleton: Skeleton,
        ids: NDArray[np.int64],
        keypoints: NDArray[np.float32],
        weight: NDArray[np.float32],
        cache: CutCache,
    ) -> None:
        self.source, self.skeleton = source, skeleton  # source: what messages call the set
        self.ids = ids  # (N,) annotation ids
        self.keypoints, self.weight = keypoints, weight  # (N, K, 2) cut pixels; (N, K) 0 where not labelled
        self._cache = cache

    @abstractmethod
    def pixels(self, i: int) -> Photo:
        """The cut of person i, (H, W, 3). Raises BadInput where it cannot be read."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def cache_bytes(self) -> int:
        """Memory that the cuts take once all have been seen."""
        return self._cache.nbytes

    def __getitem__(self, i: int) -> Sample:
        """Raises BadInput where the pixels cannot be read."""
        cut = self._cache.get(i)
        if cut is None:
            cut = self.pixels(i)
            self._cache.put(i, cut)
        return Sample(cut, self.keypoints[i], self.weight[i], i)


class PersonCrops(Crops):
    """The people of a data set as samples, cut out of their photographs. Cuts are cached up to `cache_bytes`."""

    def __init__(self, people: People, config: CropConfig, cache_bytes: int = 0) -> None:
        self.people, self.config = people, config
        w, h = config.cut_size
        crop_from_cut = np.array([[1, 0, (config.size[0] - w) / 2], [0, 1, (config.size[1] - h) / 2]])
        self.image_from_cut = geometry.compose(  # (N, 2, 3)
            geometry.image_from_crop(people.boxes, config.size, config.padding), crop_from_cut
        )
        points = geometry.apply(geometry.invert(self.image_from_cut), people.keypoints)
        weight = (people.visibility > 0).astype(np.float32)
        cache = CutCache(len(people), config.cut_size, cache_bytes)
        super().__init__(people.source, people.skeleton, people.ids, points.astype(np.float32), weight, cache)

    def pixels(self, i: int) -> Photo:
        return self.cut(i, self.photo(i))

    def photo(self, i: int) -> Photo:
        """The photograph of person i. Raises BadInput."""
        return read_photo(self.people, int(self.people.image[i]))

    def cut(self, i: int, photo: Photo) -> Photo:
        """Person i, cut out of their photograph."""
        return warp(photo, self.image_from_cut[i], self.config.cut_size)
