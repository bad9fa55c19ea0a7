"""COCO keypoint files: what is read is what was meant, and every broken file is refused by name."""

import gc
import gzip
import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.coco import read_coco, read_coco_file, to_coco
from sandglass.data.untrusted import read_json

HAND = {"id": 1, "name": "hand", "keypoints": ["wrist", "left_tip", "right_tip"], "skeleton": [[1, 2], [1, 3]]}
SMALL: dict[str, Any] = {
    "categories": [HAND],
    "images": [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}],
    "annotations": [
        {
            "id": 3,
            "image_id": 7,
            "category_id": 1,
            "keypoints": [10, 20, 2, 0, 0, 0, 30.25, 0, 1],
            "bbox": [8, 0, 30.5, 25],
            "area": 400.5,
            "iscrowd": 0,
        }
    ],
}


def write(folder: Path, data: Any) -> Path:
    path = folder / "people.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def read(folder: Path, data: Any, skeleton: Skeleton | None = None) -> People:
    return read_coco_file(write(folder, data), folder, "small", skeleton)


def test_coordinates_move_to_pixel_centres_and_boxes_do_not(tmp_path: Path) -> None:
    people = read(tmp_path, SMALL)
    assert people.keypoints[0, [0, 2]].tolist() == [[10.5, 20.5], [30.75, 0.5]]
    assert people.visibility.tolist() == [[2, 0, 1]]
    assert people.boxes.tolist() == [[8, 0, 38.5, 25]]
    assert people.areas.tolist() == [400.5]
    assert np.isnan(people.head_sizes).all()
    person = people[0]
    assert (person.id, person.image_id, person.image_size) == (3, 7, (64, 48))
    assert person.image_path == tmp_path / "a.png"


def test_skeleton_comes_from_the_file(tmp_path: Path) -> None:
    skeleton = read(tmp_path, SMALL).skeleton
    assert skeleton.joints == ("wrist", "left_tip", "right_tip")
    assert skeleton.edges == ((0, 1), (0, 2))
    assert skeleton.mirror == (0, 2, 1)
    own = Skeleton.from_dict({"name": "own", "joints": ["a", "b", "c"]})
    assert read(tmp_path, SMALL, own).skeleton is own
    with pytest.raises(BadInput, match="3 joints a person, skeleton 'coco17' has 17"):
        read(tmp_path, SMALL, COCO17)


def test_tiny_set_is_read_in_order(tiny_coco: Path) -> None:
    people = read_coco(tiny_coco, "train")
    assert people.skeleton is COCO17
    assert people.source == f"{tiny_coco.name}@train"
    assert people.labelled.tolist() == [17] * 5 + [3, 0]
    assert people.crowd.tolist() == [False] * 6 + [True]
    assert people.image_ids[people.image].tolist() == [1, 1, 2, 3, 3, 1, 2]
    assert all(path.is_file() for path in people.image_paths)


def test_missing_area_is_estimated_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = deepcopy(SMALL)
    del data["annotations"][0]["area"]
    assert read(tmp_path, data).areas == pytest.approx([0.518 * 30.5 * 25])
    assert "1 people have no `area`" in caplog.text


def test_head_size_is_read(tmp_path: Path) -> None:
    data = deepcopy(SMALL)
    data["annotations"][0]["pckh_normalize"] = 31.83
    assert read(tmp_path, data).head_sizes.tolist() == [31.83]


def test_unlabelled_people_may_lie_outside(tmp_path: Path) -> None:
    """Cut photographs leave such people behind; they are neither trained on nor scored."""
    data = deepcopy(SMALL)
    data["annotations"][0] |= {"keypoints": [0] * 9, "bbox": [100, 100, 20, 20]}
    assert len(read(tmp_path, data)) == 1


def test_annotations_of_other_categories_are_left_out(tmp_path: Path) -> None:
    data = deepcopy(SMALL)
    data["categories"].append({"id": 2, "name": "dog"})
    data["annotations"].append({"id": 4, "image_id": 7, "category_id": 2, "bbox": [0, 0, 5, 5]})
    assert read(tmp_path, data).ids.tolist() == [3]


def test_nobody_is_an_empty_table(tmp_path: Path) -> None:
    people = read(tmp_path, SMALL | {"annotations": []})
    assert len(people) == 0
    assert people.keypoints.shape == (0, 3, 2)


def test_gzipped_file_and_images_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images" / "val").mkdir(parents=True)
    path = tmp_path / "annotations" / "person_keypoints_val.json.gz"
    path.write_bytes(gzip.compress(json.dumps(SMALL).encode()))
    assert read_coco(tmp_path, "val").image_paths == (tmp_path / "images" / "val" / "a.png",)
    with pytest.raises(BadInput, match=r"person_keypoints_train.json: no such file; the splits .* are: val$"):
        read_coco(tmp_path, "train")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="the compressed file is broken"):
        read_coco(tmp_path, "val")


