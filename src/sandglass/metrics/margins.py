"""How often each kind of mistake happens, and how sure that is: shares with 95 % intervals over photographs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, Predictions
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import AveragePrecision
from sandglass.metrics.bootstrap import Draws, Ends, Interval, Samples
from sandglass.metrics.judgement import Judgement, Verdict
from sandglass.metrics.mistakes import MISTAKES, Kind
from sandglass.metrics.pck import Terms, joint_masks

JOINT_KINDS: Final = {"good": Kind.GOOD, **{kind.name.lower(): kind for kind in MISTAKES}}
AP: Final = ("AP",)
EVERY: Final = np.ones(1, bool)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Margins:
    """95 % intervals of a diagnosis, of all and by joint; empty where none were taken, without what is not defined."""

    ap: Interval | None = None
    shares: Mapping[str, Interval] = field(default_factory=dict)
    costs: Mapping[str, Interval] = field(default_factory=dict)
    joints: Mapping[str, Mapping[str, Ends]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Under the keys of the figures that they belong to."""
        whole = {"AP": self.ap} if self.ap else {}
        return {**whole, "shares": self.shares, "costs": self.costs, "joints": self.joints}


def person_terms(judged: Judgement) -> dict[str, Terms]:
    """What the shares of people (N) and of their joints (N, K) are the means of: kind -> values and which count."""
    kinds, lost = judged.mistakes.kinds, judged.mistakes.rows[:, None] < 0
    terms: dict[str, Terms] = {name: (kinds == kind, kinds >= Kind.GOOD) for name, kind in JOINT_KINDS.items()}
    return terms | {"unfound": (lost, np.ones_like(lost))}


def prediction_terms(judged: Judgement, answers: NDArray[np.int64] | None = None) -> dict[str, Terms]:
    """The same of predictions (P, 1); of `answers` (rows) alone, only whether they are ranked wrongly."""
    misranked, verdicts = judged.misranked[:, None], judged.verdicts[:, None]
    counted = np.ones_like(misranked)
    if answers is not None:
        counted[:] = False
        counted[answers] = True
        return {"scoring": (misranked, counted)}
    kinds = {"duplicate": Verdict.DUPLICATE, "background": Verdict.BACKGROUND}
    return {"scoring": (misranked, counted)} | {name: (verdicts == kind, counted) for name, kind in kinds.items()}


def shares(terms: Mapping[str, Terms], mask: Mask) -> dict[str, float]:
    """The mean of each kind over what counts and is in the mask (N, K); NaN where there is nothing."""
    chosen = {name: values[counted & mask] for name, (values, counted) in terms.items()}
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in chosen.items()}


def margins(
    judged: Judgement,
    predictions: Predictions,
    before: AveragePrecision,
    fixed: Mapping[str, AveragePrecision],
    draws: Draws,
) -> Margins:
    """Of everybody together; `before` as it is, `fixed` with each kind corrected."""
    image = draws.column(judged.people.image_ids[judged.people.image])
    column = draws.column(predictions.image_ids)
    drawn = {name: bootstrap.mean_samples(of, image, draws.floats) for name, of in person_terms(judged).items()}
    drawn |= {name: bootstrap.mean_samples(of, column, draws.floats) for name, of in prediction_terms(judged).items()}
    as_it_is = bootstrap.average_precision_samples(before.matches, draws.weights, AP)
    gains = _gains(as_it_is, fixed, draws)
    return Margins(
        ap=bootstrap.intervals(as_it_is).get("AP"),
        shares=bootstrap.intervals(drawn),
        costs=bootstrap.intervals(gains),
        joints=_by_joint(judged, image, draws),
    )


def _gains(as_it_is: Samples, fixed: Mapping[str, AveragePrecision], draws: Draws) -> dict[str, Floats]:
    """What each correction adds to AP in each of the draws, with which `as_it_is` begins: see `bootstrap.paired`."""
    before = as_it_is["AP"][: len(draws.weights)]
    return {
        name: bootstrap.average_precision_samples(scored.matches, draws.weights, AP)["AP"] - before
        for name, scored in fixed.items()
    }


def _by_joint(judged: Judgement, image: NDArray[np.int64], draws: Draws) -> dict[str, dict[str, Ends]]:
    masks, terms = joint_masks(judged.mistakes.skeleton), person_terms(judged)
    kinds = {name: bootstrap.group_intervals(terms[name], masks, image, draws.floats) for name in JOINT_KINDS}
    return {joint: {name: of[joint] for name, of in kinds.items() if joint in of} for joint in masks}


def group_margins(
    judged: Judgement,
    predictions: Predictions,
    mask: Mask,
    before: AveragePrecision,
    fixed: Mapping[str, AveragePrecision],
    draws: Draws,
) -> tuple[dict[str, Ends], dict[str, Ends]]:
    """Of a group (N,) of people, somebody at least, scored alone: AP and shares, and costs.

    "few" for fewer than 20 of them. Costs, of which there are many, are taken over the first of the draws.
    """
    answers = judged.mistakes.rows[mask & (judged.mistakes.rows >= 0)]
    image = draws.column(judged.people.image_ids[judged.people.image])
    found: dict[str, Ends] = {}
    for name, terms in person_terms(judged).items():
        found |= bootstrap.group_intervals(terms, {name: mask[:, None]}, image, draws.floats)
    column = draws.column(predictions.image_ids)
    for name, terms in prediction_terms(judged, answers).items():
        found |= bootstrap.group_intervals(terms, {name: EVERY}, column, draws.floats)
    if mask.sum() < bootstrap.FEW_PEOPLE:
        return {"AP": "few", **found}, dict.fromkeys(fixed, "few")
    here = draws.among(before.image_ids)
    as_it_is = bootstrap.average_precision_samples(before.matches, here.weights, AP)
    return {**bootstrap.intervals(as_it_is), **found}, {**bootstrap.intervals(_gains(as_it_is, fixed, here.first()))}
