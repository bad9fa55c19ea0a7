"""MPII's own MATLAB file and its HDF5 derivative, small ones in the published layout; odd shapes and broken ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.mpii_mat import FILE
from sandglass.data.sets import parse_set, read_set
from sandglass.data.skeletons import MPII16, convert

h5py = pytest.importorskip("h5py")
scipy = pytest.importorskip("scipy.io")
WriteMat = Callable[..., str]


def joint(number: int, visible: Any = 1) -> dict[str, Any]:
    """At (10 + number, 20 + number), as MATLAB counts; head and neck never have a visibility."""
    seen = [] if number in (8, 9) else visible
    return {"x": 10.0 + number, "y": 20.0 + number, "id": number, "is_visible": seen}


def person(joints: Any = None, **changes: Any) -> dict[str, Any]:
    """With all sixteen joints, 100 pixels high, and a head of 30 x 40."""
    points = [joint(j) for j in range(16)] if joints is None else joints
    whole = {"x1": 10, "y1": 10, "x2": 40, "y2": 50, "annopoints": {"point": points}, "scale": 0.5}
    return whole | {"objpos": {"x": 51, "y": 61}} | changes


@pytest.fixture
def write_mat(as_matlab: Any, tmp_path: Path) -> WriteMat:
    """`write_mat(annorect, ...)`: MPII's own file, of a photograph for each; returns the name of its train split."""

    def write(*people: Any, train: Any = None, single: Any = None, packed: bool = True, folder: Path = tmp_path) -> str:
        listed = [{"image": {"name": f"{i}.jpg"}, "annorect": rects, "vididx": []} for i, rects in enumerate(people)]
        cells = np.empty((len(people), 1), object)
        cells[:, 0] = single or [[] for _ in people]
        flags = np.ones(len(people), np.uint8) if train is None else np.array(train, np.uint8)
        release = {"annolist": listed, "img_train": flags, "version": "12", "single_person": cells}
        scipy.savemat(folder / FILE, {"RELEASE": as_matlab(release)}, do_compression=packed)
        return f"{folder}@train"

    return write


@pytest.mark.parametrize("packed", [True, False])
def test_the_published_file(write_mat: WriteMat, tmp_path: Path, packed: bool) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "0.jpg"), np.zeros((240, 320, 3), np.uint8))
    two = [person(), person([joint(0, 0), joint(12, "1"), joint(13, "0")])]
    test = {"x1": 1, "scale": 1.0}  # of a photograph for testing nothing is published but head and place
    name = write_mat(two, person(), [], test, train=[1, 1, 1, 0], packed=packed)
    assert parse_set(name).layout == "mpii-mat"
    people = read_set(name)
    assert people.skeleton is MPII16 and len(people) == 3 and people.image.tolist() == [0, 0, 1]
    assert people.keypoints[0].tolist() == [[9.5 + j, 19.5 + j] for j in range(16)]  # pixel 10 is the tenth
    assert people.visibility[0].tolist() == [2] * 16
    assert people.visibility[1].tolist() == [1] + [0] * 11 + [2, 1, 0, 0]  # a text is a number too
    assert people.boxes[0].tolist() == [0.5, 10.5, 100.5, 110.5] and people.head_sizes.tolist() == [30, 30, 30]
    assert people.image_sizes.tolist() == [[320, 240], [101, 111]]  # the second is not there: as large as it must be
    assert people.image_paths[0] == tmp_path / "images" / "0.jpg"
    assert convert(people, COCO17).visibility[0].tolist() == [0] * 5 + [2] * 12


