"""What a reader of scores must know about them: a line each, by protocol, predictions and labels."""

from typing import Final

import numpy as np

from sandglass.core.pose import People, Predictions
from sandglass.metrics.average_precision import MAX_DETECTIONS, AveragePrecision
from sandglass.metrics.oks import pairs
from sandglass.metrics.pck import TORSO_PER_BOX, TORSO_PER_FACE, TORSO_PER_HEAD, Errors, Means

TIED: Final = 0.1  # share of predictions with one score, above which the order in the file decides
FEW_IMAGES: Final = 10  # photographs with people: of fewer, resamples are too much alike
LENGTHS_NOTE: Final = "PCK lengths (people)"  # how the notes begin that explain and warn of nothing
BOXES_NOTE: Final = "boxes looked into"


def distance_notes(torso: Errors, error: Means) -> list[str]:
    left_out = int((torso.visibility > 0).sum()) - error.joints
    return [f"joints of people who were not found, left out of EPE and NEPE: {left_out:,}"] if left_out else []


def few_notes(asked: People) -> list[str]:
    """What intervals over few photographs are worth."""
    count = len(np.unique(asked.image))
    if count == 1:
        return ["no intervals: all people are on one photograph"]
    return [f"the intervals are too narrow: they come of {count} photographs"] if 1 < count < FEW_IMAGES else []


def prediction_notes(predictions: Predictions) -> list[str]:
    """What else a reader of the figures must know about the predictions."""
    notes = []
    _, counts = np.unique(predictions.image_ids, return_counts=True)
    beyond = int(np.maximum(counts - MAX_DETECTIONS, 0).sum())
    if beyond:
        notes.append(
            f"predictions beyond the {MAX_DETECTIONS} best of their photograph, without weight in AP: {beyond:,}"
        )
    tied = int(np.unique(predictions.score, return_counts=True)[1].max(initial=0))
    if tied > max(1, TIED * len(predictions)):
        notes.append(
            f"AP depends on the order of the predictions: {tied:,} of {len(predictions):,} have the same score, which "
            "ranks none of them"
        )
    return notes


def zero_notes(people: People, predictions: Predictions, precision: AveragePrecision) -> list[str]:
    """Why AP is 0 where there are predictions."""
    if precision.figures["AP50"] != 0 or not len(predictions):
        return []
    best = pairs(people, predictions)[2].max(initial=0)
    return [
        f"AP is 0: none of {len(predictions):,} predictions is right even at OKS 0.50 (the best has {best:.2f}); "
        "are they of these photographs, and in image pixels?"
    ]


def length_notes(torso: Errors) -> list[str]:
    """By what PCK measured how many people."""
    names = {
        "torso": "torso, left shoulder to right hip",
        "torso, other diagonal": "torso, right shoulder to left hip",
        "head": f"head size x {TORSO_PER_HEAD}",
        "face": f"face, ear to ear or nose, x {TORSO_PER_FACE}",
        "box": f"longer side of the box x {TORSO_PER_BOX}",
        "none": "no length, left out",
    }
    parts = [f"{names[kind]} ({count:,})" for kind, count in torso.lengths.counts().items()]
    return [f"{LENGTHS_NOTE}: {'; '.join(parts)}"] if parts else ["no PCK: nobody has a labelled joint"]