def assert_equal(a: People, b: People) -> None:
    for field in fields(People):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert x == y, field.name


@pytest.mark.parametrize("split", ["train", "val"])
def test_round_trip_is_lossless(tiny_coco: Path, tmp_path: Path, split: str) -> None:
    people = read_coco(tiny_coco, split)
    again = read_coco_file(write(tmp_path, to_coco(people)), tiny_coco / split, people.source)
    assert_equal(people, again)


def test_round_trip_keeps_an_own_skeleton(tmp_path: Path) -> None:
    parts = {"joints": ["a", "b", "c"], "mirror": [0, 2, 1], "sigmas": [0.1, 0.2, 0.2], "upper": [1], "edges": [[0, 1]]}
    own = Skeleton.from_dict({"name": "own", **parts})
    people = read(tmp_path, SMALL, own)
    assert_equal(people, read(tmp_path, to_coco(people)))


def test_round_trip_of_real_labels(people_folder: Path, tmp_path: Path) -> None:
    for folder, split in (("coco", "val"), ("mpii", "val")):
        people = read_coco(people_folder / folder, split)
        again = read_coco_file(write(tmp_path, to_coco(people)), people_folder / folder / split, people.source)
        assert_equal(people, again)


def test_real_sets_have_their_published_sizes(people_folder: Path) -> None:
    sizes = {("coco", "train"): (1989, 4811), ("coco", "val"): (304, 787), ("lspet", "train"): (10000, 9989)}
    for (folder, split), (photos, with_five) in sizes.items():
        people = read_coco(people_folder / folder, split)
        assert len(people.image_ids) == photos
        assert (people.labelled >= 5).sum() == with_five
    assert np.isfinite(read_coco(people_folder / "mpii", "val").head_sizes).sum() > 100


def test_a_hundred_thousand_people_take_seconds(tmp_path: Path) -> None:
    person = SMALL["annotations"][0]
    data = SMALL | {"annotations": [person | {"id": i} for i in range(100_000)]}
    path = write(tmp_path, data)
    start = time.perf_counter()
    assert len(read_coco_file(path, tmp_path, "many")) == 100_000
    assert time.perf_counter() - start < 10  # about 1.5; loops over joints would take a minute


