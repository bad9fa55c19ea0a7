"""What a model sees, as pictures: heatmaps of every stack, people beside their truth, whole photographs.

Photographs that are not on this disk are passed over: labels alone have figures, but no pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.image import Photo, warp
from sandglass.core.pose import Floats, People, Pose, Predictions
from sandglass.data.photos import read_photo
from sandglass.draw.heatmaps import heatmap_grid
from sandglass.draw.people import close_up, draw_pose, draw_poses, mark_mistake
from sandglass.draw.sheets import gallery
from sandglass.inference.predictor import Predictor
from sandglass.metrics.judgement import Judgement, judge
from sandglass.metrics.mistakes import Kind, Mistakes
from sandglass.metrics.oks import match, matched
from sandglass.models.codec import Codec

Picture = tuple[str, Photo]  # a caption, an image
Rows = NDArray[np.int64]

TILE = 320  # pixels
ENOUGH = 5  # labelled joints that make a person worth showing
# Of heatmaps by their kind: what the number in the corner of each is.
CORNER = {
    "heatmap": "The number in a corner is the map's peak, off which the joint's score is read.",
    "distribution": (
        "The number in a corner is the map's peak: the probability of one cell, far below the joint's score, for which "
        "the cells around it are added up."
    ),
}
FEW = 2  # people on a photograph, up to whom ellipses are drawn


@dataclass(frozen=True, eq=False)
class Album:
    """Everybody whom a protocol asked for, what was answered, and whose photograph is here.

    everybody: the whole data set. rows: (N,) the prediction that answers for each person asked, -1 for none.
    similarity: (N,) its OKS. there: (M,) whether each photograph is here. here: (N,) people who were answered, with
    enough joints to judge, on such photographs. judged: all predictions, against everybody.
    """

    everybody: People
    people: People
    predictions: Predictions
    rows: Rows
    similarity: Floats
    there: NDArray[np.bool_]
    here: NDArray[np.bool_]
    judged: Judgement

    @cached_property
    def image(self) -> Rows:
        """The photograph of each prediction (P,): its row in the data set's table."""
        order = np.argsort(self.everybody.image_ids)
        return order[np.searchsorted(self.everybody.image_ids[order], self.predictions.image_ids)]

    @cached_property
    def mistakes(self) -> Mistakes:
        """Of the people asked for (N)."""
        whole = self.judged.mistakes
        asked = np.isin(self.judged.people.ids, self.people.ids)
        assert (self.judged.people.ids[asked] == self.people.ids).all()
        return replace(whole, kinds=whole.kinds[asked], rows=whole.rows[asked], corrected=whole.corrected[asked])


def album(everybody: People, asked: People, predictions: Predictions) -> Album:
    """Match the answers once, and look which photographs exist."""
    rows = match(asked, predictions)
    similarity = np.where(rows >= 0, matched(asked, predictions, rows), 0.0)
    there = np.array([path.is_file() for path in everybody.image_paths], bool)
    enough = (rows >= 0) & (asked.labelled >= min(ENOUGH, len(asked.skeleton)))
    judged = judge(everybody, predictions)
    return Album(everybody, asked, predictions, rows, similarity, there, enough & there[asked.image], judged)


