"""`sandglass data get coco`, from a folder that is laid out as the official server."""

import shutil
import zipfile

import pytest

from sandglass.data.coco import read_coco
from sandglass.data.pack import open_pack

LABELS = "annotations/person_keypoints_{}.json"


@pytest.fixture(scope="module")
def mirror(tiny_coco, tmp_path_factory):
    """The tiny data set, as the official archives would hold it."""
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "annotations").mkdir()
    (folder / "zips").mkdir()
    with zipfile.ZipFile(folder / "annotations/annotations_trainval2017.zip", "w", zipfile.ZIP_DEFLATED) as labels:
        for split, name in (("train", "train2017"), ("val", "val2017")):
            labels.write(tiny_coco / LABELS.format(split), LABELS.format(name))
            with zipfile.ZipFile(folder / f"zips/{name}.zip", "w") as photos:
                for path in (tiny_coco / split).iterdir():
                    photos.write(path, f"{name}/{path.name}")
    return folder


def test_a_plan_writes_nothing(call, mirror, tmp_path):
    status, told, _ = call("data", "get", "coco", "--out", tmp_path / "coco", "--mirror", mirror, "--dry-run")
    assert status == 0
    assert "train2017.zip" in told and "val2017.zip" in told and "On disk at most" in told
    assert not list(tmp_path.iterdir())


def test_what_is_fetched_is_trained_on(call, mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("SANDGLASS_COCO", mirror.as_uri())
    out = tmp_path / "coco"
    status, told, _ = call("data", "get", "coco", "--out", out)
    assert status == 0
    assert f"sandglass train swift --data {out}@train2017" in told
    assert len(read_coco(out, "train2017")) == 7 and len(read_coco(out, "val2017")) == 3
    small = ("--size", "64", "64", "--channels", "8", "--batch", "4", "--device", "cpu", "--workers", "1")
    words = ("--data", f"{out}@train2017", "--out", tmp_path / "run", "--steps", "2", "--threads", "1", *small)
    assert call("train", "swift", *words)[0] == 0


def test_straight_into_a_pack(call, refused, mirror, tmp_path):
    out, pack = tmp_path / "coco", tmp_path / "people.pack"
    get = ("data", "get", "coco", "--out", out, "--mirror", mirror, "--pack", pack, "--size", "48", "64")
    assert "Photographs are removed as they are packed" in call(*get, "--dry-run")[1] and not list(tmp_path.iterdir())
    status, told, _ = call(*get)
    assert status == 0 and f"--data {pack}" in told
    assert len(open_pack(pack).ids) == 5
    assert sorted(path.name for path in out.iterdir()) == ["annotations", "val2017"]  # the photographs are gone
    assert "is there already" in refused(*get)
    pack.unlink()
    assert "of the people of train2017 alone" in refused(*get, "--split", "val2017")
    assert "of the people of train2017 alone" in refused(*get, "--all-photos")
    assert "recipe" in refused(*get, "--recipe", "none")
    assert "ends in .pack" in refused(*get[:-5], "--pack", tmp_path / "people.bin")


def test_one_split_and_few_people(call, mirror, tmp_path):
    words = ("--mirror", mirror, "--split", "val2017", "--people", "1", "--seed", "3")
    status, told, _ = call("data", "get", "coco", "--out", tmp_path, *words)
    assert status == 0 and "val2017" in told and "train2017" not in told
    assert len(read_coco(tmp_path, "val2017").image_ids) == 1


def test_what_cannot_be_had_is_one_line(refused, mirror, tmp_path):
    get = ("data", "get", "coco", "--out", tmp_path / "coco")
    assert "no such file" in refused(*get, "--mirror", tmp_path / "none")
    assert "'ftp' is no way to fetch a file" in refused(*get, "--mirror", "ftp://example.org")
    assert "known are train2017, val2017" in refused(*get, "--mirror", mirror, "--split", "test2017")
    assert not list(tmp_path.iterdir())
    broken = shutil.copytree(mirror, tmp_path / "broken")
    path = broken / "zips/val2017.zip"
    path.write_bytes(path.read_bytes()[:-30])
    assert "not a whole zip archive" in refused(*get, "--mirror", broken)


def test_ctrl_c_says_how_to_go_on(call, mirror, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sandglass.data.fetch.coco.gather", interrupt)
    status, told, _ = call("data", "get", "coco", "--out", tmp_path, "--mirror", mirror)
    assert status == 130 and "The same command goes on" in told
    monkeypatch.undo()
    pack = ("--pack", tmp_path / "a.pack", "--size", "48", "64")
    monkeypatch.setattr("sandglass.data.packing.write_pack", interrupt)
    status, told, _ = call("data", "get", "coco", "--out", tmp_path, "--mirror", mirror, *pack)
    assert status == 130 and "The same command goes on" in told
    monkeypatch.undo()
    assert call("data", "get", "coco", "--out", tmp_path, "--mirror", mirror, *pack)[0] == 0
    assert len(open_pack(tmp_path / "a.pack").ids) == 5 and not (tmp_path / ".fetch").exists()
    assert call("data", "get", "coco", "--out", tmp_path, "--mirror", mirror)[0] == 0


def test_another_name_is_refused(call, tmp_path):
    status, _, errors = call("data", "get", "mpii", "--out", tmp_path)
    assert status == 2 and "coco" in errors
