"""Everything that keeps an AP below 1, by kind: how often it happens, what it costs, to whom. Image pixels.

After Ronchi & Perona 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
arxiv.org/abs/1707.05388. Mistakes of joints are judged by `mistakes`; here come those of whole predictions
(ranked wrongly, found twice, on nobody), people whom nobody found, and what correcting each kind alone is worth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.metrics import groups
from sandglass.metrics.average_precision import AveragePrecision, Truth, against, ground_truth
from sandglass.metrics.bootstrap import Draws, Ends
from sandglass.metrics.judgement import Judgement, Verdict, judge, nearest_people
from sandglass.metrics.margins import (
    EVERY,
    JOINT_KINDS,
    Margins,
    group_margins,
    margins,
    person_terms,
    prediction_terms,
    shares,
)
from sandglass.metrics.mistakes import MISTAKES, correct
from sandglass.metrics.pck import joint_masks

CURVES_AT: Final = (0.5, 0.75)  # OKS
# In the order in which the COCO analysis tool corrects one after the other.
CORRECTIONS: Final = ("miss", "swap", "inversion", "jitter", "scoring", "duplicate", "background", "unfound")
PERSONAL: Final = ("miss", "swap", "inversion", "jitter", "scoring", "unfound")  # that belong to some person
AS_IT_IS: Final = "as it is"

_KINDS: Final = {kind.name.lower(): kind for kind in MISTAKES}


@dataclass(frozen=True)
class Group:
    """The people of a group and the predictions that answer for them; false alarms belong to no group.

    Shares and costs as in `Diagnosis`; everybody else is excused, like a crowd. NaN where nothing can be said.
    intervals, cost_intervals: of AP and of shares, and of costs; "few" for fewer than 20 people.
    """

    people: int
    ap: float
    shares: Mapping[str, float]
    costs: Mapping[str, float]
    intervals: Mapping[str, Ends] = field(default_factory=dict)
    cost_intervals: Mapping[str, Ends] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        told = {"people": self.people, "AP": self.ap, "shares": self.shares, "costs": self.costs}
        return told | {"intervals": self.intervals, "cost_intervals": self.cost_intervals}


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Kinds of mistakes by name, with shares in 0..1 and costs in AP; NaN where nothing can be said.

    shares: good, jitter, inversion, swap and miss of the labelled joints of found people; scoring (ranked above a
        better one of the same person), duplicate and background of the predictions; unfound of the people to be found.
    costs: how much AP rises when just that kind is corrected, for each of CORRECTIONS. That of scoring comes of
        ranking all predictions by their true OKS, also those of people who were predicted once.
    joints: joint -> share of good, jitter, inversion, swap, miss.
    groups: size, overlap, joints -> name of the group -> Group.
    curves: OKS threshold -> step -> precision (101,) at recalls 0..1, when kind after kind is corrected.
    intervals: of ap, shares, costs and joints; those of a group are in it.
    """

    ap: float
    shares: Mapping[str, float]
    costs: Mapping[str, float]
    joints: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, Group]]
    curves: Mapping[float, Mapping[str, Floats]]
    intervals: Margins = field(default_factory=Margins)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None for NaN. The curves are rounded to 1/10,000."""
        found = {name: {key: group.to_dict() for key, group in of.items()} for name, of in self.groups.items()}
        curves = {str(at): {name: v.round(4).tolist() for name, v in of.items()} for at, of in self.curves.items()}
        plain = {"AP": self.ap, "shares": self.shares, "costs": self.costs, "joints": self.joints, "groups": found}
        return _plain(plain | {"curves": curves, "intervals": self.intervals.to_dict()})


def diagnose(
    people: People, predictions: Predictions, image_ids: NDArray[np.int64], draws: Draws | None = None
) -> Diagnosis:
    """Judge all predictions on the photographs `image_ids` (M,), and score them again without each kind of mistake.

    `people` is the whole data set. Predictions in labelled boxes are never duplicates nor on the background, since
    each answers for its person, however bad. Joints are corrected as `mistakes.correct` does; scoring errors by
    giving each prediction its OKS with the person it is most like; false alarms and unfound people by leaving them
    out. Intervals are taken over `draws` of these photographs.
    """
    people = people.select(np.isin(people.image_ids[people.image], image_ids))
    predictions = predictions.select(np.isin(predictions.image_ids, image_ids))
    judged = judge(people, predictions)
    here, terms = judged.people, person_terms(judged)
    start = _Case(ground_truth(people, image_ids), predictions, np.ones(len(predictions), bool))
    before = start.score()
    fixed = {name: _corrected(start, judged, name) for name in CORRECTIONS}
    scored = {name: case.score() for name, case in fixed.items()}
    splits = {
        "size": groups.by_size(here.areas),
        "overlap": {name: mask[np.isin(people.ids, here.ids)] for name, mask in groups.by_overlap(people).items()},
        "joints": groups.by_joints(here),
    }
    cases = {"": start} | {name: fixed[name] for name in PERSONAL}
    kinds = {name: terms[name] for name in JOINT_KINDS}
    return Diagnosis(
        ap=before.figures["AP"],
        shares=shares(terms, EVERY) | shares(prediction_terms(judged), EVERY),
        costs={name: after.figures["AP"] - before.figures["AP"] for name, after in scored.items()},
        joints={joint: shares(kinds, mask) for joint, mask in joint_masks(people.skeleton).items()},
        groups={
            name: {key: _group(judged, cases, mask, draws) for key, mask in split.items()}
            for name, split in splits.items()
        },
        curves=_successive(start, before, judged),
        intervals=Margins() if draws is None else margins(judged, predictions, before, scored, draws),
    )


@dataclass(frozen=True, eq=False)
class _Case:
    """What is scored: people, predictions, and which of these count (P,)."""

    truth: Truth
    predictions: Predictions
    shown: NDArray[np.bool_]

    def score(self) -> AveragePrecision:
        return against(self.truth, self.predictions.select(self.shown), areas=1)


def _corrected(case: _Case, judged: Judgement, name: str) -> _Case:
    """The case without one kind of mistake."""
    if name in _KINDS:
        return replace(case, predictions=correct(case.predictions, judged.mistakes, _KINDS[name]))
    if name == "scoring":
        _, likeness = nearest_people(judged.people, case.predictions)
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


def _group(judged: Judgement, cases: Mapping[str, _Case], mask: NDArray[np.bool_], draws: Draws | None) -> Group:
    """Score one group of the people to be found, as the predictions are ("") and with each kind corrected."""
    members = judged.people.select(mask)
    answers = judged.mistakes.rows[mask & (judged.mistakes.rows >= 0)]
    told = shares(person_terms(judged), mask[:, None]) | shares(prediction_terms(judged, answers), EVERY)
    if not len(members):
        return Group(0, math.nan, told, {name: math.nan for name in cases if name})
    shown = np.zeros(len(judged.verdicts), bool)
    shown[answers] = True
    image_ids = np.unique(members.image_ids[members.image])

    def alone(truth: Truth) -> Truth:
        excused = truth.people.crowd | ~np.isin(truth.people.ids, members.ids)
        return ground_truth(replace(truth.people, crowd=excused), image_ids)

    def scored(case: _Case) -> AveragePrecision:
        truth = whole if case.truth is cases[""].truth else alone(case.truth)
        return _Case(truth, case.predictions, shown).score()

    whole = alone(cases[""].truth)
    before = scored(cases[""])
    ap = before.figures["AP"]
    fixed = {name: scored(case) for name, case in cases.items() if name}
    costs = {name: after.figures["AP"] - ap for name, after in fixed.items()}
    if draws is None:
        return Group(len(members), ap, told, costs)
    return Group(
        len(members), ap, told, costs, *group_margins(judged, cases[""].predictions, mask, before, fixed, draws)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