def sheets(predictor: Predictor | None, book: Album, count: int = 12) -> list[Picture]:
    """Page-wide pictures: heatmaps of every stack (with a predictor), the best and the worst beside the truth."""
    known = np.flatnonzero(book.here)
    order = known[np.argsort(book.similarity[known], kind="stable")]
    if not len(order):
        return []
    found = []
    if predictor is not None:
        said = f"{CORNER[predictor.spec.codec.kind]} The ring is where the truth lies."
        picked = {
            "the median person": order[len(order) // 2],
            "a good one (90th percentile by OKS)": order[int(0.9 * (len(order) - 1))],
            "a bad one (10th percentile by OKS)": order[int(0.1 * (len(order) - 1))],
        }
        for name, row in picked.items():
            caption = f"{name}: heatmaps of every stack, ground truth below (OKS {book.similarity[row]:.2f}). {said}"
            found.append((caption, _stacks(predictor, book.people, row)))
    # The very best and worst are labels with two joints, or wrong ones: the deciles' edges say more.
    fifth = len(order) // 5 + 1
    for name, some in (("worst fifth", order[:fifth]), ("best fifth", order[-fifth:])):
        caption = f"from the {name} by OKS: prediction, and beside it the ground truth"
        found.append((caption, beside(book, _spread(some, count // 2))))
    return found


def overlays(predictor: Predictor | None, book: Album, count: int = 12) -> list[Picture]:
    """Photographs, evenly spread over the set, with everybody who was predicted on them.

    With a predictor, and where few enough people are on it to stay readable, ellipses show how far off each joint
    may be.
    """
    people, predictions = book.everybody, book.predictions
    rows = np.flatnonzero(np.isin(people.image_ids, predictions.image_ids))
    rows = rows[[people.image_paths[row].is_file() for row in rows]] if len(rows) else rows
    found = []
    for row in _spread(rows, count):
        some = predictions.select(predictions.image_ids == people.image_ids[row])
        photo = read_photo(people, int(row))
        poses = as_poses(some)
        if predictor is not None and len(poses) <= FEW:
            seen = predictor.look(photo, some.boxes).spread
            poses = [replace(pose, spread=spread) for pose, spread in zip(poses, seen, strict=True)]
        found.append((people.image_paths[row].name, draw_poses(photo, poses, people.skeleton)))
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


def _spread(rows: Rows, count: int) -> Rows:
    """`count` of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))] if len(rows) else rows


def _stacks(predictor: Predictor, people: People, row: int) -> Photo:
    """The heatmap grid of one person."""
    person, codec = people[int(row)], Codec(predictor.spec.codec)
    matrix = geometry.image_from_crop(person.box, codec.config.size, predictor.spec.padding)
    crop = warp(read_photo(people, int(people.image[row])), matrix, codec.config.size)
    maps = predictor.maps(crop[None])[0]
    points = torch.from_numpy(geometry.apply(geometry.invert(matrix), person.keypoints)).float()[None]
    truth, weight = codec.encode(points, torch.from_numpy((person.visibility > 0)[None]).float(), len(maps))
    labelled = weight[0].numpy() > 0
    return heatmap_grid(crop, maps, truth[0, -1].numpy(), predictor.spec.skeleton, labelled=labelled)


def beside(book: Album, some: Rows, marked: tuple[Mistakes, Kind] | None = None) -> Photo:
    """Close-ups of people asked for: what was said, and beside it what is true."""
    tiles: list[Photo] = []
    captions: list[str] = []
    skeleton = book.people.skeleton
    for i in some:
        person, answer = book.people[int(i)], book.rows[i]
        photo = read_photo(book.people, int(book.people.image[i]))
        size = TILE / 1.35  # the box in its close-up
        tile, truth = close_up(photo, person.box, person.keypoints, side=TILE)
        _, said = close_up(photo, person.box, book.predictions.keypoints[answer], side=TILE)
        shown = book.predictions.present[answer]
        told = f"OKS {book.similarity[i]:.2f}"
        wrong: Sequence[int] = ()
        if marked is not None:
            wrong = np.flatnonzero(marked[0].kinds[i] == marked[1]).tolist()
            shown = shown | (marked[0].kinds[i] == marked[1])
            names = [skeleton.joints[k].replace("_", " ") for k in wrong]
            told += f", {', '.join(names) if len(names) < 3 else f'{len(names)} joints'}"
        drawn = draw_pose(tile, said, shown, skeleton)
        for k in wrong:
            mark_mistake(drawn, said[k], truth[k], size)
        tiles += [drawn, draw_pose(tile, truth, person.visibility > 0, skeleton)]
        captions += [f"{told}\nid {person.id}", "ground truth"]
    return gallery(tiles, 6, captions)
