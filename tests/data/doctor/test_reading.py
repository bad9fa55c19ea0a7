"""An ill file is read as far as it goes, and every row that the reader refuses is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sandglass.core.errors import BadInput
from sandglass.data.doctor.reading import read_with_findings
from sandglass.data.sets import read_set


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_coco, tmp_path / "set")


def spoil(folder: Path, change: Any) -> None:
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_sound_file_is_read_as_by_the_reader(folder: Path) -> None:
    people, found = read_with_findings(f"{folder}@train")
    assert found == []
    assert people.ids.tolist() == read_set(f"{folder}@train").ids.tolist()


def test_every_refused_row_is_told(folder: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        rows = data["annotations"]
        del rows[0]["bbox"]
        rows[1]["keypoints"] = [1, 2]
        rows[2]["image_id"] = 999
        rows.append(dict(rows[3]))
        data["images"][2]["file_name"] = "../../etc/passwd"

    spoil(folder, change)
    people, found = read_with_findings(f"{folder}@train")
    assert {finding.kind for finding in found} == {"field"}
    ids = [finding.id for finding in found if finding.id is not None]
    assert sorted(ids) == [1, 2, 3, 4, 4, 5]  # 4 twice: once for its number, then with 5 for the photograph
    assert any("passwd" in finding.what for finding in found)
    assert set(people.ids.tolist()).isdisjoint(ids)
    assert not any(str(folder) in finding.what.split(";")[0].partition(" has ")[0] for finding in found)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_file_without_a_table_is_refused(folder: Path, key: str) -> None:
    spoil(folder, lambda data: data.pop(key))
    with pytest.raises(BadInput):
        read_with_findings(f"{folder}@train")
