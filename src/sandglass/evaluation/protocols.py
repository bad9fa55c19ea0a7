"""Protocols: whose joints are asked for, and which predictions may answer. Image pixels; boxes are xyxy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.pose import People, Predictions

Mask = NDArray[np.bool_]


def _scorable(people: People) -> Mask:
    return ~people.crowd & (people.labelled > 0)


def _seed_people(people: People) -> Mask:
    return ~people.crowd & (people.labelled >= 5) & (geometry.area(people.boxes) > 900)


@dataclass(frozen=True)
class Protocol:
    """Whose joints are asked for, and on which photographs AP is taken.

    AP is always taken against everybody on those photographs; crowds and people without labelled joints
    excuse what is found on them, as COCO does. PCK is taken over the people asked for.
    """

    description: str
    labelled_boxes: bool  # predictions are made in the labelled boxes of the people asked for
    asked: Callable[[People], Mask]


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "coco-gt": Protocol(
        "labelled boxes of every person with a labelled joint, scored on their photographs",
        True,
        _scorable,
    ),
    "coco-det": Protocol(
        "detected boxes, scored on every photograph of the set, as COCO's leaderboard does",
        False,
        _scorable,
    ),
    "seed": Protocol(
        "labelled boxes of people with at least 5 labelled joints and a box above 900 square pixels, "
        "scored against everybody on their photographs",
        True,
        _seed_people,
    ),
}


def find_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises BadInput."""
    if name not in PROTOCOLS:
        raise BadInput(f"no protocol is called '{name}'; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def people_to_predict(people: People, protocol: str) -> People:
    """The people in whose labelled boxes the protocol wants a prediction, one each.

    Raises BadInput for a protocol that takes detected boxes, and when there is nobody.
    """
    chosen = find_protocol(protocol)
    if not chosen.labelled_boxes:
        raise BadInput(f"protocol '{protocol}' looks into detected boxes; give a detection file, or use coco-gt")
    asked = people.select(chosen.asked(people))
    if not len(asked):
        raise BadInput(
            f"{people.source}: protocol '{protocol}' finds nobody to predict among {len(people)} people; name a set "
            "whose people have labelled joints"
        )
    return asked


def photographs(people: People, protocol: str) -> NDArray[np.int64]:
    """The ids of the photographs that AP is taken on: those of the people asked for, or all of the set."""
    rules = find_protocol(protocol)
    return people.image_ids[np.unique(people.image[rules.asked(people)])] if rules.labelled_boxes else people.image_ids


def fingerprint(people: People) -> str:
    """Twelve hexadecimal digits that are the same for the same labels, in whatever folder they lie."""
    digest = sha256("\n".join(people.skeleton.joints).encode())
    columns = (people.image_ids, people.image, people.ids, people.boxes, people.keypoints, people.visibility)
    for column in (*columns, people.areas, people.crowd, np.array(people.skeleton.sigmas)):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:12]


def check(people: People, predictions: Predictions, protocol: str) -> None:
    """Refuse predictions that cannot be scored against `people` by this protocol.

    Raises BadInput: joints of another skeleton, photographs or people that the set does not hold, values that
    are no numbers, scores outside 0..1, boxes of the wrong kind for the protocol, two answers for one person.
    """
    _check_arrays(people, predictions)
    unknown = ~np.isin(predictions.image_ids, people.image_ids)
    if unknown.any():
        first = predictions.image_ids[unknown][0]
        raise BadInput(
            f"{unknown.sum()} of {len(predictions)} predictions are for photographs that {people.source} does not "
            f"hold (the first: image id {first}); score them against the set they were made on"
        )
    if find_protocol(protocol).labelled_boxes:
        _check_labelled_boxes(people, predictions, protocol)
    elif (predictions.people >= 0).any():
        raise BadInput(f"these predictions were made in labelled boxes, '{protocol}' scores detected ones; use coco-gt")


