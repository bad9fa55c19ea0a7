"""A fingerprint changes with what would be learnt from, and with nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.pose import People
from sandglass.data.coco import read_coco
from sandglass.data.fingerprint import Fingerprint, combined
from sandglass.data.photos import photo_bytes


@pytest.fixture(scope="module")
def people(tiny_coco: Path) -> People:
    return read_coco(tiny_coco, "train")


def changed(people: People, name: str, change: Any) -> People:
    column = getattr(people, name).copy()
    change(column)
    return replace(people, **{name: column})


def nudge(column: Any) -> None:
    column[0] += 1


def test_every_label_counts(people: People) -> None:
    mark = Fingerprint.of(people)
    assert mark == Fingerprint.of(read_coco(people.image_paths[0].parents[1], "train")) and mark.there == 3
    for name in ("ids", "boxes", "keypoints", "image_sizes"):
        assert Fingerprint.of(changed(people, name, nudge)).labels != mark.labels, name
    hidden = changed(people, "visibility", lambda column: column.__setitem__((0, 0), 1))
    assert Fingerprint.of(hidden).labels != mark.labels
    assert Fingerprint.of(people.select(np.arange(len(people))[::-1])).labels != mark.labels
    assert Fingerprint.of(people.select(np.arange(4))).labels != mark.labels


def test_what_has_no_meaning_does_not_count(people: People) -> None:
    """The place of a joint that is not labelled, and images that nobody is in."""
    blind = changed(people, "visibility", lambda column: column.__setitem__((0, 3), 0))
    moved = changed(blind, "keypoints", lambda column: column.__setitem__((0, 3), 77.0))
    assert Fingerprint.of(moved) == Fingerprint.of(blind)
    alone = people.select(people.image == 0)
    path = alone.image_paths[0]
    smaller = replace(alone, image_ids=alone.image_ids[:1], image_paths=(path,), image_sizes=alone.image_sizes[:1])
    assert Fingerprint.of(smaller) == Fingerprint.of(alone)


def test_photographs_count_by_name_and_length(tiny_coco: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set", copy_function=shutil.copyfile)  # other times, another place
    mark = Fingerprint.of(read_coco(tiny_coco, "train"))
    people = read_coco(folder, "train")
    assert Fingerprint.of(people) == mark
    photo = folder / "train" / "000001.png"
    photo.write_bytes(photo.read_bytes() + b"x")
    now = Fingerprint.of(people)
    assert now.labels == mark.labels and now.photos != mark.photos and not mark.fits(now)
    photo.unlink()
    gone = Fingerprint.of(people)
    assert gone.there == 2 and mark.fits(gone) and not gone.fits(mark)  # one that came back would be news


def test_lengths_of_photographs(tiny_coco: Path) -> None:
    people = read_coco(tiny_coco, "train")
    sizes = photo_bytes(people)
    assert sizes == {row: path.stat().st_size for row, path in enumerate(people.image_paths)}
    assert photo_bytes(people.select(people.image == 1)).keys() == {1}


def test_parts_cannot_be_shifted_into_one_another() -> None:
    assert len({combined(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], [])}) == 5
    assert combined(["a"]) == combined(["a"]) and len(combined([])) == 32
