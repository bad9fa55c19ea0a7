"""What of COCO 2017 is fetched, from where, and what that takes: known from the archives' directories alone."""

import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandglass.core.errors import BadInput
from sandglass.data.fetch.archive import Archive, Member
from sandglass.data.fetch.gather import absent
from sandglass.data.fetch.http import Manners
from sandglass.data.fetch.source import open_source
from sandglass.data.filters import Filter

OFFICIAL = "http://images.cocodataset.org"
VARIABLE = "SANDGLASS_COCO"  # an environment variable that names a mirror, laid out alike
ANNOTATIONS = "annotations/annotations_trainval2017.zip"
PHOTOS = "zips/{split}.zip"
FILE_BLOCK = 4096  # a file takes whole blocks of the disk


@dataclass(frozen=True)
class Split:
    """A part of COCO: whose photographs are fetched, and what the labels of 2017 say about their number."""

    rules: Filter
    photos: int  # that show somebody who passes the rules
    all_photos: int
    people: int  # who pass


SPLITS = {
    "train2017": Split(Filter(), 53_044, 118_287, 134_214),  # people worth training on
    "val2017": Split(Filter(min_joints=1, min_box_area=0.0), 2_346, 5_000, 6_352),  # people whom `coco-gt` scores
}


@dataclass(frozen=True, kw_only=True)
class CocoJob:
    """What is wanted. Raises BadInput for what cannot be."""

    out: Path
    splits: tuple[str, ...] = tuple(SPLITS)
    people: int = 0  # of each split, about; 0 for all
    seed: int = 0  # of the choice of these people; more people with the same seed hold the fewer
    whole: bool = False  # every photograph, also those without people
    base: str = ""  # address or folder of a mirror; "" for the environment's, or the official one
    connections: int = 8
    manners: Manners = field(default_factory=Manners)
    packed: frozenset[Path] = frozenset()  # photographs, absolute, that a half-made pack has: they are not fetched
    scratch_stays: bool = False  # until `forget`: for a command that needs the photographs for something more

    def __post_init__(self) -> None:
        for split in self.splits:
            if split not in SPLITS:
                raise BadInput(f"'{split}' is no labelled split of COCO 2017; known are {', '.join(SPLITS)}")
        if not self.splits or self.people < 0 or not 1 <= self.connections <= 32:
            raise BadInput("there must be a split, a positive number of people, and 1 to 32 connections")
        if self.whole and self.people:
            raise BadInput("every photograph, or those of some people: leave one of the two out")

    def open(self, path: str) -> Archive:
        """One of COCO's archives. Raises BadInput, and Changed."""
        base = self.base or os.environ.get(VARIABLE) or OFFICIAL
        return Archive.open(open_source(f"{base.rstrip('/')}/{path}", self.manners), self.scratch)

    @property
    def scratch(self) -> Path:
        """What an unfinished fetch needs to go on; gone in the end."""
        return self.out / ".fetch"


@dataclass(frozen=True)
class Row:
    """What is taken out of one archive. Estimates, see `Plan.of`; in bytes."""

    address: str
    files: int
    of: int  # in the archive; 0 where that is not known
    transfer: int
    disk: int


@dataclass(frozen=True)
class Plan:
    """All that is taken, and how the disk stands. The peak counts what is there already."""

    rows: tuple[Row, ...]
    peak: int
    there: int
    free: int

    @classmethod
    def of(cls, job: CocoJob, annotations: Archive, photos: Mapping[str, Archive]) -> "Plan":
        """From directories alone: which photographs show usable people is only known from the annotations, so
        their number comes from SPLITS, and their size from the mean of the archive."""
        rows = [_annotation_row(job, annotations)]
        rows += [_unpacked(_photo_row(job, split, photos[split]), job, split) for split in job.splits]
        folders = job.scratch, job.out / "annotations", *(job.out / split for split in job.splits)
        there = sum(held(folder) for folder in folders)
        # The official file, the packed one that it comes from, and the file with what was chosen.
        peak = 2 * rows[0].disk + rows[0].transfer + sum(row.disk for row in rows[1:])
        return cls(tuple(rows), peak, there, free_at(job.out))


def annotation_name(split: str) -> str:
    """Of the file with a split's people, in the archive and in the data set."""
    return f"annotations/person_keypoints_{split}.json"


def _annotation_row(job: CocoJob, archive: Archive) -> Row:
    source = archive.source
    if archive.members is None:
        return Row(source.name, len(job.splits), 0, source.size, source.size)  # one third of it, unpacked
    names = [annotation_name(split) for split in job.splits]
    absent(source, set(names) - archive.members.keys())
    chosen = [archive.members[name] for name in names]
    return Row(
        source.name, len(chosen), len(archive.members), sum(m.packed for m in chosen), sum(m.size for m in chosen)
    )


def _photo_row(job: CocoJob, name: str, archive: Archive) -> Row:
    split, source = SPLITS[name], archive.source
    files, share = split.photos, split.photos / split.all_photos
    if job.people:
        part = min(1.0, job.people / split.people)
        files, share = math.ceil(part * files), part * share
    if job.whole:
        files, share = split.all_photos, 1.0
    if archive.members is None:
        return Row(source.name, files, 0, source.size, math.ceil(share * source.size))
    photos = [member for member in archive.members.values() if member.size]
    files = len(photos) if job.whole else min(files, len(photos))
    transfer = sum(member.stop - member.start for member in photos)
    return Row(source.name, files, len(photos), math.ceil(share * transfer), math.ceil(share * on_disk(photos)))


def _unpacked(row: Row, job: CocoJob, split: str) -> Row:
    """The photographs of a row that are still to be fetched and packed. Without ranges, the whole archive passes by."""
    folder = (job.out / split).absolute()
    share = max(0, 1 - sum(photo.parent == folder for photo in job.packed) / max(1, row.files))
    transfer = math.ceil(share * row.transfer) if row.of else row.transfer
    return replace(row, files=round(share * row.files), transfer=transfer, disk=math.ceil(share * row.disk))


def on_file(size: int) -> int:
    """Bytes of disk that a file takes."""
    return -(-size // FILE_BLOCK) * FILE_BLOCK


def on_disk(members: Iterable[Member]) -> int:
    """Bytes of disk that members take as files."""
    return sum(on_file(member.size) for member in members)


def held(folder: Path) -> int:
    """Bytes of disk that the files of a folder take."""
    try:
        with os.scandir(folder) as entries:
            return sum(on_file(entry.stat().st_size) for entry in entries)
    except OSError:
        return 0


def free_at(folder: Path) -> int:
    """Free bytes on the disk where a folder is or will be."""
    path = folder.absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def check_disk(folder: Path, need: int) -> None:
    """Raise BadInput where fewer than `need` bytes are free."""
    free = free_at(folder)
    if need > free:
        raise BadInput(
            f"{folder}: {need / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; free some, choose another "
            "folder, or fetch fewer people (--people)"
        )
