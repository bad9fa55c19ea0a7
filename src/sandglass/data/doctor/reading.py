"""Reading a data set that may be ill: everything that the reader would refuse, not only the first."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.data.coco import find_split, people_from
from sandglass.data.coco import log as coco_log
from sandglass.data.doctor.finding import Finding
from sandglass.data.sets import SetSpec, parse_set, read_set
from sandglass.data.skeletons import find_skeleton, skeleton_of
from sandglass.data.untrusted import read_json, records

Row = dict[str, Any]
Refused = list[tuple[Row, str]]  # a row, and what the reader says of it


def read_with_findings(spec: SetSpec | str) -> tuple[People, list[Finding]]:
    """The people whom the reader takes, and a finding for every row of the file that it refuses.

    The judge is the reader itself, so that both never differ: a file that it refuses is read in halves until the rows
    that it refuses stand alone. Raises BadInput where there is nothing to divide: no such file, no JSON, no lists of
    images and annotations; and in layouts other than COCO's, which their own readers judge as a whole.
    """
    spec = parse_set(spec) if isinstance(spec, str) else spec
    if spec.layout != "coco":
        return read_set(spec), []
    try:
        people = read_set(spec)
    except BadInput:
        return _sifted(spec)
    return people, []


def _sifted(spec: SetSpec) -> tuple[People, list[Finding]]:
    path, photos = find_split(spec.folder, spec.split)
    data = read_json(path, without=("segmentation",))
    source = f"{spec.folder.resolve().name}@{spec.split}"
    wanted = spec.skeleton or skeleton_of(spec.folder)
    skeleton = find_skeleton(wanted) if isinstance(wanted, str) else wanted
    images, annotations = records(data, "images", path), records(data, "annotations", path)

    def read(some: list[Row], people: list[Row]) -> People:
        whole = {**data, "images": some, "annotations": people}
        return people_from(whole, path, photos, source, skeleton)

    with _quiet():
        read([], [])  # the categories are not divided
        images, bad_images = _sift(images, lambda some: read(some, []))
        by_id = {row["id"]: row for row in images}

        def read_near(some: list[Row]) -> People:  # with no more than the photographs that they name
            named = dict.fromkeys(id for row in some if type(id := row.get("image_id")) is int)
            return read([by_id[id] for id in named if id in by_id], some)

        annotations, bad = _sift(annotations, read_near)
        people = read(images, annotations)
    found = [_finding(source, None, said, path) for _, said in bad_images]
    return people, found + [_finding(source, row.get("id"), said, path) for row, said in bad]


def _finding(source: str, id: Any, said: str, path: Path) -> Finding:
    what = said.removeprefix(f"{path}: ")
    return Finding(kind="field", source=source, id=id if type(id) is int else None, what=what)


def _sift(rows: list[Row], read: Callable[[list[Row]], People]) -> tuple[list[Row], Refused]:
    """The rows that the reader takes, and those that it refuses."""
    once, twice = _once(rows)
    taken, refused = _halve(once, read)
    return taken, twice + refused


def _halve(rows: list[Row], read: Callable[[list[Row]], People]) -> tuple[list[Row], Refused]:
    try:
        read(rows)
        return rows, []
    except BadInput as error:
        if len(rows) == 1:
            return [], [(rows[0], str(error))]
    middle = len(rows) // 2
    left, right = _halve(rows[:middle], read), _halve(rows[middle:], read)
    return left[0] + right[0], left[1] + right[1]


def _once(rows: list[Row]) -> tuple[list[Row], Refused]:
    """Rows whose `id` was not there before, and the others: what no row shows alone."""
    seen: set[int] = set()
    once, refused = [], []
    for row in rows:
        id = row.get("id")
        if type(id) is int and id in seen:
            refused.append((row, f"id {id} occurs more than once"))
        else:
            once.append(row)
            seen |= {id} if type(id) is int else set()
    return once, refused


@contextmanager
def _quiet() -> Iterator[None]:
    """A file that is read in parts would tell of its missing areas for each part."""
    before = coco_log.disabled
    coco_log.disabled = True
    try:
        yield
    finally:
        coco_log.disabled = before
