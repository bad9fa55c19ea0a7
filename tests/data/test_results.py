"""COCO's results format: round trip, what the field's scorer makes of it, and files that are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.pose import Predictions
from sandglass.core.skeleton import COCO17
from sandglass.data.coco import annotation_file, read_coco
from sandglass.data.results import boxes_of_photo, read_boxes, read_photo_boxes, read_results, write_results


@pytest.fixture
def predictions(tiny_coco: Path) -> Predictions:
    people = read_coco(tiny_coco, "val")
    rng = np.random.default_rng(0)
    return Predictions(
        skeleton=COCO17,
        image_ids=people.image_ids[people.image],
        keypoints=people.keypoints,
        scores=rng.random((3, 17)).round(6),
        present=rng.random((3, 17)) > 0.2,
        boxes=people.boxes,
        score=rng.random(3).round(6),
        people=np.array([people.ids[0], -1, people.ids[2]]),
    )


def write(folder: Path, data: Any) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps(data))
    return path


def test_round_trip(predictions: Predictions, tmp_path: Path) -> None:
    path = tmp_path / "new" / "predictions.json"
    write_results(path, predictions)
    again = read_results(path, COCO17)
    for name in ("image_ids", "present", "people", "scores", "score"):
        np.testing.assert_array_equal(getattr(again, name), getattr(predictions, name), err_msg=name)
    np.testing.assert_allclose(again.keypoints, predictions.keypoints, atol=5.01e-4)
    np.testing.assert_allclose(again.boxes, predictions.boxes, atol=1.01e-3)


def test_in_the_file_a_pixel_centre_is_a_whole_number(predictions: Predictions, tmp_path: Path) -> None:
    write_results(tmp_path / "p.json", predictions)
    first = json.loads((tmp_path / "p.json").read_text())[0]
    assert first["keypoints"][:2] == pytest.approx(predictions.keypoints[0, 0] - 0.5, abs=5e-4)
    assert first["box"] == pytest.approx([40, 20, 100, 165])
    assert first["category_id"] == 1


def test_scorer_takes_areas_from_the_joints(predictions: Predictions, tiny_coco: Path, tmp_path: Path) -> None:
    """pycocotools would take them from a field `bbox`, and with them other APM and APL than other tools publish."""
    coco = pytest.importorskip("pycocotools.coco")
    write_results(tmp_path / "p.json", predictions)
    found = coco.COCO(str(annotation_file(tiny_coco, "val"))).loadRes(str(tmp_path / "p.json"))
    extent = np.ptp(predictions.keypoints, axis=1)
    assert [row["area"] for row in found.loadAnns([1, 2, 3])] == pytest.approx(extent.prod(1), abs=0.5)


def test_results_of_other_tools(tmp_path: Path) -> None:
    points = [4, 6, 0.5] * 16 + [14, 26, 1]
    row = {"image_id": 5, "category_id": 1, "keypoints": points, "score": 0.25}
    found = read_results(write(tmp_path, [row]), COCO17)
    assert found.present.all()
    assert found.people.tolist() == [-1]
    assert found.boxes.tolist() == [[4, 6, 15, 27]]  # the pixels that the joints lie on
    assert len(read_results(write(tmp_path, []), COCO17)) == 0


GOOD = {"image_id": 5, "category_id": 1, "keypoints": [4, 6, 0.5] * 17, "score": 0.25}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1, 2, 0.5] * 16}, "entry 1: `keypoints` has 48 entries where 51"),
        ({"keypoints": [1, float("nan"), 0.5] * 17}, "entry 1 has `keypoints`"),
        ({"keypoints": [1, 2, 1.5] * 17}, r"entry 1 has a joint score outside 0\.\.1"),
        ({"score": -0.1}, r"entry 1 has `score` -0.1"),
        ({"score": float("nan")}, "entry 1 has `score` nan"),
        ({"image_id": None}, "entry 1 has `image_id` None"),
        ({"box": [0, 0, 0, 0]}, "entry 1 has the box"),
        ({"person": "x"}, "entry 1 has `person` 'x'"),
    ],
)
def test_bad_results_are_refused_by_entry(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        read_results(write(tmp_path, [GOOD, GOOD | changes]), COCO17)


def test_results_that_are_no_list_are_refused(tmp_path: Path) -> None:
    for data in ({"a": 1}, 5, None, [5]):
        with pytest.raises(BadInput, match=r"given\.json"):
            read_results(write(tmp_path, data), COCO17)


def box(image_id: int = 5, bbox: Any = (1, 2, 10, 20), **others: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 1, "bbox": list(bbox), "score": 0.5} | others


def test_boxes_of_a_detector(tmp_path: Path) -> None:
    path = write(tmp_path, [box(), box(6), box(5, (0, 0, 4, 4), category_id=3), box(7, score=1.0)])
    found = read_boxes(path, np.array([5, 7]))
    assert found.image_ids.tolist() == [5, 7]
    assert found.boxes.tolist() == [[1, 2, 11, 22]] * 2
    assert found.scores.tolist() == [0.5, 1.0]
    assert (found.skipped, found.unscored) == (2, 0)
    with pytest.raises(BadInput, match=r"none of its 4 entries \(3 of people\) lies in the data set's 1 images"):
        read_boxes(path, np.array([99]))
    with pytest.raises(BadInput, match="holds no detections at all"):
        read_boxes(write(tmp_path, []), np.array([99]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (box(bbox=(0, 0, float("nan"), 1)), "entry 1 has `bbox`"),
        (box(bbox=(0, 0, -3, 1)), "entry 1 has the box .* must be positive"),
        (box(bbox=(0, 0, 3, 0)), "entry 1 has the box .* must be positive"),
        (box(bbox=(0, 0, 3)), "entry 1: `bbox` has 3 entries"),
        (box(score=2.0), r"entry 1 has `score` 2"),
    ],
)
def test_bad_boxes_are_refused_by_entry(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        read_boxes(write(tmp_path, [box(), bad]), np.array([5]))


def test_boxes_by_photograph(tmp_path: Path) -> None:
    named = read_photo_boxes(write(tmp_path, {"a.jpg": [[1, 2, 3, 4], [0, 0, 5, 5]], "b.jpg": []}))
    assert named["a.jpg"].tolist() == [[1, 2, 4, 6], [0, 0, 5, 5]]
    listed = read_photo_boxes(write(tmp_path, [box(139), {"file_name": "c.png", "bbox": [0, 0, 1, 1]}]))
    assert set(listed) == {"139", "c.png"}
    for photo in ("c.png", "folder/c.png", "folder/000000000139.jpg"):
        found = boxes_of_photo(listed, Path(photo))
        assert found is not None and found.shape == (1, 4)
    assert boxes_of_photo(listed, Path("d.png")) is None


@pytest.mark.parametrize("data", [5, {"a.jpg": 5}, {"a.jpg": [5]}, {"a.jpg": [[0, 0, 0, 4]]}, [{"bbox": [0, 0, 1, 1]}]])
def test_bad_boxes_by_photograph_are_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"given\.json"):
        read_photo_boxes(write(tmp_path, data))


def test_boxes_without_a_score_are_sure_and_counted(tmp_path: Path) -> None:
    bare = [{key: value for key, value in box(image).items() if key != "score"} for image in (5, 5, 6)]
    found = read_boxes(write(tmp_path, [box(), *bare]), np.array([5]))
    assert found.scores.tolist() == [0.5, 1.0, 1.0]
    assert (found.unscored, found.skipped) == (2, 1)  # the third is of another photograph
