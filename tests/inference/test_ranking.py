"""Who stopped after which stack is ranked by that stack's calibration."""

import numpy as np

from sandglass.core.calibration import Calibration
from sandglass.core.skeleton import COCO17
from sandglass.inference.ranking import person_score, ranked
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

SAME = ((1.0, 0.0),) * 17
EACH = [Calibration(right=SAME, nearness=((slope, -1.0),) * 17, labelled=SAME) for slope in (0.5, 2.0)]


def test_each_person_by_the_calibration_of_their_last_stack():
    spec = ModelSpec(
        network="hourglass",
        options={"stacks": 2},
        codec=CodecConfig(size=(64, 64)),
        skeleton=COCO17,
        calibration=EACH[1],
        earlier=(EACH[0],),
    )
    scores = np.random.default_rng(0).uniform(0, 1, (6, 17))
    stacks = np.array([1, 2, 1, 1, 2, 2])
    found = ranked(spec, scores, stacks)
    for i, n in enumerate(stacks):
        assert found[i] == EACH[n - 1].expected_oks(scores[i])
    assert (found != person_score(scores)).all()
    assert ranked(spec, scores[:0], stacks[:0]).shape == (0,)
