"""What a model sees, as pictures: skeletons over photographs, best and worst people, every stack's heatmaps."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.files import read_bytes
from sandglass.core.image import Photo, decode_image, warp
from sandglass.core.pose import People, Person, Pose, Predictions
from sandglass.draw.heatmaps import heatmap_grid
from sandglass.draw.people import close_up, draw_pose, draw_poses
from sandglass.draw.sheets import gallery
from sandglass.inference.predictor import Predictor
from sandglass.metrics.oks import match, matched

Picture = tuple[str, Photo]
Rows = NDArray[np.int64]


def sheets(predictor: Predictor, people: People, predictions: Predictions, count: int = 12) -> list[Picture]:
    """Page-wide pictures of an evaluation: the best and the worst people beside their ground truth, and heatmaps.

    `people` are those whom the protocol asked for; `predictions` their answers.
    """
    rows = match(people, predictions)
    similarity = np.where(rows >= 0, matched(people, predictions, rows), 0.0)
    answered = np.flatnonzero((rows >= 0) & (people.labelled >= min(5, len(people.skeleton))))
    order = answered[np.argsort(similarity[answered], kind="stable")]
    if not len(order):
        return []
    picked = {
        "the median person": order[len(order) // 2],
        "a good one (90th percentile by OKS)": order[int(0.9 * (len(order) - 1))],
        "a bad one (10th percentile by OKS)": order[int(0.1 * (len(order) - 1))],
    }
    found = [
        (
            f"{name}: heatmaps of every stack, ground truth below (OKS {similarity[row]:.2f})",
            _stacks(predictor, people, row),
        )
        for name, row in picked.items()
    ]
    # The very best and worst are labels with two joints, or wrong ones: the deciles' edges say more.
    fifth = len(order) // 5 + 1
    worst, best = order[:fifth], order[-fifth:]
    for name, some in (("worst fifth", _spread(worst, count // 2)), ("best fifth", _spread(best, count // 2))):
        caption = f"from the {name} by OKS: prediction, and beside it the ground truth"
        found.append((caption, _beside(people, predictions, rows, similarity, some)))
    return found


def _spread(rows: Rows, count: int) -> Rows:
    """`count` of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]


def _stacks(predictor: Predictor, people: People, row: int) -> Photo:
    """The heatmap grid of one person."""
    person, codec = people[int(row)], predictor.codec
    matrix = geometry.image_from_crop(person.box, codec.config.size, predictor.spec.padding)
    crop = warp(_photo(person), matrix, codec.config.size)
    maps = predictor.maps(crop[None])[0].float().cpu()
    points = torch.from_numpy(geometry.apply(geometry.invert(matrix), person.keypoints)).float()[None]
    truth, weight = codec.encode(points, torch.from_numpy((person.visibility > 0)[None]).float(), len(maps))
    labelled = weight[0].numpy() > 0
    return heatmap_grid(crop, maps.numpy(), truth[0, -1].numpy(), predictor.spec.skeleton, labelled=labelled)


def _beside(people: People, predictions: Predictions, rows: Rows, similarity: NDArray[np.float64], some: Rows) -> Photo:
    tiles, captions = [], []
    for i in some:
        person, answer = people[int(i)], rows[i]
        photo = _photo(person)
        for points, shown, caption in (
            (predictions.keypoints[answer], predictions.present[answer], f"OKS {similarity[i]:.2f}\nid {person.id}"),
            (person.keypoints, person.visibility > 0, "ground truth"),
        ):
            tile, moved = close_up(photo, person.box, points)
            tiles.append(draw_pose(tile, moved, shown, people.skeleton))
            captions.append(caption)
    return gallery(tiles, 6, captions)


def overlays(people: People, predictions: Predictions, count: int = 12) -> list[Picture]:
    """Photographs, evenly spread over the set, with everybody who was predicted on them."""
    images = np.unique(predictions.image_ids)
    found = []
    for image_id in images[np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))]:
        some = np.flatnonzero(predictions.image_ids == image_id)
        row = int(np.flatnonzero(people.image_ids == image_id)[0])
        w, h = people.image_sizes[row]
        path = people.image_paths[row]
        photo = decode_image(read_bytes(path), str(path), (int(w), int(h)))
        found.append((path.name, draw_poses(photo, as_poses(predictions.select(some)), people.skeleton)))
    return found


def as_poses(predictions: Predictions) -> list[Pose]:
    """Rows of arrays as poses."""
    columns = zip(
        predictions.keypoints,
        predictions.scores,
        predictions.present,
        predictions.boxes,
        predictions.score,
        strict=True,
    )
    return [Pose(points, scores, present, box, float(score)) for points, scores, present, box, score in columns]


def _photo(person: Person) -> Photo:
    path: Path = person.image_path
    return decode_image(read_bytes(path), str(path), person.image_size)
