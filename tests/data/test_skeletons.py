"""Skeletons in files: read what was written, refuse what is none, and move people from one to another by name."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, DEFAULT_SIGMA, Skeleton
from sandglass.data.sets import parse_sets, read_set
from sandglass.data.skeletons import KNOWN, LSP14, MPII16, convert, find_skeleton, read_skeleton, to_toml


@pytest.mark.parametrize("skeleton", KNOWN.values(), ids=str)
def test_toml_gives_it_back(skeleton: Skeleton, tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_text(to_toml(skeleton), encoding="utf-8")
    assert read_skeleton(path) == skeleton == find_skeleton(skeleton.name)


def test_strange_names_survive(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    odd = Skeleton.from_dict({"name": 'a"b\\', "joints": ["œil gauche", 'x"y', "tab\t", "\x7f", "🦴"]})
    path.write_text(to_toml(odd), encoding="utf-8")
    assert read_skeleton(path) == odd


def test_known_bodies_share_cocos_sigmas_and_sides() -> None:
    for skeleton in (MPII16, LSP14):
        assert len(skeleton.pairs) == 6
        for j, joint in enumerate(skeleton.joints):
            own = COCO17.find(joint)
            assert skeleton.sigmas[j] == (DEFAULT_SIGMA if own is None else COCO17.sigmas[own])
            assert (j in skeleton.upper) == (not joint.endswith(("hip", "knee", "ankle", "pelvis")))


def test_a_file_names_its_skeleton(tmp_path: Path) -> None:
    path = tmp_path / "mouse.toml"
    path.write_text('joints = ["snout", "tail"]')
    assert read_skeleton(path).name == "mouse"


def test_a_side_without_a_twin_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mouse.toml"
    path.write_text('joints = ["snout", "left_ear", "rihgt_ear"]')
    with caplog.at_level(logging.WARNING):
        read_skeleton(path)
    assert "no twin was found for left_ear, whose name tells a side" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read|empty"),
        ("joints = [", "not valid TOML"),
        ("name = 'x'", "needs a list `joints`"),
        ("joints = ['a']\nsigma = [0.1]", "'sigma' is no field of a skeleton"),
        ("joints = ['a']\nedges = [['a', 'b']]", "'b' that is not among its joints"),
        ("joints = ['a', 'a']", "more than once"),
        ("x = " + "[" * 5000, "not valid TOML"),
        ("# " + "x" * 2**20 + "\njoints = ['a']", "larger than 1 MiB"),
    ],
)  # fmt: skip
def test_what_is_no_skeleton_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        read_skeleton(path)
    assert "bad.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'smpl' is no skeleton; give a \.toml file, or one of coco17, mpii16"):
        find_skeleton("smpl")
    with pytest.raises(BadInput, match="cannot be read"):
        find_skeleton(tmp_path / "none.toml")


def test_joints_move_by_name(make_people: Any) -> None:
    points = np.arange(64.0).reshape(2, 16, 2)
    visibility = np.tile([0, 1, 2, 2], 4)[None].repeat(2, 0)
    people = make_people(points, skeleton=MPII16, visibility=visibility)
    moved = convert(people, COCO17)
    assert moved.skeleton is COCO17 and moved.visibility[:, :5].sum() == 0  # no face in MPII
    for j, joint in enumerate(COCO17.joints[5:], 5):
        at = MPII16.joints.index(joint)
        np.testing.assert_array_equal(moved.keypoints[:, j], points[:, at])
        np.testing.assert_array_equal(moved.visibility[:, j], visibility[:, at])
    np.testing.assert_array_equal(convert(people, MPII16).keypoints, points)
    with pytest.raises(BadInput, match="not one joint"):
        convert(people, Skeleton.from_dict({"joints": ["snout"]}))


def test_whose_skeleton_counts(tiny_coco: Path, tmp_path: Path) -> None:
    """The flag before the listing, the listing before the folder's file, that before the labels' own."""
    data = tmp_path / "set"
    data.symlink_to(tiny_coco, target_is_directory=True)
    assert read_set(f"{data}@val").skeleton == COCO17
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in ("annotations", "val"):
        (copy / part).symlink_to(tiny_coco / part, target_is_directory=True)
    places = {"folder": copy / "skeleton.toml", "listed": tmp_path / "l.toml", "flag": tmp_path / "f.toml"}
    for name, place in places.items():
        place.write_text(to_toml(COCO17).replace("coco17", name))
    assert read_set(f"{copy}@val").skeleton.name == "folder"
    (tmp_path / "sets.toml").write_text("[[set]]\npath = 'copy'\nsplit = 'val'\nskeleton = 'l.toml'\n")
    assert read_set(parse_sets([str(tmp_path / "sets.toml")])[0]).skeleton.name == "listed"
    spec = parse_sets([str(tmp_path / "sets.toml")], str(tmp_path / "f.toml"))[0]
    assert read_set(spec).skeleton.name == "flag" == read_set(f"{copy}@val", str(tmp_path / "f.toml")).skeleton.name
    with pytest.raises(BadInput, match="leave --skeleton out"):
        parse_sets(["a.pack"], "coco17")
