"""MPII Human Pose as it was published, mpii_human_pose_v1_u12_1.mat. Image pixels, pixel centres at +0.5.

As in its derivatives (see `mpii`), pixels count from 1, and a box is the square around `objpos` of 200 pixels times
`scale`. The length for PCKh is 0.6 of the diagonal of the head's box. Andriluka et al., CVPR 2014.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.garbage import uncollected
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.labels import Labels, people_of, photographs
from sandglass.data.matlab import MatFile, Span
from sandglass.data.mpii import squares
from sandglass.data.skeletons import MPII16
from sandglass.data.untrusted import LIMIT

FILE = "mpii_human_pose_v1_u12_1.mat"
FOLDERS = (".", "annot", "mpii_human_pose_v1_u12_2")  # the last as the published archive unpacks
SPLITS = ("train", "single")  # single: those of train who stand apart from all others, by its field single_person
HEAD = 0.6  # of the diagonal of the head's box, as MPII's own evaluation has it

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Person:
    """picture: the name of the photograph. points: (K, 2), as the file counts. Numbers are NaN where there are none."""

    picture: str
    points: Floats
    visibility: NDArray[np.int64]
    centre: tuple[float, float]
    scale: float
    head: float

    @property
    def is_somewhere(self) -> bool:
        return bool(self.visibility.any()) or math.isfinite(self.scale + sum(self.centre))


def _file(folder: Path) -> Path | None:
    return next((path for below in FOLDERS if (path := folder / below / FILE).is_file()), None)


def is_mpii_mat(folder: Path, split: str) -> bool:
    """Whether the published file is there; it holds all splits."""
    return _file(folder) is not None


@uncollected()
def read_mpii_mat(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of MPII's photographs for training, which lie in `<folder>/images/`; those for testing have no labels.

    Joints that are not known as hidden count as visible: of the head's two it is never told. People without joints are
    kept where their place is known, for they count when detections are scored; the others are logged. Raises BadInput.
    """
    path, skeleton = _file(folder) or folder / FILE, skeleton or MPII16
    if split not in SPLITS:
        raise BadInput(f"{path}: has no split '{split}'; its splits with labels are: {', '.join(SPLITS)}")
    everybody = list(_people(MatFile(path, "RELEASE"), split == "single", len(skeleton)))
    people = [person for person in everybody if person.is_somewhere]
    if lost := len(everybody) - len(people):
        log.warning("%s: %d people without joints and without a place are left out", path, lost)
    names, image = photographs([person.picture for person in people])
    centre = np.array([person.centre for person in people]).reshape(-1, 2) - 0.5
    labels = Labels(
        names,
        np.zeros((len(names), 2), np.int64),
        image,
        np.array([person.points for person in people]).reshape(-1, len(skeleton), 2) - 0.5,
        np.array([person.visibility for person in people]).reshape(-1, len(skeleton)),
        squares(centre, np.array([person.scale for person in people])),
        np.array([person.head for person in people]),
    )
    return people_of(labels, path, folder / "images", f"{folder.resolve().name}@{split}", skeleton)


def _people(file: MatFile, single: bool, k: int) -> Iterator[_Person]:
    release = _only(file, file.root, "RELEASE")
    listed = file.rows(_field(file, release, "annolist"))
    train = file.numbers(_field(file, release, "img_train")).reshape(-1)
    apart = file.cells(_field(file, release, "single_person")) if single else []
    if len(train) != len(listed) or (single and len(apart) != len(listed)):
        raise file.bad("its lists of photographs differ in length")
    for i in np.flatnonzero(train > 0).tolist():
        image = _only(file, _field(file, listed[i], "image"), "image")
        name = file.text(_field(file, image, "name"))
        people = file.rows(_field(file, listed[i], "annorect"))
        chosen = file.numbers(apart[i]).reshape(-1) - 1 if single else range(len(people))
        for j in _rows(file, chosen, len(people)):
            yield _person(file, people[j], name, k, f"annolist({i + 1}).annorect({j + 1})")  # as MATLAB counts


def _rows(file: MatFile, chosen: Iterable[float], count: int) -> Iterator[int]:
    for row in chosen:
        if not (0 <= row < count and row == int(row)):
            raise file.bad("single_person names somebody who is not there")
        yield int(row)


def _person(file: MatFile, row: dict[str, Span], picture: str, k: int, place: str) -> _Person:
    points, visibility = np.full((k, 2), 0.5), np.zeros(k, np.int64)
    told = file.rows(row["annopoints"]) if "annopoints" in row else []
    for point in file.rows(_field(file, told[0], "point")) if told else []:
        joint, x, y = (file.number(point.get(name)) for name in ("id", "x", "y"))
        if joint not in range(k) or not max(abs(x), abs(y)) <= LIMIT:
            found = f"joint {joint:g} at ({x:g}, {y:g})"
            raise BadInput(f"{file.path}: {place} has {found}; joints are counted from 0 to {k - 1}, correct it")
        points[int(joint)] = x, y
        visibility[int(joint)] = 1 if file.number(point.get("is_visible")) == 0 else 2
    middle = file.rows(row["objpos"]) if "objpos" in row else []
    centre = (file.number(middle[0].get("x")), file.number(middle[0].get("y"))) if middle else (math.nan, math.nan)
    x1, y1, x2, y2 = (file.number(row.get(name)) for name in ("x1", "y1", "x2", "y2"))
    head = HEAD * math.hypot(x2 - x1, y2 - y1)
    return _Person(picture, points, visibility, centre, file.number(row.get("scale")), head if head > 0 else math.nan)


def _only(file: MatFile, span: Span, name: str) -> dict[str, Span]:
    """The one element of an array of structs."""
    found = file.rows(span)
    if len(found) != 1:
        raise file.bad(f"{len(found)} structs `{name}` where there is one")
    return found[0]


def _field(file: MatFile, row: dict[str, Span], name: str) -> Span:
    if name not in row:
        raise file.bad(f"it has no `{name}`")
    return row[name]
