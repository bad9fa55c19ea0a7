"""Layouts other than COCO's: known by their files, with the half-pixel law; broken ones are refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.converting import write_set
from sandglass.data.sets import READERS, SIGNS, parse_set, read_set
from sandglass.data.skeletons import CROWDPOSE14, LSP14, MPII16, convert
from sandglass.data.yolo import write_yolo

TIP = Skeleton.from_dict({"name": "finger", "joints": ["knuckle", "tip"]})


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((size[1], size[0], 3), np.uint8))


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_layout_but_a_pack_has_a_sign() -> None:
    assert READERS.keys() == SIGNS.keys()


def test_yolo_by_hand(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "val" / "a.png")
    put(tmp_path / "labels" / "val" / "a.txt", "0 0.5 0.5 0.5 0.25 0.25 0.5 2 0 0 0\n\n0 0.5 0.5 1 1 0 0 1 1 1 2\n")
    put(tmp_path / "skeleton.toml", "joints = ['knuckle', 'tip']")
    assert parse_set(f"{tmp_path}@val").layout == "yolo"
    people = read_set(f"{tmp_path}@val")
    assert people.boxes.tolist() == [[16, 18, 48, 30], [0, 0, 64, 48]]
    assert people.keypoints[0, 0].tolist() == [16.5, 24.5]  # 0.25 x 64, 0.5 x 48, from an index to a centre
    assert people.keypoints[1].tolist() == [[0.5, 0.5], [64.5, 48.5]]  # at x = 0 nothing is missing: visibility says so
    assert people.visibility.tolist() == [[2, 0], [1, 2]]
    put(tmp_path / "labels" / "val" / "a.txt", "0 0.5 0.5 0.5 0.25 0.25 0.5 0 0")  # no visibility
    assert read_set(f"{tmp_path}@val").visibility.tolist() == [[2, 0]]


def test_yolo_gives_back_what_was_written(tiny_coco: Path, tmp_path: Path) -> None:
    people = read_set(f"{tiny_coco}@train")
    written = write_set(people, tmp_path, "train", "yolo")
    assert (written.people, written.dropped) == (6, 1)  # the crowd
    again, kept = read_set(f"{tmp_path}@train"), people.select(~people.crowd)
    order = np.argsort(kept.image, kind="stable")
    kept = kept.select(order)
    assert again.skeleton == kept.skeleton and again.image_sizes.tolist() == kept.image_sizes.tolist()
    assert [again[i].image_path.name for i in range(6)] == [kept[i].image_path.name for i in range(6)]
    np.testing.assert_array_equal(again.visibility, kept.visibility)
    shown = kept.visibility > 0
    np.testing.assert_allclose(again.keypoints[shown], kept.keypoints[shown], atol=1e-6)
    np.testing.assert_allclose(again.boxes, kept.boxes, atol=1e-6)


def test_yolo_of_an_own_skeleton_names_its_joints(make_people: Any, tmp_path: Path) -> None:
    people = make_people(np.full((1, 2, 2), 40.5), skeleton=TIP)
    write_yolo(people, tmp_path, "train")
    picture(tmp_path / "images" / "train" / "100.jpg", (1000, 1000))
    again = read_set(f"{tmp_path}@train")
    assert again.skeleton == TIP
    np.testing.assert_allclose(again.keypoints, 40.5, atol=1e-6)
    assert "kpt_shape: [2, 3]\nflip_idx: [0, 1]" in (tmp_path / "data.yaml").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 1 1 0 0", "line 1: 7 numbers; the 17 joints of 'coco17' need 39 or 56"),
        ("0 0.5 0.5 1 1 " + "x " * 34, "line 1: holds something else than numbers"),
        ("0 0.5 0.5 1 1 " + "nan " * 34, "line 1: holds something else than numbers"),
        ("0 0.5 0.5 1 1 " + "0.5 0.5 7 " * 17, "annotation 1 has a visibility of 7"),
        ("0 0.5 0.5 0 1 " + "0.5 0.5 2 " * 17, "annotation 1 has the box"),
        ("\x00", "holds something else than numbers"),
    ],
)
def test_broken_yolo_is_refused(line: str, message: str, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "val" / "a.png")
    put(tmp_path / "labels" / "val" / "a.txt", line)
    with pytest.raises(BadInput, match=message):
        read_set(f"{tmp_path}@val", COCO17)


def test_yolo_without_photographs_or_names_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "labels" / "val" / "a.txt", "0 0.5 0.5 1 1 0 0 2 0 0 2")
    with pytest.raises(BadInput, match="need the photographs"):
        read_set(f"{tmp_path}@val")
    picture(tmp_path / "images" / "val" / "b.png")
    with pytest.raises(BadInput, match="there is no photograph"):
        read_set(f"{tmp_path}@val")
    picture(tmp_path / "images" / "val" / "a.png")
    with pytest.raises(BadInput, match=r"nothing says which joints they are; describe them in .*skeleton.toml"):
        read_set(f"{tmp_path}@val")


def test_csv_by_hand(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    header = "image,x1,y1,x2,y2,head_size,knuckle_x,knuckle_y,tip_x,tip_y,tip_v"
    put(tmp_path / "train.csv", f"{header}\na.png,1,2,30,40,9,10,20,11.5,0,1\na.png,,,,,,10,20,,,2\n")
    assert parse_set(f"{tmp_path}@train").layout == "csv"
    people = read_set(f"{tmp_path}@train")
    assert people.skeleton.joints == ("knuckle", "tip") and len(people.image_ids) == 1
    assert people.image_sizes.tolist() == [[64, 48]]
    assert people.keypoints[0].tolist() == [[10.5, 20.5], [12, 0.5]] and people.visibility.tolist() == [[2, 1], [2, 0]]
    assert people.boxes.tolist() == [[1, 2, 30, 40], [9.5, 19.5, 11.5, 21.5]]  # the second: a pixel around its joint
    assert people.head_sizes[0] == 9 and np.isnan(people.head_sizes[1])
    assert read_set(f"{tmp_path}@train", TIP).skeleton is TIP


def test_csv_finds_columns_by_name_not_by_place(tmp_path: Path) -> None:
    put(tmp_path / "val.csv", "tip_y,tip_x,width,image,height,knuckle_x,knuckle_y\n7,6,640,b.jpg,480,2,3\n")
    people = read_set(f"{tmp_path}@val", TIP)
    assert people.keypoints[0].tolist() == [[2.5, 3.5], [6.5, 7.5]] and people.image_sizes.tolist() == [[640, 480]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns"),
        ("picture,a_x,a_y\n", "must name the columns"),
        ("image,a_x,a_x\n", "must name the columns"),
        ("image,a_x,a_y,b\nx.png,1,2,3\n", "unknown column 'b'"),
        ("image,a_x,a_y\nx.png,1,two\n", "line 2 has a_y 'two'"),
        ("image,a_x,a_y\nx.png,1,inf\n", "line 2 has a_y 'inf'"),
        ("image,a_x,a_y\n../x.png,1,2\n", "must name a file inside"),
        ("image,a_x,a_y\nx.png,1\n", "must name a file inside"),
        ('image,a_x,a_y\n"x.png,1,2\n', "not a table"),
        ("image,a_x,a_y,a_v\nx.png,1,2,5\n", "visibility of 5"),
        ("image,a_x,a_y,x1,y1,x2,y2\nx.png,1,2,9,9,3,3\n", "has the box"),
    ],
)
def test_broken_csv_is_refused(text: str, message: str, tmp_path: Path) -> None:
    put(tmp_path / "val.csv", text)
    with pytest.raises(BadInput, match=message) as caught:
        read_set(f"{tmp_path}@val")
    assert "\n" not in str(caught.value)
    put(tmp_path / "val.csv", "image,a_x,a_y\n")
    with pytest.raises(BadInput, match="is a joint of the columns or of 'finger', not of both"):
        read_set(f"{tmp_path}@val", TIP)


def mpii_entry(**changes: Any) -> dict[str, Any]:
    joints = [[float(10 + j), float(20 + j)] for j in range(16)]
    entry = {"image": "a.jpg", "scale": 0.5, "center": [51.0, 61.0], "joints": joints, "joints_vis": [1] * 15 + [0]}
    return entry | changes


def test_mpii_counts_from_one(tmp_path: Path) -> None:
    put(tmp_path / "annot" / "valid.json", json.dumps([mpii_entry(), mpii_entry(image="b.jpg")]))
    picture(tmp_path / "images" / "a.jpg", (320, 240))
    people = read_set(f"{tmp_path}@valid")
    assert people.skeleton is MPII16 and people.keypoints[0, 0].tolist() == [9.5, 19.5]  # pixel 10 is the tenth
    assert people.boxes[0].tolist() == [0.5, 10.5, 100.5, 110.5] and people.visibility[0].tolist() == [2] * 15 + [0]
    assert people.image_sizes.tolist() == [[320, 240], [101, 111]]  # the second is not there: as large as it must be
    assert convert(people, COCO17).visibility[0].tolist() == [0] * 5 + [2] * 4 + [0] + [2] * 7


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": 1}, "not a list of people"),
        ([5], "not an object"),
        ([mpii_entry(joints=[[1, 2]])], r"entry 0: `joints` is .*; 16 points are needed"),
        ([mpii_entry(joints=None)], "entry 0: `joints` is"),
        ([mpii_entry(joints=[[1, "x"]] * 16)], "entry 0"),
        ([mpii_entry(image=7)], "entry 0 has `image` 7"),
        ([mpii_entry(image="../a.jpg")], "must name a file inside"),
        ([mpii_entry(scale=None)], "entry 0 has `scale` None"),
    ],
)
def test_broken_mpii_is_refused(data: Any, message: str, tmp_path: Path) -> None:
    put(tmp_path / "annot" / "train.json", json.dumps(data))
    with pytest.raises(BadInput, match=message):
        read_set(f"{tmp_path}@train")


def write_lsp(folder: Path, joints: Any) -> Path:
    scipy = pytest.importorskip("scipy.io")
    folder.mkdir(parents=True, exist_ok=True)
    scipy.savemat(folder / "joints.mat", {"joints": joints})
    return folder


def test_lsp_and_its_extension(tmp_path: Path) -> None:
    joints = np.zeros((3, 14, 1003))
    joints[:2] = np.arange(1, 15)[None, :, None] + 10
    joints[2, 3] = 1  # hidden, but labelled all the same
    folder = write_lsp(tmp_path / "lsp", joints)
    test = read_set(f"{folder}@test")
    assert len(test) == 3 and test.skeleton is LSP14 and test[0].image_path.name == "im1001.jpg"
    assert test.visibility[0].tolist() == [2, 2, 2, 1] + [2] * 10 and test.keypoints[0, 0].tolist() == [10.5, 10.5]
    assert len(read_set(f"{folder}@train")) == 1000
    joints = joints.transpose(1, 0, 2)[..., :5]  # (14, 3, N), where the third number says labelled
    extension = read_set(f"{write_lsp(tmp_path / 'lspet', joints)}@train")
    assert extension.visibility[0].tolist() == [0, 0, 0, 2] + [0] * 10
    assert extension[4].image_path == tmp_path / "lspet" / "images" / "im00005.jpg"
    with pytest.raises(BadInput, match="no split 'test'"):
        read_set(f"{tmp_path / 'lspet'}@test")


def test_broken_lsp_is_refused(tmp_path: Path) -> None:
    folder = write_lsp(tmp_path, np.zeros((2, 2)))
    with pytest.raises(BadInput, match="3 x 14 x people are needed"):
        read_set(f"{folder}@train")
    write_lsp(tmp_path, np.full((3, 14, 2), np.nan))
    with pytest.raises(BadInput, match="not finite"):
        read_set(f"{folder}@train")
    (folder / "joints.mat").write_bytes(b"no matlab file")
    with pytest.raises(BadInput, match="not a MATLAB file"):
        read_set(f"{folder}@train")


def crowdpose(folder: Path, name: str) -> Path:
    row = {"id": 5, "image_id": 1, "category_id": 1, "keypoints": [3, 4, 2] * 14, "bbox": [0, 0, 9, 9], "iscrowd": 0}
    image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48, "crowdIndex": 0.3}
    category = {"id": 1, "name": "person", "keypoints": list(CROWDPOSE14.joints), "skeleton": [[1, 2]]}
    put(folder / name, json.dumps({"images": [image], "annotations": [row], "categories": [category]}))
    return folder


@pytest.mark.parametrize("name", ["json/crowdpose_val.json", "annotations/crowdpose-val.json", "val.json"])
def test_variants_are_found_by_their_split(name: str, tmp_path: Path) -> None:
    folder = crowdpose(tmp_path, name)
    picture(folder / "images" / "1.jpg")
    assert parse_set(f"{folder}@val").layout == "variant"
    people = read_set(f"{folder}@val")
    assert people.skeleton.joints == CROWDPOSE14.joints and people.keypoints[0, 0].tolist() == [3.5, 4.5]
    assert people.image_paths[0] == folder / "images" / "1.jpg" and people.areas[0] == pytest.approx(0.518 * 81)
    assert read_set(f"{folder}@val", "crowdpose14").skeleton is CROWDPOSE14


def test_two_files_that_could_be_meant(tmp_path: Path) -> None:
    crowdpose(crowdpose(tmp_path, "json/a_val.json"), "json/b_val.json")
    with pytest.raises(BadInput, match=r"could be in: json/a_val\.json, json/b_val\.json"):
        read_set(f"{tmp_path}@val")


def same(a: People, b: People) -> None:
    shown = a.visibility > 0
    np.testing.assert_array_equal(a.visibility, b.visibility)
    np.testing.assert_allclose(a.keypoints[shown], b.keypoints[shown], atol=1e-6)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-6)
    assert a.skeleton == b.skeleton and [p.name for p in a.image_paths] == [p.name for p in b.image_paths]


@pytest.mark.parametrize("photos", ["link", "copy"])
def test_coco_again(photos: Any, tiny_coco: Path, tmp_path: Path) -> None:
    people = read_set(f"{tiny_coco}@val")
    write_set(people, tmp_path, "val", "coco", photos)
    again = read_set(f"{tmp_path}@val")
    same(people, again)
    assert (tmp_path / "val").is_symlink() == (photos == "link")
    assert all(path.is_file() for path in again.image_paths)


def test_conversion_never_writes_over(tiny_coco: Path, tmp_path: Path, make_people: Callable[..., People]) -> None:
    people = read_set(f"{tiny_coco}@val")
    for layout in ("coco", "yolo"):
        write_set(people, tmp_path / layout, "val", layout)
        with pytest.raises(BadInput, match="already holds 'val'"):
            write_set(people, tmp_path / layout, "val", layout)
    gone = make_people(np.full((1, 17, 2), 40.0))
    with pytest.raises(BadInput, match=r"photographs (cannot be put there|are not here)"):
        write_set(gone, tmp_path / "new", "val", "coco", "copy")
