"""COCO keypoint files <-> People. In the file a pixel's centre is a whole number and boxes are xywh; outside it never.

Keypoints get +0.5 on reading and -0.5 on writing. COCO's boxes are continuous already: only their form changes.
"""

import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.garbage import uncollected
from sandglass.core.pose import People
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.untrusted import (
    Where,
    brief,
    first_twice,
    numbers,
    read_json,
    records,
    refuse,
    whole_numbers,
)

AREA_OF_BOX = 0.518  # a person's segment covers this much of its box, on average over COCO; used where no area is given
DECIMALS = 9  # written; enough to give x + w - x back as w

log = logging.getLogger(__name__)


def annotation_file(folder: Path, split: str) -> Path:
    """Where the COCO layout keeps the people of a split; the gzipped file where only that is there."""
    path = folder / "annotations" / f"person_keypoints_{split}.json"
    packed = path.with_name(path.name + ".gz")
    return packed if packed.exists() and not path.exists() else path


def splits_in(folder: Path) -> list[str]:
    """The splits that a folder in the COCO layout has annotations for, sorted."""
    found = (re.fullmatch(r"person_keypoints_(.+)\.json(\.gz)?", p.name) for p in folder.glob("annotations/*"))
    return sorted({match[1] for match in found if match})


def read_coco(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `<folder>/annotations/person_keypoints_<split>.json`, photographs in `<folder>/<split>/`.

    Photographs in `<folder>/images/<split>/` are found too. Raises BadInput, see `read_coco_file`; when there
    is no such split, the message lists those that are there.
    """
    path, photos = find_split(folder, split)
    return read_coco_file(path, photos, f"{folder.resolve().name}@{split}", skeleton)


def find_split(folder: Path, split: str) -> tuple[Path, Path]:
    """The annotation file of a split and the folder of its photographs. Raises BadInput, see `read_coco`."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; check the path of the data set")
    path = annotation_file(folder, split)
    if not path.exists():
        there = ", ".join(splits_in(folder)) or "none"
        raise BadInput(f"{path}: no such file; the splits of {folder} are: {there}")
    photos = folder / split
    if not photos.is_dir() and (folder / "images" / split).is_dir():
        photos = folder / "images" / split
    return path, photos


@uncollected()
def read_coco_file(path: Path, photos: Path, source: str, skeleton: Skeleton | None = None) -> People:
    """The people of one annotation file (.json or .json.gz) whose photographs lie in `photos`.

    source: what messages call the set. skeleton: instead of the one that the file's `categories` describe.
    People without a labelled joint are kept, wherever their box is: they are never trained on, but count when
    detections are scored. A missing `area` becomes 0.518 of the box and is logged; `pckh_normalize` is the head
    size. The photographs are not looked at (see `photos.check_photos`).

    Raises BadInput with file and annotation id: no JSON, another shape, unknown or duplicate ids, keypoints that
    are not 3 K numbers, visibility other than 0, 1, 2, a box that is not finite, turned inside out, or wholly
    outside the photograph of a labelled person, a file name that leaves the folder.
    """
    return people_from(read_json(path, without=("segmentation",)), path, photos, source, skeleton)


def people_from(data: Any, path: Path, photos: Path, source: str, skeleton: Skeleton | None = None) -> People:
    """The same, from what the file held. Readers of other layouts bring their tables into COCO's form for it, so that
    one set of checks judges all of them; `path` is the place that messages name."""
    skeleton, categories = _skeleton(data, path, skeleton)
    image_ids, image_paths, image_sizes = _images(data, path, photos)
    rows = records(data, "annotations", path)
    if categories is not None:
        rows = [row for row in rows if row.get("category_id", categories[0]) in categories]
    ids = whole_numbers(rows, "id", lambda i: f"{path}: annotations[{i}]")
    if (twice := first_twice(ids)) is not None:
        raise BadInput(f"{path}: annotation id {twice} occurs more than once; number the annotations anew")

    def where(i: int) -> str:
        return f"{path}: annotation {ids[i]}"

    image = _rows_of_images(whole_numbers(rows, "image_id", where), image_ids, where)
    keypoints, visibility = _keypoints(rows, len(skeleton), where)
    crowd = numbers(rows, "iscrowd", where, default=0.0) > 0
    labelled = (visibility > 0).any(1) & ~crowd
    boxes = _boxes(rows, image_sizes[image], labelled, where)
    heads = numbers(rows, "pckh_normalize", where, default=np.nan)
    refuse(heads <= 0, where, lambda i: f"has `pckh_normalize` {heads[i]:g}; a length must be positive")
    return People(
        source=source,
        skeleton=skeleton,
        image_ids=image_ids,
        image_paths=image_paths,
        image_sizes=image_sizes,
        image=image,
        ids=ids,
        boxes=boxes,
        keypoints=keypoints,
        visibility=visibility,
        areas=_areas(rows, boxes, labelled, path, where),
        crowd=crowd,
        head_sizes=heads,
    )


