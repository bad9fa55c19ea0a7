"""`sandglass export`: verified before it is written; beyond the bound nothing is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.skeleton import Skeleton
from sandglass.evaluation import parity
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_file_and_its_card(call, model, tiny_coco, tmp_path, to):
    pytest.importorskip("openvino" if to == "openvino" else "onnx")
    out = tmp_path / "deep" / ("m.onnx" if to == "onnx" else "m.xml")
    words = ["export", model, "--to", to, "--out", out, "--flip", "--licence", "CC0", "--data", f"{tiny_coco}@val"]
    status, said, errors = call(*words)
    assert status == 0 and not errors and f"wrote {out}" in said and "AP (coco-gt)" in said
    names = {"m.onnx", "m.onnx.json"} if to == "onnx" else {"m.xml", "m.bin", "m.xml.json"}
    assert {path.name for path in out.parent.iterdir()} == names
    card = json.loads(out.with_name(f"{out.name}.json").read_text())
    assert card["licence"] == "CC0" and card["flip"] == "yes" and card["weights"] == "fp32"
    assert card["protocol"] == "coco-gt" and len(card["data_fingerprint"]) >= 12
    assert card["parity"]["people"] == 3 and card["parity"]["mean_pixels"] < 0.02
    assert card["training"]["recipe"] == "swift" and "AP" in card["scores"] and len(card["joints"]) == 17
    (found,) = Predictor.load(out)(np.zeros((60, 60, 3), np.uint8))
    assert found.keypoints.shape == (17, 2)


def test_people_are_drawn_where_none_are_named(call, model, tmp_path):
    status, said, _ = call("export", model, "--to", "onnx", "--out", tmp_path / "m.onnx", "--people", 4)
    assert status == 0 and "people of drawn people" in said and (tmp_path / "m.onnx").exists()


def test_another_skeleton_is_verified_on_drawn_people_too(call, refused, tiny_coco, tmp_path, loud_network):
    """Their boxes will do: what is compared is what both say of them. Only AP needs the same joints."""
    hand = Skeleton.from_dict({"name": "hand", "joints": ["left", "right", "top"]})
    codec, options = CodecConfig(size=(64, 64)), {"stacks": 1, "channels": 8, "depth": 2}
    spec = ModelSpec(network="hourglass", options=options, codec=codec, skeleton=hand)
    path = tmp_path / "hand.safetensors"
    save_checkpoint(path, loud_network(spec), spec, {})
    status, said, errors = call("export", path, "--to", "onnx", "--people", 4)
    assert status == 0 and "AP" not in said, errors
    assert json.loads((tmp_path / "hand.onnx.json").read_text())["parity"]["ap"] is None
    assert "take a set with the model's skeleton" in refused(
        "export", path, "--to", "onnx", "--data", f"{tiny_coco}@val"
    )


def test_8_bits(call, model, tiny_coco, tmp_path, monkeypatch):
    """Twelve steps of training leave maps without peaks, so the bounds are widened: the way is tested here."""
    wide = replace(parity.BOUNDS["int8"], mean=1e9, p99=1e9, moved=1.0, ap=1.0)
    monkeypatch.setitem(parity.BOUNDS, "int8", wide)
    out = tmp_path / "m.onnx"
    status, _, errors = call("export", model, "--to", "onnx", "--int8", "--out", out, "--data", f"{tiny_coco}@train")
    assert status == 0, errors
    assert json.loads((tmp_path / "m.onnx.json").read_text())["weights"] == "int8"
    assert Predictor.load(out, runtime="onnxruntime").runtime.name == "onnxruntime, int8"


def test_beyond_the_bound_nothing_is_written(refused, model, tiny_coco, tmp_path, monkeypatch):
    monkeypatch.setitem(parity.BOUNDS, "fp32", replace(parity.BOUNDS["fp32"], mean=-1.0))
    line = refused("export", model, "--to", "onnx", "--out", tmp_path / "m.onnx", "--data", f"{tiny_coco}@val")
    assert "does not say what the model says" in line and "nothing was written" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "onnx", "--out", "m.xml"], "m.xml: what is exported to onnx ends in .onnx"),
        (["--to", "openvino", "--out", "m.onnx"], "what is exported to openvino ends in .xml"),
        (["--to", "onnx", "--stacks", "9"], "it can be cut after 1 to"),
        (["--to", "onnx", "--people", "0"], "verify on at least 1 person"),
        (["--to", "onnx", "--data", "nowhere@val"], "nowhere"),
    ],
)
def test_what_cannot_be_is_said_at_once(refused, model, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused("export", model, *words, *(["--out", "m.onnx"] if "--out" not in words else []))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_model(refused, tmp_path):
    assert "no such checkpoint" in refused("export", tmp_path / "none.safetensors", "--to", "onnx")
    assert "no such file; give what" in refused("predict", tmp_path / "none.onnx", __file__, "--out", tmp_path / "o")
