"""Filters: who is kept, what each rule removed, and that nobody left is an error with the counts."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.data.coco import read_coco
from sandglass.data.filters import Filter, keep, tally_table


def test_each_rule_is_counted_once(tiny_coco: Path) -> None:
    people, tally = keep(read_coco(tiny_coco, "train"), Filter())
    assert people.ids.tolist() == [1, 2, 3, 4, 5]
    assert list(tally.removed.values()) == [1, 1, 0]  # the crowd region has no joints either: it counts as crowd
    assert (tally.people, tally.kept, tally.images) == (7, 5, 3)
    assert sum(tally.removed.values()) + tally.kept == tally.people


def test_bounds_are_at_least_and_more_than(tiny_coco: Path) -> None:
    people = read_coco(tiny_coco, "train")
    assert 90 in keep(people, Filter(min_joints=3))[0].ids
    assert 90 not in keep(people, Filter(min_joints=4))[0].ids
    areas = np.sort([90 * 170.0, 80 * 150, 110 * 180, 70 * 140, 85 * 160])
    assert len(keep(people, Filter(min_box_area=areas[0]))[0]) == 4
    assert len(keep(people, Filter(min_box_area=areas[0] - 1))[0]) == 5


def test_nobody_left_says_why(tiny_coco: Path) -> None:
    people = read_coco(tiny_coco, "train")
    with pytest.raises(BadInput, match=r"@train: no people left of 7 \(crowd: 1, < 18 joints: 6, box .*: 0\)"):
        keep(people, Filter(min_joints=18))
    with pytest.raises(BadInput, match="no people left of 0"):
        keep(people.select(np.zeros(7, bool)), Filter())
    with pytest.raises(BadInput, match="neither can be negative"):
        Filter(min_joints=-1)


def test_table_shows_every_count(tiny_coco: Path) -> None:
    tallies = [keep(read_coco(tiny_coco, split), Filter())[1] for split in ("train", "val")]
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(tally_table(tallies))
    train, val = (line for line in console.export_text().splitlines() if "@" in line)
    assert [cell.strip() for cell in train.split("│")[2:-1]] == ["7", "1", "1", "0", "5", "3"]
    assert [cell.strip() for cell in val.split("│")[2:-1]] == ["3", "0", "0", "0", "3", "2"]


def test_real_sets(people_folder: Path) -> None:
    kept = {("coco", "train"): 4809, ("coco", "val"): 787, ("lsp", "test"): 515, ("mpii", "val"): 134}
    for (folder, split), count in kept.items():
        assert keep(read_coco(people_folder / folder, split), Filter())[1].kept == count
