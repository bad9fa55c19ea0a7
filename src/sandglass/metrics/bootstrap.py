"""How sure a figure is: the same figures over photographs drawn again with replacement (Efron 1979).

hotcoco.compare resamples too, but counts a photograph that is drawn twice only once (1.3), which makes its
intervals a fifth too narrow, and it does not know PCK.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats
from sandglass.metrics.average_precision import AREAS, FIGURES, RECALLS, THRESHOLDS, Matches
from sandglass.metrics.pck import Errors, Terms, pck_terms

Samples = Mapping[str, Floats]  # figure -> its value in each of B resamples, NaN where undefined
Weights = NDArray[np.uint16] | Floats  # (B, M) whole numbers
Masks = Mapping[str, NDArray[np.bool_]]  # name -> which of (N, K) belong to it, or what broadcasts to that
Interval = tuple[float, float]
Ends = Interval | Literal["few"]  # an interval, or that there are too few people for one

CONFIDENCE = 0.95
FEW_PEOPLE: Final = 20  # of a group: with fewer, resamples are too much alike, and its figure says little
FEWER: Final = 250  # resamples of figures that are many: the ends of their intervals are right to a tenth of its width
_CHUNK = 50  # resamples at a time: their tables stay in the cache


def resamples(images: int, count: int, seed: int) -> Weights:
    """How often each of M photographs is drawn in each of `count` resamples of M: (B, M)."""
    if not images:
        return np.zeros((count, 0), np.uint16)
    drawn = np.random.default_rng(seed).integers(images, size=(count, images))
    drawn += np.arange(count)[:, None] * images
    return np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class Draws:
    """Photographs drawn again: how often each of `image_ids` (M,), sorted, is there in each resample (B, M)."""

    image_ids: NDArray[np.int64]
    weights: Weights

    @cached_property
    def floats(self) -> Floats:
        """The same weights (B, M), as means take them: they would convert them each time."""
        return self.weights.astype(np.float64)

    def column(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The columns of photographs by id, which are all among them."""
        return np.searchsorted(self.image_ids, image_ids)

    def among(self, image_ids: NDArray[np.int64]) -> "Draws":
        """The same resamples, of some photographs by id, sorted: the others hold nothing that counts."""
        return Draws(image_ids, self.weights[:, self.column(image_ids)])

    def first(self, count: int = FEWER) -> "Draws":
        """The first of these resamples."""
        return Draws(self.image_ids, self.weights[:count])


def draw(image_ids: NDArray[np.int64], count: int, seed: int = 0) -> Draws:
    """`count` resamples of photographs (M,); the same seed and the same number of photographs give the same draws."""
    return Draws(np.unique(image_ids), resamples(len(np.unique(image_ids)), count, seed))


def average_precision_samples(
    matches: Matches, weights: Weights, figures: Sequence[str] = tuple(FIGURES)
) -> dict[str, Floats]:
    """The ten COCO figures, or some, when photograph m counts weights[b, m] times: figure -> (B,).

    A photograph that counts twice is one whose people and detections are there twice. Who is matched to
    whom does not depend on the other photographs, so only the accumulation is done again, for all at once.
    """
    b = len(weights)
    wanted = {name: FIGURES[name] for name in figures}
    precision = np.full((len(AREAS), len(THRESHOLDS), b), np.nan)
    recall = np.full((len(AREAS), len(THRESHOLDS), b), np.nan)
    people = np.asarray(weights, np.float64) @ matches.people.T  # (B, A)
    for start in range(0, b, _CHUNK):
        rows = slice(start, start + _CHUNK)
        drawn = weights[rows].take(matches.image, 1).astype(np.int32)  # (B, D)
        passed = np.cumsum(drawn, axis=1, dtype=np.int32)
        for a in {area for _, area, _ in wanted.values()}:
            needed = _needed(np.maximum(people[rows, a], 1))
            for t in range(len(THRESHOLDS)):
                excused = matches.excused[a, t]
                places = np.flatnonzero(matches.found[a, t] & ~excused)
                seen = passed.take(places, 1) - _up_to(places, np.flatnonzero(excused), drawn)
                found = _accumulate(seen, drawn.take(places, 1), people[rows, a], needed)
                precision[a, t, rows], recall[a, t, rows] = found
    tables = {"precision": precision, "recall": recall}
    return {name: tables[kind][area, rows].mean(0) for name, (kind, area, rows) in wanted.items()}


