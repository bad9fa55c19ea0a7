"""Plain tables -> People. The first line of a CSV file names its columns: image, NAME_x, NAME_y of each joint, NAME_v.

Coordinates are pixel indices as in COCO (a whole number is a pixel's centre): they get +0.5. An empty cell is "not
labelled"; without NAME_v a joint with both numbers is visible. x1, y1, x2, y2 are the box, continuous pixels (without
them: the joints' extent and a tenth beyond); width, height the photograph's; head_size the length for PCKh.
"""

import csv
import io
from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.labels import Labels, people_of, photographs
from sandglass.data.untrusted import LIMIT, brief
from sandglass.data.yolo import read_text

BOX, SIZE = ("x1", "y1", "x2", "y2"), ("width", "height")
OTHERS = ("image", *BOX, *SIZE, "head_size")


def is_table(folder: Path, split: str) -> bool:
    """Whether there is a CSV file of this split."""
    return (folder / f"{split}.csv").is_file()


def read_table(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `<folder>/<split>.csv`; photographs in `<folder>/<split>/`, `images/`, or the folder itself.

    The columns name the joints, so no skeleton is needed: the one that is given must have the same. Raises BadInput
    naming file and line.
    """
    path = folder / f"{split}.csv"
    try:
        rows = list(csv.reader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise BadInput(f"{path}: not a table of comma-separated values ({error})") from None
    header, rows = ([cell.strip() for cell in rows[0]], rows[1:]) if rows else ([], [])
    joints = tuple(name.removesuffix("_x") for name in header if name.endswith("_x"))
    if "image" not in header or not joints or len(set(header)) < len(header):
        raise BadInput(f"{path}: the first line must name the columns, each once: image, and NAME_x, NAME_y of joints")
    if unknown := [name for name in header if name not in OTHERS and not name.endswith(("_x", "_y", "_v"))]:
        known = ", ".join(("NAME_x", "NAME_y", "NAME_v", *OTHERS))
        raise BadInput(f"{path}: unknown column {brief(unknown[0])}; known are {known}")
    own = Skeleton.from_dict({"name": folder.resolve().name, "joints": list(joints)})
    if skeleton is not None and set(skeleton.joints) != set(joints):
        odd = sorted(set(skeleton.joints) ^ set(joints))
        raise BadInput(f"{path}: '{odd[0]}' is a joint of the columns or of '{skeleton.name}', not of both")
    skeleton = skeleton or own
    cells = {name: _column(rows, i, name, path) for i, name in enumerate(header) if name != "image"}
    pictures = [row[header.index("image")] if len(row) == len(header) else "" for row in rows]
    places = (folder / split, folder / "images", folder)
    photos = next(place for place in places if place.is_dir())
    return people_of(_labels(skeleton, cells, pictures), path, photos, f"{folder.resolve().name}@{split}", skeleton)


def _labels(skeleton: Skeleton, cells: dict[str, Floats], pictures: list[str]) -> Labels:
    n = len(pictures)
    empty = np.full(n, np.nan)

    def columns(*names: str) -> Floats:
        return np.stack([cells.get(name, empty) for name in names], axis=-1)

    points = np.stack([columns(f"{joint}_x", f"{joint}_y") for joint in skeleton.joints], axis=1)
    known = np.asarray(np.isfinite(points).all(-1))
    marks = columns(*(f"{joint}_v" for joint in skeleton.joints))
    names, image = photographs(pictures)
    sizes = np.zeros((len(names), 2), np.int64)
    sizes[image] = np.nan_to_num(columns(*SIZE)).astype(np.int64)
    return Labels(
        names,
        sizes,
        image,
        np.where(known[..., None], points, 0) + 0.5,
        np.where(known, np.where(np.isnan(marks), 2, marks), 0),
        columns(*BOX),
        columns("head_size")[:, 0],
    )


def _column(rows: list[list[str]], i: int, name: str, path: Path) -> Floats:
    values = np.full(len(rows), np.nan)
    for line, row in enumerate(rows):
        cell = row[i].strip() if i < len(row) else ""
        if not cell:
            continue
        try:
            values[line] = float(cell)
        except ValueError:
            values[line] = np.inf
        if not abs(values[line]) <= LIMIT:
            raise BadInput(f"{path}: line {line + 2} has {name} {brief(cell)}; a finite number is needed, or nothing")
    return values
