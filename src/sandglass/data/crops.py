"""One person at a time: cuts of photographs around labelled people. Points are cut pixels, (x, y), centres at +0.5.

A *crop* is what the network sees; a *cut* is the larger piece of photograph around it, at the same scale, so that
shift, scale and rotation find photograph and not black corners.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.files import read_bytes
from sandglass.core.image import Photo, decode_image, warp
from sandglass.core.pose import People


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How a crop lies around a person's box, and how much larger its cut is."""

    size: tuple[int, int]  # of the crop (width, height), pixels
    padding: float = 1.25  # side of the crop over side of the box
    margin: float = 1.5  # side of the cut over side of the crop

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


class PersonCrops:
    """The people of a data set as samples, by row. Safe to call from several threads.

    Cuts are kept in memory, up to `cache_bytes`, so that a photograph is decoded once and not every epoch.
    Photographs that cannot be read raise BadInput.
    """

    def __init__(self, people: People, config: CropConfig, cache_bytes: int = 0) -> None:
        self.people, self.config = people, config
        w, h = config.cut_size
        crop_from_cut = np.array([[1, 0, (config.size[0] - w) / 2], [0, 1, (config.size[1] - h) / 2]])
        self.image_from_cut = geometry.compose(  # (N, 2, 3)
            geometry.image_from_crop(people.boxes, config.size, config.padding), crop_from_cut
        )
        points = geometry.apply(geometry.invert(self.image_from_cut), people.keypoints)
        self.keypoints = points.astype(np.float32)  # (N, K, 2)
        self.weight = (people.visibility > 0).astype(np.float32)  # (N, K)
        self._cached = min(len(people), cache_bytes // (w * h * 3))
        self._cache = np.empty((self._cached, h, w, 3), np.uint8)  # pages are taken when they are written
        self._filled = np.zeros(self._cached, bool)

    def __len__(self) -> int:
        return len(self.people)

    @property
    def cache_bytes(self) -> int:
        """Memory that the cuts take once all have been seen."""
        return self._cache.nbytes

    def __getitem__(self, i: int) -> Sample:
        return Sample(self._cut(i), self.keypoints[i], self.weight[i], i)

    def _cut(self, i: int) -> Photo:
        if i < self._cached and self._filled[i]:
            return self._cache[i]
        person = self.people[i]
        photo = decode_image(read_bytes(person.image_path), str(person.image_path), person.image_size)
        cut = warp(photo, self.image_from_cut[i], self.config.cut_size)
        if i < self._cached:
            self._cache[i] = cut
            self._filled[i] = True  # after the pixels: another thread may look at any moment
        return cut
