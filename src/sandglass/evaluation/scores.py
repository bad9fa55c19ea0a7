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
from sandglass.evaluation.protocols import (
    PROTOCOLS,
    check,
    find_protocol,
    fingerprint,
    only_asked,
    people_to_predict,
)
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import FIGURES, MAX_DETECTIONS, AveragePrecision, average_precision
from sandglass.metrics.oks import pairs
from sandglass.metrics.pck import (
    LENGTHS,
    TORSO_PER_BOX,
    TORSO_PER_FACE,
    TORSO_PER_HEAD,
    Errors,
    Means,
    Terms,
    area_terms,
    area_under_curve,
    curve,
    distance_terms,
    end_point_error,
    errors,
    pck,
    pck_terms,
)

__all__ = ["HEADLINE", "PROTOCOLS", "Scores", "people_to_predict", "score"]

Interval = tuple[float, float]
Values = Mapping[str, float | None]

HEADLINE: Final = (*FIGURES, "PCK@0.2")  # in every scores.json, None where undefined
PCK_THRESHOLDS: Final = (0.2, 0.1, 0.5)  # of the torso
PCKH_THRESHOLD: Final = 0.5  # of the data set's head size
CURVE: Final = np.linspace(0, 0.5, 51)  # thresholds
CURVE_LENGTHS: Final = ("torso", "head segment", "box")
TIED: Final = 0.1  # share of predictions with one score, above which the order in the file decides
FEW_IMAGES: Final = 10  # photographs with people: of fewer, resamples are too much alike
LENGTHS_NOTE: Final = "PCK lengths (people)"  # how the note begins that explains and warns of nothing
DETAILED: Final = ("PCK@0.2", f"PCKh@{PCKH_THRESHOLD}", "AUC", "EPE", "NEPE")  # figures told joint by joint


@dataclass(frozen=True)
class Scores:
    """What predictions are worth by one protocol. None is a figure that is not defined here (`notes` say why).

    figures: the ten COCO figures, PCK@0.2 and its variants and AUC in 0..1; EPE in pixels, NEPE in torso lengths.
    intervals: 95 % bootstrap intervals over photographs, for the COCO figures and PCK where they are defined.
    per_joint: PCK@0.2 of each joint. joints, parts: the figures of DETAILED by joint and by part (`pck.Means`).
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
        for detail in (self.parts, self.joints):
            for name, values in detail.items():
                writer.writerows([self.protocol, f"{name} {part}", value, None, None] for part, value in values.items())
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
    detailed = {name: means[name] for name in DETAILED if name in means}
    return Scores(
        protocol=protocol,
        source=people.source,
        fingerprint=fingerprint(people),
        skeleton=people.skeleton,
        figures=_defined(figures),
        intervals=_intervals(held, terms, intervals, seed),
        per_joint=_defined(means["PCK@0.2"].per_joint),
        joints={name: _defined(mean.per_joint) for name, mean in detailed.items()},
        parts={name: _defined(mean.parts) for name, mean in detailed.items()},
        curve=_curves(asked, torso),
        people=len(asked),
        images=len(precision.image_ids),
        notes=(*held.notes, *_distance_notes(torso, means["EPE"]), *(_few_notes(held) if intervals else ())),
    )


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
    image_ids = people.image_ids[np.unique(asked.image)] if rules.labelled_boxes else people.image_ids
    precision = average_precision(people, predictions, image_ids)
    torso = errors(asked, predictions)
    told = (*notes, *precision.reasons, *_notes(predictions), *_zero_notes(people, predictions, precision))
    return Held(asked, precision, torso, (*told, *_length_notes(torso)))


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


def _distance_notes(torso: Errors, error: Means) -> list[str]:
    left_out = int((torso.visibility > 0).sum()) - error.joints
    return [f"joints of people who were not found, left out of EPE and NEPE: {left_out:,}"] if left_out else []


def _few_notes(held: Held) -> list[str]:
    """What intervals over few photographs are worth."""
    count = len(np.unique(held.asked.image))
    if count == 1:
        return ["no intervals: all people are on one photograph"]
    return [f"the intervals are too narrow: they come of {count} photographs"] if 1 < count < FEW_IMAGES else []


def _notes(predictions: Predictions) -> list[str]:
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


def _zero_notes(people: People, predictions: Predictions, precision: AveragePrecision) -> list[str]:
    """Why AP is 0 where there are predictions."""
    if precision.figures["AP50"] != 0 or not len(predictions):
        return []
    best = pairs(people, predictions)[2].max(initial=0)
    return [
        f"AP is 0: none of {len(predictions):,} predictions is right even at OKS 0.50 (the best has {best:.2f}); "
        "are they of these photographs, and in image pixels?"
    ]


def _length_notes(torso: Errors) -> list[str]:
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


def _defined(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _intervals(held: Held, terms: Mapping[str, Terms], count: int, seed: int) -> dict[str, Interval]:
    """95 % of the resamples lie within; the same resamples for every figure. One photograph has none."""
    if not count or len(np.unique(held.asked.image)) < 2:
        return {}
    weights = bootstrap.resamples(len(held.precision.image_ids), count, seed)
    samples = bootstrap.average_precision_samples(held.precision.matches, weights)
    samples |= {name: bootstrap.mean_samples(each, held.image, weights) for name, each in terms.items()}
    ends = {name: bootstrap.interval(values) for name, values in samples.items()}
    return {name: pair for name, pair in ends.items() if not math.isnan(pair[0])}
