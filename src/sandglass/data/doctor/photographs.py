"""The photographs of data sets: broken ones, wrong sizes, and the same one twice, also across sets."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sandglass.core.cores import cpu_count
from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes
from sandglass.core.image import decode_image
from sandglass.core.pose import People
from sandglass.data.doctor.finding import Finding
from sandglass.data.photos import check_photos

Progress = Callable[[int, int], None]  # done, total
AHEAD = 64  # photographs that wait in memory to be decoded


def check_photographs(sets: Sequence[People], on_progress: Progress | None = None) -> list[Finding]:
    """Every photograph that holds people is read and decoded once. `on_progress` is told (done, total).

    The same photograph is one of the same bytes; what was scaled or encoded anew is not recognised.
    """
    total = sum(len(np.unique(people.image)) for people in sets)
    found: list[Finding] = []
    seen: dict[bytes, tuple[People, Path]] = {}
    done = 0
    with ThreadPoolExecutor(min(cpu_count(), 16)) as pool:
        for people in sets:
            problems = {p.row: f"{p.path.name}: {p.why}" for p in check_photos(people)}
            rows = [row for row in np.unique(people.image).tolist() if row not in problems]
            found += [_finding("photo", people, row, why) for row, why in problems.items()]
            done += len(problems)
            for start in range(0, len(rows), AHEAD):
                some = rows[start : start + AHEAD]
                for row, (digest, said) in zip(some, pool.map(lambda row, of=people: look(of, row), some), strict=True):
                    found += [_finding(kind, people, row, what) for kind, what in said]
                    found += _again(people, row, digest, seen)
                done += len(some)
                if on_progress is not None:
                    on_progress(done, total)
    return found


def _finding(kind: str, people: People, row: int, what: str) -> Finding:
    return Finding(kind=kind, source=people.source, photo=str(people.image_paths[row]), what=what)


def look(people: People, row: int) -> tuple[bytes, list[tuple[str, str]]]:
    """A digest of one photograph's file (empty where it cannot be read), and what is wrong with it: kind, words."""
    path, (w, h) = people.image_paths[row], people.image_sizes[row]
    try:
        data = read_bytes(path)
    except BadInput as error:
        return b"", [("photo", str(error))]
    digest = hashlib.sha256(data).digest()
    try:
        decode_image(data, path.name, (int(w), int(h)))
    except BadInput:
        return digest, [_trouble(data, path.name, f"{w}x{h}")]
    return digest, []


def _trouble(data: bytes, name: str, size: str) -> tuple[str, str]:
    """Why a picture does not decode at the size that its annotations give."""
    try:
        image = decode_image(data, name)
    except BadInput as error:
        return "photo", str(error)
    return "size", f"{name} is {image.shape[1]}x{image.shape[0]} pixels, but its annotations say {size}"


def _again(people: People, row: int, digest: bytes, seen: dict[bytes, tuple[People, Path]]) -> list[Finding]:
    path = people.image_paths[row]
    before = seen.setdefault(digest, (people, path)) if digest else (people, path)
    if before[1] == path and before[0] is people:
        return []
    kind = "repeated photo" if before[0] is people else "leak"
    return [_finding(kind, people, row, f"{path.name} is {before[1].name} of {before[0].source}, byte for byte")]
