"""Broken photographs, wrong sizes, and the same photograph twice: each is found, and a sound set has nothing."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sandglass.data.doctor.photographs import check_photographs
from sandglass.data.sets import read_set


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_coco, tmp_path / "set")


def kinds(folder: Path, *splits: str) -> Counter[str]:
    return Counter(finding.kind for finding in check_photographs([read_set(f"{folder}@{split}") for split in splits]))


def test_a_sound_set_has_nothing(tiny_coco: Path) -> None:
    seen: list[tuple[int, int]] = []
    sets = [read_set(f"{tiny_coco}@{split}") for split in ("train", "val")]
    assert check_photographs(sets, lambda done, total: seen.append((done, total))) == []
    assert seen[-1] == (5, 5)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_broken_photographs(folder: Path, content: bytes | None) -> None:
    path = folder / "train" / "000001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    (folder / "train" / "000002.png").unlink()
    assert kinds(folder, "train") == {"photo": 2}


def test_a_wrong_size(folder: Path) -> None:
    cv2.imwrite(str(folder / "train" / "000001.png"), np.zeros((40, 60, 3), np.uint8))
    (finding,) = check_photographs([read_set(f"{folder}@train")])
    assert finding.kind == "size" and "60x40" in finding.what and "240x200" in finding.what


def test_the_same_photograph_twice_and_across_sets(folder: Path) -> None:
    shutil.copy(folder / "train" / "000001.png", folder / "train" / "000003.png")
    shutil.copy(folder / "train" / "000001.png", folder / "val" / "000102.png")
    assert kinds(folder, "train", "val") == {"repeated photo": 1, "leak": 1}
    assert kinds(folder, "val") == {}


def test_a_copy_that_was_encoded_anew(folder: Path) -> None:
    photo: Any = cv2.imread(str(folder / "train" / "000001.png"))
    for target in (folder / "train" / "000003.png", folder / "val" / "000102.png"):
        data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        target.write_bytes(data.tobytes())
    shutil.copy(folder / "val" / "000102.png", folder / "val" / "000101.png")  # and one of those byte for byte
    found = check_photographs([read_set(f"{folder}@{split}") for split in ("val", "train")])
    told = [(f.kind, Path(f.photo).name, f.sure) for f in found]
    assert told[:2] == [("repeated photo", "000102.png", 1.0), ("leak", "000003.png", 1.0)]
    assert sorted((kind, name) for kind, name, _ in told[2:]) == [
        ("leak", "000001.png"),
        ("similar photo", "000003.png"),
    ]
    assert all(0.8 <= sure < 1 for _, _, sure in told[2:])
    (leak,) = (f for f in found[2:] if f.kind == "leak")
    assert [Path(f.like).name for f in (*found[:2], leak)] == ["000101.png"] * 3
    assert "000001.png (image 1) is nearly 000101.png (image 101) of set@val (correlation " in leak.what
    assert kinds(folder, "train")["similar photo"] == 1


def test_every_photograph_that_leaks_is_told(folder: Path) -> None:
    photo: Any = cv2.imread(str(folder / "train" / "000001.png"))
    for name, quality in (("train/000002.png", 70), ("train/000003.png", 60), ("val/000101.png", 80)):
        data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        (folder / name).write_bytes(data.tobytes())
    for splits in (("train", "val"), ("val", "train")):
        found = check_photographs([read_set(f"{folder}@{split}") for split in splits])
        leaks = [f for f in found if f.kind == "leak"]
        assert {f"{Path(path).parent.name}/{Path(path).name}" for f in leaks for path in (f.photo, f.like)} == {
            "train/000001.png", "train/000002.png", "train/000003.png", "val/000101.png",
        }  # fmt: skip


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    path = folder / "train" / "000001.png"
    shutil.move(path, tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    (finding,) = check_photographs([read_set(f"{folder}@train")])
    assert finding.kind == "photo" and "leaves its folder" in finding.what


def test_names_with_markup_are_only_names(folder: Path) -> None:
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    data["images"][0]["file_name"] = "<script>.png"
    path.write_text(json.dumps(data))
    assert kinds(folder, "train") == {"photo": 1}
