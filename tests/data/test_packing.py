"""Writing a pack: everybody once, in order, whole or not at all, within its memory."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.data import packing, photos
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.filters import Filter, keep
from sandglass.data.pack import PackedCrops, check_pack, command, open_pack
from sandglass.data.sets import parse_sets, read_set


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be spoilt."""
    return shutil.copytree(tiny_coco, tmp_path / "set")


def beside(path: Path) -> list[str]:
    return sorted(other.name for other in path.parent.iterdir() if other.name not in ("set", path.name))


def test_any_number_of_threads_writes_the_same_file(tiny_coco: Path, make_pack: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{workers}.pack" for workers in (1, 2, 5)]
    told = [make_pack(path, f"{tiny_coco}@train", workers=int(path.stem)) for path in paths]
    assert len({path.read_bytes() for path in paths}) == 1
    assert [one.bytes for one in told] == [path.stat().st_size for path in paths]


def test_every_photograph_is_decoded_once(
    tiny_coco: Path, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, paths, moves = photos.read_bytes, [], []
    monkeypatch.setattr(photos, "read_bytes", lambda path: (paths.append(path.name), read(path))[1])
    make_pack(tmp_path / "a.pack", f"{tiny_coco}@train", on_progress=lambda *now: moves.append(now))
    assert sorted(paths) == ["000001.png", "000002.png", "000003.png"]
    assert moves == [(2, 5), (3, 5), (5, 5)]


def test_people_keep_their_order_whatever_photographs_they_are_in(folder: Path, make_pack: Any, tmp_path: Path) -> None:
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    data["annotations"] = [data["annotations"][i] for i in (4, 0, 2, 6, 1, 3, 5)]
    path.write_text(json.dumps(data))
    make_pack(tmp_path / "a.pack", f"{folder}@train")
    pack, people = open_pack(tmp_path / "a.pack"), keep(read_set(f"{folder}@train"), Filter())[0]
    assert pack.ids.tolist() == people.ids.tolist() == [5, 1, 3, 2, 4]
    assert pack.places.tolist() == [3, 0, 2, 1, 4]  # as they lie: photograph by photograph
    plain = PersonCrops(people, pack.info.crop)
    for i in range(5):
        np.testing.assert_array_equal(pack.cut(i), plain[i].image)


# Photographs that cannot be read.


def test_bad_photographs_are_skipped_and_counted(folder: Path, make_pack: Any, tmp_path: Path) -> None:
    photo = folder / "train" / "000001.png"
    photo.write_bytes(photo.read_bytes()[:-100])
    for encoding in ("raw", "jpeg"):
        told = make_pack(tmp_path / "a.pack", f"{folder}@train", f"{folder}@val:2", encoding=encoding)
        assert (told.people, told.lost, len(told.unreadable)) == (6, 2, 1)
        assert "set/train/000001.png: " in told.unreadable[0]
        pack = open_pack(tmp_path / "a.pack")
        assert pack.ids.tolist() == [3, 4, 5, 101, 102, 103] and [s.people for s in pack.info.sets] == [3, 3]
        assert all(pack.cut(i).any() for i in range(6)) and len(PackedCrops(pack, 1)) == 3


def test_sets_without_a_readable_photograph_are_refused(folder: Path, make_pack: Any, tmp_path: Path) -> None:
    for photo in (folder / "val").iterdir():
        photo.write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"set@val: not one photograph can be read"):
        make_pack(tmp_path / "a.pack", f"{folder}@train", f"{folder}@val")
    with pytest.raises(BadInput, match=r"not one photograph can be read; the first: .*000101\.png: not a picture"):
        make_pack(tmp_path / "a.pack", f"{folder}@val")
    assert beside(tmp_path / "a.pack") == []


def test_too_many_bad_photographs_are_refused(
    folder: Path, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandglass.data.photos.MAX_BAD", 1)
    (folder / "train" / "000001.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"1 photographs cannot be read; mend the data set; the last: .*000001\.png"):
        make_pack(tmp_path / "a.pack", f"{folder}@train", f"{folder}@val")
    assert beside(tmp_path / "a.pack") == [] and not (tmp_path / "a.pack").exists()


# Whole or not at all.


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), MemoryError])
def test_what_goes_wrong_in_the_middle_leaves_the_old_pack(
    tiny_coco: Path, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    path = tmp_path / "a.pack"
    make_pack(path, f"{tiny_coco}@val")
    before, store, stored = path.read_bytes(), packing._Writer._store, []

    def fail(self: Any, rows: Any, cuts: Any) -> None:
        store(self, rows, cuts)
        stored.append(rows)
        if len(stored) == 2:
            raise error

    monkeypatch.setattr(packing._Writer, "_store", fail)
    with pytest.raises((BadInput, KeyboardInterrupt, MemoryError)) as stop:
        make_pack(path, f"{tiny_coco}@train")
    if isinstance(stop.value, BadInput):
        assert "a.pack: cannot be written (No space left on device)" in str(stop.value)
    assert path.read_bytes() == before and beside(path) == []


def test_a_kill_leaves_no_pack_and_the_next_attempt_no_trace(tiny_coco: Path, make_pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pack"
    code = f"""
import os, signal
from pathlib import Path
from sandglass.data import packing
from sandglass.data.crops import CropConfig
from sandglass.data.filters import Filter
from sandglass.data.sets import parse_sets
store = packing._Writer._store
packing._Writer._store = lambda *given: (store(*given), given[0].file.flush(), os.kill(os.getpid(), signal.SIGKILL))
packing.write_pack(Path({str(path)!r}), parse_sets([{f"{tiny_coco}@train"!r}]), CropConfig(size=(48, 64)), Filter())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert not path.exists() and beside(path) == [".a.pack.part"]
    make_pack(path, f"{tiny_coco}@train")
    assert len(open_pack(path).ids) == 5 and beside(path) == []


# Bounds.


@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_more_is_begun_than_memory_is_meant_for(most: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    begun, taken = [], []

    def jobs() -> Any:
        for i in range(20):
            yield lambda i=i: (begun.append(i), i)[1]

    with ThreadPoolExecutor(3) as pool:
        for result in packing._ahead(pool, most, jobs()):
            taken.append(result)
            assert len(begun) <= len(taken) + most - 1
    assert taken == list(range(20))


def test_a_disk_that_is_too_small_is_told_before_a_photograph_is_opened(
    tiny_coco: Path, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(PersonCrops, "photo", lambda *_: pytest.fail("a photograph was opened"))
    with pytest.raises(BadInput, match=r"needs about 0\.0 GB and 0\.0 GB are free; .* or --encoding jpeg"):
        make_pack(tmp_path / "new" / "a.pack", f"{tiny_coco}@train")
    assert not (tmp_path / "new").exists()


def test_a_consumed_data_set_gives_the_same_pack_and_its_room(
    folder: Path, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack(tmp_path / "kept.pack", f"{folder}@train")
    usage = type("Usage", (), {"free": 5 * 72 * 96 * 3 - 1})  # five cuts, but for one byte
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BadInput, match="are free"):
        make_pack(tmp_path / "a.pack", f"{folder}@train")
    assert len(list((folder / "train").iterdir())) == 3
    make_pack(tmp_path / "a.pack", f"{folder}@train", consume=True)
    assert not list((folder / "train").iterdir())
    kept, consumed = open_pack(tmp_path / "kept.pack"), open_pack(tmp_path / "a.pack")
    assert consumed.info == kept.info and (consumed.pixels == kept.pixels).all()


def test_what_cannot_be_packed(tiny_coco: Path, tiny_pack: Path, make_pack: Any, tmp_path: Path) -> None:
    good, path = f"{tiny_coco}@train", tmp_path / "a.pack"
    with pytest.raises(BadInput, match=r"a\.bin: a pack is a file whose name ends in \.pack"):
        make_pack(tmp_path / "a.bin", good)
    with pytest.raises(BadInput, match="not of packs"):
        make_pack(path, good, str(tiny_pack))
    with pytest.raises(BadInput, match="named twice"):
        make_pack(path, good, good)
    with pytest.raises(BadInput, match=r"a JPEG quality of 101 must lie in 1\.\.100"):
        make_pack(path, good, encoding="jpeg", quality=101)
    with pytest.raises(BadInput, match="the splits of"):
        make_pack(path, f"{tiny_coco}@none")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        make_pack(tmp_path / "file" / "a.pack", good)
    assert beside(path) == ["file"]


@pytest.mark.parametrize("size", [(0, 64), (64, -1)])
def test_crops_that_cannot_be(size: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="positive sides"):
        CropConfig(size=size)


def test_a_skeleton_that_was_asked_for_is_remembered(tiny_coco: Path, crop: CropConfig, tmp_path: Path) -> None:
    path = tmp_path / "a.pack"
    packing.write_pack(path, parse_sets([f"{tiny_coco}@train"], "coco17"), crop, Filter())
    pack = open_pack(path)
    check_pack(pack, crop, Filter())
    assert command(pack.info, path).endswith("--size 48 64 --skeleton coco17")
