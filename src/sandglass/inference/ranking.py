"""What ranks people in AP, from the scores of their joints."""

import numpy as np
from numpy.typing import NDArray

from sandglass.core.calibration import Calibration
from sandglass.core.pose import Floats
from sandglass.models.spec import ModelSpec


def person_score(scores: Floats, present: NDArray[np.bool_], calibration: Calibration | None = None) -> Floats:
    """What ranks people in AP (B,): the mean score of the joints that are present; of all, where none is.

    Of a calibrated model's scores: the OKS to be expected, whatever is present.
    """
    if calibration is not None:
        return calibration.expected_oks(scores)
    counted = np.where(present.any(-1, keepdims=True), present, True)
    return (scores * counted).sum(-1) / counted.sum(-1)


def ranked(spec: ModelSpec, scores: Floats, present: NDArray[np.bool_], stacks: NDArray[np.int64]) -> Floats:
    """`person_score` (B,) of people, each by the calibration of the last stack, of `stacks` (B,), that looked."""
    found = np.zeros(len(scores))
    for n in np.unique(stacks):
        some = stacks == n
        found[some] = person_score(scores[some], present[some], spec.calibration_after(int(n)))
    return found
