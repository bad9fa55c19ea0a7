"""`sandglass data check`: planted faults are told, put right in a new file, and the exit status says so."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def spoil(folder: Path) -> Path:
    """One person twice, one joint far outside, one file broken, one photograph in both splits, one field missing."""
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    rows = data["annotations"]
    rows.append(rows[0] | {"id": 500})
    rows[1]["keypoints"][0] = -30
    del rows[2]["bbox"]
    path.write_text(json.dumps(data))
    (folder / "train" / "000003.png").write_bytes(b"broken")
    shutil.copy(folder / "train" / "000001.png", folder / "val" / "000101.png")
    return path


def test_a_sound_set_is_status_0(call: Callable[..., Any], tiny_coco: Path) -> None:
    status, told, _ = call("data", "check", f"{tiny_coco}@val")
    assert status == 0 and "nothing found" in told


def test_planted_faults_are_told(call: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    status, told, _ = call("data", "check", f"{folder}@train", f"{folder}@val", "--out", tmp_path / "out")
    assert status == 1 and "findings" in told
    found = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert {"duplicate", "outside photo", "field", "photo", "leak"} <= {row["kind"] for row in found}
    assert all(row["cure"] and row["set" if "set" in row else "source"] for row in found)
    with (tmp_path / "out" / "findings.csv").open() as file:
        assert [row["kind"] for row in csv.DictReader(file)] == [row["kind"] for row in found]
    assert (tmp_path / "out" / "gallery.png").stat().st_size > 1000


def test_a_pack_is_read_whole(
    call: Callable[..., Any], refused: Callable[..., str], tiny_coco: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.pack"
    assert call("data", "pack", f"{tiny_coco}@train", "--out", path, "--size", 64, 64, "--workers", 1)[0] == 0
    status, output, _ = call("data", "check", path)
    assert status == 0 and "5 people, every byte as it was written" in output
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "its bytes are no longer those that were written" in refused("data", "check", path)


def test_only_some_kinds(call: Callable[..., Any], folder: Path) -> None:
    spoil(folder)
    status, told, _ = call("data", "check", f"{folder}@train", "--only", "duplicate", "--no-photos")
    assert status == 1 and "duplicate" in told and "outside" not in told


def test_fix_writes_a_new_file(call: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    path = spoil(folder)
    old = path.read_bytes()
    status, told, _ = call("data", "check", f"{folder}@train", "--fix", tmp_path / "new.json", "--no-photos")
    assert status == 1 and "1 duplicate" in told
    assert path.read_bytes() == old
    ids = [row["id"] for row in json.loads((tmp_path / "new.json").read_text())["annotations"]]
    assert len(ids) == len(json.loads(old)["annotations"]) - 1


def test_fix_keeps_train_apart_from_val(call: Callable[..., Any], folder: Path) -> None:
    shutil.copy(folder / "train" / "000001.png", folder / "val" / "000101.png")
    target = folder / "annotations" / "person_keypoints_apart.json"
    status, told, _ = call("data", "check", f"{folder}@train", f"{folder}@val", "--fix", target)
    assert status == 1 and "1 leak" in told
    (folder / "apart").symlink_to(folder / "train")
    assert call("data", "check", f"{folder}@apart", f"{folder}@val", "--only", "leak")[0] == 0


def test_a_model_is_asked(call: Callable[..., Any], tiny_coco: Path, model: Path) -> None:
    status, _, errors = call("data", "check", f"{tiny_coco}@train", "--model", model, "--sure", "0")
    assert status in (0, 1) and not errors  # it was trained for twelve steps: it may say anything


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{0}@train", "--only", "nonsense"], "no such kind"),
        (["{0}@train", "--fix", "{0}/annotations/person_keypoints_train.json"], "never written over"),
        (["{0}@none"], "the splits of"),
        (["{0}@train", "{0}@train"], "named twice"),
    ],
)
def test_what_is_refused(refused: Callable[..., str], folder: Path, words: list[str], says: str) -> None:
    assert says in refused("data", "check", *(word.format(folder) for word in words))
