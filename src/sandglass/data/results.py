"""Poses and boxes in COCO's results format. In the file a pixel's centre is a whole number and boxes are xywh."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.core.pose import Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.data.untrusted import Where, brief, numbers, objects, read_json, refuse, whole_numbers

PERSON = 1  # COCO's category


@dataclass(frozen=True, eq=False)
class Boxes:
    """People that a detector found.

    skipped: entries of the file left out, of other images or other things. unscored: of those kept, how many have no
    score of their own and count as sure as can be.
    """

    image_ids: NDArray[np.int64]  # (P,)
    boxes: NDArray[np.float64]  # (P, 4) xyxy
    scores: NDArray[np.float64]  # (P,) in 0..1
    skipped: int = 0
    unscored: int = 0


def write_results(path: Path, predictions: Predictions, names: Mapping[int, str] | None = None) -> None:
    """Poses as a COCO results file, whole or not at all; `read_results` gives them back.

    Beside COCO's fields, each entry holds `box` (xywh; not `bbox`, which would make pycocotools take areas from
    it instead of from the joints), `present` (K of 0, 1) and `person` (annotation id, -1 for none). With `names`
    (image id -> file name) it also holds `file_name`.
    Coordinates are rounded to 1/1000 pixel, scores to 1e-6. Raises BadInput when it cannot be written.
    """
    rows = result_rows(predictions, names)
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    write_whole(path, f"[\n{lines}\n]\n" if rows else "[]\n")


def result_rows(predictions: Predictions, names: Mapping[int, str] | None = None) -> list[dict[str, Any]]:
    """Poses as the entries of a results file; see `write_results`."""
    points = np.concatenate([(predictions.keypoints - 0.5).round(3), predictions.scores.round(6)[..., None]], axis=-1)
    corner, extent = predictions.boxes[:, :2], predictions.boxes[:, 2:] - predictions.boxes[:, :2]
    boxes = np.concatenate([corner, extent], axis=1).round(3)
    return [
        {
            "image_id": int(predictions.image_ids[i]),
            "category_id": PERSON,
            "keypoints": points[i].ravel().tolist(),
            "score": round(float(predictions.score[i]), 6),
            "box": boxes[i].tolist(),
            "present": predictions.present[i].astype(int).tolist(),
            "person": int(predictions.people[i]),
            **({} if names is None else {"file_name": names[int(predictions.image_ids[i])]}),
        }
        for i in range(len(predictions))
    ]


def read_results(path: Path, skeleton: Skeleton) -> Predictions:
    """Poses from a COCO results file, ours or another tool's; without `present`, every joint is.

    Raises BadInput with the entry's index: keypoints that are not 3 K finite numbers, scores outside 0..1,
    boxes turned inside out.
    """
    rows, where = _entries(path)
    k = len(skeleton)
    flat = numbers(rows, "keypoints", where, width=3 * k).reshape(-1, k, 3)
    refuse(_unlikely(flat[..., 2]).any(1), where, lambda i: "has a joint score outside 0..1; rescale the scores")
    keypoints = flat[..., :2] + 0.5
    extent = np.concatenate([keypoints.min(1) - 0.5, np.ptp(keypoints, axis=1) + 1], axis=1)
    boxed = [{"box": own} | row for row, own in zip(rows, extent.tolist(), strict=True)]
    present = [{"present": [1] * k} | row for row in rows]
    people = [{"person": -1} | row for row in rows]
    return Predictions(
        skeleton=skeleton,
        image_ids=whole_numbers(rows, "image_id", where),
        keypoints=keypoints,
        scores=flat[..., 2],
        present=numbers(present, "present", where, width=k) > 0,
        boxes=_boxes(boxed, "box", where),
        score=_scores(rows, where),
        people=whole_numbers(people, "person", where),
    )


def read_boxes(path: Path, image_ids: NDArray[np.int64]) -> Boxes:
    """A detector's people in the images of a data set, from a COCO detection file.

    Detections of other categories, and in images that are not asked for, are left out and counted; a detection without
    `score` gets 1, and is counted too.
    Raises BadInput with the entry's index for boxes and scores that cannot be, and when none is left.
    """
    rows, where = _entries(path)
    if not rows:
        raise BadInput(f"{path}: holds no detections at all; run the detector again, or score by coco-gt")
    images = whole_numbers(rows, "image_id", where)
    boxes, scores = _boxes(rows, "bbox", where), _scores(rows, where)
    person = np.array([row.get("category_id", PERSON) == PERSON for row in rows], bool)
    chosen = person & np.isin(images, image_ids)
    if not chosen.any():
        raise BadInput(
            f"{path}: none of its {len(rows)} entries ({person.sum()} of people) lies in the data set's "
            f"{len(image_ids)} images; give the detections of the same images"
        )
    unscored = np.array(["score" not in row for row in rows], bool) & chosen
    skipped = int((~chosen).sum())
    return Boxes(images[chosen], boxes[chosen], scores[chosen], skipped=skipped, unscored=int(unscored.sum()))


def read_photo_boxes(path: Path) -> dict[str, NDArray[np.float64]]:
    """Boxes (P, 4) xyxy by photograph, for `predict --boxes`; the key is a file name or an image id as text.

    The file holds COCO's xywh either as an object, {"photo.jpg": [[x, y, w, h], ...]}, or as a list of entries
    with `bbox` and `file_name` or `image_id`. An empty list means that nobody is there. Raises BadInput with the entry.
    """
    data = read_json(path)
    if isinstance(data, dict):
        rows = [{"file_name": name, "bbox": box} for name, boxes in data.items() for box in _listed(boxes, name, path)]
    elif isinstance(data, list):
        rows = objects(data, f"{path}: entry ")
    else:
        raise BadInput(f"{path}: holds {brief(data)}, no boxes; give {{photo: [[x, y, w, h], ...]}} or COCO's list")
    rows = [row for row in rows if row.get("category_id", PERSON) == PERSON]
    keys = [row.get("file_name", row.get("image_id")) for row in rows]

    def where(i: int) -> str:
        return f"{path}: entry {i} ({brief(keys[i])})"

    named = np.array([type(key) in (str, int) for key in keys], bool)
    refuse(~named, where, lambda i: "names no photograph; give it a `file_name` or `image_id`")
    boxes = _boxes(rows, "bbox", where)
    order: dict[str, list[int]] = {name: [] for name in data} if isinstance(data, dict) else {}
    for i, key in enumerate(keys):
        order.setdefault(str(key), []).append(i)
    return {key: boxes[chosen] for key, chosen in order.items()}


def boxes_of_photo(boxes: Mapping[str, NDArray[np.float64]], photo: Path) -> NDArray[np.float64] | None:
    """The boxes of one photograph, by the first of its names; None if unnamed."""
    return next((boxes[key] for key in names_of_photo(photo) if key in boxes), None)


def names_of_photo(photo: Path) -> list[str]:
    """What a file of boxes may call a photograph: its path, its name, or its name read as COCO's image id."""
    return [str(photo), photo.name, photo.stem, *([str(int(photo.stem))] if photo.stem.isdecimal() else [])]


def _entries(path: Path) -> tuple[list[dict[str, Any]], Where]:
    data = read_json(path)
    if not isinstance(data, list):
        raise BadInput(f"{path}: holds {brief(data)}, not a list; it must be a COCO results file")
    return objects(data, f"{path}: entry "), lambda i: f"{path}: entry {i}"


def _listed(boxes: Any, name: str, path: Path) -> list[Any]:
    if not isinstance(boxes, list):
        raise BadInput(f"{path}: {brief(name)} has {brief(boxes)}, not a list of boxes [x, y, w, h]")
    return boxes


def _boxes(rows: list[dict[str, Any]], key: str, where: Where) -> NDArray[np.float64]:
    xywh = numbers(rows, key, where, width=4)
    refuse(
        (xywh[:, 2:] <= 0).any(1),
        where,
        lambda i: f"has the box {xywh[i].tolist()}; its width and height must be positive",
    )
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def _scores(rows: list[dict[str, Any]], where: Where) -> NDArray[np.float64]:
    scores = numbers(rows, "score", where, default=1.0)
    refuse(_unlikely(scores), where, lambda i: f"has `score` {scores[i]:g}; scores lie in 0..1, rescale them")
    return scores


def _unlikely(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (scores < 0) | (scores > 1)
