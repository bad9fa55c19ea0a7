"""A model and a data set -> Scores, through the predictor that users call."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.pose import People, Predictions
from sandglass.data.results import read_boxes
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
    ours, theirs = predictor.spec.skeleton, people.skeleton
    if ours.joints != theirs.joints:
        raise BadInput(
            f"the model finds the {len(ours)} joints of '{ours.name}', but {people.source} has the {len(theirs)} of "
            f"'{theirs.name}'; evaluate on a set with the model's skeleton"
        )
    if find_protocol(protocol).labelled_boxes:
        if boxes is not None:
            raise BadInput(f"protocol '{protocol}' looks into labelled boxes; drop --boxes, or use coco-det")
        predictions = predictor.predict(people_to_predict(people, protocol), on_progress)
    else:
        predictions = _in_detected_boxes(predictor, people, protocol, boxes, on_progress)
    return score(people, predictions, protocol, intervals=intervals), predictions


def _in_detected_boxes(
    predictor: Predictor,
    people: People,
    protocol: str,
    boxes: Path | None,
    on_progress: Callable[[int, int], None] | None,
) -> Predictions:
    if boxes is None:
        raise BadInput(f"protocol '{protocol}' looks into detected boxes; give a detection file with --boxes")
    found = read_boxes(boxes, people.image_ids)
    order = np.argsort(people.image_ids)
    rows = order[np.searchsorted(people.image_ids[order], found.image_ids)]
    predictions = predictor.predict_boxes(people, rows, found.boxes, on_progress=on_progress)
    predictions = replace(predictions, score=predictions.score * found.scores)
    return predictions.select(nms(predictions))
