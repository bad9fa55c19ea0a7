"""What ranks people in AP, from the scores of their joints."""

import numpy as np
from numpy.typing import NDArray

from sandglass.core.calibration import Calibration
from sandglass.core.pose import Floats
from sandglass.models.spec import ModelSpec

UNSEEN = 1e-9  # the least sum of joint scores that is divided by: where all are 0, so is the person's


def person_score(scores: Floats, calibration: Calibration | None = None) -> Floats:
    """What ranks people in AP (B,), from joint scores (B, K): their mean, each weighed by itself.

    OKS counts labelled joints alone, and a joint that the network doubts is seldom labelled: so it counts little
    here too. Of a calibrated model's scores: the OKS to be expected.
    """
    if calibration is not None:
        return calibration.expected_oks(scores)
    return (scores * scores).sum(-1) / scores.sum(-1).clip(min=UNSEEN)


def ranked(spec: ModelSpec, scores: Floats, stacks: NDArray[np.int64]) -> Floats:
    """`person_score` (B,) of people, each by the calibration of the last stack, of `stacks` (B,), that looked."""
    found = np.zeros(len(scores))
    for n in np.unique(stacks):
        some = stacks == n
        found[some] = person_score(scores[some], spec.calibration_after(int(n)))
    return found
