"""A model and a data set -> Scores, through the predictor that users call."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People, Predictions
from sandglass.data.results import read_boxes
from sandglass.evaluation.notes import BOXES_NOTE
from sandglass.evaluation.protocols import find_protocol, people_to_predict
from sandglass.evaluation.scores import Scores, score
from sandglass.inference.predictor import Predictor
from sandglass.metrics.oks import nms


def evaluate(
    predictor: Predictor,
    people: People,
    protocol: str = "coco-gt",
    *,
    boxes: Path | None = None,
    intervals: int = 1000,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Scores, Predictions]:
    """Predict whom the protocol asks for, and score it. `intervals` bootstrap resamples; 0 for none.

    `boxes` is a detection file in COCO's results format, for protocols that take detected boxes: there a pose's
    score is its box's times its joints', and of poses that are alike (OKS-NMS) the best one stays. Raises
    BadInput when the joints are not the data set's, the boxes and the protocol do not fit, or a photograph
    cannot be read.
    """
    places = where_to_look(predictor, people, protocol, boxes)
    found = predictor.predict_boxes(people, places.images, places.boxes, places.ids, on_progress)
    predictions = places.answers(found)
    return places.told(score(people, predictions, protocol, intervals=intervals)), predictions


@dataclass(frozen=True, eq=False)
class Places:
    """P boxes to look into, and what becomes of the poses found there.

    ids: (P,) the people whose labelled boxes these are, -1 for a detector's; scores: (P,) the detector's, else 1.
    file: the detector's, "" for labelled boxes; skipped, unscored: its entries that were left out, or got 1 as a score.
    """

    images: NDArray[np.int64]  # (P,) rows of the data set's photographs
    boxes: Floats  # (P, 4)
    ids: NDArray[np.int64]
    scores: Floats
    file: str = ""
    skipped: int = 0
    unscored: int = 0

    def answers(self, found: Predictions) -> Predictions:
        """The poses (P) that are scored: a detector's box weighs its pose, and of poses that are alike one stays."""
        if (self.ids >= 0).all():
            return found
        found = replace(found, score=found.score * self.scores)
        return found.select(nms(found))

    def told(self, scores: Scores) -> Scores:
        """The scores, with notes of a detector's file: how many boxes it gave, what was left out, what had no score."""
        notes = [f"{BOXES_NOTE}: {len(self.boxes):,} of {self.file}"] if self.file else []
        if self.skipped:
            notes.append(f"detections left out, of other photographs or of other things than people: {self.skipped:,}")
        if self.unscored:
            notes.append(f"detections without a score, taken as 1: {self.unscored:,}")
        return replace(scores, notes=(*scores.notes, *notes))


def where_to_look(predictor: Predictor, people: People, protocol: str, boxes: Path | None = None) -> Places:
    """The boxes that the protocol looks into; see `evaluate`. Raises BadInput."""
    check_skeleton(predictor, people)
    if find_protocol(protocol).labelled_boxes:
        if boxes is not None:
            raise BadInput(f"protocol '{protocol}' looks into labelled boxes; drop --boxes, or use coco-det")
        asked = people_to_predict(people, protocol)
        return Places(asked.image, asked.boxes, asked.ids, np.ones(len(asked)))
    if boxes is None:
        raise BadInput(f"protocol '{protocol}' looks into detected boxes; give a detection file with --boxes")
    found = read_boxes(boxes, people.image_ids)
    order = np.argsort(people.image_ids)
    rows = order[np.searchsorted(people.image_ids[order], found.image_ids)]
    nobody = np.full(len(rows), -1)
    return Places(rows, found.boxes, nobody, found.scores, boxes.name, found.skipped, found.unscored)


def check_skeleton(predictor: Predictor, people: People) -> None:
    """Refuse a data set whose joints are not the model's. Raises BadInput."""
    ours, theirs = predictor.spec.skeleton, people.skeleton
    if ours.joints != theirs.joints:
        raise BadInput(
            f"the model finds the {len(ours)} joints of '{ours.name}', but {people.source} has the {len(theirs)} of "
            f"'{theirs.name}'; take a set with the model's skeleton"
        )
