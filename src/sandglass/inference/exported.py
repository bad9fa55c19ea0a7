"""Exported files as a predictor and a verification read them: .onnx, or OpenVINO's .xml with its .bin beside it.

They are inputs like any other and not trusted: bounded in size, without references to other files, one line where
they are not what they should be.

Their description (`export.describe`) is text under names. Of scores it has two kinds: `scores` are the checkpoint's, on
the set, by the protocol and with the flip test or without it, as `scores_of` says; `graph_scores` are what the file's
own graph reached when it was verified, as `graph_scores_of` says. Files from before have `scores` alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.inference.engines import (
    GraphRuntime,
    Precision,
    installed,
    onnxruntime_run,
    openvino_precision,
    openvino_run,
    pick_engine,
)
from sandglass.models.spec import ModelSpec

FORMAT = "1"  # raised when an older sandglass could no longer read the file
NETWORK_INPUT, NETWORK_OUTPUT = "network_input", "network_output"  # names of tensors
SUFFIXES = (".onnx", ".xml")
MAX_BYTES = 2 * 2**30  # what one ONNX file can hold
MAX_FACT_BYTES = 2**20  # of one entry of the description
MAX_TENSOR = 2**28  # numbers that one crop may become, a GiB
MAX_XML_BYTES = 64 * 2**20  # the graph without its weights
ENDLESS = {"Loop", "TensorIterator", "If"}  # of OpenVINO; ONNX's are told by the graphs that they hold
ENDLESS_SAID = "loops or branches, which may never end"
AGAIN = "export it again with 'sandglass export'"


@dataclass(frozen=True, eq=False)
class Exported:
    """A file that was read: its description, and the whole graph (an onnx.ModelProto or an openvino.Model)."""

    path: Path
    spec: ModelSpec
    facts: Mapping[str, str]  # the description as it stands in the file
    model: Any

    @property
    def kind(self) -> Literal["onnx", "openvino"]:
        return "onnx" if self.path.suffix == ".onnx" else "openvino"

    @property
    def weights(self) -> str:
        """As they are kept: fp32, int16 (computed with in fp32) or int8."""
        return self.facts.get("weights", "fp32")


def read_exported(path: str | Path) -> Exported:
    """Raises BadInput naming the file: missing, too large, damaged, or not one of ours."""
    path = Path(path)
    for part in (path,) if path.suffix == ".onnx" else (path, path.with_suffix(".bin")):
        if not part.is_file():
            raise BadInput(f"{part}: no such file; give what 'sandglass export' wrote")
        bound = MAX_XML_BYTES if part.suffix == ".xml" else MAX_BYTES
        if part.stat().st_size > bound:
            raise BadInput(f"{part}: larger than {bound >> 20} MiB; this is no model of sandglass")
    model, facts = _read_onnx(path) if path.suffix == ".onnx" else _read_openvino(path)
    if facts.get("sandglass") != FORMAT:
        raise BadInput(f"{path}: a model, but none that sandglass exported in format {FORMAT}; {AGAIN}")
    try:
        spec = ModelSpec.from_dict(json.loads(facts.get("spec", "")))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: its description is no JSON; the file is damaged, {AGAIN}") from None
    return Exported(path, spec, facts, model)


def open_exported(path: str | Path, engine: str, precision: Precision) -> tuple[GraphRuntime, ModelSpec]:
    """The network in an exported file, ready to run, and its spec. Raises BadInput."""
    path = Path(path)
    usable = ("onnxruntime", "openvino") if path.suffix == ".onnx" else ("openvino",)
    engine = pick_engine(engine, usable)
    exported = read_exported(path)
    network = _onnx_network(exported) if exported.kind == "onnx" else _openvino_network(exported)
    try:
        runtime = graph_runtime(network, exported.spec, engine, precision, exported.weights)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    _try(runtime, exported)
    return runtime, exported.spec


def _try(runtime: GraphRuntime, exported: Exported) -> None:
    """One look at nothing: a graph that does not do what its description says fails here, not later."""
    spec = exported.spec
    (w, h), wanted = spec.codec.size, (1, spec.stacks, len(spec.skeleton), *spec.codec.shape)
    try:
        (found,) = runtime.run([np.zeros((1, 3, h, w), np.float32)])
    except Exception:  # the engines' own classes
        raise BadInput(f"{exported.path}: its network does not take {w} x {h} crops; {AGAIN}") from None
    if found.shape != wanted or found.dtype != np.float32:
        raise BadInput(f"{exported.path}: its network gives {found.shape}, its description says {wanted}; {AGAIN}")


def graph_runtime(network: Any, spec: ModelSpec, engine: str, precision: Precision, weights: str) -> GraphRuntime:
    """A network (ONNX bytes, or OpenVINO's) in the engine of that name. Raises BadInput."""
    if engine == "onnxruntime":
        if precision == "bf16":
            raise BadInput("ONNX Runtime multiplies in fp32; for bf16 use runtime openvino")
        return GraphRuntime(onnxruntime_run(network), spec, f"onnxruntime, {'int8' if weights == 'int8' else 'fp32'}")
    if weights == "int8":
        precision = "fp32"  # of the rest
    said = weights if weights == "int8" else openvino_precision(precision)
    return GraphRuntime(openvino_run(network, precision), spec, f"openvino, {said}")


def _read_onnx(path: Path) -> tuple[Any, dict[str, str]]:
    if not installed("onnxruntime") and not installed("openvino"):
        raise BadInput("an .onnx file needs ONNX Runtime or OpenVINO; pip install 'sandglass[onnx]'")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, OSError, ValueError):
        raise BadInput(f"{path}: truncated or no ONNX file; {AGAIN}") from None
    if not model.graph.node:
        raise BadInput(f"{path}: truncated or no ONNX file; {AGAIN}")
    if any(node.domain not in ("", "ai.onnx") for node in model.graph.node) or model.functions:
        raise BadInput(f"{path}: holds operators that are not ONNX's own; refused")
    tensors = [attribute.t for node in model.graph.node for attribute in node.attribute] + list(model.graph.initializer)
    if any(tensor.external_data for tensor in tensors):
        raise BadInput(f"{path}: keeps its weights in another file; refused")
    return model, {entry.key: entry.value for entry in model.metadata_props if len(entry.value) <= MAX_FACT_BYTES}


