"""A data set written down in another layout, with its photographs linked or copied beside."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable, write_whole
from sandglass.core.pose import People
from sandglass.data.coco import annotation_file, to_coco
from sandglass.data.yolo import write_yolo

Layout = Literal["coco", "yolo"]
Photos = Literal["link", "copy", "none"]


@dataclass(frozen=True)
class Written:
    """What came of a conversion. dropped: people whom the layout cannot hold."""

    people: int
    dropped: int
    labels: Path


def _write_coco(people: People, folder: Path, split: str) -> int:
    write_whole(folder / "annotations" / f"person_keypoints_{split}.json", json.dumps(to_coco(people)))
    return 0


# Layout -> (the writer, which returns how many people it could not hold; where labels lie; where photographs do).
WRITERS: dict[str, tuple[Callable[[People, Path, str], int], str, str]] = {
    "coco": (_write_coco, "annotations", "{split}"),
    "yolo": (write_yolo, "labels/{split}", "images/{split}"),
}


def write_set(people: People, folder: Path, split: str, layout: Layout, photos: Photos = "link") -> Written:
    """Write `people` as `folder`@`split` in a layout that the readers know.

    photos: "link" makes the folder of photographs a link to the old one, "copy" copies the files. A set that is there
    is never written over. Raises BadInput.
    """
    if layout not in WRITERS:
        raise BadInput(f"layout '{layout}' cannot be written; choose one of {', '.join(WRITERS)}")
    write, labels, pictures = (WRITERS[layout][0], *(place.format(split=split) for place in WRITERS[layout][1:]))
    there = annotation_file(folder, split) if layout == "coco" else folder / labels
    if there.exists() or os.path.lexists(folder / pictures):
        raise BadInput(f"{folder}: already holds '{split}' in the layout {layout}; choose another --out")
    if layout == "yolo":
        _check_names(people)
    check_writable(folder)
    if photos != "none":
        _place_photos(people, folder / pictures, photos)
    dropped = write(people, folder, split)
    return Written(len(people) - dropped, dropped, folder / labels)


def _check_names(people: People) -> None:
    """Label files are called as their photographs: none may be called as another."""
    stems = [path.stem for path in people.image_paths]
    if len(set(stems)) < len(stems) or len({path.parent for path in people.image_paths}) > 1:
        raise BadInput(f"{people.source}: YOLO's layout needs all photographs in one folder, with names of their own")


def _place_photos(people: People, target: Path, photos: Photos) -> None:
    parents = {str(path.parent) for path in people.image_paths}
    root = Path(os.path.commonpath(parents)) if parents else target
    if not root.is_dir():
        raise BadInput(f"{root}: the photographs are not here; give --photos none to convert the labels alone")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if photos == "link":
            target.symlink_to(root.resolve(), target_is_directory=True)
            return
        for path in people.image_paths:
            place = target / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    except OSError as error:
        cure = "try --photos copy" if photos == "link" else "make room, or try --photos link"
        raise BadInput(f"{target}: the photographs cannot be put there ({error.strerror}); {cure}") from None
