"""Data sets in COCO's format under other names: CrowdPose, OCHuman, AI Challenger, label files alone in a folder.

The format is COCO's, half pixel included: see `coco.py`. Only where the files lie differs.
"""

import re
from pathlib import Path

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.coco import read_coco_file

FOLDERS = ("annotations", "json", ".")


def files(folder: Path, split: str) -> list[Path]:
    """The .json or .json.gz files called SPLIT, or anything that ends in _SPLIT or -SPLIT, of a set's folders."""
    name = re.compile(rf"(.*[_-])?{re.escape(split)}\.json(\.gz)?")
    return [path for place in FOLDERS for path in sorted((folder / place).glob("*.json*")) if name.fullmatch(path.name)]


def is_variant(folder: Path, split: str) -> bool:
    """Whether there is such a file."""
    return bool(files(folder, split))


def read_variant(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `*_<split>.json`, which lies in the folder or in its annotations/ or json/.

    Photographs are looked for in `<split>/`, `images/<split>/` and `images/`.
    CrowdPose: `crowdpose_train.json` in json/ or annotations/ is CROWDPOSE@train. Raises BadInput, see
    `coco.read_coco_file`; where several files could be meant.
    """
    found = files(folder, split)
    if len(found) != 1:
        there = ", ".join(str(path.relative_to(folder)) for path in found) or "none"
        raise BadInput(f"{folder}: the labels of '{split}' could be in: {there}; leave one of them there")
    places = (folder / split, folder / "images" / split, folder / "images")
    photos = next((place for place in places if place.is_dir()), places[0])
    return read_coco_file(found[0], photos, f"{folder.resolve().name}@{split}", skeleton)
