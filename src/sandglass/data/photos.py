"""The photographs that people refer to: which are there, before anything is trained on or scored."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sandglass.core.pose import People

MISSING = "missing"
EMPTY = "empty file"
ESCAPES = "a link that leaves its folder"


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
    folders = defaultdict[Path, list[int]](list)
    for row in np.unique(people.image).tolist():
        folders[people.image_paths[row].parent].append(row)
    problems = []
    for folder, rows in folders.items():
        listing = _listing(folder)
        for row in rows:
            path = people.image_paths[row]
            entry = listing.get(path.name)
            why = _problem(entry) if entry else MISSING
            if why:
                problems.append(PhotoProblem(row, path, why))
    return sorted(problems, key=lambda problem: problem.row)


def without_photos(people: People, problems: Sequence[PhotoProblem]) -> People:
    """The people whose photographs are in order."""
    return people.select(~np.isin(people.image, [problem.row for problem in problems]))


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
