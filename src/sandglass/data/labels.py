"""Labels of any layout as People. Image pixels, pixel centres at +0.5; boxes are xyxy.

Readers bring what their files hold into these arrays; the tables of COCO's form that come of them go through the
checks of `coco.people_from`, so that one set of rules judges every layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from sandglass.core import geometry
from sandglass.core.garbage import uncollected
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.coco import AREA_OF_BOX, people_from, stays_inside

AROUND = 0.1  # of the longer side of the joints' extent: what a box made of joints has beyond them, on each side
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


@dataclass(frozen=True, eq=False)
class Labels:
    """N labelled people on M photographs.

    names: M file names below the folder of photographs. sizes: (M, 2) as (w, h), 0 where unknown.
    image: (N,) rows of `names`. keypoints (N, K, 2), visibility (N, K) of 0, 1, 2.
    boxes: (N, 4), NaN where there is none: then the joints' extent and a tenth beyond. heads: (N,) or None.
    """

    names: Sequence[str]
    sizes: NDArray[np.int64]
    image: NDArray[np.int64]
    keypoints: Floats
    visibility: NDArray[np.int64] | Floats
    boxes: Floats
    heads: Floats | None = None


@uncollected()
def people_of(labels: Labels, path: Path, photos: Path, source: str, skeleton: Skeleton) -> People:
    """People numbered from 1 in their order, photographs likewise. Raises BadInput as `people_from` does.

    A photograph whose size is unknown and that is not there counts as large as its labels need.
    """
    shown = np.asarray(labels.visibility > 0)
    boxes = np.where(np.isnan(labels.boxes), _extents(labels.keypoints, shown), labels.boxes)
    sizes = labels.sizes.copy()
    for row in np.flatnonzero((sizes < 1).any(1)).tolist():
        sizes[row] = photo_size(photos, labels.names[row]) or _needed(boxes[labels.image == row])
    points = np.where(shown[..., None], labels.keypoints - 0.5, 0)
    table = np.concatenate([points, labels.visibility[..., None]], axis=-1).reshape(len(points), -1).tolist()
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    areas = (AREA_OF_BOX * geometry.area(boxes)).tolist()
    images = [
        {"id": i + 1, "file_name": name, "width": int(w), "height": int(h)}
        for i, (name, (w, h)) in enumerate(zip(labels.names, sizes, strict=True))
    ]
    rows = [
        {"id": i + 1, "image_id": int(image) + 1, "keypoints": table[i], "bbox": corners[i], "area": areas[i]}
        for i, image in enumerate(labels.image)
    ]
    if labels.heads is not None:
        for i in np.flatnonzero(np.isfinite(labels.heads)):
            rows[i]["pckh_normalize"] = float(labels.heads[i])
    return people_from({"images": images, "annotations": rows}, path, photos, source, skeleton)


def photographs(pictures: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The names of the photographs, each once, and in which of them each of N people is: (N,)."""
    rows = {name: i for i, name in enumerate(dict.fromkeys(pictures))}
    return list(rows), np.array([rows[name] for name in pictures], np.int64)


def _extents(keypoints: Floats, shown: NDArray[np.bool_]) -> Floats:
    """Boxes (N, 4) around the labelled joints; of zeros where there are none."""
    some = np.asarray(shown.any(1))
    low = np.where(shown[..., None], keypoints, np.inf).min(1)
    high = np.where(shown[..., None], keypoints, -np.inf).max(1)
    low, high = np.where(some[:, None], low, 0), np.where(some[:, None], high, 0)
    around = np.where(some, np.maximum(AROUND * (high - low).max(1), 1), 0)[:, None]
    return np.concatenate([low - around, high + around], axis=1)


def _needed(boxes: Floats) -> tuple[int, int]:
    w, h = np.ceil(boxes[:, 2:].max(0, initial=1))
    return int(w), int(h)


def photo_size(photos: Path, name: str) -> tuple[int, int] | None:
    """The (w, h) of a photograph turned upright, from its header; None where it is not there or is none."""
    if not stays_inside(name):
        return None
    try:
        with Pillow.open(photos / name) as header:
            w, h = header.size
            return (h, w) if header.getexif().get(0x0112, 1) in SIDEWAYS else (w, h)
    except Exception:  # Pillow's readers raise whatever a mangled header makes them raise
        return None
