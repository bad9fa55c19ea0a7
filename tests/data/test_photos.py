"""Photographs that are missing, empty, or lead elsewhere are found by name before anything starts."""

import shutil
from pathlib import Path

import pytest

from sandglass.core.errors import BadInput
from sandglass.core.image import read_image
from sandglass.data.coco import read_coco
from sandglass.data.photos import EMPTY, ESCAPES, MISSING, check_photos, read_photo, without_photos


def test_whole_set_is_in_order(tiny_coco: Path) -> None:
    people = read_coco(tiny_coco, "train")
    assert check_photos(people) == []
    assert len(without_photos(people, [])) == len(people)


def test_problems_are_named(tiny_coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(tiny_coco, folder)
    photos = sorted((folder / "train").iterdir())
    photos[0].write_bytes(b"")
    photos[1].rename(tmp_path / "elsewhere.png")
    photos[1].symlink_to(tmp_path / "elsewhere.png")
    photos[2].unlink()
    people = read_coco(folder, "train")
    problems = check_photos(people)
    assert [(p.path, p.why) for p in problems] == list(zip(photos, (EMPTY, ESCAPES, MISSING), strict=True))
    with pytest.raises(BadInput, match=r"000002\.png: a link that leaves its folder; put the photograph itself there"):
        read_photo(people, 1)
    assert without_photos(people, problems[:2]).ids.tolist() == [4, 5]
    assert len(without_photos(people, problems)) == 0


def test_links_within_the_folder_and_folders_that_are_links_are_fine(tiny_coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(tiny_coco, folder)
    shutil.move(folder / "val", tmp_path / "photos")
    (folder / "val").symlink_to(tmp_path / "photos")
    first, second = sorted((tmp_path / "photos").iterdir())
    second.unlink()
    second.symlink_to(first.name)
    assert check_photos(read_coco(folder, "val")) == []
    second.unlink()
    second.symlink_to("nowhere.png")
    assert [p.why for p in check_photos(read_coco(folder, "val"))] == [MISSING]


def test_images_without_people_are_not_asked_for(tiny_coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(tiny_coco, folder)
    shutil.rmtree(folder / "train")
    people = read_coco(folder, "train")
    assert len(check_photos(people)) == 3
    assert check_photos(people.select(people.ids < 0)) == []


def test_real_photographs_are_all_there(people_folder: Path) -> None:
    for folder in ("coco", "lsp", "mpii"):
        assert check_photos(read_coco(people_folder / folder, "train")) == []


@pytest.mark.parametrize("split", ["train", "val"])
def test_drawn_people_stand_where_their_labels_say(tiny_coco: Path, split: str) -> None:
    """A joint is drawn as a white dot: guards the fixture, and with it every test that trains on it."""
    people = read_coco(tiny_coco, split)
    for person in people.select(people.labelled == 17):
        image = read_image(person.image_path)
        for x, y in person.keypoints.astype(int):
            assert image[y, x].min() > 180
