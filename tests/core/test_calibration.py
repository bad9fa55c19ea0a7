"""Scores as probabilities: the curve by hand, its order, its bounds, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.calibration import LIMIT, Calibration, bend
from sandglass.core.errors import BadInput

SAME = ((1.0, 0.0),) * 2
PLAIN = Calibration(right=SAME, nearness=SAME, labelled=SAME)


def test_slope_one_and_bias_nought_change_nothing():
    scores = np.array([[0.2, 0.9], [0.5, 0.01]])
    np.testing.assert_allclose(PLAIN.probabilities(scores), scores, atol=1e-12)


def test_by_hand():
    lines = ((2.0, 0.0), (1.0, np.log(3)))  # odds squared; odds tripled
    np.testing.assert_allclose(bend(np.array([0.75, 0.5]), lines), [0.9, 0.75])
    calibrated = replace(PLAIN, right=lines)
    assert calibrated.probabilities(np.zeros((3, 4, 2))).shape == (3, 4, 2)


def test_a_better_score_is_never_less_likely_and_none_is_certain():
    calibrated = replace(PLAIN, right=((0.3, -2.0), (0.0, 1.0)))
    scores = np.stack([np.linspace(0, 1, 1001)] * 2, 1)
    p = calibrated.probabilities(scores)
    assert (np.diff(p[:, 0]) >= 0).all() and np.ptp(p[:, 1]) == 0
    assert p.min() > 0 and p.max() < 1


def test_the_oks_to_expect_weighs_joints_by_whether_they_count():
    calibrated = Calibration(right=SAME, nearness=((0.0, np.log(3)), (0.0, 0.0)), labelled=((0.0, 0.0), (1.0, 0.0)))
    # nearness 3/4 and 1/2; labelled with 1/2 and 1/4
    assert calibrated.expected_oks(np.array([0.9, 0.25])) == pytest.approx((0.5 * 0.75 + 0.25 * 0.5) / 0.75)
    assert calibrated.expected_oks(np.zeros((5, 2))).shape == (5,)


@pytest.mark.parametrize(
    ("field", "lines", "message"),
    [
        ("nearness", SAME[:1], "`nearness` has 1 joints, `right` 2"),
        ("right", ((-0.1, 0.0), (1.0, 0.0)), "slope -0.1"),
        ("labelled", ((1.0, 0.0), (1.0, LIMIT + 1)), "bias 101"),
        ("right", ((float("nan"), 0.0), (1.0, 0.0)), "slope nan"),
        ("right", ((1.0, float("inf")), (1.0, 0.0)), "bias inf"),
    ],
)
def test_numbers_that_cannot_be_are_refused(field, lines, message):
    with pytest.raises(BadInput, match=message):
        replace(PLAIN, **{field: lines})
