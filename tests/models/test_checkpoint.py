"""One file: what was saved comes back bit for bit; what is broken, foreign or lying is refused by name."""

import json
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.models.checkpoint import FORMAT, load_checkpoint, read_spec, save_checkpoint, start_from
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build

HAND = Skeleton.from_dict({"name": "hand", "joints": ["wrist", "left_tip", "right_tip"], "edges": [[0, 1]]})
SPEC = ModelSpec(
    network="hourglass",
    options={"stacks": 2, "channels": 8, "depth": 2},
    codec=CodecConfig(size=(64, 96), sigmas=(2.0, 1.0), kind="distribution", threshold=0.2),
    skeleton=HAND,
    padding=1.3,
    mean=(0.4, 0.5, 0.6),
    std=(0.1, 0.2, 0.3),
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    network = build(SPEC)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 96, 64))  # so that running statistics are not their defaults
    return network


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_checkpoint(path, model, SPEC, {"steps": 7, "data": ["a@train"], "ü": None})
    return path


def forge(path, spec, network=None, **header):
    """A checkpoint whose description says whatever `spec` (a dict or a text) says."""
    text = spec if isinstance(spec, str) else json.dumps(spec)
    tensors = {k: v.clone() for k, v in (network.state_dict() if network else {"a": torch.zeros(1)}).items()}
    path.write_bytes(save(tensors, metadata={"sandglass": FORMAT, "spec": text} | header))
    return path


def test_what_was_saved_comes_back_bit_for_bit(path, model):
    network, spec = load_checkpoint(path)
    assert spec == replace(SPEC, summary={"steps": 7, "data": ["a@train"], "ü": None})
    assert read_spec(path) == spec
    assert not network.training
    saved, loaded = model.state_dict(), network.state_dict()
    assert list(saved) == list(loaded)
    for name, value in saved.items():
        assert torch.equal(value, loaded[name]) and value.dtype == loaded[name].dtype, name
    crops = torch.randn(2, 3, 96, 64)
    assert torch.equal(network(crops), model.eval()(crops))
    network.train()(crops).sum().backward()  # it can be trained on
    assert all(p.grad is not None for p in network.parameters())


def test_the_same_model_is_the_same_bytes(model, tmp_path):
    """Also when it was read and written again: so a file's SHA-256 is the model's."""
    for name in "abcdefgh":
        save_checkpoint(tmp_path / name, model, SPEC, {"steps": 7, "ü": None})
        again, spec = load_checkpoint(tmp_path / name)
        save_checkpoint(tmp_path / f"{name} again", again, spec, dict(spec.summary))
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1


