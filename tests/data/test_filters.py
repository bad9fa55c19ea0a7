"""Filters: who is kept, what each rule removed, and that nobody left is an error with the counts."""

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
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


@pytest.fixture
def many(tiny_coco: Path) -> People:
    """A thousand photographs with two people each, in a shuffled table."""
    people = read_coco(tiny_coco, "train").select(np.zeros(2000, np.int64))
    ids = np.random.default_rng(0).permutation(1000) + 7
    return replace(
        people,
        image_ids=ids,
        image_paths=tuple(Path(f"{i}.jpg") for i in ids),
        image_sizes=np.full((1000, 2), 240, np.int32),
        image=np.arange(2000) // 2,
        ids=np.arange(2000),
    )


def photographs(people: People) -> set[int]:
    return set(people.image_ids[people.image].tolist())


def test_a_share_takes_whole_photographs_and_the_larger_holds_the_smaller(many: People) -> None:
    shares = (0.0625, 0.25, 0.5, 1.0)
    kept = [keep(many, Filter(share=share))[0] for share in shares]
    for people, share in zip(kept, shares, strict=True):
        assert len(people) == 2 * len(photographs(people))
        assert len(people) / 2000 == pytest.approx(share, abs=4 * (share * (1 - share) / 1000) ** 0.5)
    for fewer, more in pairwise(kept):
        assert photographs(fewer) < photographs(more)


def test_a_share_is_drawn_by_its_seed_and_each_photograph_alone(many: People) -> None:
    half = photographs(keep(many, Filter(share=0.5))[0])
    other = photographs(keep(many, Filter(share=0.5, seed=1))[0])
    assert len(half & other) / len(half) == pytest.approx(0.5, abs=0.1), "seeds are independent"
    part = many.select(many.image < 300)
    assert photographs(keep(part, Filter(share=0.5))[0]) == half & photographs(part), "what else is there is nothing"


def test_a_share_is_counted_like_any_rule(many: People) -> None:
    tally = keep(many, Filter(share=0.5))[1]
    assert tally.removed["not in the share 0.5"] == 2000 - tally.kept and tally.images == tally.kept // 2
    assert "not in the share 1" not in keep(many, Filter())[1].removed
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(BadInput, match="give 0 < share <= 1"):
            Filter(share=share)


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
