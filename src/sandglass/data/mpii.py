"""MPII Human Pose as the common JSON derivative (annot/train.json, valid.json). Image pixels, pixel centres at +0.5.

The files count pixels from 1, as MATLAB does: everything gets -0.5. `scale` is the person's height over 200 pixels
and `center` the middle of it: the box is the square of that side. A joint is labelled or not; whether it is hidden is
lost in this derivative, as is the head's size.
"""

from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.labels import Labels, people_of, photographs
from sandglass.data.skeletons import MPII16
from sandglass.data.untrusted import brief, numbers, objects, read_json

HEIGHT = 200.0  # pixels of a person at scale 1


def squares(centre: Floats, scale: Floats) -> Floats:
    """The boxes (N, 4) of people as high as `scale` (N,) says, around their centres (N, 2); NaN where one is."""
    half = scale[:, None] * HEIGHT / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def is_mpii(folder: Path, split: str) -> bool:
    """Whether there is a JSON derivative of this split."""
    return (folder / "annot" / f"{split}.json").is_file()


def read_mpii(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `<folder>/annot/<split>.json`, photographs in `<folder>/images/`. Raises BadInput."""
    path = folder / "annot" / f"{split}.json"
    data = read_json(path)
    if not isinstance(data, list):
        raise BadInput(f"{path}: holds {brief(data)}, not a list of people")
    rows, skeleton = objects(data, f"{path}: entry "), skeleton or MPII16
    k = len(skeleton)

    def where(i: int) -> str:
        return f"{path}: entry {i}"

    for i, row in enumerate(rows):
        joints = row.get("joints") or []
        pairs = isinstance(joints, list) and all(isinstance(point, list) and len(point) == 2 for point in joints)
        if not pairs or len(joints) != k:
            raise BadInput(f"{where(i)}: `joints` is {brief(joints)}; {k} points are needed, correct or remove it")
        if not isinstance(row.get("image"), str):
            raise BadInput(f"{where(i)} has `image` {brief(row.get('image'))}; it must name a photograph")
        row["flat"] = [value for point in joints for value in point]
    points = numbers(rows, "flat", where, width=2 * k).reshape(-1, k, 2) - 0.5
    marks = numbers(rows, "joints_vis", where, width=k)
    boxes = squares(numbers(rows, "center", where, width=2) - 0.5, numbers(rows, "scale", where))
    names, image = photographs([str(row["image"]) for row in rows])
    sizes = np.zeros((len(names), 2), np.int64)
    labels = Labels(names, sizes, image, points, np.where(marks > 0, 2, 0), boxes)
    return people_of(labels, path, folder / "images", f"{folder.resolve().name}@{split}", skeleton)
