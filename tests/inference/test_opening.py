"""Which engine looks: torch only where it is needed, and no conversion that takes longer than it saves."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.image import write_image
from sandglass.data.figures import draw_picture
from sandglass.inference import opening
from sandglass.inference.exits import Exit
from sandglass.inference.exported import read_exported
from sandglass.inference.opening import FEW
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import read_spec
from sandglass.models.shipped import DEFAULT_MODEL, EXPORTED, SHIPPED

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PHOTO = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.mark.parametrize("name", EXPORTED)
def test_what_ships_as_a_graph_is_the_checkpoint_that_ships(name):
    """Else: `sandglass export NAME --to onnx --half --licence MIT --data coco@val --out src/.../weights/NAME.onnx`."""
    graph = read_exported(EXPORTED[name])
    assert graph.facts["checkpoint"] == hashlib.sha256(SHIPPED[name].read_bytes()).hexdigest()
    assert graph.spec == read_spec(name) and graph.weights == "int16"
    drawn = [draw_picture(5, i) for i in range(6)]
    found, wanted = (
        [pose for one in drawn for pose in Predictor.load(name, device="cpu", runtime=runtime)(one.image, one.boxes)]
        for runtime in ("onnxruntime", "torch")
    )
    assert np.mean([pose.present for pose in wanted]) > 0.9
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.keypoints[b.present], b.keypoints[b.present], atol=0.1)
    # A score counts whole cells: where a cell's centre lies on the window's edge, the last bit says whether it counts.
    apart = np.concatenate([np.abs(a.scores - b.scores)[b.present] for a, b in zip(found, wanted, strict=True)])
    assert (apart < 1e-3).mean() > 0.98


def test_the_shipped_model_and_exported_files_start_without_torch(tmp_path):
    write_image(tmp_path / "photo.png", PHOTO)
    text = (
        "import sys; sys.modules['torch'] = None\n"
        "from sandglass import Predictor\n"
        f"for model in {sorted(EXPORTED)!r} + {[str(path) for path in EXPORTED.values()]!r}:\n"
        "    predictor = Predictor.load(model, device='cpu', runtime='onnxruntime')\n"
        "    (pose,) = predictor('photo.png')\n"
        "    print(predictor.runtime.name, pose.keypoints.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["onnxruntime, fp32 (17, 2)"] * 2 * len(EXPORTED)


def test_a_few_photographs_do_not_wait_for_a_conversion(checkpoint):
    def auto(**given):
        return Predictor.load(checkpoint, device="cpu", **given).runtime.name.split()[0].strip(",")

    assert auto(photos=1) == auto(photos=FEW - 1) == "torch"
    assert auto(photos=FEW) == auto() != "torch"
    assert auto(photos=1, runtime="onnxruntime") == "onnxruntime"  # who names one gets it


def test_the_shipped_model_is_no_graph_where_a_graph_would_not_do(monkeypatch):
    name = DEFAULT_MODEL

    def found(**given):
        return Predictor.load(name, **given).runtime.name

    assert found(device="cpu").startswith(("onnxruntime", "openvino"))
    assert found(runtime="torch", device="cpu") == "torch on cpu"
    assert found(early=Exit(score=0.5), device="cpu") == "torch on cpu"
    with pytest.raises(BadInput, match="device 'abacus' is not here"):
        found(device="abacus")
    monkeypatch.setattr(opening, "GRAPHICS", ("/",))  # as where there is a GPU: torch is asked
    opened = []
    monkeypatch.setattr(opening, "_open_checkpoint", lambda *given: opened.append(given) or (None, read_spec(name)))
    Predictor.load(name)
    assert len(opened) == 1


def test_a_device_that_is_not_here_is_refused_for_graphs_too():
    with pytest.raises(BadInput, match="device 'abacus' is not here"):
        Predictor.load(next(iter(EXPORTED.values())), device="abacus")
