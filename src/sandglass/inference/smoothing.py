"""Joints over time: the One-Euro filter, and how much joints jitter. Image pixels, pixel centres at +0.5; seconds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SmoothingConfig:
    """The One-Euro filter of Casiez, Roussel and Vogel 2012 (doi.org/10.1145/2207676.2208639).

    Speeds are counted in body sizes, so that one setting fits every resolution and distance.
    """

    cutoff: float = 1.5  # Hz, of a joint at rest: lower is calmer
    beta: float = 6.0  # Hz of cutoff that a speed of one body size a second adds: higher lags less
    speed_cutoff: float = 1.0  # Hz, of the filter that the speed itself goes through
    forget: float = 0.25  # seconds after which a joint that was absent starts afresh

    def __post_init__(self) -> None:
        if min(self.cutoff, self.speed_cutoff) <= 0 or min(self.beta, self.forget) < 0:
            raise ValueError("cutoffs must be positive, beta and forget not negative")


class OneEuro:
    """Smooths the K joints of one person. The time between frames may vary.

    The speed of a joint is one number for x and y, so that a slanting movement is not bent.
    """

    def __init__(self, joints: int, config: SmoothingConfig | None = None) -> None:
        self.config = config or SmoothingConfig()
        self.places = np.zeros((joints, 2))  # the smoothed points
        self.speeds = np.zeros((joints, 2))  # body sizes a second, smoothed
        self.seen = np.full(joints, -np.inf)  # when each joint was last present

    def __call__(self, points: Floats, present: Mask, time: float, size: float) -> Floats:
        """Smoothed points (K, 2) at `time`, later than the last; `size` is the person's, in pixels.

        Joints that are not `present` (K,) come back as they are and leave no trace.
        """
        since = time - self.seen
        assert (since > 0).all(), "time runs forward"
        known = present & (since <= self.config.forget)
        step = np.where(known, since, 1.0)[:, None]
        speed = (points - self.places) / (step * max(size, 1e-6))
        speed = self.speeds + _alpha(self.config.speed_cutoff, step) * (speed - self.speeds)
        cutoff = self.config.cutoff + self.config.beta * np.linalg.norm(speed, axis=-1, keepdims=True)
        smooth = self.places + _alpha(cutoff, step) * (points - self.places)
        fresh = present & ~known
        self.places = np.where(known[:, None], smooth, np.where(fresh[:, None], points, self.places))
        self.speeds = np.where(known[:, None], speed, np.where(fresh[:, None], 0.0, self.speeds))
        self.seen = np.where(present, time, self.seen)
        return np.where(present[:, None], self.places, points)


def _alpha(cutoff: float | Floats, step: Floats) -> Floats:
    """How much of what is new a low-pass filter takes, for a time step in seconds."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


class Jitter:
    """How much joints shake: the mean size of their acceleration, in body sizes a second squared.

    Counted over all joints that are present in three frames in a row. A movement at constant speed counts nothing;
    white noise of one pixel counts much. What people really do counts too, so that no true answer is ever 0.
    """

    def __init__(self) -> None:
        self.before: dict[int, list[tuple[float, Floats, Mask]]] = {}  # person -> the last two frames
        self.total, self.count = 0.0, 0

    def add(self, person: int, points: Floats, present: Mask, time: float, size: float) -> None:
        """One more frame of a person: points (K, 2), present (K,), seconds, the person's size in pixels."""
        known = self.before.get(person, [])
        if len(known) == 2 and size > 0:
            (t0, p0, present0), (t1, p1, present1) = known
            early, late = t1 - t0, time - t1
            bend = ((points - p1) / late - (p1 - p0) / early) / ((early + late) / 2)
            chosen = present0 & present1 & present
            self.total += float(np.linalg.norm(bend[chosen], axis=-1).sum()) / size
            self.count += int(chosen.sum())
        self.before[person] = [*known[-1:], (time, points, present)]

    def forget(self, people: set[int]) -> None:
        """Everybody but these: who comes back begins anew."""
        self.before = {person: known for person, known in self.before.items() if person in people}

    @property
    def value(self) -> float:
        """Body sizes a second squared; NaN where no joint was present in three frames in a row."""
        return self.total / self.count if self.count else float("nan")