def _up_to(places: NDArray[np.int64], others: NDArray[np.int64], drawn: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many of `others` are drawn before each of `places` (H,), both rising columns of `drawn` (B, D): (B, H)."""
    before = np.zeros((len(drawn), len(others) + 1), np.int32)
    np.cumsum(drawn.take(others, 1), axis=1, dtype=np.int32, out=before[:, 1:])
    return before.take(np.searchsorted(others, places), 1)


def _accumulate(
    seen: NDArray[np.int32], drawn: NDArray[np.int32], people: Floats, needed: NDArray[np.int32]
) -> tuple[Floats, Floats]:
    """Average precision and recall (B,) of hits that are drawn (B, H) times, best first; `people` (B,) to be found.

    `seen` (B, H) are the detections that count, up to and with the last copy of each hit, `needed` the fewest hits
    (B, R) that reach each recall. Precision is interpolated as COCO does: at each recall, the best at that recall or
    above. It falls with every miss, so it need only be known at the hits, and there only its best between the places
    where one recall is reached and the next.
    """
    undefined = np.where(people > 0, 0.0, np.nan)
    b, places = drawn.shape
    if not places:
        return undefined, undefined.copy()
    true = np.cumsum(drawn, axis=1, dtype=np.int32)
    precision = true / np.maximum(seen, 1)
    at = np.stack([row.searchsorted(fewest) for row, fewest in zip(true, needed, strict=True)])  # (B, R), rising
    first = np.minimum(at, places - 1) + np.arange(b)[:, None] * places
    between = np.maximum.reduceat(precision.ravel(), first.ravel()).reshape(at.shape)
    best = np.maximum.accumulate(between[:, ::-1], axis=1)[:, ::-1]
    mean = np.where(at < places, best, 0).mean(1)
    return mean + undefined, true[:, -1] / np.maximum(people, 1) + undefined


def _needed(people: Floats) -> NDArray[np.int32]:
    """The fewest hits that reach each recall, given the people (B,) to be found, 1 at least: (B, 101)."""
    total = people[:, None]
    fewest = np.ceil(RECALLS * total)
    fewest -= (fewest - 1) / total >= RECALLS  # rounding: the division is what COCO compares
    fewest += fewest / total < RECALLS
    return fewest.astype(np.int32)


def pck_samples(errors: Errors, image: NDArray[np.int64], weights: Weights, threshold: float) -> Floats:
    """PCK in each resample (B,); see `mean_samples`."""
    return mean_samples(pck_terms(errors, threshold), image, weights)


def mean_samples(terms: Terms, image: NDArray[np.int64], weights: Weights) -> Floats:
    """The mean over all joints that count, in each resample (B,).

    `terms` are values (N, K) and which of them count, `image` (N,) the photograph of each person: a column of
    `weights` (B, M).
    """
    return group_samples(terms, {"": np.ones(1, bool)}, image, weights)[""]


def group_samples(terms: Terms, masks: Masks, image: NDArray[np.int64], weights: Weights) -> dict[str, Floats]:
    """The means of parts of the joints, in each resample: name -> (B,); see `mean_samples`."""
    values, counted = terms
    m, parts = weights.shape[1], [counted & mask for mask in masks.values()]
    counts = np.stack([np.bincount(image, part.sum(1), m) for part in parts], 1)  # (M, G)
    sums = np.stack([np.bincount(image, np.where(part, values, 0.0).sum(1), m) for part in parts], 1)
    drawn = np.asarray(weights, np.float64)
    with np.errstate(invalid="ignore"):
        return dict(zip(masks, ((drawn @ sums) / (drawn @ counts)).T, strict=True))


def group_intervals(terms: Terms, masks: Masks, image: NDArray[np.int64], weights: Weights) -> dict[str, Ends]:
    """95 % intervals of the means of parts of the joints; "few" where fewer than FEW_PEOPLE people have a joint there.

    Parts without any joint are left out.
    """
    people = {name: int((terms[1] & mask).any(1).sum()) for name, mask in masks.items()}
    enough = {name: masks[name] for name, count in people.items() if count >= FEW_PEOPLE}
    found = intervals(group_samples(terms, enough, image, weights)) if enough else {}
    return {name: found.get(name, "few") for name, count in people.items() if count}


def intervals(samples: Samples) -> dict[str, Interval]:
    """The percentile intervals of all figures that are defined in some resample."""
    ends = {name: interval(values) for name, values in samples.items()}
    return {name: pair for name, pair in ends.items() if not np.isnan(pair[0])}


def interval(samples: Floats, confidence: float = CONFIDENCE) -> Interval:
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