def _skeleton(data: Any, path: Path, skeleton: Skeleton | None) -> tuple[Skeleton, list[Any] | None]:
    """The skeleton, and the ids of the categories that have it (None: any)."""
    if skeleton is not None and isinstance(data, dict) and "categories" not in data:
        return skeleton, None
    posed = [row for row in records(data, "categories", path) if row.get("keypoints")]
    if not posed and skeleton is not None:
        return skeleton, None
    if not posed:
        raise BadInput(f"{path}: no category has `keypoints`; give the person_keypoints file, not the instances file")
    found = [_from_category(row, path) for row in posed]
    if any(other.joints != found[0].joints for other in found):
        raise BadInput(f"{path}: its categories have different joints; keep one skeleton a file")
    if skeleton is not None and len(skeleton) != len(found[0]):
        raise BadInput(f"{path}: has {len(found[0])} joints a person, skeleton '{skeleton.name}' has {len(skeleton)}")
    return skeleton or found[0], [row.get("id") for row in posed]


def _from_category(row: dict[str, Any], path: Path) -> Skeleton:
    try:
        if tuple(row["keypoints"]) == COCO17.joints and not {"sigmas", "mirror"} & row.keys():
            return COCO17
        parts = {key: row[key] for key in ("sigmas", "mirror", "upper") if key in row}
        edges = [(a - 1, b - 1) for a, b in row.get("skeleton") or ()]  # COCO counts joints from 1
        name = row.get("name", "custom")
        return Skeleton.from_dict({"name": name, "joints": row["keypoints"], "edges": edges, **parts})
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (TypeError, ValueError):
        raise BadInput(f"{path}: a category's `keypoints` or `skeleton` is no list of names or of pairs") from None


def _images(data: Any, path: Path, photos: Path) -> tuple[NDArray[np.int64], tuple[Path, ...], NDArray[np.int32]]:
    rows = records(data, "images", path)
    ids = whole_numbers(rows, "id", lambda i: f"{path}: images[{i}]")
    if (twice := first_twice(ids)) is not None:
        raise BadInput(f"{path}: image id {twice} occurs more than once; number the images anew")

    def where(i: int) -> str:
        return f"{path}: image {ids[i]}"

    sizes = np.stack([numbers(rows, key, where) for key in ("width", "height")], axis=1)
    refuse((sizes < 1).any(1), where, lambda i: f"is {sizes[i, 0]:g}x{sizes[i, 1]:g} pixels; correct its size")
    names = [row.get("file_name") for row in rows]
    for i, name in enumerate(names):
        if not isinstance(name, str) or not stays_inside(name):
            raise BadInput(f"{where(i)} has `file_name` {brief(name)}; it must name a file inside {photos}")
    for below in {str(name).rpartition("/")[0] for name in names if "/" in str(name)}:
        if not (photos / below).resolve().is_relative_to(photos.resolve()):
            raise BadInput(f"{photos / below}: a link that leaves {photos}; put the photographs themselves there")
    return ids, tuple(photos / str(name) for name in names), sizes.astype(np.int32)


def stays_inside(name: str) -> bool:
    """Whether a file name leads to a file below its folder, on Linux and on Windows."""
    if not name or "\0" in name or name[0] in "/\\" or ":" in name[:2]:
        return False
    return ".." not in name or ".." not in re.split(r"[/\\]", name)


def _rows_of_images(wanted: NDArray[np.int64], image_ids: NDArray[np.int64], where: Where) -> NDArray[np.int64]:
    """Where each person's image stands in the table of images: (N,)."""
    order = np.argsort(image_ids)
    at = np.searchsorted(image_ids, wanted, sorter=order)
    known = at < len(image_ids)
    image = order[np.where(known, at, 0)] if len(image_ids) else np.zeros(len(wanted), np.int64)
    known[known] = image_ids[image[known]] == wanted[known]
    refuse(~known, where, lambda i: f"is in image {wanted[i]}, which is not among `images`; add or remove it")
    return image


