"""`sandglass export`: verified before it is written; beyond the bound nothing is."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.skeleton import Skeleton
from sandglass.data.figures import write_figures
from sandglass.data.sets import read_set
from sandglass.evaluation import parity
from sandglass.evaluation.evaluate import evaluate
from sandglass.evaluation.protocols import fingerprint, people_to_predict
from sandglass.inference.exported import read_exported
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import load_checkpoint, read_spec, save_checkpoint
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
    assert card["protocol"] == "coco-gt" and re.fullmatch("[0-9a-f]{12,64}", card["data_fingerprint"])
    assert card["data_fingerprint"] == read_spec(model).summary["data_fingerprint"]
    assert card["scores_of"] == {"protocol": "coco-gt", "data": f"{tiny_coco.name}@val", "flip": "yes"}
    assert card["parity"]["people"] == 3 and card["parity"]["mean_pixels"] < 0.02
    assert card["training"]["recipe"] == "swift" and "AP" in card["scores"] and len(card["joints"]) == 17
    (found,) = Predictor.load(out)(np.zeros((60, 60, 3), np.uint8))
    assert found.keypoints.shape == (17, 2)


def test_the_scores_in_a_file_say_whose_they_are(call, tmp_path):
    """Those of training were taken with the flip test; the graph has none, and its own AP stands beside them."""
    write_figures(tmp_path, "val", 24, seed=3, workers=1)
    network, spec = load_checkpoint("swift-s")
    summary = {"licence": "CC-BY-4.0", "data_fingerprint": "0123456789ab", "val": "some@val", "scores": {"AP": 0.9}}
    save_checkpoint(tmp_path / "m.safetensors", network, spec, summary)
    whole = read_set(f"{tmp_path}@val")
    found = {}
    for flip in (False, True):
        words = ["--data", f"{tmp_path}@val", *(["--flip", "--licence", "CC0"] if flip else [])]
        status, _, errors = call("export", tmp_path / "m.safetensors", "--to", "onnx", *words)
        assert status == 0, errors
        card = json.loads((tmp_path / "m.onnx.json").read_text())
        facts = read_exported(tmp_path / "m.onnx").facts
        assert {name: json.loads(facts[name]) for name in ("scores", "scores_of", "graph_scores")} == {
            name: card[name] for name in ("scores", "scores_of", "graph_scores")
        }
        assert card["licence"] == facts["licence"] == ("CC0" if flip else "CC-BY-4.0")
        assert card["data_fingerprint"] == "0123456789ab" and card["scores"] == {"AP": 0.9}
        assert card["scores_of"] == {"protocol": "coco-gt", "data": "some@val", "flip": "yes"}
        assert card["graph_scores_of"] == {
            "protocol": "coco-gt", "data": whole.source, "fingerprint": fingerprint(whole),
            "flip": "yes" if flip else "no", "people": len(people_to_predict(whole, "coco-gt")),
        }  # fmt: skip
        scores, _ = evaluate(Predictor.load(tmp_path / "m.onnx", flip=flip), whole, "coco-gt", intervals=0)
        found[flip] = card["graph_scores"]["AP"]
        assert found[flip] == pytest.approx(scores.figures["AP"], abs=2e-3)
    assert abs(found[True] - found[False]) > 5e-3, "the set cannot tell one from the other"


def test_people_are_drawn_where_none_are_named(call, tmp_path):
    status, said, errors = call("export", "swift-s", "--to", "onnx", "--out", tmp_path / "m.onnx", "--people", 4)
    assert status == 0 and "people of drawn people" in said and (tmp_path / "m.onnx").exists(), errors


def test_another_skeleton_is_verified_on_drawn_people_too(call, refused, tiny_coco, tmp_path, loud_network):
    """Their boxes will do: what is compared is what both say of them. Only AP needs the same joints."""
    hand = Skeleton.from_dict({"name": "hand", "joints": ["left", "right", "top"]})
    codec, options = CodecConfig(size=(64, 64)), {"stacks": 1, "channels": 8, "depth": 2}
    spec = ModelSpec(network="hourglass", options=options, codec=codec, skeleton=hand)
    path = tmp_path / "hand.safetensors"
    save_checkpoint(path, loud_network(spec), spec, {})
    status, said, errors = call("export", path, "--to", "onnx", "--people", 4)
    assert status == 0 and "AP" not in said, errors
    card = json.loads((tmp_path / "hand.onnx.json").read_text())
    assert card["parity"]["ap"] is None and card["licence"] == "not stated"
    assert card["scores"] == card["scores_of"] == card["graph_scores"] == card["graph_scores_of"] == {}
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


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_16_bits(call, tmp_path, to):
    """Half the file, the same points, and said so in it."""
    pytest.importorskip("openvino" if to == "openvino" else "onnxruntime")
    suffix = "onnx" if to == "onnx" else "bin"
    for name, words in (("whole", []), ("half", ["--half"])):
        out = tmp_path / f"{name}.{suffix.replace('bin', 'xml')}"
        status, _, errors = call("export", "swift-s", "--to", to, "--out", out, "--people", 4, *words)
        assert status == 0, errors
    sizes = [(tmp_path / f"{name}.{suffix}").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.55 * sizes[0] + 2**16
    assert json.loads(out.with_name(f"{out.name}.json").read_text())["weights"] == "int16"
    assert Predictor.load(out).runtime.name == ("onnxruntime, fp32" if to == "onnx" else "openvino, fp32")


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
        (["--to", "onnx", "--int8", "--half"], "in 8 bits or in 16; choose one"),
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
