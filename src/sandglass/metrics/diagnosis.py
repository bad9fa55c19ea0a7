"""Everything that keeps an AP below 1, by kind: how often it happens, what it costs, to whom. Image pixels.

After Ronchi & Perona 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
arxiv.org/abs/1707.05388. Mistakes of joints are judged by `mistakes`; here come those of whole predictions
(ranked wrongly, found twice, on nobody), people whom nobody found, and what correcting each kind alone is worth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.metrics import groups, oks
from sandglass.metrics.average_precision import AveragePrecision, Truth, against, ground_truth
from sandglass.metrics.mistakes import FOUND_FROM, MISTAKES, Kind, Mistakes, correct, find_mistakes

EXCUSED_FROM: Final = 0.5  # OKS with a crowd or an unlabelled person: COCO's lowest threshold
CURVES_AT: Final = (0.5, 0.75)  # OKS
# In the order in which the COCO analysis tool corrects one after the other.
CORRECTIONS: Final = ("miss", "swap", "inversion", "jitter", "scoring", "duplicate", "background", "unfound")
PERSONAL: Final = ("miss", "swap", "inversion", "jitter", "scoring", "unfound")  # that belong to some person
AS_IT_IS: Final = "as it is"

_KINDS: Final = {kind.name.lower(): kind for kind in MISTAKES}
_GOOD: Final = {"good": Kind.GOOD, **_KINDS}


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


@dataclass(frozen=True)
class Group:
    """The people of a group and the predictions that answer for them; false alarms belong to no group.

    Shares and costs as in `Diagnosis`; everybody else is excused, like a crowd. NaN where nothing can be said.
    """

    people: int
    ap: float
    shares: Mapping[str, float]
    costs: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Kinds of mistakes by name, with shares in 0..1 and costs in AP; NaN where nothing can be said.

    shares: good, jitter, inversion, swap and miss of the labelled joints of found people; scoring, duplicate and
        background of the predictions; unfound of the people to be found.
    costs: how much AP rises when just that kind is corrected, for each of CORRECTIONS.
    joints: joint -> share of good, jitter, inversion, swap, miss.
    groups: size, overlap, joints -> name of the group -> Group.
    curves: OKS threshold -> step -> precision (101,) at recalls 0..1, when kind after kind is corrected.
    """

    ap: float
    shares: Mapping[str, float]
    costs: Mapping[str, float]
    joints: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, Group]]
    curves: Mapping[float, Mapping[str, Floats]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for NaN. The curves are rounded to 1/10,000."""
        found = {
            name: {key: {"people": g.people, "AP": g.ap, "shares": g.shares, "costs": g.costs} for key, g in of.items()}
            for name, of in self.groups.items()
        }
        curves = {str(at): {name: v.round(4).tolist() for name, v in of.items()} for at, of in self.curves.items()}
        plain = {"AP": self.ap, "shares": self.shares, "costs": self.costs, "joints": self.joints, "groups": found}
        return _plain(plain | {"curves": curves})


def diagnose(people: People, predictions: Predictions, image_ids: NDArray[np.int64]) -> Diagnosis:
    """Judge all predictions on the photographs `image_ids` (M,), and score them again without each kind of mistake.

    `people` is the whole data set. Predictions in labelled boxes are never duplicates nor on the background, since
    each answers for its person, however bad. Joints are corrected as `mistakes.correct` does; scoring errors by
    giving each prediction its OKS with the person it is most like; false alarms and unfound people by leaving them
    out.
    """
    people = people.select(np.isin(people.image_ids[people.image], image_ids))
    predictions = predictions.select(np.isin(predictions.image_ids, image_ids))
    judged = judge(people, predictions)
    here = judged.people
    start = _Case(ground_truth(people, image_ids), predictions, np.ones(len(predictions), bool))
    before = start.score()
    ap = before.figures["AP"]
    fixed = {name: _corrected(start, judged, name) for name in CORRECTIONS}
    splits = {
        "size": groups.by_size(here.areas),
        "overlap": {name: mask[np.isin(people.ids, here.ids)] for name, mask in groups.by_overlap(people).items()},
        "joints": groups.by_joints(here),
    }
    cases = {"": start} | {name: fixed[name] for name in PERSONAL}
    return Diagnosis(
        ap=ap,
        shares=_shares(judged, np.ones(len(here), bool)) | _prediction_shares(judged),
        costs={name: case.score().figures["AP"] - ap for name, case in fixed.items()},
        joints=_joint_shares(judged.mistakes),
        groups={
            name: {key: _group(judged, cases, mask) for key, mask in split.items()} for name, split in splits.items()
        },
        curves=_successive(start, before, judged),
    )


def judge(people: People, predictions: Predictions) -> Judgement:
    """What each joint and each prediction is; `people` and `predictions` are all of some photographs."""
    sought = ~people.crowd & (people.labelled > 0)
    targets = people.select(sought)
    mistakes = find_mistakes(targets, predictions)
    nearest, likeness = _nearest(targets, predictions)
    _, excuse = _nearest(people.select(~sought), predictions)
    answers = np.zeros(len(predictions), bool)
    answers[mistakes.rows[mistakes.rows >= 0]] = True
    conditions = [answers, excuse >= EXCUSED_FROM, likeness > FOUND_FROM]
    verdicts = np.select(conditions, [Verdict.ANSWER, Verdict.EXCUSED, Verdict.DUPLICATE], Verdict.BACKGROUND)
    ranked = (likeness > FOUND_FROM) & (verdicts != Verdict.EXCUSED)
    misranked = _misranked(np.where(ranked, nearest, -1), likeness, predictions.score)
    return Judgement(targets, mistakes, verdicts.astype(np.uint8), misranked, nearest, likeness)


def _nearest(people: People, predictions: Predictions) -> tuple[NDArray[np.int64], Floats]:
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


@dataclass(frozen=True, eq=False)
class _Case:
    """What is scored: people, predictions, and which of these count (P,)."""

    truth: Truth
    predictions: Predictions
    shown: NDArray[np.bool_]

    def score(self) -> AveragePrecision:
        return against(self.truth, self.predictions.select(self.shown))


def _corrected(case: _Case, judged: Judgement, name: str) -> _Case:
    """The case without one kind of mistake."""
    if name in _KINDS:
        return replace(case, predictions=correct(case.predictions, judged.mistakes, _KINDS[name]))
    if name == "scoring":
        _, likeness = _nearest(judged.people, case.predictions)
        return replace(case, predictions=replace(case.predictions, score=likeness))
    if name == "unfound":
        lost = judged.people.ids[judged.mistakes.rows < 0]
        found = case.truth.people.select(~np.isin(case.truth.people.ids, lost))
        return replace(case, truth=ground_truth(found, case.truth.image_ids))
    verdict = Verdict[name.upper()]
    return replace(case, shown=case.shown & (judged.verdicts != verdict))


def _successive(case: _Case, before: AveragePrecision, judged: Judgement) -> dict[float, dict[str, Floats]]:
    """Precision by recall as it is, and after correcting each kind on top of those before it."""
    curves = {at: {AS_IT_IS: before.precision(at)} for at in CURVES_AT}
    for name in CORRECTIONS:
        case = _corrected(case, judged, name)
        scored = case.score()
        for at in CURVES_AT:
            curves[at][f"+ {name}"] = scored.precision(at)
    return curves


def _group(judged: Judgement, cases: Mapping[str, _Case], mask: NDArray[np.bool_]) -> Group:
    """Score one group of the people to be found, as the predictions are ("") and with each kind corrected."""
    members = judged.people.select(mask)
    answers = judged.mistakes.rows[mask & (judged.mistakes.rows >= 0)]
    shown = np.zeros(len(judged.verdicts), bool)
    shown[answers] = True
    image_ids = np.unique(members.image_ids[members.image])

    def alone(truth: Truth) -> Truth:
        excused = truth.people.crowd | ~np.isin(truth.people.ids, members.ids)
        return ground_truth(replace(truth.people, crowd=excused), image_ids)

    def ap(case: _Case) -> float:
        truth = whole if case.truth is cases[""].truth else alone(case.truth)
        return _Case(truth, case.predictions, shown).score().figures["AP"] if len(members) else float("nan")

    whole = alone(cases[""].truth)
    values = {name: ap(case) for name, case in cases.items()}
    shares = _shares(judged, mask) | {"scoring": _mean(judged.misranked[answers])}
    costs = {name: value - values[""] for name, value in values.items() if name}
    return Group(len(members), values[""], shares, costs)


def _shares(judged: Judgement, mask: NDArray[np.bool_]) -> dict[str, float]:
    """What becomes of the joints of some people, and how many of them were not found."""
    kinds = judged.mistakes.kinds[mask]
    known = kinds[kinds >= Kind.GOOD]
    shares = {name: _mean(known == kind) for name, kind in _GOOD.items()}
    return shares | {"unfound": _mean(judged.mistakes.rows[mask] < 0)}


def _prediction_shares(judged: Judgement) -> dict[str, float]:
    return {
        "scoring": _mean(judged.misranked),
        "duplicate": _mean(judged.verdicts == Verdict.DUPLICATE),
        "background": _mean(judged.verdicts == Verdict.BACKGROUND),
    }


def _joint_shares(mistakes: Mistakes) -> dict[str, dict[str, float]]:
    columns = [column[column >= Kind.GOOD] for column in mistakes.kinds.T]
    return {
        joint: {name: _mean(column == kind) for name, kind in _GOOD.items()}
        for joint, column in zip(mistakes.skeleton.joints, columns, strict=True)
    }


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
