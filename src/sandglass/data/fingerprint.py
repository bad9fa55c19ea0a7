"""What a data set holds, as a few letters: whether a pack is still of its photographs, a run still on its data."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np

from sandglass.core.pose import People
from sandglass.data.photos import photo_bytes


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Of the people that a run would learn from, and of their photographs.

    Labels are taken as read: a file that was only formatted anew is the same. Photographs count by name and length,
    not by time (a copy has another) and not by content (all of COCO would be read at every start): one that was
    changed to the very same length goes unnoticed.
    """

    labels: str
    photos: str
    there: int  # photographs, when the fingerprint was taken

    @classmethod
    def of(cls, people: People) -> Self:
        """Takes one look at the labels, and one at the listings of the folders."""
        sizes = photo_bytes(people)
        rows = np.unique(people.image)
        names = "\0".join(people.image_paths[row].name for row in rows.tolist())
        labels = _digest(
            "\0".join(people.skeleton.joints),
            names,
            people.image_sizes[rows],
            np.searchsorted(rows, people.image),
            people.ids,
            people.boxes,
            np.where(people.visibility[..., None] > 0, people.keypoints, 0.0),
            people.visibility,
        )
        photos = _digest(names, np.array([sizes.get(row, -1) for row in rows.tolist()], np.int64))
        return cls(labels=labels, photos=photos, there=len(sizes))

    def fits(self, now: "Fingerprint") -> bool:
        """Whether what was made then is still of the data as they are `now`; photographs may have been taken away."""
        if self.labels != now.labels:
            return False
        return now.there < self.there or self.photos == now.photos


def combined(parts: list[str]) -> str:
    """One fingerprint for several."""
    return _digest(*parts)


def _digest(*parts: str | np.ndarray) -> str:
    """The first 128 bits of SHA-256, as hexadecimal digits. Arrays count by their shape, kind and bytes."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part)
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(part.data)
        else:
            total.update(f"text {len(part)} ".encode() + part.encode("utf-8", "surrogatepass"))
    return total.hexdigest()[:32]
