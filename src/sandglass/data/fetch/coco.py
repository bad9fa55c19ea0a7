"""COCO 2017 from the source: photographs with usable people, out of the remote archives, in the COCO layout."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable, write_whole
from sandglass.core.pose import People
from sandglass.data.coco import read_coco_file
from sandglass.data.fetch.archive import Archive, walk
from sandglass.data.fetch.gather import (
    Progress,
    absent,
    bytes_of,
    fetch_large,
    gather,
    gather_passing,
    is_there,
    missing,
    runs,
    save,
    unpack,
)
from sandglass.data.fetch.http import Changed
from sandglass.data.fetch.plan import (
    ANNOTATIONS,
    PHOTOS,
    SPLITS,
    CocoJob,
    Plan,
    annotation_name,
    check_disk,
    on_disk,
)
from sandglass.data.filters import Filter, keep
from sandglass.data.untrusted import MAX_JSON_BYTES, read_json

Bar = Callable[[str], AbstractContextManager[Progress]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What is there of a split in the end."""

    split: str
    photos: int  # with those that are packed
    people: int  # who pass the split's filter
    fetched: int  # photographs that were not there before
    transfer: int  # bytes of the archive that they took


@contextmanager
def _silent(text: str) -> Iterator[Progress]:
    yield lambda done, total: None


def plan_coco(job: CocoJob) -> Plan:
    """What `get_coco` would do. Reads the archives' directories, writes nothing. Raises BadInput."""
    return Plan.of(job, *_open(job))


def get_coco(job: CocoJob, bar: Bar = _silent) -> list[Fetched]:
    """Fetch what is not there yet of the wanted splits, so that `job.out` is a data set in the COCO layout.

    A split gets its annotation file last: without it, the split is not complete. The file names the photographs
    that were chosen, with all that the official file says about them but the outlines; with `job.whole` it is the
    official file. What was begun is gone on with, and photographs that are there, or packed, are not fetched again.
    Raises BadInput: an address that cannot be had, too little disk, archives that are damaged.
    """
    check_writable(job.out)
    for _ in range(2):
        try:
            return _get(job, bar)
        except Changed as error:
            log.warning("%s: changed while it was fetched; starting anew", error)
    raise BadInput(f"{job.out}: an archive changes while it is fetched; try again later, or give a mirror")


def _open(job: CocoJob) -> tuple[Archive, dict[str, Archive]]:
    return job.open(ANNOTATIONS), {split: job.open(PHOTOS.format(split=split)) for split in job.splits}


def _get(job: CocoJob, bar: Bar) -> list[Fetched]:
    annotations, photos = _open(job)
    plan = Plan.of(job, annotations, photos)
    check_disk(job.out, plan.peak - plan.there)
    for archive in (annotations, *photos.values()):
        archive.remember(job.scratch)
    officials = _annotations(job, annotations, bar)
    done = [_fetch_split(job, split, photos[split], officials[split], bar) for split in job.splits]
    if not job.scratch_stays:
        forget(job)
    return done


def forget(job: CocoJob) -> None:
    """Remove what only the same job, once more, would need."""
    shutil.rmtree(job.scratch, ignore_errors=True)


def _annotations(job: CocoJob, archive: Archive, bar: Bar) -> dict[str, Path]:
    """The official annotation file of each split, unpacked."""
    paths = {annotation_name(split): job.scratch / f"{split}.json" for split in job.splits}
    with bar("annotations") as progress:
        if archive.members is None:
            _annotations_passing(archive, paths, progress)
        else:
            for name, path in paths.items():
                if not is_there(path, archive.members[name]):
                    fetch_large(archive.source, archive.members[name], path, MAX_JSON_BYTES, progress)
    return {split: paths[annotation_name(split)] for split in job.splits}


def _annotations_passing(archive: Archive, paths: Mapping[str, Path], progress: Progress) -> None:
    found = set()
    for member, raw in walk(archive.source, paths.__contains__):
        path, found = paths[member.name], found | {member.name}
        if not is_there(path, member):
            part = path.with_suffix(".packed")
            part.unlink(missing_ok=True)
            save(raw, part, member.start, archive.source.size, progress)
            if not unpack(member, part, path, MAX_JSON_BYTES):
                raise BadInput(f"{archive.source.name}: {member.name} is damaged; run the same command again")
    absent(archive.source, paths.keys() - found)


def _fetch_split(job: CocoJob, split: str, archive: Archive, official: Path, bar: Bar) -> Fetched:
    folder, rules = job.out / split, SPLITS[split].rules
    people = read_coco_file(official, folder, f"COCO {split}")
    rows = np.arange(len(people.image_ids)) if job.whole else choose(people, rules, job.people, job.seed)
    for torn in folder.glob(".*.part"):  # of a run that was killed
        torn.unlink()
    chosen = [people.image_paths[r] for r in rows]
    left = [path for path in chosen if path.absolute() not in job.packed]
    paths = {f"{split}/{path.relative_to(folder).as_posix()}": path for path in left}
    fetched, transfer = _photos(job, split, archive, paths, os.path.getsize(official), bar)
    _write_annotations(job, split, official, people.image_ids[rows])
    passing = int(np.isin(keep(people, rules)[0].image, rows).sum())
    return Fetched(split, len(rows), passing, fetched, transfer)


def _photos(
    job: CocoJob, split: str, archive: Archive, paths: Mapping[str, Path], reserve: int, bar: Bar
) -> tuple[int, int]:
    """Fetch the photographs (member's name -> path) that are not there; how many, and the bytes that took."""
    source, members = archive.source, archive.members
    if not paths:
        return 0, 0
    if members is None:
        with bar(f"{split}: the whole archive passes by") as progress:
            return gather_passing(source, paths, progress), source.size
    absent(source, paths.keys() - members.keys())
    with bar(f"{split}: what is here already") as progress:
        left = missing({path: members[name] for name, path in paths.items()}, progress)
    check_disk(job.out, on_disk(left.values()) + reserve)
    with bar(f"{split}: photographs") as progress:
        gather(source, left, job.connections, progress)
    return len(left), bytes_of(runs(left.values()))


def _write_annotations(job: CocoJob, split: str, official: Path, image_ids: NDArray[np.int64]) -> None:
    path = job.out / annotation_name(split)
    if job.whole:
        path.parent.mkdir(exist_ok=True)
        os.replace(official, path)
        return
    data: dict[str, Any] = read_json(official, without=("segmentation",))
    chosen = set(image_ids.tolist())
    told = f"COCO 2017, {split}: {len(chosen):,} photographs that sandglass chose; without outlines"
    data["info"] = {**dict(data.get("info") or {}), "description": told}
    data["images"] = [row for row in data["images"] if row["id"] in chosen]
    data["annotations"] = [row for row in data["annotations"] if row["image_id"] in chosen]
    write_whole(path, json.dumps(data, separators=(",", ":")))


def choose(people: People, rules: Filter, count: int = 0, seed: int = 0) -> NDArray[np.int64]:
    """Images to fetch, as ascending rows: those that show somebody who passes `rules`.

    With `count`, as many of them, in an order that `seed` shuffles, as show that many such people together.
    Raises BadInput if nobody passes.
    """
    rows, shown = np.unique(keep(people, rules)[0].image, return_counts=True)
    if count:
        order = np.random.default_rng(seed).permutation(len(rows))
        rows = np.sort(rows[order[: np.searchsorted(np.cumsum(shown[order]), count) + 1]])
    return rows