def test_saving_does_not_touch_the_network(model, tmp_path):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    save_checkpoint(tmp_path / "a.safetensors", model, SPEC, {"steps": 1})
    assert model.training and all(p.requires_grad for p in model.parameters()) and not SPEC.summary
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_file_can_be_read_without_us(path):
    """Any safetensors reader sees tensors, and JSON under `spec`: no pickle, no code."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    spec = json.loads(header["__metadata__"]["spec"])
    assert spec["skeleton"]["joints"] == list(HAND.joints) and spec["codec"]["size"] == [64, 96]
    assert {header[name]["dtype"] for name in header if name != "__metadata__"} == {"F32", "I64"}


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
def test_truncated_files_are_refused(path, tmp_path, share):
    data = path.read_bytes()
    half = tmp_path / "half.safetensors"
    half.write_bytes(data[: int(share * len(data))])
    for read in (load_checkpoint, read_spec):
        with pytest.raises(BadInput, match=r"half\.safetensors: truncated or no safetensors file") as caught:
            read(half)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(30))
def test_mangled_headers_never_cause_a_traceback(path, tmp_path, seed):
    rng = torch.Generator().manual_seed(seed)
    data = bytearray(path.read_bytes())
    for _ in range(3):
        at = int(torch.randint(0, 3000, (1,), generator=rng))
        data[at] = int(torch.randint(0, 256, (1,), generator=rng))
    mangled = tmp_path / "mangled.safetensors"
    mangled.write_bytes(data)
    try:
        load_checkpoint(mangled)
    except BadInput as error:
        assert "mangled.safetensors" in str(error)  # noqa: PT017


def test_what_is_no_checkpoint_is_refused(tmp_path):
    noise = tmp_path / "noise.bin"
    noise.write_bytes(torch.randint(0, 256, (5000,), dtype=torch.uint8).numpy().tobytes())
    pickled = tmp_path / "pickled.pt"
    torch.save({"weights": torch.zeros(3)}, pickled)
    for path in (noise, pickled):
        with pytest.raises(BadInput, match="truncated or no safetensors file"):
            load_checkpoint(path)
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(BadInput, match="no such checkpoint; give the model"):
            load_checkpoint(path)
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(save({"a": torch.zeros(2)}))
    with pytest.raises(BadInput, match="no sandglass checkpoint of format 1"):
        load_checkpoint(foreign)
    with pytest.raises(BadInput, match="no sandglass checkpoint of format 1"):
        load_checkpoint(forge(tmp_path / "later.safetensors", SPEC.to_dict(), sandglass="2"))


def test_a_pickle_is_not_executed(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("executed").write_text, ("!",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BadInput):
        load_checkpoint(path)
    assert not (tmp_path / "executed").exists()


HUGE = {"options": {"stacks": 16, "channels": 4096, "depth": 4, "growth": 4096}, "codec": {"size": [1024, 1024]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "transformer"}, r"network 'transformer' is not known; choose one of \['hourglass'\]"),
        ({"network": 5}, "ModelSpec.network must be str"),
        ({"options": {"stacks": 3, "channels": 8, "depth": 2}}, "2 sigmas for 3 stacks"),
        ({"options": {"stacks": 2, "channels": 12, "depth": 2}}, "weights do not fit the network"),
        ({"options": {"stacks": 2, "channels": 8, "depth": 3}}, "weights do not fit the network"),
        ({"options": {"stacks": "2"}}, "a network has one stack or more, not .2."),
        ({"options": {"layers": 2}}, r"HourglassConfig has no field \['layers'\]"),
        ({"options": {"stacks": 10**9}}, "would not fit any machine"),
        ({"options": {"stacks": 64, "depth": 7, "blocks": 16}}, "would not fit any machine"),
        ({"options": [2]}, "must be a table"),
        ({"skeleton": COCO17.to_dict()}, "weights do not fit the network"),
        ({"skeleton": {"joints": ["a"]}}, "Skeleton: .*missing"),
        ({"codec": {"size": [65, 96]}}, "multiples of 4"),
        ({"codec": {"size": [68, 96]}}, "must be divisible by 16"),
        ({"codec": {"size": [64, 96], "stride": 8}}, "cells of 4 pixels, the codec's stride is 8"),
        ({"codec": {"size": [64, 96], "stride": 0}}, "stride 0"),
        ({"codec": {"size": [64, 96], "decoder": "eval"}}, "decoder 'eval' is not known"),
        ({"padding": -1}, "padding -1"),
        ({"padding": float("nan")}, "padding nan"),
        ({"padding": 10**400}, "ModelSpec.padding must be float"),
        ({"std": [0, 1, 1]}, "three positive stds"),
        ({"mean": [float("inf"), 1, 1]}, "three means"),
        ({"mean": [0.5, 0.5]}, "must have 3 entries"),
        ({"code": "import os"}, r"ModelSpec has no field \['code'\]"),
    ],
)
def test_a_description_that_lies_is_refused(model, tmp_path, changes, message):
    path = forge(tmp_path / "lie.safetensors", SPEC.to_dict() | changes, model)
    with pytest.raises(BadInput, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_huge_claims_are_not_believed_with_memory(model, tmp_path):
    """Some hundred GB of weights: shapes are compared before anything is allocated."""
    import resource

    path = forge(tmp_path / "huge.safetensors", SPEC.to_dict() | HUGE, model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match="do not fit"):
        load_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


@pytest.mark.parametrize("field", ["network", "options", "codec", "skeleton"])
def test_missing_fields_are_named(model, tmp_path, field):
    spec = SPEC.to_dict()
    del spec[field]
    with pytest.raises(BadInput, match=f"ModelSpec: .*{field}"):
        load_checkpoint(forge(tmp_path / "less.safetensors", spec, model))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000 + "]" * 100_000, "is no JSON"),
        ('{"network": ' + "9" * 5000 + "}", "is no JSON"),
        ("null", "ModelSpec must be a table"),
        ("[1, 2]", "ModelSpec must be a table"),
        (json.dumps("x" * 2**20), "larger than 1 MiB"),
    ],
)
def test_a_description_that_is_none_is_refused(model, tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        load_checkpoint(forge(tmp_path / "text.safetensors", text, model))


def test_a_description_without_the_field_is_refused(model, tmp_path):
    path = tmp_path / "bare.safetensors"
    path.write_bytes(save(model.state_dict(), metadata={"sandglass": FORMAT}))
    with pytest.raises(BadInput, match="is no JSON"):
        load_checkpoint(path)


def test_one_wrong_tensor_is_named(model, tmp_path):
    text = json.dumps(SPEC.to_dict())
    name = "stacks.0.heatmaps.weight"
    good = {k: v.clone() for k, v in model.state_dict().items()}
    other = {k: v for k, v in good.items() if k != name}
    for tensors in (
        good | {name: torch.zeros(4, 8, 1, 1)},
        good | {name: torch.zeros(3, 8, 1, 1, dtype=torch.int64)},
        other,
        good | {"extra": torch.zeros(1)},
    ):
        path = tmp_path / "wrong.safetensors"
        path.write_bytes(save(tensors, metadata={"sandglass": FORMAT, "spec": text}))
        with pytest.raises(BadInput, match=r"1 weights do not fit .*first: (stacks\.0\.heatmaps\.weight|extra)"):
            load_checkpoint(path)


def test_a_folder_that_cannot_be_written_is_said(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "model.safetensors", model, SPEC, {})


def started(spec, path):
    """A network before and after it was given the weights in a file, and what was said."""
    network = build(spec)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    line = start_from(network, path)
    return before, network.state_dict(), line


def test_a_network_starts_from_all_weights_of_its_like(path, model):
    _, found, line = started(replace(SPEC, padding=1.0, codec=CodecConfig(size=(32, 32))), path)
    for name, value in model.state_dict().items():
        assert torch.equal(found[name], value), name
    assert line == f"starting from {path}: {len(found)} of {len(found)} weights"


def test_it_may_be_a_model_that_ships():
    spec = read_spec("swift-s")
    _, found, line = started(spec, "swift-s")
    assert all(torch.equal(value, found[name]) for name, value in load_checkpoint("swift-s")[0].state_dict().items())
    assert line.startswith("starting from swift-s: ") and "drawn" not in line


def test_for_other_joints_the_heads_stay_as_they_were_drawn(path, model):
    before, found, line = started(replace(SPEC, skeleton=COCO17), path)
    given = model.state_dict()
    heads = {name for name in found if "heatmaps" in name and found[name].shape != given[name].shape}
    assert heads == {
        "stacks.0.heatmaps.weight", "stacks.0.heatmaps.bias", "stacks.0.heatmaps_back.weight",
        "stacks.1.heatmaps.weight", "stacks.1.heatmaps.bias",
    }  # fmt: skip
    for name, value in found.items():
        assert torch.equal(value, (before if name in heads else given)[name]), name
    assert line == f"starting from {path}: {len(found) - 5} of {len(found)} weights; 5 do not fit and are drawn"


def test_a_shorter_network_starts_from_a_longer_one(path, model):
    options, codec = {**SPEC.options, "stacks": 1}, CodecConfig(size=(64, 96))
    _, found, line = started(replace(SPEC, options=options, codec=codec), path)
    given = model.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in found.items())
    assert line == f"starting from {path}: {len(found)} of {len(found)} weights"


def test_further_stacks_begin_as_copies_of_the_last_and_give_its_maps(path, model):
    spec = replace(SPEC, options={**SPEC.options, "stacks": 4}, codec=CodecConfig(size=(64, 96)))
    network = build(spec)
    line = start_from(network, path)
    crops = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        maps, before = network.eval()(crops), model.eval()(crops)
    torch.testing.assert_close(maps[:, :2], before)
    torch.testing.assert_close(maps[:, 2:], before[:, 1:].expand(-1, 2, -1, -1, -1))
    given, own = len(model.state_dict()), len(network.state_dict())
    assert line == f"starting from {path}: {given} of {own} weights; {own - given} of further stacks copy its last one"


def test_further_stacks_can_move_away_from_the_one_they_copy(path):
    spec = replace(SPEC, options={**SPEC.options, "stacks": 3}, codec=CodecConfig(size=(64, 96)))
    network = build(spec)
    start_from(network, path)
    network.train()(torch.randn(2, 3, 96, 64))[:, 2].square().sum().backward()
    into = {name: p for name, p in network.named_parameters() if name.startswith("stacks.1.") and "_back" in name}
    assert len(into) == 4 and all(not p.any() and p.grad is not None and p.grad.any() for p in into.values())


def test_further_stacks_for_other_joints_copy_all_but_the_heads(path, model):
    options, codec = {**SPEC.options, "stacks": 3}, CodecConfig(size=(64, 96))
    before, found, line = started(replace(SPEC, skeleton=COCO17, options=options, codec=codec), path)
    given = model.state_dict()
    for name in ("weight", "bias"):
        assert torch.equal(found[f"stacks.2.heatmaps.{name}"], before[f"stacks.2.heatmaps.{name}"])
    assert torch.equal(found["stacks.2.features.0.conv2.weight"], given["stacks.1.features.0.conv2.weight"])
    assert "7 do not fit and are drawn" in line


@pytest.mark.parametrize("options", [{"channels": 12}, {"growth": 4, "blocks": 2}])
def test_a_network_of_another_shape_is_refused_and_untouched(options, path):
    network = build(replace(SPEC, options={**SPEC.options, **options}))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(BadInput, match=r"only \d+ of the network's \d+ weights fit; start from .* --stacks and --chan"):
        start_from(network, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_nobody_starts_from_what_is_no_checkpoint(model, tmp_path):
    with pytest.raises(BadInput, match="no such checkpoint; give the model"):
        start_from(model, tmp_path / "absent.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"x" * 100)
    with pytest.raises(BadInput, match="truncated or no safetensors file"):
        start_from(model, tmp_path / "model.onnx")
