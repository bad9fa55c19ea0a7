"""What each prediction is to the people of its photograph: an answer, excused, a duplicate, or on nobody. Image pixels.

After Ronchi & Perona 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
arxiv.org/abs/1707.05388. Mistakes of joints are judged by `mistakes`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.metrics import oks
from sandglass.metrics.mistakes import FOUND_FROM, Mistakes, find_mistakes

EXCUSED_FROM: Final = 0.5  # OKS with a crowd or an unlabelled person: COCO's lowest threshold


class Verdict(IntEnum):
    """What a prediction is to the people of its photograph."""

    ANSWER = 0  # it answers for a person: made in their labelled box, or the most similar, with OKS above 0.1
    EXCUSED = 1  # on a crowd or on a person without labelled joints (OKS from 0.5): neither right nor wrong
    DUPLICATE = 2  # like a person (OKS above 0.1) for whom another prediction answers
    BACKGROUND = 3  # like nobody


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is wrong with P predictions of N people to be found (`people`: no crowds, with labelled joints).

    misranked: (P,) a scoring error: its score is above that of a better prediction of the same person.
    nearest, likeness: (P,) the person whom each prediction is most like, -1 for nobody, and their OKS.
    """

    people: People
    mistakes: Mistakes
    verdicts: NDArray[np.uint8]  # (P,)
    misranked: NDArray[np.bool_]  # (P,)
    nearest: NDArray[np.int64]  # (P,)
    likeness: Floats  # (P,)

    def overtaken(self, row: int, score: Floats) -> int:
        """The best prediction of the person of a misranked one that ranks below it; `score` (P,) ranks."""
        rivals = (self.nearest == self.nearest[row]) & (score < score[row]) & (self.verdicts != Verdict.EXCUSED)
        return int(np.where(rivals, self.likeness, -1).argmax())


def judge(people: People, predictions: Predictions) -> Judgement:
    """What each joint and each prediction is; `people` and `predictions` are all of some photographs."""
    sought = ~people.crowd & (people.labelled > 0)
    targets = people.select(sought)
    mistakes = find_mistakes(targets, predictions)
    nearest, likeness = nearest_people(targets, predictions)
    _, excuse = nearest_people(people.select(~sought), predictions)
    answers = np.zeros(len(predictions), bool)
    answers[mistakes.rows[mistakes.rows >= 0]] = True
    conditions = [answers, excuse >= EXCUSED_FROM, likeness > FOUND_FROM]
    verdicts = np.select(conditions, [Verdict.ANSWER, Verdict.EXCUSED, Verdict.DUPLICATE], Verdict.BACKGROUND)
    ranked = (likeness > FOUND_FROM) & (verdicts != Verdict.EXCUSED)
    misranked = _misranked(np.where(ranked, nearest, -1), likeness, predictions.score)
    return Judgement(targets, mistakes, verdicts.astype(np.uint8), misranked, nearest, likeness)


def nearest_people(people: People, predictions: Predictions) -> tuple[NDArray[np.int64], Floats]:
    """The person whom each prediction is most like (P,), -1 for nobody, and their OKS (P,)."""
    found, person, values = oks.pairs(people, predictions)
    nearest, best = np.full(len(predictions), -1, np.int64), np.zeros(len(predictions))
    order = np.argsort(values, kind="stable")  # the greatest is written last
    nearest[found[order]], best[found[order]] = person[order], values[order]
    return nearest, best


def _misranked(person: NDArray[np.int64], likeness: Floats, score: Floats) -> NDArray[np.bool_]:
    """Predictions (P,) with a score above that of a better one of the same person; -1 is nobody."""
    wrong = np.zeros(len(person), bool)
    order = np.lexsort((-likeness, person))
    order = order[person[order] >= 0]
    for rows in np.split(order, np.flatnonzero(np.diff(person[order])) + 1):
        for i, row in enumerate(rows):
            better = rows[:i][likeness[rows[:i]] > likeness[row]]
            wrong[row] = bool((score[better] < score[row]).any())
    return wrong
