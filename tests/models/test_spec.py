"""A spec is plain data: JSON gives it back, and it is checked when it is made."""

import json
from dataclasses import replace

import pytest

from sandglass.core.calibration import Calibration
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

LINES = ((0.5, -1.25),) * len(COCO17)
CALIBRATION = Calibration(right=LINES, nearness=LINES, labelled=LINES)
FEW = Calibration(right=LINES[:3], nearness=LINES[:3], labelled=LINES[:3])
SPEC = ModelSpec(network="hourglass", options={"stacks": 2}, codec=CodecConfig(size=(192, 256)), skeleton=COCO17)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, padding=2, summary={"AP": 0.5, "data": ["a@b"], "n": None}),
        replace(SPEC, calibration=CALIBRATION),
        replace(SPEC, calibration=CALIBRATION, earlier=(CALIBRATION,)),
    ],
)
def test_json_gives_it_back(spec):
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": 0.4}, "between 0.5 and 4"),
        ({"padding": 4.1}, "between 0.5 and 4"),
        ({"std": (1.0, 0.0, 1.0)}, "three positive stds"),
        ({"std": (1.0, float("inf"), 1.0)}, "three positive stds"),
        ({"mean": (1.0, float("nan"), 1.0)}, "three means"),
        ({"mean": (1.0, 1.0)}, "three means"),
        ({"calibration": FEW}, "of 3 joints for a"),
        ({"calibration": CALIBRATION, "earlier": (FEW,)}, "of 3 joints for a"),
        ({"calibration": CALIBRATION, "earlier": (CALIBRATION,) * 2}, "2 calibrations of earlier stacks"),
        ({"earlier": (CALIBRATION,)}, "1 calibrations of earlier stacks"),
        (
            {"calibration": CALIBRATION, "earlier": (CALIBRATION,), "options": {"stacks": "x"}},
            "one stack or more, not 'x'",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        replace(SPEC, **changes)


def test_a_spec_without_calibration_is_as_it_was_before_there_was_any():
    assert SPEC.to_dict().keys().isdisjoint({"calibration", "earlier"})
    assert ModelSpec.from_dict(SPEC.to_dict()).calibration is None
    assert "earlier" not in replace(SPEC, calibration=CALIBRATION).to_dict()


def test_every_stack_has_its_own_calibration_or_borrows_the_last_ones():
    other = replace(CALIBRATION, right=((2.0, 0.0),) * len(COCO17))
    assert [SPEC.calibration_after(n) for n in (1, 2)] == [None, None]
    assert [replace(SPEC, calibration=other).calibration_after(n) for n in (1, 2)] == [other, other]
    both = replace(SPEC, calibration=other, earlier=(CALIBRATION,))
    assert [both.calibration_after(n) for n in (1, 2)] == [CALIBRATION, other]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("right", [[1e9, 0.0]] * 17, "slopes lie in"),
        ("right", [[0.5]] * 17, "must have 2 entries"),
        ("nearness", [["a", 0.0]] * 17, "must be float"),
        ("labelled", 3, "must be a list"),
        ("labelled", [[0.5, 0.0]], "`labelled` has 1 joints"),
        ("code", "import os", "has no field"),
    ],
)
def test_a_calibration_from_a_file_is_checked(field, value, message):
    data = replace(SPEC, calibration=CALIBRATION).to_dict()
    data["calibration"][field] = value
    with pytest.raises(BadInput, match=message):
        ModelSpec.from_dict(json.loads(json.dumps(data)))
