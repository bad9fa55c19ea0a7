"""Early exit: when a stacked network has looked long enough at a crop. Points are crop pixels."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Exit:
    """A crop is done after the first stack that is sure of it, by one of two rules; the last stack always is.

    score: every joint that is present has at least this score, and one is present at all.
    still: no joint that is present has moved further than this since the stack before, in crop pixels; the first
        stack has none before it.
    Raises BadInput unless just one is given.
    """

    score: float | None = None
    still: float | None = None

    def __post_init__(self) -> None:
        bound = self.still if self.score is None else self.score
        if (self.score is None) == (self.still is None) or bound is None or not isfinite(bound) or bound < 0:
            raise BadInput("early exit needs one bound, not negative: a joint's score, or how far joints may move")

    def sure(self, scores: Floats, present: Mask, points: Floats, before: Floats | None) -> Mask:
        """Which crops (B,) are done: scores (B, K), present (B, K), points (B, K, 2), those of the stack before."""
        some = present.any(-1)
        if self.score is not None:
            return some & np.all((scores >= self.score) | ~present, axis=-1)
        assert self.still is not None
        if before is None:
            return np.zeros(len(scores), bool)
        moved = np.linalg.norm(points - before, axis=-1)
        return some & np.all((moved <= self.still) | ~present, axis=-1)

    def __str__(self) -> str:
        if self.score is not None:
            return f"every present joint scores {self.score:.3g} or more"
        return f"no present joint moved more than {self.still:.3g} crop pixels"
