"""Data sets by name: what a specification means, and what is wrong with one that means nothing."""

import json
from pathlib import Path

import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.sets import PACK, READERS, SetSpec, parse_set, parse_sets, read_set, read_sets


@pytest.mark.parametrize(
    ("text", "folder", "split", "weight"),
    [
        ("coco@train", "coco", "train", 1.0),
        ("/data/coco@train2017:0.5", "/data/coco", "train2017", 0.5),
        ("C:\\data\\coco@val:2", "C:\\data\\coco", "val", 2.0),
        ("me@home/a:b@val", "me@home/a:b", "val", 1.0),
        ("../x y@train:1e-2", "../x y", "train", 0.01),
    ],
)
def test_specification(text: str, folder: str, split: str, weight: float) -> None:
    assert parse_set(text) == SetSpec(folder=Path(folder), split=split, weight=weight)


@pytest.mark.parametrize(("text", "weight"), [("/a/people.pack", 1.0), ("/a/people.pack:0.5", 0.5)])
def test_a_pack_has_no_split(text: str, weight: float) -> None:
    spec = parse_set(text)
    assert (spec.folder, spec.split, spec.weight, spec.layout) == (Path("/a/people.pack"), "", weight, PACK)
    assert str(spec) == "/a/people.pack"
    with pytest.raises(BadInput, match="name the data set that it was made of"):
        read_set(spec)
    assert parse_set("people.pack@train").split == "train"  # a folder may be called anything


@pytest.mark.parametrize(
    "text",
    ["", "coco", "@train", "coco@", "coco@:2", "coco@train:", "coco@train:x", "coco@train:0", "coco@train:-1",
     "coco@train:nan", "coco@train:inf", "a@b/c", "a.pack:", "a.pack:x", "a.pack:0", ".pack",
     "a@..", "a@b\\c", "a@train:1:2"],
)  # fmt: skip
def test_bad_specification(text: str) -> None:
    with pytest.raises(BadInput):
        parse_set(text)


def test_missing_split_lists_those_that_are_there(tiny_coco: Path) -> None:
    with pytest.raises(BadInput, match="its splits are: train, val"):
        parse_set(str(tiny_coco))
    with pytest.raises(BadInput, match=r"the splits of .* are: train, val"):
        read_set(f"{tiny_coco}@test")
    with pytest.raises(BadInput, match="no such folder"):
        read_set(f"{tiny_coco}-none@test")


def test_sets_are_read_with_their_weights(tiny_coco: Path) -> None:
    sets = read_sets([f"{tiny_coco}@train:0.5", parse_set(f"{tiny_coco}@val")])
    assert [(len(people), weight) for people, weight in sets] == [(7, 0.5), (3, 1.0)]
    with pytest.raises(BadInput, match="named twice"):
        read_sets([f"{tiny_coco}@train:0.5", f"{tiny_coco}/../{tiny_coco.name}@train"])


def test_sets_of_different_skeletons_do_not_mix(tiny_coco: Path, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    other = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "hand", "keypoints": ["a", "b"]}]}
    (tmp_path / "annotations" / "person_keypoints_train.json").write_text(json.dumps(other))
    with pytest.raises(BadInput, match=r"the 2 joints of 'hand', .* the 17 of 'coco17'"):
        read_sets([f"{tiny_coco}@train", f"{tmp_path}@train"])
    with pytest.raises(BadInput, match="2 joints a person, skeleton 'coco17' has 17"):
        read_set(f"{tmp_path}@train", COCO17)


def test_listing(tiny_coco: Path, tmp_path: Path) -> None:
    listing = tmp_path / "mix.toml"
    listing.write_text(f"[[set]]\npath = '{tiny_coco}'\nsplit = 'train'\nweight = 2\n[[set]]\npath='x'\nsplit='val'\n")
    listing.write_text(listing.read_text() + "[[set]]\npath = 'a.pack'\nweight = 3\n")
    specs = parse_sets([str(listing), "coco@val"])
    assert [str(spec) for spec in specs] == [
        f"{tiny_coco}@train",
        f"{tmp_path / 'x'}@val",
        str(tmp_path / "a.pack"),
        "coco@val",
    ]
    assert [spec.weight for spec in specs] == [2, 1, 3, 1]
    with pytest.raises(BadInput, match="no data set is named"):
        parse_sets([])


@pytest.mark.parametrize(
    "text",
    ["", "[[set", "set = 5", "[[set]]\npath='x'", "[[set]]\npath='x'\nsplit=5",
     "other = 1\n[[set]]\npath='x'\nsplit='y'",
     "[[set]]\npath='x'\nsplit='y'\nwieght=2", "[[set]]\npath='x'\nsplit='y'\nweight=-1",
     "[[set]]\npath='x'\nsplit='y'\nweight=true", "[[set]]\npath='x'\nsplit='y'\nlayout='none'", "set = [1]"],
)  # fmt: skip
def test_bad_listing(text: str, tmp_path: Path) -> None:
    listing = tmp_path / "mix.toml"
    listing.write_text(text)
    with pytest.raises(BadInput):
        parse_sets([str(listing)])
    with pytest.raises(BadInput, match="cannot be read"):
        parse_sets([str(tmp_path / "none.toml")])


def test_a_reader_is_one_line(tiny_coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "mine", lambda folder, split, skeleton: READERS["coco"](folder, "val", skeleton))
    assert len(read_set(SetSpec(folder=tiny_coco, split="anything", layout="mine"))) == 3
