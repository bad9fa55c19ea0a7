"""The exported graph alone: every decoder, calibration, metadata; and the README's example, without sandglass."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sandglass.core.calibration import Calibration
from sandglass.core.image import write_image
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.figures import draw_picture
from sandglass.inference.engines import installed, onnxruntime_run, openvino_run
from sandglass.inference.export import OUTPUTS, describe, halved, network_graph, onnx_bytes, whole_graph
from sandglass.inference.exported import read_exported
from sandglass.inference.predictor import Predictor
from sandglass.inference.runtimes import TorchRuntime
from sandglass.models.checkpoint import load_checkpoint
from sandglass.models.codec import DECODERS, CodecConfig
from sandglass.models.shipped import DEFAULT_MODEL, EXPORTED
from sandglass.models.spec import ModelSpec

pytest.importorskip("onnxruntime")
numpy_helper = pytest.importorskip("onnx.numpy_helper")

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "docs" / "onnx_example.py"
WHOLE = "[0, 0, photo.shape[1], photo.shape[0]]"  # its box
PHOTO = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)
BOXES = np.array([[10.0, 5, 60, 80], [50, 20, 110, 88], [0, 0, 120, 90], [30.5, 30.25, 45, 66]], np.float32)


def compare(network, spec, flip, run=None):
    """The graph against the predictor; grey levels may round differently, so a point may move a little."""
    predictor = Predictor(TorchRuntime(network, spec, torch.device("cpu")), spec, flip=flip)
    whole = whole_graph(network_graph(network, spec), spec, flip)
    for boxes in (BOXES, BOXES[1:2]):
        found = (run or onnxruntime_run)(whole.SerializeToString())([PHOTO, boxes])
        k = len(spec.skeleton)
        assert [part.shape for part in found] == [(len(boxes), k, 2), (len(boxes), k), (len(boxes), k), (len(boxes),)]
        assert found[2].dtype == bool
        poses = predictor(PHOTO, boxes.astype(np.float64))
        apart = np.linalg.norm(found[0] - [pose.keypoints for pose in poses], axis=-1)
        assert np.median(apart) < 0.05 and (apart > 1).mean() < 0.05  # a joint seen in two places may change place
        for i, pose in enumerate(poses):
            near = apart[i] <= 1
            np.testing.assert_allclose(found[1][i][near], pose.scores[near], atol=0.02)
            np.testing.assert_array_equal(found[2][i], found[1][i] >= spec.codec.threshold)
            assert found[3][i] == pytest.approx(pose.score, abs=0.02)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ["heatmap", "distribution"])
def test_every_decoder(checkpoint, decoder, kind):
    network, spec = load_checkpoint(checkpoint)
    compare(network, replace(spec, codec=replace(spec.codec, decoder=decoder, kind=kind, smooth=0.5)), flip=True)


def test_openvino_says_the_same(checkpoint):
    pytest.importorskip("openvino")
    network, spec = load_checkpoint(checkpoint)
    compare(network, spec, flip=True, run=openvino_run)
    compare(network, spec, flip=False, run=openvino_run)


def test_kernels_in_16_bits(checkpoint):
    """Each number within half a step of its channel's scale, a channel of zeros stays one, and both engines agree."""
    network, spec = load_checkpoint(checkpoint)
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    with torch.no_grad():
        convolutions[-1].weight[3] = 0
    graph = network_graph(network, spec)
    half = halved(graph)
    old, new = ({c.name: numpy_helper.to_array(c) for c in model.graph.initializer} for model in (graph, half))
    kernels = {name for name, values in old.items() if values.ndim > 1}
    assert len(kernels) == len(convolutions)
    for name, values in old.items():
        if name not in kernels:
            np.testing.assert_array_equal(new[name], values)
            continue
        kept, scale = new[f"{name}_int16"], new[f"{name}_scale"]
        assert kept.dtype == np.int16 and scale.shape == (len(values), 1, 1, 1)
        assert (np.abs(kept * scale - values) <= scale * 0.51).all()
        assert (np.abs(kept.reshape(len(kept), -1)).max(1) >= 32767 * values.reshape(len(values), -1).any(1)).all()
    crops = np.random.default_rng(0).normal(size=(2, 3, *spec.codec.size[::-1])).astype(np.float32)
    (exact,) = onnxruntime_run(graph.SerializeToString())([crops])
    runs = [onnxruntime_run, *([openvino_run] if installed("openvino") else [])]
    for (found,) in (run(half.SerializeToString())([crops]) for run in runs):
        np.testing.assert_allclose(found, exact, atol=2e-3 * np.abs(exact).max())


def test_a_calibrated_model(checkpoint):
    network, spec = load_checkpoint(checkpoint)
    rng = np.random.default_rng(0)
    lines = [tuple((float(a), float(b)) for a, b in rng.uniform(0.3, 1.5, (17, 2))) for _ in range(3)]
    compare(network, replace(spec, calibration=Calibration(right=lines[0], nearness=lines[1], labelled=lines[2])), True)


