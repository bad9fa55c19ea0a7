"""A spec is plain data: JSON gives it back, and it is checked when it is made."""

import json
from dataclasses import replace

import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

SPEC = ModelSpec(network="hourglass", options={"stacks": 2}, codec=CodecConfig(size=(192, 256)), skeleton=COCO17)


@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, padding=2, summary={"AP": 0.5, "data": ["a@b"], "n": None})])
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
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(BadInput, match=message):
        replace(SPEC, **changes)
