"""Predictions and labelled people -> Scores, by a named protocol. Image pixels, pixel centres at +0.5."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from sandglass.core.files import write_whole
from sandglass.core.pose import People, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.evaluation.notes import distance_notes, few_notes, length_notes, prediction_notes, zero_notes
from sandglass.evaluation.protocols import (
    PROTOCOLS,
    check,
    find_protocol,
    fingerprint,
    only_asked,
    people_to_predict,
    photographs,
)
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import FIGURES, AveragePrecision, average_precision
from sandglass.metrics.bootstrap import Draws, Ends, Interval
from sandglass.metrics.pck import (
    LENGTHS,
    Errors,
    Means,
    Terms,
    area_terms,
    area_under_curve,
    curve,
    distance_terms,
    end_point_error,
    errors,
    joint_masks,
    part_masks,
    pck,
    pck_terms,
)

__all__ = ["HEADLINE", "PROTOCOLS", "Scores", "people_to_predict", "score"]

Values = Mapping[str, float | None]
Margins = Mapping[str, Mapping[str, Ends]]

HEADLINE: Final = (*FIGURES, "PCK@0.2")  # in every scores.json, None where undefined
PCK_THRESHOLDS: Final = (0.2, 0.1, 0.5)  # of the torso
PCKH_THRESHOLD: Final = 0.5  # of the data set's head size
CURVE: Final = np.linspace(0, 0.5, 51)  # thresholds
CURVE_LENGTHS: Final = ("torso", "head segment", "box")
DETAILED: Final = ("PCK@0.2", f"PCKh@{PCKH_THRESHOLD}", "AUC", "EPE", "NEPE")  # figures told joint by joint


@dataclass(frozen=True)
class Scores:
    """What predictions are worth by one protocol. None is a figure that is not defined here (`notes` say why).

    figures: the ten COCO figures, PCK@0.2 and its variants and AUC in 0..1; EPE in pixels, NEPE in torso lengths.
    intervals: 95 % bootstrap intervals over photographs, for the COCO figures and PCK where they are defined.
    per_joint: PCK@0.2 of each joint. joints, parts: the figures of DETAILED by joint and by part (`pck.Means`);
    joint_intervals, part_intervals: theirs, "few" where fewer than 20 people have such joints.
    curve: PCK at CURVE's thresholds, for each kind of length that anybody has.
    people: asked for; images: the photographs that AP was taken on. fingerprint: of the labels.
    """

    protocol: str
    source: str
    fingerprint: str
    skeleton: Skeleton
    figures: Values
    intervals: Mapping[str, Interval]
    per_joint: Values
    joints: Mapping[str, Values]
    parts: Mapping[str, Values]
    joint_intervals: Margins
    part_intervals: Margins
    curve: Mapping[str, Sequence[float]]
    people: int
    images: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values under keys that stay.

        protocol, source, skeleton (its name), fingerprint;
        AP AP50 AP75 APM APL AR AR50 AR75 ARM ARL: COCO's figures; PCK@0.2 (of the torso), then PCK@0.1, PCK@0.5,
            PCKh@0.5 where the data set has head sizes, AUC (mean PCK over thresholds of 0..0.5 torsos), EPE (mean
            distance of found joints, pixels), NEPE (the same in torso lengths);
        people, images: how many; per_joint: {joint: PCK@0.2};
        joints: {figure: {joint: value}}, parts: {figure: {part: value}}, for PCK@0.2, PCKh@0.5, AUC, EPE and NEPE;
            parts are left, right, middle, visible, hidden, small, medium, large;
        joint_intervals, part_intervals: like joints and parts, [low, high] in place of the value, or "few" where fewer
            than 20 people have such joints;
        curve: {"thresholds": 51 of them, and "torso", "head segment", "box": PCK at each, where anybody has one};
        intervals: {figure: [low, high]}; notes: lines for people.
        """
        return {
            "protocol": self.protocol,
            "source": self.source,
            "skeleton": self.skeleton.name,
            "fingerprint": self.fingerprint,
            **{name: self.figures[name] for name in HEADLINE},
            **{name: value for name, value in self.figures.items() if name not in HEADLINE},
            "people": self.people,
            "images": self.images,
            "per_joint": dict(self.per_joint),
            "joints": {name: dict(values) for name, values in self.joints.items()},
            "parts": {name: dict(values) for name, values in self.parts.items()},
            "joint_intervals": _plain_ends(self.joint_intervals),
            "part_intervals": _plain_ends(self.part_intervals),
            "curve": {"thresholds": CURVE.round(6).tolist()} | {name: list(v) for name, v in self.curve.items()},
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """One line a figure; below them those of DETAILED by part and by joint, as "PCK@0.2 left_wrist"."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["protocol", "figure", "value", "low", "high"])
        for name, value in self.figures.items():
            writer.writerow([self.protocol, name, value, *self.intervals.get(name, (None, None))])
        for detail, intervals in ((self.parts, self.part_intervals), (self.joints, self.joint_intervals)):
            for name, values in detail.items():
                ends = {part: pair for part, pair in intervals.get(name, {}).items() if pair != "few"}
                for part, value in values.items():
                    writer.writerow([self.protocol, f"{name} {part}", value, *ends.get(part, (None, None))])
        return out.getvalue()

    def write(self, folder: str | Path) -> None:
        """Write scores.json and scores.csv into `folder`, which is made if it is missing. Raises BadInput."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        write_whole(Path(folder) / "scores.json", text + "\n")
        write_whole(Path(folder) / "scores.csv", self.to_csv())

    def table(self) -> Table:
        """For the terminal: figures with their intervals, and beside them PCK by joint, left and right."""
        title = f"{self.source}, {self.protocol}: {self.people:,} people, {self.images:,} images"
        whole = Table(title=title, caption="\n".join(self.notes), box=None, show_header=False, padding=(0, 2))
        whole.caption_justify = "left"
        whole.add_row(self._figure_table(), self._joint_table())
        return whole

    def _figure_table(self) -> Table:
        table = Table("", box=box.SIMPLE_HEAD)
        table.add_column("score", justify="right", style="bold")
        table.add_column("95 % interval", justify="right")
        for name, value in self.figures.items():
            ends = " … ".join(map(_number, self.intervals.get(name, ())))
            table.add_row(name, _number(value), ends, end_section=name in ("APL", "ARL", "AUC"))
        return table

    def _joint_table(self) -> Table:
        table = Table("PCK@0.2", box=box.SIMPLE_HEAD)
        table.add_column("left", justify="right")
        table.add_column("right", justify="right")
        for left, right in _rows(self.skeleton):
            name = self.skeleton.joints[left]
            if right is None:
                table.add_row(name, _number(self.per_joint[name]), "")
            else:
                other = self.skeleton.joints[right]
                table.add_row(_shared(name, other), _number(self.per_joint[name]), _number(self.per_joint[other]))
        return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rows(skeleton: Skeleton) -> list[tuple[int, int | None]]:
    """The joints in order, each pair once as (left, right)."""
    rows: list[tuple[int, int | None]] = []
    for k, twin in enumerate(skeleton.mirror):
        if k == twin:
            rows.append((k, None))
        elif k < twin:
            rows.append((k, twin) if skeleton.side(k) == "left" else (twin, k))
    return rows


def _shared(left: str, right: str) -> str:
    """What two names have in common: 'shoulder' for 'left_shoulder' and 'right_shoulder'."""
    common = [word for word in left.split("_") if word in right.split("_")]
    return "_".join(common) if common else f"{left} / {right}"


def score(people: People, predictions: Predictions, protocol: str, *, intervals: int = 1000, seed: int = 0) -> Scores:
    """Hold predictions against the whole data set `people` by the protocol of that name.

    `intervals` is the number of bootstrap resamples (0: no intervals), `seed` draws them: the same seed and
    the same photographs give the same resamples, so two models can be compared by `bootstrap.paired`.
    Raises BadInput for predictions that cannot be scored (see `check`).
    """
    held = hold(people, predictions, protocol)
    asked, precision, torso = held.asked, held.precision, held.torso
    measured = {f"PCK@{t}": (torso, t) for t in PCK_THRESHOLDS}
    if np.isfinite(asked.head_sizes).any():
        measured[f"PCKh@{PCKH_THRESHOLD}"] = (torso.by(LENGTHS["head"](asked)), PCKH_THRESHOLD)
    means = {name: pck(found, t) for name, (found, t) in measured.items()} | _distances(torso)
    terms = {name: pck_terms(found, t) for name, (found, t) in measured.items()} | _distance_terms(torso)
    figures = {**precision.figures, **{name: mean.value for name, mean in means.items()}}
    draws = resampled(people, protocol, intervals, seed)
    detailed = {name: means[name] for name in DETAILED if name in means}
    of_detailed = {name: terms[name] for name in detailed}
    return Scores(
        protocol=protocol,
        source=people.source,
        fingerprint=fingerprint(people),
        skeleton=people.skeleton,
        figures=_defined(figures),
        intervals=_intervals(held, terms, draws),
        per_joint=_defined(means["PCK@0.2"].per_joint),
        joints={name: _defined(mean.per_joint) for name, mean in detailed.items()},
        parts={name: _defined(mean.parts) for name, mean in detailed.items()},
        joint_intervals=_detailed(held, of_detailed, joint_masks(people.skeleton), draws),
        part_intervals=_detailed(held, of_detailed, part_masks(torso), draws),
        curve=_curves(asked, torso),
        people=len(asked),
        images=len(precision.image_ids),
        notes=(*held.notes, *distance_notes(torso, means["EPE"]), *(few_notes(asked) if intervals else ())),
    )


def resampled(people: People, protocol: str, count: int = 1000, seed: int = 0) -> Draws | None:
    """The photographs that the protocol looks at, drawn again `count` times: the same for the same seed.

    None where that tells nothing: with a count of 0, and where all people asked for are on one photograph.
    """
    asked = people.image[find_protocol(protocol).asked(people)]
    if not count or len(np.unique(asked)) < 2:
        return None
    return bootstrap.draw(photographs(people, protocol), count, seed)


@dataclass(frozen=True, eq=False)
class Held:
    """Predictions held against the labels by a protocol: what all figures, and their resamples, are taken from."""

    asked: People
    precision: AveragePrecision
    torso: Errors  # of the people asked for
    notes: tuple[str, ...]

    @property
    def image(self) -> NDArray[np.int64]:
        """The photograph of each person asked for: a row of `precision.image_ids`, a column of resamples."""
        return np.searchsorted(self.precision.image_ids, self.asked.image_ids[self.asked.image])


def hold(people: People, predictions: Predictions, protocol: str) -> Held:
    """The matching behind all figures. Raises BadInput for predictions that cannot be scored (see `check`)."""
    check(people, predictions, protocol)
    rules = find_protocol(protocol)
    asked = people.select(rules.asked(people))
    predictions, notes = only_asked(asked, predictions, rules)
    precision = average_precision(people, predictions, photographs(people, protocol))
    torso = errors(asked, predictions)
    told = (*notes, *precision.reasons, *prediction_notes(predictions), *zero_notes(people, predictions, precision))
    return Held(asked, precision, torso, (*told, *length_notes(torso)))


def _distances(torso: Errors) -> dict[str, Means]:
    return {
        "AUC": area_under_curve(torso, float(CURVE[-1])),
        "EPE": end_point_error(torso),
        "NEPE": end_point_error(torso, relative=True),
    }


def _distance_terms(torso: Errors) -> dict[str, Terms]:
    return {
        "AUC": area_terms(torso, float(CURVE[-1])),
        "EPE": distance_terms(torso),
        "NEPE": distance_terms(torso, relative=True),
    }


def _curves(asked: People, found: Errors) -> dict[str, list[float]]:
    """PCK at CURVE's thresholds, by each kind of length that anybody has."""
    curves = {name: curve(found.by(LENGTHS[name](asked)), CURVE) for name in CURVE_LENGTHS}
    return {name: values.round(6).tolist() for name, values in curves.items() if not np.isnan(values).any()}


def _defined(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _intervals(held: Held, terms: Mapping[str, Terms], draws: Draws | None) -> dict[str, Interval]:
    """95 % of the resamples lie within; the same resamples for every figure."""
    if draws is None:
        return {}
    samples = bootstrap.average_precision_samples(held.precision.matches, draws.weights)
    samples |= {name: bootstrap.mean_samples(each, held.image, draws.floats) for name, each in terms.items()}
    return bootstrap.intervals(samples)


def _detailed(held: Held, terms: Mapping[str, Terms], masks: bootstrap.Masks, draws: Draws | None) -> Margins:
    """Of each figure by joint or by part."""
    if draws is None:
        return {}
    return {name: bootstrap.group_intervals(each, masks, held.image, draws.floats) for name, each in terms.items()}


def _plain_ends(found: Margins) -> dict[str, dict[str, Any]]:
    return {
        name: {part: ends if ends == "few" else list(ends) for part, ends in of.items()} for name, of in found.items()
    }