def _check_arrays(people: People, predictions: Predictions) -> None:
    n, k = len(predictions), len(people.skeleton)
    shape = predictions.keypoints.shape
    if predictions.skeleton.joints != people.skeleton.joints or shape != (n, k, 2):
        raise BadInput(
            f"the predictions have {shape[1]} joints ({predictions.skeleton.name}), the people of {people.source} {k} "
            f"({people.skeleton.name}); predict with a model of the same skeleton"
        )
    numbers = np.concatenate([predictions.keypoints.reshape(n, 2 * k), predictions.boxes], 1)
    bad = ~np.isfinite(numbers).all(1)
    if bad.any():
        raise BadInput(
            f"{bad.sum()} predictions hold coordinates that are no numbers (the first: image id "
            f"{predictions.image_ids[bad][0]}); the model or its file is broken"
        )
    both = np.concatenate([predictions.scores, predictions.score[:, None]], 1)
    bad = ~((both >= 0) & (both <= 1)).all(1)
    if bad.any():
        wrong = both[bad][0][~((both[bad][0] >= 0) & (both[bad][0] <= 1))][0]
        raise BadInput(
            f"{bad.sum()} predictions have scores outside 0..1 (the first: {wrong:g}, image id "
            f"{predictions.image_ids[bad][0]}); rescale them"
        )


def _check_labelled_boxes(people: People, predictions: Predictions, protocol: str) -> None:
    if (predictions.people < 0).any():
        raise BadInput(f"'{protocol}' scores predictions in labelled boxes, these are of detected ones; use coco-det")
    ids, counts = np.unique(predictions.people, return_counts=True)
    if (counts > 1).any():
        raise BadInput(f"person {ids[counts > 1][0]} is predicted {counts.max()} times; give one prediction a person")
    order = np.argsort(people.ids)
    at = order[np.minimum(np.searchsorted(people.ids[order], predictions.people), len(people) - 1)]
    wrong = people.ids[at] != predictions.people
    if wrong.any():
        raise BadInput(
            f"{wrong.sum()} predictions name people that {people.source} does not hold (the first: annotation id "
            f"{predictions.people[wrong][0]}); score them against the set they were made on"
        )
    moved = people.image_ids[people.image[at]] != predictions.image_ids
    if moved.any():
        i = int(np.flatnonzero(moved)[0])
        raise BadInput(
            f"the prediction for person {predictions.people[i]} says image id {predictions.image_ids[i]}, but they are "
            f"on {people.image_ids[people.image[at[i]]]}; score it against the set it was made on"
        )


def only_asked(asked: People, predictions: Predictions, protocol: Protocol) -> tuple[Predictions, list[str]]:
    """The predictions that the protocol counts, and a line for each kind that was left out or is strange."""
    if not protocol.labelled_boxes:
        return predictions, _outside(asked, predictions) if len(predictions) else ["no predictions: all are missed"]
    wanted = np.isin(predictions.people, asked.ids)
    unanswered = int((~np.isin(asked.ids, predictions.people)).sum())
    notes = []
    if not wanted.all():
        notes.append(f"predictions left out, for people whom the protocol does not ask for: {(~wanted).sum():,}")
    if unanswered:
        notes.append(f"people without a prediction, counted as missed: {unanswered:,} of {len(asked):,}")
    return predictions.select(wanted), notes


def _outside(people: People, predictions: Predictions) -> list[str]:
    """Boxes without any part in their photograph are scored as they are, but told."""
    order = np.argsort(people.image_ids)
    sizes = people.image_sizes[order[np.searchsorted(people.image_ids[order], predictions.image_ids)]]
    low, high = np.maximum(predictions.boxes[:, :2], 0), np.minimum(predictions.boxes[:, 2:], sizes)
    outside = int((high <= low).any(1).sum())
    return [f"predictions of boxes that are flat or outside their photograph: {outside:,}"] if outside else []
