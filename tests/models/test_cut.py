"""A shorter network is the beginning of the longer one: the same maps, less cost."""

from dataclasses import replace

import pytest
import torch

from sandglass.core.calibration import Calibration
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.models.checkpoint import load_checkpoint, save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.cut import cut, cut_spec, stage_costs
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import cost

SPEC = ModelSpec(
    network="hourglass",
    options={"stacks": 3, "channels": 8, "depth": 2},
    codec=CodecConfig(size=(64, 96), sigmas=(3.0, 2.0, 1.0)),
    skeleton=COCO17,
    summary={"steps": 7, "scores": {"AP": 0.5}, "scores_of": {"flip": "yes"}},
)


@pytest.fixture(scope="module")
def network(loud_network):
    return loud_network(SPEC)


@pytest.mark.parametrize("stacks", [1, 2, 3])
def test_the_maps_are_the_first_of_the_whole(network, stacks):
    crops = torch.randn(2, 3, 96, 64)
    short, spec = cut(network, SPEC, stacks)
    with torch.inference_mode():
        assert torch.equal(short(crops), network(crops)[:, :stacks])
    assert not short.training and spec.stacks == stacks
    assert spec.codec.sigmas == (3.0, 2.0, 1.0)[:stacks]


def test_what_is_cut_off_costs_nothing(network):
    costs = stage_costs(SPEC)
    assert [c.parameters for c in costs] == sorted({c.parameters for c in costs})
    assert [c.gmac for c in costs] == sorted({c.gmac for c in costs})
    for stacks, expected in enumerate(costs, 1):
        assert cost(cut(network, SPEC, stacks)[0], SPEC.codec.size) == expected
    assert costs[-1] == cost(network, SPEC.codec.size)


def test_a_cut_network_is_a_checkpoint_like_any_other(network, tmp_path):
    short, spec = cut(network, SPEC, 2)
    save_checkpoint(tmp_path / "short.safetensors", short, spec, dict(spec.summary))
    again, found = load_checkpoint(tmp_path / "short.safetensors")
    assert found == spec
    crops = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        assert torch.equal(again(crops), network(crops)[:, :2])


def test_the_whole_keeps_everything_and_the_part_drops_what_was_the_wholes():
    lines = ((1.0, 0.0),) * 17
    spec = replace(SPEC, calibration=Calibration(right=lines, nearness=lines, labelled=lines))
    assert cut_spec(spec, 3) is spec
    short = cut_spec(spec, 2)
    assert short.calibration is None and short.earlier == ()
    assert dict(short.summary) == {"steps": 7, "cut": "after 2 of 3 stacks"}
    assert dict(spec.summary) == {"steps": 7, "scores": {"AP": 0.5}, "scores_of": {"flip": "yes"}}


def test_the_part_keeps_the_calibrations_of_its_own_stacks():
    same = ((1.0, 0.0),) * 17
    each = [Calibration(right=((n, 0.0),) * 17, nearness=same, labelled=same) for n in (1.0, 2.0, 3.0)]
    spec = replace(SPEC, calibration=each[2], earlier=(each[0], each[1]))
    assert (cut_spec(spec, 2).calibration, cut_spec(spec, 2).earlier) == (each[1], (each[0],))
    assert (cut_spec(spec, 1).calibration, cut_spec(spec, 1).earlier) == (each[0], ())


@pytest.mark.parametrize("stacks", [0, -1, 4])
def test_stacks_that_are_not_there_are_refused(stacks):
    with pytest.raises(BadInput, match="the model has 3 stacks; it can be cut after 1 to 3"):
        cut_spec(SPEC, stacks)
