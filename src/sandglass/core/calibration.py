"""Scores as probabilities: for each joint, a logistic curve from what the network says to how often it is right.

Joint scores (peaks of heatmaps) rank joints, but 0.6 does not mean right in 6 cases of 10. Two numbers a joint mend
that (Platt 1999): p = sigmoid(slope * logit(score) + bias). `metrics.calibration` finds them.
"""

from dataclasses import dataclass, fields

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats

LIMIT = 100.0  # of a slope or bias: what a checkpoint may claim
SURE = 1e-4  # scores nearer to 0 or 1 are taken as this: their logits would be infinite

Lines = tuple[tuple[float, float], ...]  # (slope, bias) of each joint; the slope is not negative


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a joint's score means, for each of K joints; raises BadInput for numbers that cannot be.

    right: logit of the score -> that of the probability that the joint, if it is labelled, lies where its OKS term is
        at least 0.5.
    nearness: logit of that probability -> that of the OKS term to be expected, if it is labelled.
    labelled: logit of that probability -> that of being labelled at all, and so of counting in OKS.
    """

    right: Lines
    nearness: Lines
    labelled: Lines

    def __post_init__(self) -> None:
        for field in fields(self):
            lines = getattr(self, field.name)
            if len(lines) != len(self.right):
                raise BadInput(f"calibration: `{field.name}` has {len(lines)} joints, `right` {len(self.right)}")
            for slope, bias in lines:
                if not (0 <= slope <= LIMIT and abs(bias) <= LIMIT):
                    raise BadInput(
                        f"calibration: `{field.name}` has slope {slope:g}, bias {bias:g}; slopes lie in 0..{LIMIT:g}, "
                        f"biases within {LIMIT:g} of 0"
                    )

    def __len__(self) -> int:
        return len(self.right)

    def probabilities(self, scores: Floats) -> Floats:
        """How likely each joint is right (..., K), from the network's scores (..., K) in 0..1."""
        return bend(scores, self.right)

    def expected_oks(self, probabilities: Floats) -> Floats:
        """The OKS to be expected (...) of poses whose joints are right with probabilities (..., K)."""
        counts = bend(probabilities, self.labelled)
        return (counts * bend(probabilities, self.nearness)).sum(-1) / counts.sum(-1)


def bend(scores: Floats, lines: Lines) -> Floats:
    """Each joint's logistic curve over scores (..., K) in 0..1: (..., K)."""
    slope, bias = np.array(lines, np.float64).T
    return 1 / (1 + np.exp(-(slope * logit(scores) + bias)))


def logit(scores: Floats) -> Floats:
    """log(p / (1 - p)), bounded."""
    p = np.clip(scores, SURE, 1 - SURE)
    return np.log(p / (1 - p))
