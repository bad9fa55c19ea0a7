"""How sure a figure is: the same figures over photographs drawn again with replacement (Efron 1979).

hotcoco.compare resamples too, but counts a photograph that is drawn twice only once (1.3), which makes its
intervals a fifth too narrow, and it does not know PCK.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats
from sandglass.metrics.average_precision import AREAS, FIGURES, RECALLS, THRESHOLDS, Matches
from sandglass.metrics.pck import Errors, Terms, pck_terms

Samples = Mapping[str, Floats]  # figure -> its value in each of B resamples, NaN where undefined
Weights = NDArray[np.uint16]

CONFIDENCE = 0.95
_CHUNK = 100  # resamples at a time: their tables stay in the cache


def resamples(images: int, count: int, seed: int) -> Weights:
    """How often each of M photographs is drawn in each of `count` resamples of M: (B, M)."""
    if not images:
        return np.zeros((count, 0), np.uint16)
    drawn = np.random.default_rng(seed).integers(images, size=(count, images))
    drawn += np.arange(count)[:, None] * images
    return np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(np.uint16)


def average_precision_samples(matches: Matches, weights: Weights) -> dict[str, Floats]:
    """The ten COCO figures when photograph m counts weights[b, m] times: figure -> (B,).

    A photograph that counts twice is one whose people and detections are there twice. Who is matched to
    whom does not depend on the other photographs, so only the accumulation is done again, for all at once.
    """
    b = len(weights)
    precision = np.full((len(AREAS), len(THRESHOLDS), b), np.nan)
    recall = np.full((len(AREAS), len(THRESHOLDS), b), np.nan)
    people = weights.astype(np.float64) @ matches.people.T  # (B, A)
    for start in range(0, b, _CHUNK):
        rows = slice(start, start + _CHUNK)
        drawn = weights[rows][:, matches.image]  # (B, D)
        for a in range(len(AREAS)):
            for t in range(len(THRESHOLDS)):
                counted = ~matches.excused[a, t]
                hits = matches.found[a, t, counted]
                precision[a, t, rows], recall[a, t, rows] = _accumulate(drawn[:, counted], hits, people[rows, a])
    tables = {"precision": precision, "recall": recall}
    return {name: tables[kind][area, rows].mean(0) for name, (kind, area, rows) in FIGURES.items()}


def _accumulate(drawn: Weights, hits: NDArray[np.bool_], people: Floats) -> tuple[Floats, Floats]:
    """Average precision and recall (B,) of detections drawn (B, D) times, best first; `people` (B,) to be found.

    Precision is interpolated as COCO does: at each recall, the best at that recall or above. It falls with
    every miss, so it need only be known at the hits, after the last copy of each.
    """
    undefined = np.where(people > 0, 0.0, np.nan)
    places = np.flatnonzero(hits)
    if not len(places):
        return undefined, undefined.copy()
    seen = np.cumsum(drawn, axis=1, dtype=np.int32)[:, places]
    true = np.cumsum(drawn[:, places], axis=1, dtype=np.int32)
    precision = true / (seen + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = np.maximum(people, 1)
    at = _first_reaching(true, _needed(total))  # (B, R)
    value = np.take_along_axis(best, np.minimum(at, len(places) - 1), axis=1)
    mean = np.where(at < len(places), value, 0).mean(1)
    return mean + undefined, true[:, -1] / total + undefined


def _needed(people: Floats) -> NDArray[np.int64]:
    """The fewest hits that reach each recall, given the people (B,) to be found: (B, 101)."""
    total = people[:, None]
    fewest = np.ceil(RECALLS * total)
    fewest -= (fewest - 1) / total >= RECALLS  # rounding: the division is what COCO compares
    fewest += fewest / total < RECALLS
    return fewest.astype(np.int64)


def _first_reaching(true: NDArray[np.int32], needed: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, the first column of `true` (B, H), which rises, that is at least `needed` (B, R).

    One search through all rows: each is lifted above the one before it.
    """
    lift = np.arange(len(true))[:, None] * (max(int(true.max()), int(needed.max())) + 1)
    flat = np.searchsorted((true + lift).ravel(), (needed + lift).ravel())
    start = np.arange(len(true))[:, None] * true.shape[1]
    return np.minimum(flat.reshape(needed.shape) - start, true.shape[1])


def pck_samples(errors: Errors, image: NDArray[np.int64], weights: Weights, threshold: float) -> Floats:
    """PCK in each resample (B,); see `mean_samples`."""
    return mean_samples(pck_terms(errors, threshold), image, weights)


def mean_samples(terms: Terms, image: NDArray[np.int64], weights: Weights) -> Floats:
    """The mean over all joints that count, in each resample (B,).

    `terms` are values (N, K) and which of them count, `image` (N,) the photograph of each person: a column of
    `weights` (B, M).
    """
    values, counted = terms
    m = weights.shape[1]
    joints = np.bincount(image, counted.sum(1), m)
    sums = np.bincount(image, np.where(counted, values, 0.0).sum(1), m)
    with np.errstate(invalid="ignore"):
        return (weights @ sums) / (weights @ joints)


def interval(samples: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The percentile interval of the resamples in which the figure is defined; NaN where there is none."""
    defined = samples[np.isfinite(samples)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """How much better b is than a: by `value`, between `low` and `high`; better in `share` of the resamples."""

    value: float
    low: float
    high: float
    share: float

    @property
    def real(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired(
    a: Samples, b: Samples, values: Mapping[str, float], confidence: float = CONFIDENCE
) -> dict[str, Difference]:
    """Compare two models over the same resamples of the same photographs (the same seed gives them).

    `values` holds, for each figure to be compared, b minus a over all photographs. Drawing the photographs
    together takes out what makes some of them hard for both, so it finds smaller differences than two
    intervals laid beside each other. Ties count half in `share`.
    """
    answer = {}
    for name, value in values.items():
        gain = b[name] - a[name]
        gain = gain[np.isfinite(gain)]
        share = float((gain > 0).mean() + (gain == 0).mean() / 2) if len(gain) else float("nan")
        answer[name] = Difference(value, *interval(gain, confidence), share)
    return answer