@pytest.mark.parametrize("below", [".", "annot", "mpii_human_pose_v1_u12_2"])
def test_where_the_published_file_may_lie(write_mat: WriteMat, tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    write_mat(person(), folder=tmp_path / below)
    assert len(read_set(f"{tmp_path}@train")) == 1


def test_one_point_and_fields_that_nobody_has(write_mat: WriteMat) -> None:
    without = {name: value for name, value in person().items() if name not in ("objpos", "scale", "x1")}
    point = {"x": 5.25, "y": 6.5, "id": 3}  # nobody in this photograph has a visibility
    alone = without | {"annopoints": {"point": point}}
    people = read_set(write_mat(alone))
    assert people.visibility[0].tolist() == [0, 0, 0, 2] + [0] * 12 and people.keypoints[0, 3].tolist() == [4.75, 6]
    assert people.boxes.tolist() == [[3.75, 5, 5.75, 7]] and np.isnan(people.head_sizes[0])  # a pixel around its joint


def test_people_without_joints_count_where_they_have_a_place(
    write_mat: WriteMat, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = {"annopoints": [], "scale": [], "objpos": []}
    name = write_mat([person(), person(annopoints=[]), person(**nowhere)])
    people = read_set(name)
    assert people.labelled.tolist() == [16, 0] and people.boxes[1].tolist() == people.boxes[0].tolist()
    assert "1 people without joints and without a place are left out" in caplog.text


def test_those_who_stand_apart(write_mat: WriteMat, tmp_path: Path) -> None:
    two, one = [person(), person(scale=1.0)], person(scale=2.0)
    write_mat(two, one, two, single=[[2], [], [1, 2]])
    assert read_set(f"{tmp_path}@single").boxes[:, 2].tolist() == [150.5, 100.5, 150.5]
    write_mat(two, single=[[3]])
    with pytest.raises(BadInput, match="single_person names somebody who is not there"):
        read_set(f"{tmp_path}@single")


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (
            person(joint(16)),
            r"annolist\(1\)\.annorect\(1\) has joint 16 at .*; joints .* from 0 to 15",
        ),
        (person(joint(2) | {"x": []}), r"annorect\(1\) has joint 2 at \(nan, 22\)"),
        (person(joint(2) | {"x": np.inf}), r"annorect\(1\) has joint 2 at \(inf, 22\)"),
        (person(joint(2) | {"id": "ankle"}), "'ankle' where a number is needed"),
        (person(annopoints={"dots": 1}), "it has no `point`"),
        (7.0, "no struct where one is needed"),
    ],
)
def test_broken_published_files_are_refused(write_mat: WriteMat, people: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_set(write_mat(people))
    assert str(tmp_path / FILE) in str(caught.value)


def test_what_the_published_file_does_not_have(write_mat: WriteMat, as_matlab: Any, tmp_path: Path) -> None:
    name = write_mat(person(), train=[1, 1])
    with pytest.raises(BadInput, match="lists of photographs differ"):
        read_set(name)
    with pytest.raises(BadInput, match="has no split 'val'; its splits with labels are: train, single"):
        read_set(f"{tmp_path}@val")
    scipy.savemat(tmp_path / FILE, {"RELEASE": as_matlab({"annolist": []})})
    with pytest.raises(BadInput, match="it has no `img_train`"):
        read_set(name)


# The HDF5 derivative.


def tables(n: int = 2) -> dict[str, Any]:
    """As the makers wrote them: of people 100 pixels high around (51, 61), the last joint hidden, the first missing."""
    part = np.tile(np.arange(16)[:, None] + [10.0, 20.0], (n, 1, 1))
    part[:, 0] = 0
    visible = np.ones((n, 16))
    visible[:, 15] = 0
    found = {"imgname": [f"{i}.jpg".encode() for i in range(n)], "part": part, "visible": visible}
    found |= {"center": np.tile([51.0, 61 + 15 * 0.5], (n, 1)), "scale": np.full(n, 0.5 * 1.25)}
    return found | {
        "normalize": np.full(n, 30.0),
        "index": np.arange(n),
        "person": np.zeros(n),
        "torsoangle": np.zeros(n),
    }


def write_h5(folder: Path, change: Callable[[Any], object] = lambda file: None, **changes: Any) -> str:
    (folder / "annot").mkdir(exist_ok=True)
    with h5py.File(folder / "annot" / "train.h5", "w") as file:
        for name, value in (tables() | changes).items():
            if value is not None:
                file[name] = value
        change(file)
    return f"{folder}@train"


def letters(*names: str) -> np.ndarray:
    return np.array([[*name.encode(), *[0] * (16 - len(name))] for name in names])


@pytest.mark.parametrize(
    "names",
    [
        [b"0.jpg", b"1.jpg"],
        letters("0.jpg", "1.jpg").astype(np.uint8),
        letters("0.jpg", "1.jpg").astype(float),  # as Torch wrote them
        np.array(["0.jpg", "1.jpg"], h5py.string_dtype()),
    ],
    ids=["texts", "codes", "numbers", "long texts"],
)
def test_the_hdf5_derivative(names: Any, tmp_path: Path) -> None:
    name = write_h5(tmp_path, imgname=names)
    assert parse_set(name).layout == "mpii-h5"
    people = read_set(name)
    assert people.skeleton is MPII16 and [path.name for path in people.image_paths] == ["0.jpg", "1.jpg"]
    assert people.visibility[0].tolist() == [0] + [2] * 14 + [1] and people.keypoints[0, 1].tolist() == [10.5, 20.5]
    np.testing.assert_allclose(people.boxes[1], [0.5, 10.5, 100.5, 110.5])  # as in the other derivatives
    assert people.head_sizes.tolist() == [30, 30]


def test_names_in_a_file_of_their_own(tmp_path: Path) -> None:
    name = write_h5(tmp_path, imgname=None)
    with pytest.raises(BadInput, match=r"train_images\.txt: cannot be read"):
        read_set(name)
    (tmp_path / "annot" / "train_images.txt").write_text("a.jpg\na.jpg\n")
    people = read_set(name)
    assert [path.name for path in people.image_paths] == ["a.jpg"] and people.image.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": None}, "has no table `part` of its own"),
        ({"part": np.zeros((2, 14, 2))}, r"`part` is 'float64' of the shape \(2, 14, 2\); numbers .* \(2, 16, 2\)"),
        ({"part": np.full((2, 16, 2), np.nan)}, "`part` holds numbers that are not finite"),
        ({"scale": np.array([1.0, 0])}, "person 1 has the scale 0"),
        ({"scale": np.array([b"1", b"2"])}, "`scale` is"),
        ({"imgname": [b"../a.jpg", b"b.jpg"]}, "must name a file inside"),
        ({"imgname": np.zeros((2, 3, 4))}, "names of at most 1000000 people are needed"),
        ({"imgname": np.zeros((2, 2000), np.uint8)}, "names of at most"),
    ],
)
def test_broken_hdf5_is_refused(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        read_set(write_h5(tmp_path, **changes))


def test_hdf5_that_leads_elsewhere_or_is_none_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4096))
    outside = {"external": [(str(secret), 0, h5py.h5f.UNLIMITED)], "shape": (2, 16, 2), "dtype": "f8"}
    for change in (
        lambda file: file.create_dataset("part", **outside),
        lambda file: file.__setitem__("part", h5py.ExternalLink(str(secret), "/x")),
        lambda file: file.__setitem__("part", h5py.SoftLink("/scale")),
        lambda file: file.create_group("part"),
        lambda file: file.create_virtual_dataset("part", h5py.VirtualLayout((2, 16, 2), "f8")),
    ):
        with pytest.raises(BadInput, match="has no table `part` of its own"):
            read_set(write_h5(tmp_path, change, part=None))
    packed = {"data": tables()["part"], "compression": "gzip"}  # whose pieces may unpack to anything
    with pytest.raises(BadInput, match="its `part` is compressed; unpack it: h5repack -f NONE"):
        read_set(write_h5(tmp_path, lambda file: file.create_dataset("part", **packed), part=None))
    (tmp_path / "annot" / "train.h5").write_bytes(b"no HDF5")
    with pytest.raises(BadInput, match="not an HDF5 file"):
        read_set(f"{tmp_path}@train")


def test_people_who_are_not_in_the_file_take_no_memory(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names of at most 1000000 people"):
        read_set(write_h5(tmp_path, lambda file: file.create_dataset("imgname", (10**9, 16), "u1"), imgname=None))
