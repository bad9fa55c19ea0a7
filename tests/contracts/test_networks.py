"""What every network of the zoo promises: add a line to NETWORKS and to SMALL, and this suite picks it up."""

from typing import Any

import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.models.checkpoint import load_checkpoint, save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import NETWORKS, build, cost

# Options that make each network small enough for a test, and have two stacks where there are any.
SMALL: dict[str, dict[str, Any]] = {"hourglass": {"stacks": 2, "channels": 8, "depth": 2}}
THREE = Skeleton.from_dict({"name": "three", "joints": ["left", "right", "top"]})


def test_every_network_has_small_options():
    assert SMALL.keys() == NETWORKS.keys()


@pytest.fixture(params=sorted(NETWORKS))
def spec(request):
    return ModelSpec(
        network=request.param, options=SMALL[request.param], codec=CodecConfig(size=(64, 96)), skeleton=COCO17
    )


@pytest.mark.parametrize("skeleton", [COCO17, THREE], ids=lambda s: s.name)
@pytest.mark.parametrize("size", [(64, 64), (64, 96), (128, 64)])
def test_crops_become_heatmaps_of_the_codecs_shape(spec, skeleton, size):
    spec = ModelSpec(network=spec.network, options=spec.options, codec=CodecConfig(size=size), skeleton=skeleton)
    out = build(spec)(torch.randn(3, 3, size[1], size[0]))
    b, stacks, k, h, w = out.shape
    assert (b, k, (h, w)) == (3, len(skeleton), spec.codec.shape) and stacks >= 1
    assert out.dtype == torch.float32 and torch.isfinite(out).all()


def test_every_weight_learns(spec):
    torch.manual_seed(0)
    network = build(spec).train()
    target = torch.rand(4, 1, len(COCO17), *spec.codec.shape)
    crops = torch.randn(4, 3, 96, 64)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        loss = (network(crops) - target).square().mean()
        loss.backward()
        losses.append(loss.item())
        missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not missing
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < 0.5 * losses[0]


def test_evaluation_mode_is_deterministic_and_keeps_people_apart(spec):
    network = build(spec).eval()
    crops = torch.randn(3, 3, 96, 64)
    whole = network(crops)
    assert torch.equal(network(crops), whole)
    torch.testing.assert_close(network(crops[1:2])[0], whole[1], atol=1e-6, rtol=1e-4)


def test_the_same_seed_builds_the_same_network(spec):
    torch.manual_seed(5)
    first = build(spec).state_dict()
    torch.manual_seed(5)
    second = build(spec).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_channels_last_and_bf16_change_nothing_but_digits(spec):
    network = build(spec).eval()
    crops = torch.randn(2, 3, 96, 64)
    plain = network(crops)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last = network(crops.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, atol=1e-5, rtol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(crops)
    assert (half.float() - plain).abs().max() < 0.1 * plain.abs().max() + 1e-2


def test_saved_and_loaded_it_answers_the_same(spec, tmp_path):
    network = build(spec)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 96, 64))
    save_checkpoint(tmp_path / "model.safetensors", network, spec, {})
    loaded, found = load_checkpoint(tmp_path / "model.safetensors")
    assert found == spec
    crops = torch.randn(2, 3, 96, 64)
    assert torch.equal(loaded(crops), network.eval()(crops))


def test_its_cost_is_counted(spec):
    found = cost(build(spec), spec.codec.size)
    assert found.parameters > 0 and found.gmac > 0


def test_it_can_be_built_without_memory(spec):
    """So that a lying checkpoint is found out before it costs anything."""
    with torch.device("meta"):
        network = build(spec)
    assert all(p.is_meta for p in network.parameters()) and all(b.is_meta for b in network.buffers())


@pytest.mark.parametrize("options", [{"no such option": 1}, {"stacks": "many"}])
def test_unknown_options_are_refused(spec, options):
    with pytest.raises(BadInput):
        build(ModelSpec(network=spec.network, options=options, codec=spec.codec, skeleton=COCO17))


def test_an_unknown_network_is_refused(spec):
    with pytest.raises(BadInput, match=r"'nothing' is not known; choose one of \["):
        build(ModelSpec(network="nothing", options={}, codec=spec.codec, skeleton=COCO17))
