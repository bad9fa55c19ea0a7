"""A run's metrics.jsonl, read again: what happened over its steps, and how fast."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.evaluation.page import finite

Rows = Sequence[Mapping[str, Any]]


def read_journal(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, in order; lines that were torn by a crash are passed over.

    A run that was resumed from an earlier step leaves its undone steps in the file: where the steps go back,
    the later rows count. Raises BadInput when the file cannot be read, or holds lines but not one row.
    """
    try:
        lines = Path(path).read_bytes().decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a run's metrics.jsonl") from None
    rows: dict[tuple[float, bool], dict[str, Any]] = {}  # by step, and whether training or evaluation
    last = -math.inf
    for row in filter(None, map(_row, lines)):
        step = row["step"]
        if step < last:
            rows = {key: kept for key, kept in rows.items() if key[0] <= step}
        rows.pop((step, "loss" in row), None)
        rows[step, "loss" in row] = row
        last = step
    if lines and not rows:
        raise BadInput(f"{path}: none of its {len(lines)} lines is a row with a step; give a run's metrics.jsonl")
    return list(rows.values())


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and finite(row.get("step")) else None


def summary(rows: Rows) -> dict[str, float | None]:
    """A run in figures: where it stands, its last and best scores, its speed; None for what its rows do not tell.

    images_per_second: the median; data_wait: the mean share of the time that steps waited for data; tflops and
    peak_share (of the chip's): medians; memory_gib: the most; evaluation_share: of the run's seconds. images: pictures
    trained on; the rows of an evaluation have photographs scored under that name.
    """
    seconds, evaluations = values(rows, "seconds"), values(rows, "evaluation_seconds")
    return {
        "steps": _last(values(rows, "step")),
        "images": _last(values([row for row in rows if "loss" in row], "images")),
        "seconds": _last(seconds),
        "loss": _last(values(rows, "loss")),
        "AP": _last(values(rows, "AP")),
        "best AP": _most(values(rows, "AP")),
        "PCK@0.2": _last(values(rows, "PCK@0.2")),
        "images_per_second": _median(values(rows, "images_per_second")),
        "data_wait": float(np.mean(waits)) if (waits := values(rows, "data_wait")) else None,
        "tflops": _median(values(rows, "tflops")),
        "peak_share": _median(values(rows, "peak_share")),
        "memory_gib": _most(values(rows, "memory_gib")),
        "evaluation_share": sum(evaluations) / seconds[-1] if evaluations and seconds and seconds[-1] > 0 else None,
    }


def values(rows: Rows, key: str) -> list[float]:
    """The finite numbers that rows have under `key`, in order."""
    return [float(row[key]) for row in rows if finite(row.get(key))]


def _last(numbers: Sequence[float]) -> float | None:
    return numbers[-1] if numbers else None


def _most(numbers: Sequence[float]) -> float | None:
    return max(numbers) if numbers else None


def _median(numbers: Sequence[float]) -> float | None:
    return float(np.median(numbers)) if numbers else None
