"""A fixed file is a new one; it differs from the old in what was found and in nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.data.doctor.finding import Finding
from sandglass.data.doctor.fixing import check_target, fix
from sandglass.data.doctor.reading import read_with_findings
from sandglass.data.sets import parse_set, read_set


def finding(
    people: People, kind: str, row: int | None, sure: float = 1.0, exchange: tuple[int, ...] = (), **more: str
) -> Finding:
    of = {} if row is None else {"id": people[row].id, "photo": str(people[row].image_path)}
    return Finding(kind=kind, source=people.source, sure=sure, what="", exchange=exchange, **of | more)  # type: ignore[arg-type]


def test_only_what_was_found_changes(tiny_coco: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    data["own"] = {"kept": [1]}
    data["annotations"][3]["bbox"][2] = 40.0  # too narrow for its joints
    path.write_text(json.dumps(data))
    old = path.read_bytes()
    before = read_set(f"{folder}@train")
    ids = before.ids.tolist()
    findings = [
        finding(before, "swap", 0, exchange=(5, 7)), finding(before, "duplicate", 1), finding(before, "outside box", 3),
        finding(before, "swap", 2, 0.5, (5,)), finding(before, "limb", 4),
        finding(before, "swap", 4, exchange=(5,), photo="of another set.png"),
    ]  # fmt: skip
    target = folder / "annotations" / "person_keypoints_cured.json"
    done = fix(target, parse_set(f"{folder}@train"), before, findings, 0.8)
    assert done == {"leak": 0, "swap": 1, "duplicate": 1, "outside box": 1}
    assert path.read_bytes() == old
    assert json.loads(target.read_text())["own"] == {"kept": [1]}
    (folder / "cured").symlink_to(folder / "train")
    after = read_set(f"{folder}@cured")
    assert after.ids.tolist() == [id for id in ids if id != ids[1]]
    order = np.arange(17)
    order[[5, 6, 7, 8]] = [6, 5, 8, 7]
    np.testing.assert_array_equal(after.keypoints[0], before.keypoints[0, order])
    np.testing.assert_array_equal(after.keypoints[1:], before.keypoints[2:])
    grown = after.boxes[list(after.ids).index(ids[3])]
    points = before.keypoints[3]
    assert (grown[:2] <= points.min(0) + 1e-9).all() and (grown[2:] >= points.max(0) - 1e-9).all()


def test_photographs_that_leak_are_dropped_with_their_people(tiny_coco: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    people = read_set(f"{folder}@train")
    first, second, third = map(str, people.image_paths)
    findings = [
        finding(people, "leak", None, photo="val/1.png", like=first),
        finding(people, "repeated photo", None, photo=second, like=first),
        finding(people, "similar photo", None, photo=third, like=first),
        finding(people, "leak", None, 0.5, photo="val/2.png", like=third),
        finding(people, "leak", None, photo="val/2.png", like="other/3.png"),
        finding(people, "swap", 0, exchange=(5,)),
    ]
    target = folder / "annotations" / "person_keypoints_apart.json"
    done = fix(target, parse_set(f"{folder}@train"), people, findings, 0.8)
    assert done == {"leak": 2, "swap": 0, "duplicate": 0, "outside box": 0}
    (folder / "apart").symlink_to(folder / "train")
    left = read_set(f"{folder}@apart")
    assert [path.name for path in left.image_paths] == [Path(third).name]
    assert left.ids.tolist() == [p.id for p in people if str(p.image_path) == third]


def test_ids_that_are_none_stay_as_they_are(tiny_coco: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    odd = [{"id": [1], "image_id": {"a": 1}}, {"id": None}, {}]
    data["annotations"] += odd
    path.write_text(json.dumps(data))
    people, found = read_with_findings(f"{folder}@train")
    assert len(found) == len(odd)
    leak = finding(people, "leak", None, photo=str(people.image_paths[0]), like="val/1.png")
    target = folder / "annotations" / "new.json"
    fix(target, parse_set(f"{folder}@train"), people, [*found, leak], 0.8)
    assert json.loads(target.read_text())["annotations"][-len(odd) :] == odd


def test_nothing_is_written_over(tiny_coco: Path, tmp_path: Path) -> None:
    spec = parse_set(f"{tiny_coco}@train")
    there = tmp_path / "there.json"
    there.write_text("{}")
    for target in (there, tiny_coco / "annotations" / "person_keypoints_train.json", tmp_path / "new.txt"):
        with pytest.raises(BadInput):
            check_target(target, spec)