def _keypoints(rows: list[dict[str, Any]], k: int, where: Where) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    flat = numbers(rows, "keypoints", where, width=3 * k).reshape(-1, k, 3)
    marks = flat[..., 2]
    bad = ~np.isin(marks, (0, 1, 2))
    refuse(bad.any(1), where, lambda i: f"has a visibility of {marks[i][bad[i]][0]:g}; only 0, 1, 2 have a meaning")
    keypoints = flat[..., :2] + 0.5 * (marks > 0)[..., None]
    return keypoints, marks.astype(np.uint8)


def _boxes(
    rows: list[dict[str, Any]], sizes: NDArray[np.int32], labelled: NDArray[np.bool_], where: Where
) -> NDArray[np.float64]:
    """Boxes (N, 4) xyxy in photographs of `sizes` (N, 2). Those of labelled people must show something."""
    xywh = numbers(rows, "bbox", where, width=4)
    low, extent = xywh[:, :2], xywh[:, 2:]
    high = low + extent
    bad = (extent < 0).any(1) | (labelled & (extent == 0).any(1))
    refuse(bad, where, lambda i: f"has the box {xywh[i].tolist()}; its width and height must be positive")
    outside = labelled & ((low >= sizes) | (high <= 0)).any(1)

    def what(i: int) -> str:
        w, h = sizes[i]
        return f"has the box {xywh[i].tolist()}, wholly outside its photograph of {w}x{h} pixels; correct or remove it"

    refuse(outside, where, what)
    return np.concatenate([low, high], axis=1)


def _areas(
    rows: list[dict[str, Any]], boxes: NDArray[np.float64], labelled: NDArray[np.bool_], path: Path, where: Where
) -> NDArray[np.float64]:
    areas = numbers(rows, "area", where, default=np.nan)
    missing = np.isnan(areas)
    if missing.any():
        log.warning("%s: %d people have no `area`; %s of the box is used", path, missing.sum(), AREA_OF_BOX)
    areas = np.where(missing, AREA_OF_BOX * geometry.area(boxes), areas)
    bad = (areas < 0) | (labelled & (areas == 0))
    refuse(bad, where, lambda i: f"has `area` {areas[i]:g}; it must be positive")
    return areas


def to_coco(people: People) -> dict[str, Any]:
    """The same people as a COCO keypoint file holds them, ready for `json.dumps`; `read_coco` gives them back.

    File names are relative to the folder that all photographs share. Where the skeleton is not COCO's, its
    category carries `sigmas`, `mirror` and `upper` beside COCO's own fields.
    """
    parents = {str(path.parent) for path in people.image_paths}
    root = os.path.commonpath(parents) if parents else ""
    images = [
        {"id": int(id), "file_name": path.relative_to(root).as_posix(), "width": int(w), "height": int(h)}
        for id, path, (w, h) in zip(people.image_ids, people.image_paths, people.image_sizes, strict=True)
    ]
    return {
        "info": {"description": people.source},
        "licenses": [],
        "categories": [_category(people.skeleton)],
        "images": images,
        "annotations": _annotations(people),
    }


def _annotations(people: People) -> list[dict[str, Any]]:
    n = len(people)
    points = people.keypoints - 0.5 * (people.visibility > 0)[..., None]
    table = np.concatenate([points.round(DECIMALS), people.visibility[..., None]], axis=-1).reshape(n, -1)
    extent = people.boxes[:, 2:] - people.boxes[:, :2]
    boxes = np.concatenate([people.boxes[:, :2], extent], axis=1).round(DECIMALS)
    rows = [
        {
            "id": int(people.ids[i]),
            "image_id": int(people.image_ids[people.image[i]]),
            "category_id": 1,
            "iscrowd": int(people.crowd[i]),
            "num_keypoints": int((people.visibility[i] > 0).sum()),
            "keypoints": [int(x) if x.is_integer() else x for x in table[i].tolist()],
            "bbox": boxes[i].tolist(),
            "area": float(people.areas[i]),
        }
        for i in range(n)
    ]
    for i in np.flatnonzero(np.isfinite(people.head_sizes)):
        rows[i]["pckh_normalize"] = float(people.head_sizes[i])
    return rows


def _category(skeleton: Skeleton) -> dict[str, Any]:
    own = {} if skeleton == COCO17 else {key: skeleton.to_dict()[key] for key in ("sigmas", "mirror", "upper")}
    return {
        "id": 1,
        "name": "person" if skeleton == COCO17 else skeleton.name,
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
        **own,
    }
