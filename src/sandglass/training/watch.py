"""When a run has come to grief: a loss that is no number, or one that has left every bound."""

from collections import deque
from collections.abc import Sequence
from statistics import median

import numpy as np

from sandglass.core.errors import BadInput

# A bad batch may cost ten times the usual, a bad start a hundred times; from a thousand times over most steps of a
# row of the journal no run was seen to come back.
EXPLODED = 1e3


class Diverged(BadInput):
    """The loss is no longer a number, or a thousand times what it was."""


class Watch:
    """Looks at the losses and gradient norms of the steps since the last row of the journal."""

    def __init__(self) -> None:
        self._medians: deque[float] = deque(maxlen=50)  # of earlier rows

    def wrong(self, losses: Sequence[float], norms: Sequence[float]) -> tuple[int, str] | None:
        """The first bad step, counted from 0, and what is wrong with it; None when all is well."""
        for i, pair in enumerate(zip(losses, norms, strict=True)):
            if not np.isfinite(pair).all():
                return i, f"the loss is {losses[i]:g} and the gradient {norms[i]:g}"
        now = median(losses)
        usual = median(self._medians) if self._medians else now
        if usual > 0 and now > EXPLODED * usual:
            first = next(i for i, loss in enumerate(losses) if loss > EXPLODED * usual)
            return first, f"the loss is {losses[first]:.3g}, {losses[first] / usual:,.0f} times the usual {usual:.3g}"
        self._medians.append(now)
        return None
