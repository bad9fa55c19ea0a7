"""A pack gives what the photographs give, to the bit; whatever is no good pack is refused in one line with the cure."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from sandglass.core.errors import BadInput
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.filters import Filter, keep
from sandglass.data.pack import PackedCrops, check_content, check_pack, command, open_pack
from sandglass.data.sets import read_set


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be changed."""
    return shutil.copytree(tiny_coco, tmp_path / "set")


def labels(folder: Path) -> Path:
    return folder / "annotations" / "person_keypoints_train.json"


# What a pack gives.


def test_samples_are_those_of_the_photographs(tiny_coco: Path, tiny_pack: Path, crop: CropConfig) -> None:
    pack = open_pack(tiny_pack)
    assert [(s.source, s.people, s.weight) for s in pack.info.sets] == [
        (f"{tiny_coco.name}@train", 5, 0.5),
        (f"{tiny_coco.name}@val", 3, 1.0),
    ]
    for number, split in enumerate(("train", "val")):
        people, _ = keep(read_set(f"{tiny_coco}@{split}"), Filter())
        plain, packed = PersonCrops(people, crop), PackedCrops(pack, number)
        assert len(packed) == len(plain) and packed.skeleton == plain.skeleton and packed.source == plain.source
        np.testing.assert_array_equal(packed.ids, plain.ids)
        for i in range(len(plain)):
            np.testing.assert_array_equal(packed[i].image, plain[i].image)
            np.testing.assert_array_equal(packed[i].keypoints, plain[i].keypoints)
            np.testing.assert_array_equal(packed[i].weight, plain[i].weight)
            assert packed[i].index == i and packed[i].image.any()