def person(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: data["annotations"][0].update(changes)


def image(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: data["images"][0].update(changes)


BAD = {
    "no categories": (lambda d: d.pop("categories"), "has no list `categories`"),
    "instances file": (lambda d: d["categories"][0].pop("keypoints"), "no category has `keypoints`"),
    "edge out of range": (lambda d: d["categories"][0].update(skeleton=[[1, 9]]), "edge outside its joints"),
    "edge of three": (lambda d: d["categories"][0].update(skeleton=[[1, 2, 3]]), "no list of names or of pairs"),
    "joints no list": (lambda d: d["categories"][0].update(keypoints=5), "no list of names"),
    "two skeletons": (lambda d: d["categories"].append({"id": 2, "keypoints": ["x"]}), "different joints"),
    "images no list": (lambda d: d.update(images={}), "has no list `images`"),
    "image no object": (lambda d: d["images"].append(5), r"images\[1\] is 5, not an object"),
    "annotation no object": (lambda d: d["annotations"].append(None), r"annotations\[1\] is None"),
    "image id text": (image(id="7"), r"images\[0\] has `id` '7'"),
    "image without id": (lambda d: d["images"][0].pop("id"), r"images\[0\] has `id` None"),
    "image twice": (lambda d: d["images"].append(d["images"][0]), "image id 7 occurs more than once"),
    "width missing": (lambda d: d["images"][0].pop("width"), "image 7 has `width` None"),
    "width zero": (image(width=0), "image 7 is 0x48 pixels"),
    "name missing": (lambda d: d["images"][0].pop("file_name"), "image 7 has `file_name` None"),
    "name climbs": (image(file_name="../../etc/passwd"), "it must name a file inside"),
    "name climbs late": (image(file_name="a/../../b.png"), "it must name a file inside"),
    "name climbs on Windows": (image(file_name="..\\b.png"), "it must name a file inside"),
    "name absolute": (image(file_name="/etc/passwd"), "it must name a file inside"),
    "name absolute on Windows": (image(file_name="C:\\b.png"), "it must name a file inside"),
    "name with NUL": (image(file_name="a\0.png"), "it must name a file inside"),
    "id missing": (lambda d: d["annotations"][0].pop("id"), r"annotations\[0\] has `id` None"),
    "id too large": (person(id=2**70), r"annotations\[0\] has `id` 1180"),
    "id true": (person(id=True), r"annotations\[0\] has `id` True"),
    "id twice": (lambda d: d["annotations"].append(d["annotations"][0]), "annotation id 3 occurs more than once"),
    "image unknown": (person(image_id=8), "annotation 3 is in image 8, which is not among `images`"),
    "no images at all": (lambda d: d["images"].clear(), "annotation 3 is in image 7, which is not among"),
    "keypoints missing": (lambda d: d["annotations"][0].pop("keypoints"), "annotation 3: `keypoints` has None"),
    "keypoints short": (person(keypoints=[1, 2, 2]), "`keypoints` has 3 entries where 9 numbers are needed"),
    "keypoints nested": (person(keypoints=[[1]] * 9), r"annotation 3 has `keypoints` \[\[1\]"),
    "keypoints text": (person(keypoints=["a"] * 9), "annotation 3 has `keypoints`"),
    "keypoints null": (person(keypoints=[None] * 9), "annotation 3 has `keypoints`"),
    "keypoints NaN": (person(keypoints=[float("nan")] + [1] * 8), "annotation 3 has `keypoints`"),
    "keypoints infinite": (person(keypoints=[float("inf")] + [1] * 8), "annotation 3 has `keypoints`"),
    "keypoints huge": (person(keypoints=[10**400] + [1] * 8), "annotation 3 has `keypoints`"),
    "visibility 3": (person(keypoints=[1, 1, 3] * 3), "annotation 3 has a visibility of 3;"),
    "visibility half": (person(keypoints=[1, 1, 0.5] * 3), "annotation 3 has a visibility of 0.5;"),
    "box missing": (lambda d: d["annotations"][0].pop("bbox"), "annotation 3: `bbox` has None"),
    "box NaN": (person(bbox=[0, 0, float("nan"), 9]), "annotation 3 has `bbox`"),
    "box short": (person(bbox=[0, 0, 9]), "annotation 3: `bbox` has 3 entries"),
    "box negative": (person(bbox=[0, 0, -5, 9]), "annotation 3 has the box .* must be positive"),
    "box flat": (person(bbox=[0, 0, 0, 9]), "annotation 3 has the box .* must be positive"),
    "box right of photo": (person(bbox=[64, 0, 9, 9]), "annotation 3 has the box .* outside its photograph of 64x48"),
    "box above photo": (person(bbox=[0, -9, 9, 9]), "annotation 3 has the box .* outside its photograph of 64x48"),
    "area negative": (person(area=-1), "annotation 3 has `area` -1"),
    "area zero": (person(area=0), "annotation 3 has `area` 0"),
    "area NaN": (person(area=float("nan")), "annotation 3 has `area` nan"),
    "area null": (person(area=None), "annotation 3 has `area` None"),
    "crowd text": (person(iscrowd="no"), "annotation 3 has `iscrowd` 'no'"),
    "head negative": (person(pckh_normalize=-2), "annotation 3 has `pckh_normalize` -2"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_refused_by_name(case: str, tmp_path: Path) -> None:
    spoil, message = BAD[case]
    data = deepcopy(SMALL)
    spoil(data)
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path, data)
    text = str(caught.value)
    assert "people.json" in text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\xff\xfe", "[" * 100_000, "null", "[]", '"x"', "5"])
def test_what_is_no_keypoint_file_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"people\.json"):
        read(tmp_path, text)


def test_outlines_are_thrown_away_while_reading(tmp_path: Path) -> None:
    """In every object, not only at the top; and the garbage collector is back afterwards."""
    rows = [{"id": 1, "segmentation": [[1, 2]], "deep": [{"segmentation": {"counts": "x"}, "a": 1}]}]
    path = write(tmp_path, {"annotations": rows, "segmentation": 1})
    assert read_json(path, without=("segmentation",)) == {"annotations": [{"id": 1, "deep": [{"a": 1}]}]}
    assert read_json(path)["annotations"] == rows and gc.isenabled()
    with pytest.raises(BadInput):
        read(tmp_path, "{")
    assert gc.isenabled()


def test_missing_and_giant_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_coco_file(tmp_path / "none.json", tmp_path, "none")
    with pytest.raises(BadInput, match="no such folder"):
        read_coco(tmp_path / "none", "train")
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b" " * 1_000_000))
    monkeypatch.setattr("sandglass.data.untrusted.MAX_JSON_BYTES", 100_000)
    with pytest.raises(BadInput, match="larger than"):
        read_json(bomb)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PLACES = [("categories",), ("images",), ("annotations",)]
PLACES += [("images", 0, key) for key in ("id", "file_name", "width", "height")]
PLACES += [("annotations", 0, key) for key in SMALL["annotations"][0]]
PLACES += [("categories", 0, key) for key in HAND]
PLACES += [("annotations", 0, "keypoints", 2), ("annotations", 0, "bbox", 2), ("categories", 0, "skeleton", 1)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_value_anywhere_is_read_or_refused(place: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    data = deepcopy(SMALL)
    target: Any = data
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    try:
        people = read(tmp_path, data)
    except BadInput:
        return
    assert np.isfinite(people.keypoints).all()
    assert np.isfinite(people.boxes).all()
