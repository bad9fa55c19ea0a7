"""The photographs that people refer to: which are there, and reading them.

A data set may come from anywhere. Its folder of photographs may itself be a link: that is how large sets are shared.
Below it, no link may lead out of its folder, or a data set could show any file of this machine.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes
from sandglass.core.image import Photo, decode_image
from sandglass.core.pose import People

MISSING = "missing"
EMPTY = "empty file"
ESCAPES = "a link that leaves its folder"
MAX_BAD = 10  # people whose photographs cannot be read, and
MAX_BAD_SHARE = 0.1  # of the people met so far, before a data set counts as broken, not merely scratched


@dataclass(frozen=True)
class PhotoProblem:
    """A photograph that cannot be used. row: in the table of images; why: MISSING, EMPTY or ESCAPES."""

    row: int
    path: Path
    why: str


def check_photos(people: People) -> list[PhotoProblem]:
    """What is wrong with the files of the images that hold people, by their folders' listings alone.

    Nothing is opened: 50,000 photographs take well under a second. A broken picture shows when it is read.
    """
    problems = []
    for row, path, entry in _entries(people):
        why = _problem(entry) if entry else MISSING
        if why:
            problems.append(PhotoProblem(row, path, why))
    return sorted(problems, key=lambda problem: problem.row)


def read_photo(people: People, row: int) -> Photo:
    """The photograph of a row in the table of images, turned as its labels see it.

    Raises BadInput: see `decode_image`; also for a link that leads out of the photograph's folder.
    """
    path, (w, h) = people.image_paths[row], people.image_sizes[row]
    if path.is_symlink() and not _leads_inside(path):
        raise BadInput(f"{path}: {ESCAPES}; put the photograph itself there")
    return decode_image(read_bytes(path), str(path), (int(w), int(h)))


def too_many_bad(people: int, seen: int) -> bool:
    """Whether so many of the people seen, lost with their photographs, mean that the data set is broken."""
    return people > MAX_BAD + MAX_BAD_SHARE * seen


def photo_bytes(people: People) -> dict[int, int]:
    """How large the files of the images that hold people are, by row in the table of images; those that are there."""
    sizes = {}
    for row, _, entry in _entries(people):
        with suppress(OSError):
            if entry and entry.is_file():
                sizes[row] = entry.stat().st_size
    return dict(sorted(sizes.items()))


def without_photos(people: People, problems: Sequence[PhotoProblem]) -> People:
    """The people whose photographs are in order."""
    return people.select(~np.isin(people.image, [problem.row for problem in problems]))


def _entries(people: People) -> Iterator[tuple[int, Path, os.DirEntry[str] | None]]:
    """The images that hold people, folder by folder, with what the folder's listing has under their names."""
    folders = defaultdict[Path, list[int]](list)
    for row in np.unique(people.image).tolist():
        folders[people.image_paths[row].parent].append(row)
    for folder, rows in folders.items():
        listing = _listing(folder)
        for row in rows:
            path = people.image_paths[row]
            yield row, path, listing.get(path.name)


def _listing(folder: Path) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry for entry in entries}
    except OSError:
        return {}


def _problem(entry: os.DirEntry[str]) -> str | None:
    try:
        if not entry.is_file():
            return MISSING
        if entry.is_symlink() and not _leads_inside(Path(entry.path)):
            return ESCAPES  # a data set from elsewhere could show any file of this machine
        return None if entry.stat().st_size else EMPTY
    except OSError:
        return MISSING


def _leads_inside(link: Path) -> bool:
    return link.resolve().is_relative_to(link.parent.resolve())
