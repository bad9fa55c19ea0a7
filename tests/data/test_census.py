"""A census counts what is there: by hand on a few people, by slow loops on many, and as published on COCO's labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.skeleton import Skeleton
from sandglass.data.census import Census, counts_table, joints_table, overview_table, sizes_table
from sandglass.data.coco import read_coco_file

THREE = Skeleton.from_dict({"joints": ["nose", "left_eye", "right_eye"]})


def test_counts_by_hand(make_people: Any) -> None:
    visibility = [[2, 1, 0], [2, 2, 2], [0, 0, 0], [2, 0, 0]]
    crowd = [False, False, False, True]
    boxes = [[0, 0, 100, 50], [0, 0, 10, 40], [0, 0, 20, 20], [0, 0, 999, 999]]
    people = make_people(np.zeros((4, 3, 2)), skeleton=THREE, image=[0, 0, 2, 2], visibility=visibility, crowd=crowd,
                         boxes=boxes)  # fmt: skip
    census = Census.of(people)
    assert (census.images, census.people, census.crowds, census.few) == (3, 3, 1, 3)
    assert census.joints.tolist() == [1, 0, 1, 1]
    assert census.images_by_most.tolist() == [1, 0, 0, 1]
    assert census.people_an_image.tolist() == [1, 1, 1]  # an empty one, one with a person, one with two
    assert census.sides.tolist() == [100, 40, 20] and census.cover[0] == 5000 / 1e6
    assert census.states.tolist() == [[1, 0, 2], [1, 1, 1], [2, 0, 1]]
    assert census.together.tolist() == [[2, 2, 1], [2, 2, 1], [1, 1, 1]]
    assert census.given_other[2].tolist() == [1, 1, 1] and census.given_other[0, 2] == 0.5
    assert census.tally is None  # nobody has five joints


def test_counts_are_those_of_slow_loops(make_people: Any) -> None:
    rng = np.random.default_rng(1)
    visibility = rng.integers(0, 3, (300, 17))
    people = make_people(rng.uniform(0, 900, (300, 17, 2)), visibility=visibility, image=rng.integers(0, 80, 300))
    census = Census.of(people)
    given = visibility > 0
    for n in range(18):
        assert census.joints[n] == sum(sum(row) == n for row in given.tolist())
    for i, j in ((0, 0), (3, 9), (16, 1)):
        assert census.together[i, j] == sum(row[i] and row[j] for row in given.tolist())
    held = [sum(people.image == image) for image in range(80)]
    assert census.people_an_image.tolist() == [held.count(n) for n in range(max(held) + 1)]
    assert census.tally is not None and census.tally.kept == (given.sum(1) >= 5).sum()


def test_tables_of_nobody_and_of_a_nameless_joint(make_people: Any) -> None:
    nobody = Census.of(make_people(np.zeros((0, 3, 2)), skeleton=THREE, image_ids=[1]))
    assert nobody.people == 0 and np.isnan(nobody.given_other).all()
    for table in (overview_table([nobody]), joints_table(nobody), counts_table(nobody), sizes_table([nobody])):
        assert table.columns


def test_the_seeds_figures_on_cocos_labels(people_folder: Path) -> None:
    """All people of COCO 2017 with a labelled joint: 48.86 % of the 273,469 annotations have four labels or less."""
    place = people_folder / "coco_labels"
    kept = 0
    sizes = {"train2017.json.gz": (149_813, 56_599, 134_214), "val2017.json": (6352, 2346, 5647)}
    for name, (people, images, enough) in sizes.items():
        census = Census.of(read_coco_file(place / f"person_keypoints_{name}", place, name))
        assert (census.people, census.images, census.people - census.few) == (people, images, enough)
        kept += census.people - census.few
    assert 100 * (1 - kept / 273_469) == pytest.approx(48.86, abs=0.005)
