"""What every runtime promises: the same points as PyTorch, for checkpoints and for exported files.

Bounds: fp32 0.1 pixels of the photograph; bf16 and 8 bits as stated below, on a network with loud random answers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.coco import read_coco
from sandglass.inference.engines import Engine, installed, openvino_precision, pick_engine
from sandglass.inference.export import describe, network_graph, onnx_bytes, openvino_files, whole_graph
from sandglass.inference.predictor import Predictor
from sandglass.inference.quantise import quantised
from sandglass.inference.runtimes import can_stop
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

PHOTO = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)
BOXES = np.array([[10.0, 5, 60, 80], [50, 20, 110, 88], [0, 0, 120, 90], [30.5, 30.25, 45, 66]])
CROPS = np.random.default_rng(3).integers(0, 256, (5, 64, 48, 3), np.uint8)
BF16 = 0.05  # of the range of a heatmap
INT8 = 0.10


@dataclass(frozen=True)
class Models:
    """The same network three times, and in 8 bits."""

    checkpoint: Path
    onnx: Path
    xml: Path
    small: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory, loud_network) -> Models:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("models")
    codec = CodecConfig(size=(48, 64), threshold=0.3)
    spec = ModelSpec(
        network="hourglass", options={"stacks": 2, "channels": 8, "depth": 2}, codec=codec, skeleton=COCO17
    )
    network = loud_network(spec)
    found = Models(*(folder / name for name in ("model.safetensors", "model.onnx", "model.xml", "small.onnx")))
    save_checkpoint(found.checkpoint, network, spec, {})
    graph = network_graph(network, spec)
    whole = whole_graph(graph, spec, flip=True)
    found.onnx.write_bytes(onnx_bytes(whole, describe(spec, {"weights": "fp32"})))
    xml, constants = openvino_files(whole, describe(spec, {"weights": "fp32"}))
    found.xml.write_bytes(xml)
    found.xml.with_suffix(".bin").write_bytes(constants)
    small = whole_graph(quantised(graph, CROPS, spec), spec, flip=False)
    found.small.write_bytes(onnx_bytes(small, describe(spec, {"weights": "int8"})))
    return found


WAYS = [(file, engine) for engine in get_args(Engine) for file in ("checkpoint", "onnx", "xml")]
WAYS = [way for way in WAYS if way not in {("onnx", "torch"), ("xml", "torch"), ("xml", "onnxruntime")}]


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(request) -> tuple[str, str]:
    file, engine = request.param
    if not installed(engine):
        pytest.skip(f"{engine} is not installed")
    return file, engine


@pytest.fixture(scope="module", params=[True, False], ids=["flip", "plain"])
def pair(way, models, request) -> tuple[Predictor, Predictor]:
    """PyTorch with the checkpoint, and the runtime that is tested."""
    file, engine = way
    reference = Predictor.load(models.checkpoint, device="cpu", runtime="torch", flip=request.param)
    tested = Predictor.load(
        getattr(models, file), device="cpu", runtime=engine, precision="fp32", flip=request.param, batch=3
    )
    assert tested.runtime.name.startswith(engine) and tested.spec == reference.spec
    return reference, tested


def test_the_same_points_to_a_tenth_of_a_pixel(pair):
    reference, tested = pair
    for a, b in zip(tested(PHOTO, BOXES), reference(PHOTO, BOXES), strict=True):
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.1)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
        np.testing.assert_array_equal(a.present, b.present)
        assert a.score == pytest.approx(b.score, abs=1e-4)
    np.testing.assert_allclose(tested(PHOTO)[0].keypoints, reference(PHOTO)[0].keypoints, atol=0.1)


def test_the_heatmaps_of_every_stack(pair):
    reference, tested = pair
    np.testing.assert_allclose(tested.maps(CROPS), reference.maps(CROPS), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_any_number_of_crops_and_none_disturbs_another(pair, size):
    _, tested = pair
    whole = tested.runtime(CROPS, tested.flip)
    some = tested.runtime(np.ascontiguousarray(CROPS[-size:]), tested.flip)
    np.testing.assert_allclose(some, whole[-size:], atol=1e-5, rtol=1e-4)
    first = np.asarray(some).copy()
    tested.runtime(CROPS[:size] // 2, tested.flip)  # the answer is the caller's: the next call does not write there
    np.testing.assert_array_equal(some, first)


def test_data_sets_go_the_same_way(pair, tiny_coco):
    reference, tested = pair
    people = read_coco(tiny_coco, "val")
    a, b = tested.predict(people), reference.predict(people)
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.1)
    assert a.people.tolist() == b.people.tolist()


def test_8_bits_stay_within_their_bound(models):
    maps = Predictor.load(models.checkpoint, runtime="torch", device="cpu").maps(CROPS)
    for engine in ("onnxruntime", "openvino"):
        small = Predictor.load(models.small, runtime=engine)
        assert small.runtime.name == f"{engine}, int8"
        off = np.abs(small.maps(CROPS) - maps).mean() / np.ptp(maps)
        assert 1e-5 < off < INT8


def test_bf16_stays_within_its_bound_or_is_refused(models):
    try:
        openvino_precision("bf16")
    except BadInput:
        with pytest.raises(BadInput, match=r"no bf16 units .*; use precision fp32 or auto"):
            Predictor.load(models.onnx, runtime="openvino", precision="bf16")
        assert Predictor.load(models.onnx, runtime="openvino").runtime.name == "openvino, fp32"
        return
    maps = Predictor.load(models.checkpoint, runtime="torch", device="cpu").maps(CROPS)
    half = Predictor.load(models.onnx, runtime="openvino", precision="bf16")
    assert half.runtime.name == "openvino, bf16"
    assert np.abs(half.maps(CROPS) - maps).mean() / np.ptp(maps) < BF16


def test_auto_takes_one_and_says_which(models):
    for file in (models.checkpoint, models.onnx, models.xml):
        name = Predictor.load(file, device="cpu").runtime.name
        assert name.split(",")[0] in ("onnxruntime", "openvino")
    from sandglass.inference.exits import Exit

    stepwise = Predictor.load(models.checkpoint, device="cpu", early=Exit(still=0.1))
    assert stepwise.runtime.name == "torch on cpu" and can_stop(stepwise.runtime)


def test_auto_does_without_what_is_not_installed(monkeypatch):
    monkeypatch.setattr("sandglass.inference.engines.installed", lambda engine: engine == "torch")
    assert pick_engine("auto", ("torch", "onnxruntime", "openvino")) == "torch"
    with pytest.raises(BadInput, match=r"no runtime .* pip install 'sandglass\[onnx\]' or 'sandglass\[openvino\]'"):
        pick_engine("auto", ("onnxruntime", "openvino"))
    with pytest.raises(BadInput, match=r"'openvino' is not installed; pip install 'sandglass\[openvino\]'"):
        pick_engine("openvino", ("torch", "openvino"))


@pytest.mark.parametrize(
    ("file", "given", "message"),
    [
        ("checkpoint", {"runtime": "tensorrt"}, "runtime 'tensorrt' is not known; choose auto, torch, onnx"),
        ("onnx", {"runtime": "torch"}, "'torch' cannot run this model here; use onnxruntime or openvino"),
        ("xml", {"runtime": "onnxruntime"}, "'onnxruntime' cannot run this model here; use openvino"),
        ("onnx", {"stacks": 1}, "cut the checkpoint instead"),
        ("onnx", {"runtime": "onnxruntime", "precision": "bf16"}, "for bf16 use runtime openvino"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(models, file, given, message):
    with pytest.raises(BadInput, match=message) as caught:
        Predictor.load(getattr(models, file), **given)
    assert "\n" not in str(caught.value)
