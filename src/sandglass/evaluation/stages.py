"""What the heatmaps after one stack are worth: figures, inversions, doubt, honesty, all with their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People, Predictions
from sandglass.evaluation.evaluate import Places
from sandglass.evaluation.protocols import find_protocol
from sandglass.evaluation.scores import Scores
from sandglass.metrics import bootstrap
from sandglass.metrics.bootstrap import Draws, Ends, Interval
from sandglass.metrics.calibration import Outcomes, error_interval, outcomes, reliability
from sandglass.metrics.mistakes import Kind, find_mistakes
from sandglass.metrics.pck import Terms, joint_masks

PCK: Final = "PCK@0.2"


@dataclass(frozen=True)
class Stage:
    """What the heatmaps after one stack are worth, and what it took to get there.

    figures: AP and PCK@0.2, in 0..1. inversions: the share of labelled joints that lie on their mirror twin. entropy:
    mean of the labelled joints' maps, in nats. calibration_error: of joint scores, see `Reliability`. joints: PCK@0.2,
    inversions and entropy of each joint. intervals, joint_intervals: 95 % intervals of all these, by the same names;
    "few" for a joint that fewer than 20 people have. gmac, parameters: of one look at one crop, earlier stacks
    included. milliseconds: of one crop alone, by the network cut there, flip test included if it was used; None where
    it was not taken.
    """

    stack: int
    figures: Mapping[str, float | None]
    intervals: Mapping[str, Interval]
    inversions: float | None
    entropy: float
    calibration_error: float | None
    joints: Mapping[str, Mapping[str, float | None]]
    joint_intervals: Mapping[str, Mapping[str, Ends]]
    gmac: float
    parameters: int
    milliseconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; the keys are the fields' names."""
        return {**vars(self), "intervals": _plain(self.intervals), "joint_intervals": _plain(self.joint_intervals)}


def worth(
    people: People, places: Places, answers: Predictions, scores: Scores, entropies: Floats, draws: Draws | None
) -> dict[str, Any]:
    """The fields of a Stage but for its costs: from its `answers`, their scores, and its maps' `entropies` (P, K)."""
    asked = people.select(find_protocol(scores.protocol).asked(people))
    found = outcomes(asked, answers)
    terms = {
        "inversions": _inversions(people, answers, scores.protocol),
        "entropy": (entropies, _labelled(places, people)),
    }
    total = {name: _mean(*of) for name, of in terms.items()}
    by_joint = {name: [_mean(v, c) for v, c in zip(of[0].T, of[1].T, strict=True)] for name, of in terms.items()}
    joints = people.skeleton.joints
    margins, joint_margins = _margins(people, asked, places, found, terms, scores, draws)
    return {
        "figures": {name: scores.figures[name] for name in ("AP", PCK)},
        "intervals": margins,
        "inversions": defined(total["inversions"]) if people.skeleton.pairs else None,
        "entropy": total["entropy"],
        "calibration_error": defined(reliability(found).error),
        "joints": {
            name: {PCK: scores.per_joint[name]} | {what: defined(values[k]) for what, values in by_joint.items()}
            for k, name in enumerate(joints)
        },
        "joint_intervals": joint_margins,
    }


def _margins(
    people: People,
    asked: People,
    places: Places,
    found: Outcomes,
    terms: Mapping[str, Terms],
    scores: Scores,
    draws: Draws | None,
) -> tuple[dict[str, Interval], dict[str, dict[str, Ends]]]:
    """Intervals of a Stage: of all joints, and joint by joint."""
    known: dict[str, Interval] = {name: scores.intervals[name] for name in ("AP", PCK) if name in scores.intervals}
    if draws is None:
        return known, {}
    person = draws.column(asked.image_ids[asked.image])
    image = {"inversions": person, "entropy": draws.column(people.image_ids[places.images])}
    samples = {name: bootstrap.mean_samples(of, image[name], draws.floats) for name, of in terms.items()}
    if not people.skeleton.pairs:
        del samples["inversions"]
    known |= bootstrap.intervals(samples)
    if (error := error_interval(found, person[found.people], draws.floats)) is not None:
        known["calibration_error"] = error
    masks = joint_masks(people.skeleton)
    by: dict[str, Mapping[str, Ends]] = {PCK: scores.joint_intervals.get(PCK, {})}
    by |= {name: bootstrap.group_intervals(of, masks, image[name], draws.floats) for name, of in terms.items()}
    return known, {joint: {what: of[joint] for what, of in by.items() if joint in of} for joint in masks}


def _inversions(people: People, predictions: Predictions, protocol: str) -> Terms:
    """Which joints (N, K) of the people asked for lie on their mirror twin, and which of them are judged at all."""
    chosen = find_protocol(protocol).asked(people)
    kinds = find_mistakes(people.select(~people.crowd), predictions).kinds[chosen[~people.crowd]]
    return kinds == Kind.INVERSION, kinds >= Kind.GOOD


def _labelled(places: Places, people: People) -> NDArray[np.bool_]:
    """Whose joints count in the mean entropy (P, K): labelled ones; in a detector's box, which is nobody's, all."""
    order = np.argsort(people.ids)
    at = order[np.minimum(np.searchsorted(people.ids[order], places.ids), len(people) - 1)]
    return np.where((places.ids >= 0)[:, None], people.visibility[at] > 0, True)


def _mean(values: NDArray[Any], counted: NDArray[np.bool_]) -> float:
    return float(values[counted].mean()) if counted.any() else float("nan")


def defined(value: float) -> float | None:
    """None for what is no number."""
    return float(value) if np.isfinite(value) else None


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {name: _plain(part) for name, part in found.items()}
    return list(found) if isinstance(found, tuple) else found
