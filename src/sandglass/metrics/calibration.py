"""Whether joint scores mean what they say: reliability, calibration error, and the curves that mend it.

The event: a labelled joint of a person who was answered lies within the radius at which its OKS term is 0.5. A score
is honest if, of all joints with that score, that share is right (Guo et al. 2017, arxiv.org/abs/1706.04599).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandglass.core.calibration import LIMIT, Calibration, Lines, logit
from sandglass.core.pose import Floats, People, Predictions
from sandglass.metrics import bootstrap, oks
from sandglass.metrics.bootstrap import Ends, Interval, Weights
from sandglass.metrics.mistakes import FOUND_FROM

RIGHT_FROM: Final = 0.5  # of a joint's OKS term
BINS: Final = 10  # of equal width
PRIOR: Final = 1.0  # pulls (slope, bias) towards (1, 0) like a few joints would: a joint seen thrice stays sane
STEPS: Final = 50  # of Newton's method; five are enough where anything can be learnt


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was said of N people's joints, and what was true. people: (N,) rows of those who were answered."""

    people: NDArray[np.int64]  # (N,)
    scores: Floats  # (N, K) in 0..1
    nearness: Floats  # (N, K) the OKS term; 0 where the joint is not labelled
    labelled: NDArray[np.bool_]  # (N, K)

    @property
    def right(self) -> NDArray[np.bool_]:
        """The event (N, K)."""
        return self.labelled & (self.nearness >= RIGHT_FROM)


@dataclass(frozen=True, eq=False)
class Reliability:
    """By bins of the score, of equal width over 0..1: mean score, share right (both NaN in an empty bin), joints."""

    claimed: Floats  # (bins,)
    true: Floats  # (bins,)
    count: NDArray[np.int64]  # (bins,)

    @property
    def curve(self) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """All three, as charts take them."""
        return self.claimed, self.true, self.count

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between claimed and true over all joints; NaN without any."""
        some = self.count > 0
        gaps = np.abs(self.claimed - self.true)[some]
        return float((gaps * self.count[some]).sum() / self.count.sum()) if some.any() else float("nan")


def outcomes(people: People, predictions: Predictions) -> Outcomes:
    """What became of every joint of those `people` who were answered (`oks.match`, with OKS above 0.1)."""
    rows = oks.match(people, predictions, FOUND_FROM)
    hit = np.flatnonzero(rows >= 0)
    here, found = people.select(hit), predictions.select(rows[hit])
    labelled = here.visibility > 0
    near = oks.nearness(found.keypoints, here.keypoints, here.areas, people.skeleton.sigmas)
    return Outcomes(hit, found.scores, np.where(labelled, near, 0), labelled)


def reliability(found: Outcomes, bins: int = BINS, joint: int | None = None) -> Reliability:
    """How often joints are right, by what was said of them: all labelled joints, or those of one column."""
    columns = slice(None) if joint is None else slice(joint, joint + 1)
    labelled = found.labelled[:, columns]
    scores, right = found.scores[:, columns][labelled], found.right[:, columns][labelled]
    row = _bins(scores, bins)
    count = np.bincount(row, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(np.bincount(row, scores, bins) / count, np.bincount(row, right, bins) / count, count)


def _bins(scores: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def error_interval(
    found: Outcomes, image: NDArray[np.int64], weights: Weights, bins: int = BINS, joint: int | None = None
) -> Interval | None:
    """The 95 % interval of `Reliability.error`; None without joints.

    `image` (N,) is the photograph of each person: a column of `weights` (B, M). What chance adds to the gaps makes an
    error larger than it is, and drawing again adds the like once more: both ends come down by that, the lower one by
    twice, for what was in the error before. So the interval holds the error as it was measured. (Percentiles alone lie
    above it; the interval of scores that are perfectly honest may still end above 0.)
    """
    columns = slice(None) if joint is None else slice(joint, joint + 1)
    row, column = np.nonzero(found.labelled[:, columns])
    if not len(row):
        return None
    scores, right = found.scores[:, columns][row, column], found.right[:, columns][row, column]
    cell, m = image[row] * bins + _bins(scores, bins), weights.shape[1]
    gaps = np.bincount(cell, scores - right, m * bins).reshape(m, bins)
    counts = np.bincount(image[row], minlength=m).astype(np.float64)
    drawn = np.asarray(weights, np.float64)
    with np.errstate(invalid="ignore"):
        samples = np.abs(drawn @ gaps).sum(1) / (drawn @ counts)
    low, high = bootstrap.interval(samples)
    if np.isnan(low):
        return None
    added = max(0.0, float(np.nanmean(samples) - np.abs(gaps.sum(0)).sum() / counts.sum()))
    return max(0.0, low - 2 * added), max(0.0, high - added)


def joint_error_intervals(found: Outcomes, image: NDArray[np.int64], weights: Weights) -> dict[int, Ends]:
    """The same of each joint (0 to K - 1), "few" where fewer than 20 people have it; without those of nobody."""
    people = found.labelled.sum(0)
    told: dict[int, Ends] = {}
    for k in np.flatnonzero(people).tolist():
        ends = error_interval(found, image, weights, joint=k) if people[k] >= bootstrap.FEW_PEOPLE else None
        told[k] = ends or "few"
    return told


def fit(found: Outcomes) -> Calibration:
    """The curves that make these scores honest. A joint that is nowhere labelled keeps its scores as they are."""
    k = found.scores.shape[1]
    right = _lines(found.scores, found.right, found.labelled)
    rough = Calibration(right=right, nearness=((1.0, 0.0),) * k, labelled=((1.0, 0.0),) * k)
    probabilities = rough.probabilities(found.scores)
    everywhere = np.ones_like(found.labelled)
    return Calibration(
        right=right,
        nearness=_lines(probabilities, found.nearness, found.labelled),
        labelled=_lines(probabilities, found.labelled, everywhere),
    )


def _lines(scores: Floats, values: NDArray, counted: NDArray[np.bool_]) -> Lines:
    """(slope, bias) of each joint, from scores (N, K) and what is to be predicted (N, K) in 0..1, where counted."""
    columns = zip(logit(scores).T, np.asarray(values, np.float64).T, counted.T, strict=True)
    return tuple(logistic(x[here], y[here]) for x, y, here in columns)


def logistic(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope (not negative) and bias of the logistic curve over x (n,) that best predicts y (n,) in 0..1.

    The likeliest, with a weak pull towards (1, 0); by Newton's method, whose steps are halved until they help.
    """
    prior = np.array([1.0, 0.0])
    inputs = np.stack([x, np.ones_like(x)])  # (2, n)

    def loss(line: NDArray[np.floating]) -> float:
        z = line @ inputs
        return float((np.logaddexp(0, z) - y * z).sum() + PRIOR / 2 * ((line - prior) ** 2).sum())

    line = prior
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(line @ inputs)))
        slope = inputs @ (p - y) + PRIOR * (line - prior)
        step = np.linalg.solve((inputs * p * (1 - p)) @ inputs.T + PRIOR * np.eye(2), slope)
        before = loss(line)
        while loss(line - step) > before and np.abs(step).max() > 1e-9:
            step = step / 2
        line = line - step
        if np.abs(step).max() < 1e-9:
            break
    if line[0] < 0:  # the score says nothing here, or the contrary: the same probability for all
        mean = (y.sum() + PRIOR / 2) / (len(y) + PRIOR)
        return 0.0, float(logit(np.array(mean)))
    return float(min(line[0], LIMIT)), float(np.clip(line[1], -LIMIT, LIMIT))