def _read_openvino(path: Path) -> tuple[Any, dict[str, str]]:
    pick_engine("openvino", ("openvino",))
    import openvino

    try:
        model = openvino.Core().read_model(path)
        facts = {}
        if model.has_rt_info("sandglass"):
            facts = {key: str(value) for key, value in model.get_rt_info("sandglass").value.items()}
    except Exception:  # RuntimeError and classes of its own
        raise BadInput(f"{path}: truncated or no model of OpenVINO; {AGAIN}") from None
    return model, {key: value for key, value in facts.items() if len(value) <= MAX_FACT_BYTES}


def _onnx_network(exported: Exported) -> bytes:
    """What lies between the two named tensors, as a model of its own."""
    from onnx import TensorProto, helper

    graph = exported.model.graph
    makers = {name: node for node in graph.node for name in node.output}
    wanted, reached = set(), [NETWORK_OUTPUT]
    while reached:
        name = reached.pop()
        if name in wanted or name == NETWORK_INPUT or not name:
            continue
        wanted.add(name)
        reached += makers[name].input if name in makers else []
    if NETWORK_OUTPUT not in makers or {entry.name for entry in graph.input} & wanted:
        raise BadInput(f"{exported.path}: its network cannot be told from the rest; {AGAIN}")
    (w, h), k = exported.spec.codec.size, len(exported.spec.skeleton)
    door = helper.make_tensor_value_info(NETWORK_INPUT, TensorProto.FLOAT, ["b", 3, h, w])
    answer = helper.make_tensor_value_info(NETWORK_OUTPUT, TensorProto.FLOAT, ["b", "s", k, *exported.spec.codec.shape])
    nodes = [node for node in graph.node if wanted.intersection(node.output)]
    if any(attribute.HasField("g") or attribute.graphs for node in nodes for attribute in node.attribute):
        raise BadInput(f"{exported.path}: its network holds {ENDLESS_SAID}; refused")
    constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
    part = helper.make_model(helper.make_graph(nodes, "network", [door], [answer], constants))
    part.ir_version = exported.model.ir_version
    del part.opset_import[:]
    part.opset_import.extend(exported.model.opset_import)
    _check_growth(_onnx_sides(part, exported.path), exported.path)
    return part.SerializeToString()


def _onnx_sides(network: Any, path: Path) -> list[list[int]]:
    """What is known of the shapes of an ONNX graph's tensors."""
    import onnx

    try:
        shaped = onnx.shape_inference.infer_shapes(network, data_prop=True)
    except Exception:  # of its own, and RuntimeError
        raise BadInput(f"{path}: the shapes in its network do not fit together; {AGAIN}") from None
    shapes = [entry.type.tensor_type.shape.dim for entry in shaped.graph.value_info]
    return [[side.dim_value for side in shape if side.HasField("dim_value")] for shape in shapes]


def _check_growth(shapes: Iterable[Sequence[int]], path: Path) -> None:
    """Refuse a network in which one crop would become a tensor that fits no memory."""
    for sides in shapes:
        if prod(sides) > MAX_TENSOR:
            raise BadInput(f"{path}: its network makes a tensor of {sides} numbers; refused")


def _openvino_network(exported: Exported) -> Any:
    """What lies between the two named tensors, as a model of its own."""
    try:
        network = _between(exported.model, exported.spec.codec.size)
        kinds = {node.get_type_name() for node in network.get_ops()}
        shapes = [output.get_partial_shape() for node in network.get_ops() for output in node.outputs()]
        sides = [[side.get_length() for side in shape if side.is_static] for shape in shapes if shape.rank.is_static]
    except (KeyError, RuntimeError, UnicodeDecodeError):  # a tensor without its name, or one that needs more than crops
        raise BadInput(f"{exported.path}: its network cannot be told from the rest; {AGAIN}") from None
    if kinds & ENDLESS:
        raise BadInput(f"{exported.path}: its network holds {ENDLESS_SAID}; refused")
    _check_growth(sides, exported.path)
    return network


def _between(model: Any, size: tuple[int, int]) -> Any:
    """The part of an OpenVINO model between the named tensors. Raises KeyError, RuntimeError, UnicodeDecodeError."""
    import openvino
    from openvino import opset8

    ends = {}
    for node in model.get_ops():
        for output in node.outputs():
            for name in output.get_names() & {NETWORK_INPUT, NETWORK_OUTPUT}:
                ends[name] = output
    w, h = size
    door = opset8.parameter([-1, 3, h, w], np.float32, name=NETWORK_INPUT)
    for target in ends[NETWORK_INPUT].get_target_inputs():
        target.replace_source_output(door.output(0))
    return openvino.Model([opset8.result(ends[NETWORK_OUTPUT])], [door], "network")  # pyright: ignore[reportGeneralTypeIssues]
