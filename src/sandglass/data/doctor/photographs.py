"""The photographs of data sets: broken ones, wrong sizes, and the same one twice, also across sets."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandglass.core.cores import cpu_count
from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes
from sandglass.core.image import decode_image
from sandglass.core.pose import People
from sandglass.data.doctor.alike import BITS, Pair, alike, miniature
from sandglass.data.doctor.finding import Finding
from sandglass.data.photos import check_photos

Progress = Callable[[int, int], None]  # done, total
AHEAD = 64  # photographs that wait in memory to be decoded
Place = tuple[People, int]  # a photograph: its set, and its row in the table of images


@dataclass(frozen=True, eq=False)
class Look:
    """What one photograph shows. digest: of its file, empty where it cannot be read. small: None where it is ill.

    troubles: what is wrong with it, as kinds and words.
    """

    digest: bytes
    small: NDArray[np.uint8] | None
    troubles: tuple[tuple[str, str], ...] = ()


def check_photographs(sets: Sequence[People], on_progress: Progress | None = None) -> list[Finding]:
    """Every photograph that holds people is read and decoded once. `on_progress` is told (done, total).

    The same photograph is one of the same bytes. What was encoded anew, scaled, cut a little or made brighter, and
    frames of one scene, are found by their looks (see `alike`): for that, 2.3 kB of each stay in memory.
    """
    total = sum(len(np.unique(people.image)) for people in sets)
    tell = on_progress or (lambda done, total: None)
    found: list[Finding] = []
    seen: dict[bytes, Place] = {}
    places: list[Place] = []
    digests: list[bytes] = []  # of `places`
    small: list[NDArray[np.uint8]] = []  # of `places`
    done = 0
    with ThreadPoolExecutor(min(cpu_count(), 16)) as pool:
        for people in sets:
            problems = {p.row: f"{p.path.name}: {p.why}" for p in check_photos(people)}
            rows = [row for row in np.unique(people.image).tolist() if row not in problems]
            found += [_finding("photo", (people, row), why) for row, why in problems.items()]
            done += len(problems)
            for start in range(0, len(rows), AHEAD):
                some = rows[start : start + AHEAD]
                for row, one in zip(some, pool.map(lambda row, of=people: look(of, row), some), strict=True):
                    here = people, row
                    found += [_finding(kind, here, what) for kind, what in one.troubles]
                    again = _again(here, one.digest, seen)
                    found += again
                    repeated = any(finding.kind == "repeated photo" for finding in again)
                    if one.small is not None and not repeated:
                        places.append(here)
                        digests.append(one.digest)
                        small.append(one.small)
                done += len(some)
                tell(done, total)
        pairs = alike(small, pool, lambda now, of: tell(total + now, total + of))
    return found + _nearly(places, [pair for pair in pairs if digests[pair.first] != digests[pair.second]])


def _finding(kind: str, place: Place, what: str, like: Place | None = None, sure: float = 1.0) -> Finding:
    other = str(_path(like)) if like else ""
    return Finding(kind=kind, source=place[0].source, photo=str(_path(place)), like=other, sure=sure, what=what)


def look(people: People, row: int) -> Look:
    """Read and decode one photograph."""
    path, (w, h) = people.image_paths[row], people.image_sizes[row]
    try:
        data = read_bytes(path)
    except BadInput as error:
        return Look(b"", None, (("photo", str(error)),))
    digest = hashlib.sha256(data).digest()
    try:
        return Look(digest, miniature(decode_image(data, path.name, (int(w), int(h)))))
    except BadInput:
        return Look(digest, None, (_trouble(data, path.name, f"{w}x{h}"),))


def _trouble(data: bytes, name: str, size: str) -> tuple[str, str]:
    """Why a picture does not decode at the size that its annotations give."""
    try:
        image = decode_image(data, name)
    except BadInput as error:
        return "photo", str(error)
    return "size", f"{name} is {image.shape[1]}x{image.shape[0]} pixels, but its annotations say {size}"


def _again(place: Place, digest: bytes, seen: dict[bytes, Place]) -> list[Finding]:
    """What is to be said of a photograph whose bytes were seen before."""
    before = seen.setdefault(digest, place) if digest else place
    if before is place:
        return []
    kind = "repeated photo" if before[0] is place[0] else "leak"
    what = f"{_called(place)} is {_called(before)} of {before[0].source}, byte for byte"
    return [_finding(kind, place, what, before)]


def _nearly(places: Sequence[Place], pairs: Sequence[Pair]) -> list[Finding]:
    """For each photograph the one of its set that came before and is most like it, and the one of another set that is.

    So every photograph that leaks is in a finding, as `photo` or as `like`.
    """
    best: dict[tuple[int, str], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.sure):
        if places[pair.first][0] is places[pair.second][0]:
            best[pair.second, "similar photo"] = pair
        else:
            best[pair.first, "leak"] = best[pair.second, "leak"] = pair
    found = []
    for pair, kind in {pair: kind for (_, kind), pair in best.items()}.items():
        here, before = places[pair.second], places[pair.first]
        why = f"correlation {pair.correlation:.3f}, {pair.bits} of {BITS} bits differ"
        what = f"{_called(here)} is nearly {_called(before)} of {before[0].source} ({why})"
        found.append(_finding(kind, here, what, before, pair.sure))
    return found


def _path(place: Place) -> Path:
    people, row = place
    return people.image_paths[row]


def _called(place: Place) -> str:
    people, row = place
    return f"{_path(place).name} (image {people.image_ids[row]})"
