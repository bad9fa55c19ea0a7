"""A gallery for each kind of mistake: what was said, and beside it what is true. Image pixels.

Mistakes of joints are shown on the people who have most of them; then come predictions that are ranked wrongly, that
find somebody twice or find nobody, and people whom nobody found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core.image import Photo
from sandglass.core.pose import Floats
from sandglass.data.photos import read_photo
from sandglass.draw.people import TINTS, close_up, draw_pose
from sandglass.draw.sheets import gallery
from sandglass.evaluation.findings import JOINT_KINDS, KINDS
from sandglass.evaluation.page import Picture
from sandglass.evaluation.pictures import ENOUGH, TILE, Album, Rows, beside
from sandglass.metrics import oks
from sandglass.metrics.judgement import Verdict
from sandglass.metrics.mistakes import Kind

EACH = 6  # people of a kind
TRIPLES = 4  # the same, where each takes three tiles
COLUMNS = 6  # tiles in a row
NEAREST = 3  # predictions shown near somebody who was not found: all of them hide the photograph


@dataclass(frozen=True, eq=False)
class Tile:
    """A close-up around `box` (4,) with poses: points (K, 2) and which of them are shown (K,)."""

    caption: str
    box: Floats
    poses: Sequence[tuple[Floats, NDArray[np.bool_]]]


def galleries(book: Album) -> dict[str, Picture]:
    """Kind of mistake -> a page-wide picture of some that were made; without those that were not, or not on photographs
    that are here."""
    found = {kind: _of_joints(book, Kind[kind.upper()]) for kind in JOINT_KINDS if kind != "good"}
    found |= {"scoring": _misranked(book), "duplicate": _twice(book), "background": _nobody(book)}
    found["unfound"] = _unfound(book)
    return {kind: picture for kind, picture in found.items() if picture is not None}


def _of_joints(book: Album, kind: Kind) -> Picture | None:
    """Those who have most of one kind, the joints ringed, each with a line to where it belongs."""
    judged = book.mistakes
    many = np.where(book.here, (judged.kinds == kind).sum(1), 0)
    order = np.argsort(-many, kind="stable")
    some = _one_a_photograph(order[many[order] > 0], book.people.image)[:EACH]
    if not len(some):
        return None
    what = f"{judged.shares()[kind]:.1%} of labelled joints; ringed, with a line to where they belong"
    return _caption(kind.name.lower(), what), beside(book, some, (judged, kind))


def _misranked(book: Album) -> Picture | None:
    """Where a prediction that ranks higher is much less like the person."""
    judged, said = book.judged, book.predictions
    rows = np.flatnonzero(judged.misranked)
    better = {row: judged.overtaken(row, said.score) for row in rows.tolist()}
    worse_by = judged.likeness[list(better.values())] - judged.likeness[rows] if len(rows) else np.zeros(0)
    tiles = []
    for row in _shown(book, rows[np.argsort(-worse_by, kind="stable")])[:TRIPLES]:
        person = int(judged.nearest[row])
        tiles += [_answer(book, row, "ranked above", person), _answer(book, better[row], "the better one", person)]
        tiles.append(_truth(book, person))
    what = f"{_share(judged.misranked)} of predictions; what ranks above, what is better, and the ground truth"
    return _picture(book, "scoring", what, tiles)


def _twice(book: Album) -> Picture | None:
    """The surest of those that find again who was found."""
    judged = book.judged
    wrong = judged.verdicts == Verdict.DUPLICATE
    tiles = []
    for row in _surest(book, wrong)[:TRIPLES]:
        person = int(judged.nearest[row])
        counts = int(judged.mistakes.rows[person])
        tiles += [_answer(book, row, "once too often", person), _answer(book, counts, "the one that counts", person)]
        tiles.append(_truth(book, person))
    what = f"{_share(wrong)} of predictions; the duplicate, the prediction that counts, and the ground truth"
    return _picture(book, "duplicate", what, tiles)


def _nobody(book: Album) -> Picture | None:
    """The surest of those that are like nobody, beside everybody who is labelled there."""
    judged, said = book.judged, book.predictions
    wrong, people = judged.verdicts == Verdict.BACKGROUND, judged.people
    tiles = []
    for row in _surest(book, wrong)[:EACH]:
        image, box = int(book.image[row]), said.boxes[row]
        told = f"nearest person: OKS {judged.likeness[row]:.2f}\nscore {said.score[row]:.2f}"
        truth = [_labels(book, i) for i in np.flatnonzero(people.image == image).tolist()]
        tiles += [(image, Tile(told, box, [_pose(book, row)])), (image, Tile("everybody labelled there", box, truth))]
    what = f"{_share(wrong)} of predictions, the surest first; beside each the people who are labelled there"
    return _picture(book, "background", what, tiles)


def _unfound(book: Album) -> Picture | None:
    """The largest of those whom no prediction is like, and what was predicted nearest to them."""
    judged, said = book.judged, book.predictions
    people, lost = judged.people, judged.mistakes.rows < 0
    counted = np.isin(people.image, book.people.image)  # a protocol may not ask for anybody on a photograph
    rows = np.flatnonzero(lost & counted & book.there[people.image])
    few = people.labelled[rows] < min(ENOUGH, len(people.skeleton))
    rows = rows[np.lexsort((-people.areas[rows], few))]
    tiles = []
    for i in _one_a_photograph(rows, people.image)[:EACH].tolist():
        there = np.flatnonzero(said.image_ids == people.image_ids[people.image[i]])
        found, _, values = oks.pairs(people.select(np.array([i])), said.select(there))
        near = there[found[np.argsort(-values, kind="stable")[:NEAREST]]]
        told = f"nearest prediction: OKS {values.max():.2f}" if len(near) else "no prediction on the photograph"
        poses = [_pose(book, row) for row in near]
        tiles += [(int(people.image[i]), Tile(told, people.boxes[i], poses)), _truth(book, i)]
    what = f"{_share(lost[counted])} of people, the largest first; the nearest predictions, and the ground truth"
    return _picture(book, "unfound", what, tiles)


def _caption(kind: str, what: str) -> str:
    return f"{kind}: {KINDS[kind]} ({what})"


def _picture(book: Album, kind: str, what: str, tiles: Sequence[tuple[int, Tile]]) -> Picture | None:
    if not tiles:
        return None
    drawn = [_draw(book, image, tile) for image, tile in tiles]
    return _caption(kind, what), gallery(drawn, COLUMNS, [tile.caption for _, tile in tiles])


def _draw(book: Album, image: int, tile: Tile) -> Photo:
    photo = read_photo(book.everybody, image)
    drawn, _ = close_up(photo, tile.box, np.zeros((0, 2)), side=TILE)
    for i, (points, shown) in enumerate(tile.poses):
        _, moved = close_up(photo, tile.box, points, side=TILE)
        drawn = draw_pose(drawn, moved, shown, book.people.skeleton, tint=TINTS[i % len(TINTS)])
    return drawn


def _answer(book: Album, row: int, what: str, person: int) -> tuple[int, Tile]:
    """A prediction, around the person whom it is like."""
    told = f"{what}\nscore {book.predictions.score[row]:.2f}, OKS {book.judged.likeness[row]:.2f}"
    return int(book.image[row]), Tile(told, book.judged.people.boxes[person], [_pose(book, row)])


def _truth(book: Album, person: int) -> tuple[int, Tile]:
    people = book.judged.people
    told = f"ground truth\nid {people.ids[person]}"
    return int(people.image[person]), Tile(told, people.boxes[person], [_labels(book, person)])


def _pose(book: Album, row: int) -> tuple[Floats, NDArray[np.bool_]]:
    return book.predictions.keypoints[row], book.predictions.present[row]


def _labels(book: Album, person: int) -> tuple[Floats, NDArray[np.bool_]]:
    return book.judged.people.keypoints[person], book.judged.people.visibility[person] > 0


def _surest(book: Album, wrong: NDArray[np.bool_]) -> list[int]:
    """Predictions of a mask (P,), the best scores first."""
    rows = np.flatnonzero(wrong)
    return _shown(book, rows[np.argsort(-book.predictions.score[rows], kind="stable")])


def _shown(book: Album, rows: Rows) -> list[int]:
    """Predictions, one a photograph that is here, in their order."""
    return _one_a_photograph(rows[book.there[book.image[rows]]], book.image).tolist()


def _share(mask: NDArray[np.bool_]) -> str:
    return f"{mask.mean() if len(mask) else 0:.1%}"


def _one_a_photograph(rows: Rows, image: NDArray[np.int64]) -> Rows:
    """The first of each photograph, in order: galleries should show different scenes."""
    _, first = np.unique(image[rows], return_index=True)
    return rows[np.sort(first)]
