"""Predictions and labelled people -> Scores, by a named protocol. Image pixels, pixel centres at +0.5."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich import box
from rich.table import Table

from sandglass.core.files import write_whole
from sandglass.core.pose import People, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.evaluation.protocols import PROTOCOLS, check, find_protocol, only_asked, people_to_predict
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import FIGURES, MAX_DETECTIONS, AveragePrecision, average_precision
from sandglass.metrics.pck import TORSO_PER_BOX, TORSO_PER_FACE, TORSO_PER_HEAD, Errors, errors, pck

__all__ = ["HEADLINE", "PROTOCOLS", "Scores", "people_to_predict", "score"]

Interval = tuple[float, float]

HEADLINE: Final = (*FIGURES, "PCK@0.2")  # in every scores.json, None where undefined
PCK_THRESHOLDS: Final = (0.2, 0.1, 0.5)  # of the torso
PCKH_THRESHOLD: Final = 0.5  # of the data set's head size


@dataclass(frozen=True)
class Scores:
    """What predictions are worth by one protocol.

    figures: the ten COCO figures, PCK@0.2 and its variants, in 0..1; None where undefined (`notes` say why).
    intervals: 95 % bootstrap intervals over photographs, for the figures that are defined.
    per_joint: PCK@0.2 of each joint. people: asked for; images: the photographs that AP was taken on.
    """

    protocol: str
    source: str
    skeleton: Skeleton
    figures: Mapping[str, float | None]
    intervals: Mapping[str, Interval]
    per_joint: Mapping[str, float | None]
    people: int
    images: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values under keys that stay: the eleven headline figures stand at the top level."""
        return {
            "protocol": self.protocol,
            **{name: self.figures[name] for name in HEADLINE},
            "people": self.people,
            "images": self.images,
            "per_joint": dict(self.per_joint),
            "intervals": {name: list(ends) for name, ends in self.intervals.items() if name in HEADLINE},
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """One line a figure, the further PCK figures and each joint's PCK@0.2 among them."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["protocol", "figure", "value", "low", "high"])
        for name, value in self.figures.items():
            writer.writerow([self.protocol, name, value, *self.intervals.get(name, (None, None))])
        for joint, value in self.per_joint.items():
            writer.writerow([self.protocol, f"PCK@0.2 {joint}", value, None, None])
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
            table.add_row(name, _number(value), ends, end_section=name in ("APL", "ARL"))
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
    check(people, predictions, protocol)
    rules = find_protocol(protocol)
    asked = people.select(rules.asked(people))
    predictions, notes = only_asked(asked, predictions, rules)
    image_ids = people.image_ids[np.unique(asked.image)] if rules.labelled_boxes else people.image_ids
    precision = average_precision(people, predictions, image_ids)
    notes += [*precision.reasons, *_notes(predictions)]
    torso = errors(asked, predictions)
    measured = {f"PCK@{t}": (torso, t) for t in PCK_THRESHOLDS}
    if np.isfinite(asked.head_sizes).any():
        measured[f"PCKh@{PCKH_THRESHOLD}"] = (errors(asked, predictions, "head"), PCKH_THRESHOLD)
    notes += _length_notes(torso)

    figures = {**precision.figures, **{name: pck(found, t).value for name, (found, t) in measured.items()}}
    return Scores(
        protocol=protocol,
        source=people.source,
        skeleton=people.skeleton,
        figures={name: _defined(value) for name, value in figures.items()},
        intervals=_intervals(precision, asked, measured, intervals, seed),
        per_joint={name: _defined(value) for name, value in pck(torso).per_joint.items()},
        people=len(asked),
        images=len(precision.image_ids),
        notes=tuple(notes),
    )


def _notes(predictions: Predictions) -> list[str]:
    """What else a reader of the figures must know about the predictions."""
    _, counts = np.unique(predictions.image_ids, return_counts=True)
    beyond = int(np.maximum(counts - MAX_DETECTIONS, 0).sum())
    if beyond:
        return [f"predictions beyond the {MAX_DETECTIONS} best of their photograph, without weight in AP: {beyond:,}"]
    return []


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
    return ["PCK lengths (people): " + "; ".join(parts)] if parts else ["no PCK: nobody has a labelled joint"]


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _intervals(
    precision: AveragePrecision,
    asked: People,
    measured: Mapping[str, tuple[Errors, float]],
    count: int,
    seed: int,
) -> dict[str, Interval]:
    """95 % of the resamples lie within; the same resamples for every figure."""
    if not count:
        return {}
    weights = bootstrap.resamples(len(precision.image_ids), count, seed)
    samples = bootstrap.average_precision_samples(precision.matches, weights)
    image = np.searchsorted(precision.image_ids, asked.image_ids[asked.image])
    for name, (found, threshold) in measured.items():
        samples[name] = bootstrap.pck_samples(found, image, weights, threshold)
    ends = {name: bootstrap.interval(values) for name, values in samples.items()}
    return {name: pair for name, pair in ends.items() if not math.isnan(pair[0])}
