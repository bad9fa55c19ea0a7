"""`sandglass data skeleton`, `data stats` and `data convert`: what they print, write and refuse."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sandglass.data.sets import read_set
from sandglass.data.skeletons import read_skeleton

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


def test_skeleton_is_shown_for_approval(call: Call, tmp_path: Path) -> None:
    toml = tmp_path / "mouse.toml"
    toml.write_text('joints = ["snout", "L_ear", "R_ear", "left_paw"]\nedges = [[0, 1], [0, 2]]\n')
    words = ("data", "skeleton", toml, "--out", tmp_path / "mouse.png", "--toml", tmp_path / "b.toml")
    status, told, _ = call(*words)
    assert status == 0
    assert "mouse: 4 joints, 1 left/right pairs" in told and "no twin" not in told
    assert any("L_ear" in line and "R_ear" in line and "0.070" in line for line in told.splitlines())
    assert (tmp_path / "mouse.png").read_bytes().startswith(b"\x89PNG")
    assert read_skeleton(tmp_path / "b.toml").mirror == (0, 2, 1, 3)


def test_skeleton_of_a_data_set(call: Call, tiny_coco: Path, tmp_path: Path) -> None:
    status, told, _ = call("data", "skeleton", "--data", f"{tiny_coco}@val", "--out", tmp_path / "coco.png")
    assert status == 0 and "coco17: 17 joints, 8 left/right pairs" in told


def test_skeleton_refused(refused: Refused, tiny_coco: Path, tmp_path: Path) -> None:
    assert "name a skeleton" in refused("data", "skeleton")
    assert "'none' is no skeleton" in refused("data", "skeleton", "none")
    assert "ends in .png" in refused("data", "skeleton", "coco17", "--out", tmp_path / "a.jpg")
    assert "nobody is labelled more than once" in refused("data", "skeleton", "--repeats", f"{tiny_coco}@val")
    assert not list(tmp_path.iterdir())


def test_stats_need_no_photographs(call: Call, folder: Path, tmp_path: Path) -> None:
    for path in (folder / "train").glob("*.png"):
        path.unlink()
    status, told, errors = call("data", "stats", f"{folder}@train", f"{folder}@val", "--out", tmp_path / "out")
    assert status == 0, errors
    assert "What the sets hold" in told and "1 (16.67 %)" in told  # of six people one has three joints
    assert "joints of 6 people" in told and "joints of 3 people" in told
    drawn = {path.name for path in (tmp_path / "out").iterdir()}
    kinds = ("counts", "sizes", "visibility", "together")
    assert drawn == {f"set-{split}-{kind}.png" for split in ("train", "val") for kind in kinds}


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("splits", [["train"], ["train", "val"], ["train", "val", "a-set-of-a-long-name"]])
def test_stats_can_be_read_at_any_width(width: int, splits: list[str], call: Call, folder: Path) -> None:
    labels = folder / "annotations"
    shutil.copy(labels / "person_keypoints_val.json", labels / "person_keypoints_a-set-of-a-long-name.json")
    status, told, errors = call("data", "stats", *(f"{folder}@{split}" for split in splits), width=width)
    assert status == 0, errors
    assert "…" not in told and max(map(len, told.splitlines())) <= width
    assert ("people with 0-4 joints" in told) is (width == 80 or len(splits) == 1)
    assert told.count("1 (16.67 %)") == 1


def test_stats_refused(refused: Refused, folder: Path, tmp_path: Path) -> None:
    assert "no data set is named" in refused("data", "stats")
    assert "two sets are called set-train" in refused(
        "data", "stats", f"{folder}@train", f"{folder}/../set@train", "--out", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_converted_there_and_back(call: Call, folder: Path, tmp_path: Path) -> None:
    yolo, coco = tmp_path / "yolo", tmp_path / "coco"
    status, told, errors = call("data", "convert", f"{folder}@train", "--out", yolo, "--layout", "yolo")
    assert status == 0, errors
    assert "6 people with the 17 joints of coco17 (1 crowds and people without joints left out)" in told
    status, told, errors = call("data", "convert", f"{yolo}@train", "--out", coco, "--to", "crowdpose14")
    assert status == 0, errors
    people = read_set(f"{coco}@train")
    assert people.skeleton.name == "crowdpose14" and people.image_paths[0].is_file()
    assert people.visibility[:, :12].sum() == read_set(f"{folder}@train").visibility[:, 5:].sum()


def test_convert_refused(refused: Refused, folder: Path, tmp_path: Path) -> None:
    words = ("data", "convert", f"{folder}@val", "--out")
    assert "already holds 'val'" in refused(*words, folder)
    assert "'smpl' is no skeleton" in refused(*words, tmp_path / "a", "--to", "smpl")
    assert not (tmp_path / "a").exists()
