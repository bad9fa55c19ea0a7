"""A fixed file is a new one; it differs from the old in what was found and in nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.doctor.finding import Finding
from sandglass.data.doctor.fixing import check_target, fix
from sandglass.data.sets import parse_set, read_set


def finding(kind: str, id: int, sure: float = 1.0, exchange: tuple[int, ...] = ()) -> Finding:
    return Finding(kind=kind, source="set@train", id=id, sure=sure, what="", exchange=exchange)


def test_only_what_was_found_changes(tiny_coco: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    data["own"] = {"kept": [1]}
    data["annotations"][3]["bbox"][2] = 40.0  # too narrow for its joints
    path.write_text(json.dumps(data))
    old = path.read_bytes()
    ids = [row["id"] for row in data["annotations"]]
    findings = [
        finding("swap", ids[0], exchange=(5, 7)), finding("duplicate", ids[1]), finding("outside box", ids[3]),
        finding("swap", ids[2], 0.5, (5,)), finding("limb", ids[4]),
    ]  # fmt: skip
    target = folder / "annotations" / "person_keypoints_cured.json"
    done = fix(target, parse_set(f"{folder}@train"), COCO17, findings, 0.8)
    assert done == {"swap": 1, "duplicate": 1, "outside box": 1}
    assert path.read_bytes() == old
    assert json.loads(target.read_text())["own"] == {"kept": [1]}
    (folder / "cured").symlink_to(folder / "train")
    before, after = read_set(f"{folder}@train"), read_set(f"{folder}@cured")
    assert after.ids.tolist() == [id for id in before.ids.tolist() if id != ids[1]]
    order = np.arange(17)
    order[[5, 6, 7, 8]] = [6, 5, 8, 7]
    np.testing.assert_array_equal(after.keypoints[0], before.keypoints[0, order])
    np.testing.assert_array_equal(after.keypoints[1:], before.keypoints[2:])
    grown = after.boxes[list(after.ids).index(ids[3])]
    points = before.keypoints[3]
    assert (grown[:2] <= points.min(0) + 1e-9).all() and (grown[2:] >= points.max(0) - 1e-9).all()


def test_nothing_is_written_over(tiny_coco: Path, tmp_path: Path) -> None:
    spec = parse_set(f"{tiny_coco}@train")
    there = tmp_path / "there.json"
    there.write_text("{}")
    for target in (there, tiny_coco / "annotations" / "person_keypoints_train.json", tmp_path / "new.txt"):
        with pytest.raises(BadInput):
            check_target(target, spec)
