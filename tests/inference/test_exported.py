"""Exported files are inputs like any other: what cannot be used is one line that names the file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import Skeleton
from sandglass.inference import exported as module
from sandglass.inference.export import describe, network_graph, onnx_bytes, openvino_files, whole_graph
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import load_checkpoint
from sandglass.models.codec import CodecConfig

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def parts(checkpoint):
    network, spec = load_checkpoint(checkpoint)
    return whole_graph(network_graph(network, spec), spec, flip=False), spec


def written(folder, parts, **facts):
    """A file whose description is changed."""
    model, spec = parts
    path = folder / "model.onnx"
    path.write_bytes(onnx_bytes(model, describe(spec, {}) | facts))
    return path


def copied(parts):
    """The graph, to be changed."""
    model = onnx.ModelProto()
    model.CopyFrom(parts[0])
    return model


def refused(path, message):
    with pytest.raises(BadInput, match=message) as caught:
        Predictor.load(path)
    assert path.stem in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x08" * 9, np.random.default_rng(0).bytes(999)])
@pytest.mark.parametrize("name", ["wrong.onnx", "wrong.xml"])
def test_wrong_files(tmp_path, data, name):
    if name.endswith("xml"):
        pytest.importorskip("openvino")
        (tmp_path / "wrong.bin").write_bytes(b"")
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, "truncated or no")


def test_a_file_from_before_the_scores_said_whose_they_are(tmp_path, parts):
    model, spec = parts
    old = {name: text for name, text in describe(spec, {}).items() if name not in ("scores_of", "licence")}
    (tmp_path / "model.onnx").write_bytes(onnx_bytes(model, old))
    assert Predictor.load(tmp_path / "model.onnx").spec == spec
    assert "scores_of" not in module.read_exported(tmp_path / "model.onnx").facts


def test_missing_files(tmp_path):
    refused(tmp_path / "none.onnx", "no such file; give what 'sandglass export' wrote")
    (tmp_path / "half.xml").write_text("<net/>")
    refused(tmp_path / "half.xml", r"half\.bin: no such file")


def test_truncated_files(tmp_path, parts):
    path = written(tmp_path, parts)
    path.write_bytes(path.read_bytes()[:-500])
    refused(path, "truncated or no ONNX file|cannot be told from the rest|none that sandglass exported")


def test_openvino_without_its_constants(tmp_path, parts):
    pytest.importorskip("openvino")
    model, spec = parts
    xml, constants = openvino_files(model, describe(spec, {}))
    (tmp_path / "model.xml").write_bytes(xml)
    (tmp_path / "model.bin").write_bytes(constants[:100])
    refused(tmp_path / "model.xml", "truncated or no model of OpenVINO")


def test_files_of_others(tmp_path, parts):
    path = tmp_path / "other.onnx"
    model = copied(parts)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    refused(path, "none that sandglass exported in format 1; export it again")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"sandglass": "2"}, "none that sandglass exported in format 1"),
        ({"spec": "{"}, "its description is no JSON"),
        ({"spec": "[" * 100_000}, "its description is no JSON"),
        ({"spec": "[]"}, "ModelSpec must be a table"),
        ({"spec": json.dumps({"network": "hourglass"})}, "ModelSpec"),
        ({"spec": " " * 2**20 + "{}"}, "its description is no JSON"),  # too long to be read
    ],
)
def test_descriptions_that_lie(tmp_path, parts, facts, message):
    refused(written(tmp_path, parts, **facts), message)


def test_a_graph_without_the_named_tensors(tmp_path, parts):
    changed = copied(parts)
    for node in changed.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == "network_output":
                    names[i] = "something"
    refused(written(tmp_path, (changed, parts[1])), "its network cannot be told from the rest")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skeleton": Skeleton.from_dict({"joints": ["a", "b"]})}, "its network gives .* its description says"),
        ({"options": {"stacks": 1}}, "its network gives .* its description says"),
        ({"codec": CodecConfig(size=(60, 36))}, "its network gives|does not take|cannot load"),
    ],
)
def test_a_description_of_another_network(tmp_path, parts, change, message):
    model, spec = parts
    refused(written(tmp_path, (model, replace(spec, **change))), message)


def test_no_file_may_point_at_another(tmp_path, parts):
    changed = copied(parts)
    tensor = changed.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    refused(written(tmp_path, (changed, parts[1])), "keeps its weights in another file; refused")


def test_only_operators_of_onnx(tmp_path, parts):
    changed = copied(parts)
    changed.graph.node[0].domain = "evil"
    refused(written(tmp_path, (changed, parts[1])), "operators that are not ONNX's own; refused")


def test_no_loops_and_no_branches(tmp_path, parts):
    """A loop that never ends would hang whoever opens the file."""
    changed = copied(parts)
    relu = next(node for node in changed.graph.node if node.op_type == "Relu")
    attribute = relu.attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
    attribute.g.name = "forever"
    relu.op_type = "Loop"
    refused(written(tmp_path, (changed, parts[1])), "loops or branches, which may never end; refused")


def test_no_network_may_grow_beyond_memory(tmp_path, parts):
    """A few bytes that ask for a tensor of a million million numbers."""
    changed = copied(parts)
    nodes = changed.graph.node
    at, relu = next((i, node) for i, node in enumerate(nodes) if node.op_type == "Relu" and "stem" in node.name)
    source = relu.input[0]
    relu.input[0] = "grown"
    times = onnx.helper.make_tensor("times", onnx.TensorProto.INT64, [4], [1, 1, 10**5, 10**5])
    changed.graph.initializer.append(times)
    nodes.insert(at, onnx.helper.make_node("Tile", [source, "times"], ["grown"]))
    refused(written(tmp_path, (changed, parts[1])), "its network makes a tensor of .* numbers; refused")
    pytest.importorskip("openvino")
    graph, constants = openvino_files(changed, describe(parts[1], {}))
    (tmp_path / "model.xml").write_bytes(graph)
    (tmp_path / "model.bin").write_bytes(constants)
    refused(tmp_path / "model.xml", "its network makes a tensor of .* numbers; refused")


@pytest.mark.parametrize("stacks", [{}, "2", True, 0, -1, 10**30, "9" * 5000, None])
def test_a_number_of_stacks_that_is_none(tmp_path, parts, stacks):
    model, spec = parts
    plain = spec.to_dict()
    plain["options"]["stacks"] = stacks
    refused(
        written(tmp_path, (model, spec), spec=json.dumps(plain)),
        "a network has one stack or more, not|its description says|fit any machine",
    )


def test_sizes_are_bounded(tmp_path, parts, monkeypatch):
    path = written(tmp_path, parts)
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    refused(path, "larger than 0 MiB; this is no model of sandglass")
