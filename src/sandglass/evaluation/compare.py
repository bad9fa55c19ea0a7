"""Two models, or two evaluations, on the same photographs, and whether the difference between them is real."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich import box
from rich.table import Table

from sandglass.core.errors import BadInput
from sandglass.core.pose import People, Predictions
from sandglass.data.untrusted import brief, read_json
from sandglass.evaluation.protocols import fingerprint
from sandglass.evaluation.publish import RECORD_FILE, Record
from sandglass.evaluation.scores import Held, hold
from sandglass.metrics import bootstrap
from sandglass.metrics.bootstrap import Difference
from sandglass.metrics.pck import pck

COMPARED: Final = ("AP", "AR", "PCK@0.2")
_PCK: Final = 0.2


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation's folder says about itself: by which protocol, on which labels."""

    folder: Path
    protocol: str
    source: str
    fingerprint: str


@dataclass(frozen=True)
class Comparison:
    """How much better b is than a, by COMPARED; figures that are not defined for both are left out (`notes`)."""

    names: tuple[str, str]
    protocol: str
    source: str
    fingerprint: str
    people: int
    images: int
    resamples: int
    values: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Difference]
    notes: tuple[str, ...]

    def verdict(self, name: str) -> str:
        """One plain sentence about one figure."""
        found = self.differences[name]
        if not found.real:
            return f"{name}: no real difference"
        better, worse = self.names if found.value < 0 else self.names[::-1]
        return f"{name}: {better} is better than {worse}, and the difference is real"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values under keys that stay."""
        figures = {
            name: {
                "a": self.values[name][0],
                "b": self.values[name][1],
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "share": found.share,
                "real": found.real,
                "verdict": self.verdict(name),
            }
            for name, found in self.differences.items()
        }
        shared = ("protocol", "source", "fingerprint", "people", "images", "resamples")
        head = {"a": self.names[0], "b": self.names[1]} | {name: getattr(self, name) for name in shared}
        return head | {"figures": figures, "notes": list(self.notes)}

    def to_json(self) -> str:
        """The text of compare.json."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def table(self) -> Table:
        """For the terminal."""
        title = f"{self.source}, {self.protocol}: {self.people:,} people, {self.images:,} images"
        table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left")
        table.caption = (
            f"{self.resamples:,} resamples of the photographs, the same for both; a difference is real where its "
            "interval leaves out 0"
        )
        for heading in ("", "A", "B", "B − A", "95 % interval", ""):
            table.add_column(heading, justify="right" if heading else "left")
        for name, found in self.differences.items():
            a, b = self.values[name]
            ends = f"{found.low:+.4f} … {found.high:+.4f}"
            said = f"real: {'B' if found.value > 0 else 'A'} is better" if found.real else "no real difference"
            table.add_row(name, f"{a:.3f}", f"{b:.3f}", f"{found.value:+.4f}", ends, said)
        return table


def read_evaluation(folder: Path) -> Evaluated:
    """Read the scores.json of an evaluation's folder. Raises BadInput."""
    path = folder / "scores.json"
    data = read_json(path)
    values = [data.get(key) if isinstance(data, dict) else None for key in ("protocol", "source", "fingerprint")]
    if not all(isinstance(value, str) for value in values):
        raise BadInput(f"{path}: names no protocol, source and fingerprint; evaluate the model again")
    protocol, source, mark = map(str, values)
    return Evaluated(folder, protocol, source, mark)


def labels_of(evaluations: Sequence[Evaluated]) -> str:
    """The data set that evaluations name, if it lies here. Raises BadInput if not, and when there is no evaluation."""
    if not evaluations:
        raise BadInput("two checkpoints need a data set to be compared on; name it with --data FOLDER@SPLIT")
    folder, source = evaluations[0].folder, evaluations[0].source
    named = [Record.load(folder).data] if (folder / RECORD_FILE).exists() else []
    for data in (*named, source):
        if Path(data.rpartition("@")[0]).is_dir():
            return data
    raise BadInput(f"{folder} was scored on {brief(source)}, which is not here; name it with --data FOLDER@SPLIT")


def skeleton_of(evaluations: Sequence[Evaluated]) -> str:
    """The skeleton that evaluations were told in place of the data's own; "" for none. Raises BadInput."""
    records = (Record.load(found.folder) for found in evaluations if (found.folder / RECORD_FILE).exists())
    return next((record.skeleton for record in records if record.skeleton), "")


def check_same(a: Evaluated, b: Evaluated) -> None:
    """Refuse two evaluations that are not of the same labels by the same protocol. Raises BadInput."""
    if a.protocol != b.protocol:
        raise BadInput(
            f"{a.folder} was scored by {brief(a.protocol)}, {b.folder} by {brief(b.protocol)}; compare one protocol"
        )
    if a.fingerprint != b.fingerprint:
        raise BadInput(
            f"{a.folder} was scored on {brief(a.source)}, {b.folder} on {brief(b.source)}, whose photographs or labels "
            f"differ ({a.fingerprint} and {b.fingerprint}); evaluate both on the same set"
        )


def check_labels(evaluation: Evaluated, people: People) -> None:
    """Refuse labels that an evaluation was not made on. Raises BadInput."""
    if fingerprint(people) != evaluation.fingerprint:
        raise BadInput(
            f"{evaluation.folder} was scored on other labels than those of {people.source}, or they changed since; "
            "name the same set with --data, or evaluate again"
        )


def compare(
    people: People,
    a: Predictions,
    b: Predictions,
    protocol: str,
    *,
    names: tuple[str, str] = ("A", "B"),
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Score both sets of predictions on the same resamples of the photographs (`bootstrap.paired`).

    A difference is real when the 95 % interval of b minus a leaves out 0. Raises BadInput for predictions that
    cannot be scored, and when no figure is defined.
    """
    held = hold(people, a, protocol), hold(people, b, protocol)
    if len(np.unique(held[0].asked.image)) == 1:
        raise BadInput(f"{people.source}: all labelled people are on one photograph, which tells nothing of others")
    both = [_figures(one) for one in held]
    values = {name: (both[0][name], both[1][name]) for name in COMPARED}
    values = {name: pair for name, pair in values.items() if not any(map(math.isnan, pair))}
    if not values:
        raise BadInput(f"{people.source}: nobody has a labelled joint, so there is nothing to compare")
    weights = bootstrap.resamples(len(held[0].precision.image_ids), resamples, seed)
    samples = [_samples(one, weights) for one in held]
    gains = {name: pair[1] - pair[0] for name, pair in values.items()}
    told = (f"{name}: {note}" for name, one in zip(names, held, strict=True) for note in one.notes)
    return Comparison(
        names=names,
        protocol=protocol,
        source=people.source,
        fingerprint=fingerprint(people),
        people=len(held[0].asked),
        images=len(held[0].precision.image_ids),
        resamples=resamples,
        values=values,
        differences=bootstrap.paired(samples[0], samples[1], gains),
        notes=tuple(told),
    )


def _figures(held: Held) -> dict[str, float]:
    return {**held.precision.figures, "PCK@0.2": pck(held.torso, _PCK).value}


def _samples(held: Held, weights: bootstrap.Weights) -> dict[str, Any]:
    samples = bootstrap.average_precision_samples(held.precision.matches, weights)
    return samples | {"PCK@0.2": bootstrap.pck_samples(held.torso, held.image, weights, _PCK)}