def test_pixels_are_mapped_and_cannot_be_written(tiny_pack: Path) -> None:
    sample = PackedCrops(open_pack(tiny_pack), 0)[0]
    root: Any = sample.image
    while isinstance(root.base, np.ndarray):
        root = root.base
    assert isinstance(root, np.memmap) or isinstance(sample.image.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        sample.image[0, 0, 0] = 1


def test_any_tool_can_read_it(tiny_pack: Path, crop: CropConfig) -> None:
    w, h = crop.cut_size
    with safe_open(tiny_pack, framework="np") as file:
        assert file.get_slice("cuts").get_shape() == [8, h, w, 3]
        assert json.loads(file.metadata()["pack"])["skeleton"]["name"] == "coco17"
        np.testing.assert_array_equal(file.get_tensor("ids"), open_pack(tiny_pack).ids)
    with tiny_pack.open("rb") as raw:
        assert (8 + int.from_bytes(raw.read(8), "little")) % 4096 == 0  # pixels begin on a page


def test_jpeg_keeps_the_joints_and_nearly_the_pixels(
    tiny_coco: Path, tiny_pack: Path, make_pack: Any, tmp_path: Path
) -> None:
    path = tmp_path / "small.pack"
    make_pack(path, f"{tiny_coco}@train:0.5", f"{tiny_coco}@val", encoding="jpeg")
    raw, jpeg = open_pack(tiny_pack), open_pack(path)
    np.testing.assert_array_equal(jpeg.keypoints, raw.keypoints)
    np.testing.assert_array_equal(jpeg.ids, raw.ids)
    assert path.stat().st_size < tiny_pack.stat().st_size
    cached = PackedCrops(jpeg, 0, cache_bytes=2**20)
    assert cached.cache_bytes == 5 * raw.cut(0).nbytes and PackedCrops(raw, 0, 2**20).cache_bytes == 0
    for i in range(5):
        error = np.abs(cached[i].image.astype(int) - raw.cut(i)).mean()
        assert error < 4  # the pictures are noise: photographs stay below 1
        np.testing.assert_array_equal(cached[i].image, jpeg.cut(i))  # the second time from memory


# Packs that are none.


@pytest.mark.parametrize("length", [0, 5, 8, 300, 4095, 4096, 9000, -1])
def test_truncated(tiny_pack: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.pack"
    path.write_bytes(tiny_pack.read_bytes()[:length])
    with pytest.raises(BadInput, match=r"cut\.pack: no pack, or a truncated one .*sandglass data pack"):
        open_pack(path)


@pytest.mark.parametrize("text", [b"not a pack", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"[[[[[[[[", b"{}" * 5000])
def test_foreign(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.pack").write_bytes(text)
    with pytest.raises(BadInput, match=r"x\.pack: no pack"):
        open_pack(tmp_path / "x.pack")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pack", tmp_path):
        with pytest.raises(BadInput, match=r"check the path|no pack"):
            open_pack(path)


def test_another_safetensors_file_is_no_pack(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "model.pack", {"spec": "{}"})
    with pytest.raises(BadInput, match="no header of one"):
        open_pack(tmp_path / "model.pack")


def rewritten(pack: Path, to: Path, info: dict[str, Any] | None = None, **tables: np.ndarray | None) -> Path:
    """The same pack with other tables or header fields."""
    with safe_open(pack, framework="np") as file:
        parts = {name: file.get_tensor(name) for name in file.keys()} | tables  # noqa: SIM118
        header = json.loads(file.metadata()["pack"]) | (info or {})
    kept = {name: np.ascontiguousarray(part) for name, part in parts.items() if part is not None}
    save_file(kept, to, {"pack": json.dumps(header)})
    return to


def test_another_version_names_the_cure(tiny_pack: Path, tmp_path: Path) -> None:
    path = rewritten(tiny_pack, tmp_path / "old.pack", {"version": 0})
    with pytest.raises(BadInput, match=r"a pack of version 0, not 1; make it anew: sandglass data pack .*@train:0\.5"):
        open_pack(path)


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"rows": np.arange(1, 9)}, "a cut is not there"),
        ({"rows": -np.arange(8)}, "a cut is not there"),
        ({"rows": np.zeros((8, 2), np.int64)}, "not of 8 people with 17 joints"),
        ({"ids": np.arange(7)}, "not of 7 people"),
        ({"weight": np.zeros((8, 16), np.float32)}, "17 joints"),
        ({"weight": np.full((8, 17), np.nan, np.float32)}, "no pixels"),
        ({"keypoints": np.full((8, 17, 2), np.inf, np.float32)}, "no pixels"),
        ({"cuts": np.zeros((8, 96, 71, 3), np.uint8)}, "not of 72x96 pixels"),
        ({"ids": np.zeros(8, np.float64)}, "numbers of kind F64"),
        ({"ids": None}, "a pack holds no"),
        ({"extra": np.zeros(3, np.uint8)}, "a pack holds no"),
    ],
)
def test_tables_that_cannot_be(tiny_pack: Path, tmp_path: Path, tables: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        open_pack(rewritten(tiny_pack, tmp_path / "bad.pack", **tables))


@pytest.mark.parametrize(
    "info",
    [
        {"sets": []}, {"sets": 5}, {"crop": {"size": [48, 64], "margin": float("inf")}}, {"skeleton": {}},
        {"crop": {"size": [-1, 64]}}, {"encoding": "exe"}, {"version": "1"}, {"surprise": 1},
    ],
)  # fmt: skip
def test_headers_that_cannot_be(tiny_pack: Path, tmp_path: Path, info: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        open_pack(rewritten(tiny_pack, tmp_path / "bad.pack", info))


def test_no_flipped_byte_of_the_header_does_harm(tiny_pack: Path, tmp_path: Path) -> None:
    data, rng = tiny_pack.read_bytes(), np.random.default_rng(0)
    end = data.index(b"   ")
    for at in rng.integers(0, end, 300):
        spoilt = bytearray(data)
        spoilt[at] = rng.integers(256)
        (tmp_path / "x.pack").write_bytes(spoilt)
        try:
            pack = open_pack(tmp_path / "x.pack")
        except BadInput:
            continue
        assert sum(len(PackedCrops(pack, s)) for s in range(len(pack.info.sets))) == 8


def test_a_broken_jpeg_is_one_bad_person(tiny_coco: Path, make_pack: Any, tmp_path: Path) -> None:
    make_pack(tmp_path / "a.pack", f"{tiny_coco}@train", encoding="jpeg")
    with safe_open(tmp_path / "a.pack", framework="np") as file:
        stream, spans = file.get_tensor("stream").copy(), file.get_tensor("spans")
    stream[spans[2, 0] : spans[2, 1]] = 7
    pack = open_pack(rewritten(tmp_path / "a.pack", tmp_path / "b.pack", stream=stream))
    with pytest.raises(BadInput, match=rf"b\.pack: person {pack.ids[2]}: not a picture"):
        pack.cut(2)
    assert pack.cut(1).any()


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_byte_that_the_disk_lost_is_found(tiny_coco: Path, make_pack: Any, tmp_path: Path, encoding: str) -> None:
    make_pack(path := tmp_path / "a.pack", f"{tiny_coco}@train", encoding=encoding)
    check_content(open_pack(path))
    data = bytearray(path.read_bytes())
    data[-4000] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"a\.pack: its bytes are no longer .*; pack again: sandglass data pack"):
        check_content(open_pack(path))


# Packs that do not fit, or no longer.


def test_other_crops_are_refused_with_the_cure(tiny_coco: Path, tiny_pack: Path, crop: CropConfig) -> None:
    pack = open_pack(tiny_pack)
    check_pack(pack, crop, Filter())
    with pytest.raises(BadInput, match=r"with --size 48 64, not 64 64 as this run needs; pack again: (.*)$") as refused:
        check_pack(pack, CropConfig(size=(64, 64)), Filter())
    words = shlex.split(str(refused.value).partition("pack again: ")[2])
    sets = [f"{tiny_coco}@train:0.5", f"{tiny_coco}@val"]
    assert words == ["sandglass", "data", "pack", *sets, "--out", str(tiny_pack), "--replace", "--size", "64", "64"]
    with pytest.raises(BadInput, match=r"margin 1\.5, not 1\.25 .* --size 48 64 --set margin=1\.25"):
        check_pack(pack, CropConfig(size=(48, 64), margin=1.25), Filter())
    with pytest.raises(BadInput, match=r"--set model\.padding=1\.3 filter\.min_joints=1$"):
        check_pack(pack, CropConfig(size=(48, 64), padding=1.3), Filter(min_joints=1))
    with pytest.raises(BadInput, match=r"filter\.share 1\.0, not 0\.5 .* --set filter\.share=0\.5$"):
        check_pack(pack, crop, Filter(share=0.5))


def test_the_command_quotes_and_keeps_the_encoding(tiny_coco: Path, make_pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "my people.pack"
    make_pack(path, f"{tiny_coco}@train", encoding="jpeg", quality=80)
    told = command(open_pack(path).info, path)
    assert told.endswith(f"--out '{path}' --replace --size 48 64 --encoding jpeg --quality 80")


@pytest.fixture
def own_pack(folder: Path, make_pack: Any, tmp_path: Path) -> Path:
    make_pack(tmp_path / "own.pack", f"{folder}@train")
    return tmp_path / "own.pack"


def move_a_joint(folder: Path) -> None:
    data = json.loads(labels(folder).read_text())
    data["annotations"][3]["keypoints"][0] += 0.5
    labels(folder).write_text(json.dumps(data))


def change_a_photograph(folder: Path) -> None:
    with (folder / "train" / "000002.png").open("ab") as file:
        file.write(b"x")


def test_a_stale_pack_is_refused_with_the_cure(folder: Path, own_pack: Path, crop: CropConfig) -> None:
    for change in (move_a_joint, change_a_photograph):
        check_pack(open_pack(own_pack), crop, Filter())
        before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
        change(folder)
        with pytest.raises(BadInput, match=r"own\.pack: stale, set@train has changed .*: sandglass data pack .*@train"):
            check_pack(open_pack(own_pack), crop, Filter())
        for path, data in before.items():
            path.write_bytes(data)


def test_what_a_pack_survives(folder: Path, own_pack: Path, crop: CropConfig, tmp_path: Path) -> None:
    """Other times, another layout of the same labels; no photographs; no labels; no folder at all."""
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder, copy_function=shutil.copyfile)
    labels(folder).write_text(json.dumps(json.loads(labels(folder).read_text()), indent=1))
    check_pack(open_pack(own_pack), crop, Filter())
    (folder / "train" / "000002.png").unlink()
    check_pack(open_pack(own_pack), crop, Filter())
    shutil.rmtree(folder / "train")
    check_pack(open_pack(own_pack), crop, Filter())
    labels(folder).unlink()
    check_pack(open_pack(own_pack), crop, Filter())
    shutil.rmtree(folder)
    pack = open_pack(own_pack)
    check_pack(pack, crop, Filter())
    assert PackedCrops(pack, 0)[4].image.any()