def test_another_skeleton_and_one_stack(loud_network):
    hand = Skeleton.from_dict({"name": "hand", "joints": ["left_tip", "right_tip", "wrist"], "edges": [[0, 2]]})
    spec = ModelSpec(
        network="hourglass",
        options={"stacks": 1, "channels": 8, "depth": 2},
        codec=CodecConfig(size=(64, 48)),
        skeleton=hand,
    )
    compare(loud_network(spec), spec, flip=True)


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> Path:
    network, spec = load_checkpoint(checkpoint)
    spec = replace(spec, summary={"recipe": "swift", "scores": {"AP": 0.5}})
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    whole = whole_graph(network_graph(network, spec), spec, flip=True)
    path.write_bytes(onnx_bytes(whole, describe(spec, {"weights": "fp32", "licence": "free"})))
    return path


def test_the_description_rides_in_the_file(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["joints"]) == list(COCO17.joints) and facts["licence"] == "free"
    assert json.loads(facts["edges"]) == [list(edge) for edge in COCO17.edges]
    assert facts["threshold"] == "0.3" and json.loads(facts["scores"]) == {"AP": 0.5}
    assert json.loads(facts["training"]) == {"recipe": "swift"} and facts["version"]
    assert ModelSpec.from_dict(json.loads(facts["spec"])).skeleton == COCO17
    assert [entry.name for entry in session.get_outputs()] == list(OUTPUTS)
    assert [entry.type for entry in session.get_inputs()] == ["tensor(uint8)", "tensor(float)"]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({}, {}),
        ({"scores": {}, "val": "a@val"}, {}),
        ({"scores": {"AP": 0.5}}, {"protocol": "coco-gt", "data": "not stated", "flip": "yes"}),
        ({"scores": {"AP": 0.5}, "val": "a@val"}, {"protocol": "coco-gt", "data": "a@val", "flip": "yes"}),
        (
            {"scores": {"AP": 0.5}, "val": "a@val", "scores_of": 7},
            {"protocol": "coco-gt", "data": "a@val", "flip": "yes"},
        ),
        (
            {"scores": {"AP": 0.5}, "val": "a@val", "scores_of": {"data": "b@val", "flip": "no"}},
            {"protocol": "coco-gt", "data": "b@val", "flip": "no"},
        ),
    ],
)
def test_scores_say_how_they_were_taken(checkpoint, summary, expected):
    described = describe(replace(load_checkpoint(checkpoint)[1], summary=summary), {})
    assert json.loads(described["scores_of"]) == expected
    assert json.loads(described["training"]).keys() <= {"val"}


def test_the_example_runs_without_sandglass(exported, checkpoint, tmp_path):
    """The very lines of the README, in a process that cannot import sandglass or torch."""
    (tmp_path / "model.onnx").write_bytes(exported.read_bytes())
    write_image(tmp_path / "photo.jpg", PHOTO, quality=100)
    barred = "import sys\nfor name in ('sandglass', 'torch', 'cv2', 'onnx'): sys.modules[name] = None\n"
    text = EXAMPLE.read_text()
    assert len([line for line in text.splitlines() if line]) <= 13
    script = tmp_path / "example.py"
    script.write_text(barred + text)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = {line.split()[0]: [float(part) for part in line.split()[1:]] for line in done.stdout.splitlines()}
    (pose,) = Predictor.load(checkpoint, runtime="torch", device="cpu")(tmp_path / "photo.jpg", [[0, 0, 120, 90]])
    assert list(said) == [COCO17.joints[k] for k in np.flatnonzero(pose.present)] and said
    apart = [np.hypot(*(said[COCO17.joints[k]][:2] - pose.keypoints[k])) for k in np.flatnonzero(pose.present)]
    assert np.median(apart) < 0.15  # another JPEG decoder, one decimal


@pytest.mark.parametrize(("model", "flip"), [(DEFAULT_MODEL, False), ("with the mirror image", True)])
def test_the_example_and_a_predictor_agree_on_a_box(model, flip, tmp_path, monkeypatch):
    """The same lines with a box that fits the person: what `Predictor` says of that box, to a tenth of a pixel."""
    if flip:
        network, spec = load_checkpoint(DEFAULT_MODEL)
        data = onnx_bytes(whole_graph(network_graph(network, spec), spec, flip), describe(spec, {}))
    else:
        data = EXPORTED[model].read_bytes()
    (tmp_path / "model.onnx").write_bytes(data)
    picture = draw_picture(0, 0)
    box = picture.boxes[0].round(1).tolist()
    write_image(tmp_path / "photo.jpg", picture.image)
    lines = EXAMPLE.read_text()
    assert lines.count(WHOLE) == 1
    (tmp_path / "example.py").write_text(lines.replace(WHOLE, repr(box)))
    monkeypatch.chdir(tmp_path)
    said = runpy.run_path("example.py")
    (pose,) = Predictor.load(tmp_path / "model.onnx", flip=flip)(said["photo"], [box])
    assert pose.present.sum() >= 10 and np.array_equal(said["presence"][0], pose.present)
    assert np.linalg.norm(said["keypoints"][0] - pose.keypoints, axis=-1).max() < 0.1
    (other,) = Predictor.load(tmp_path / "model.onnx", flip=not flip)(said["photo"], [box])
    assert np.linalg.norm(said["keypoints"][0] - other.keypoints, axis=-1).max() > 0.1


def test_the_readme_shows_that_example():
    readme = (REPOSITORY / "README.md").read_text()
    if "onnxruntime.InferenceSession" in readme:
        assert EXAMPLE.read_text().strip() in readme


def test_the_file_is_read_back(exported):
    found = read_exported(exported)
    assert found.kind == "onnx" and found.weights == "fp32" and found.spec.skeleton == COCO17
    assert found.facts["licence"] == "free"
