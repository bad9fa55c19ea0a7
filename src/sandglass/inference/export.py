"""A trained model as one ONNX graph: a photograph and boxes in, keypoints in photograph pixels out.

    photo (H, W, 3) uint8 RGB, boxes (N, 4) xyxy
    -> plan, cutting -> crops -> preparing -> network -> reading ->
    keypoints (N, K, 2), scores (N, K), presence (N, K), person_score (N,)

Every part is the code that the predictor runs, traced; only the cutting is written in ONNX. The tensors around the
network have names, so that a predictor finds it in the file (`exported.py`).

Who runs the whole graph in OpenVINO on a chip with bf16 units must ask for INFERENCE_PRECISION_HINT f32: coordinates
need more than 8 bits. A predictor runs only the network there, and reads its answer in fp32.
"""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sandglass import __version__
from sandglass.core.calibration import SURE, Lines
from sandglass.inference.cropping import PLAN, Plan, cutting
from sandglass.inference.exported import FORMAT, NETWORK_INPUT, NETWORK_OUTPUT
from sandglass.inference.ranking import UNSEEN
from sandglass.inference.runtimes import Frame
from sandglass.models.spec import ModelSpec

OUTPUTS = ("keypoints", "scores", "presence", "person_score")
SCORED = ("scores", "scores_of")  # of a summary
INT16 = 2**15 - 1
OPSET, IR_VERSION = 17, 8  # what ONNX Runtime has read since 1.12


def network_graph(network: nn.Module, spec: ModelSpec) -> Any:
    """The network alone as an ONNX model: (B, 3, H, W) normalised crops -> (B, S, K, h, w) raw heatmaps."""
    w, h = spec.codec.size
    plain = network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return _traced(plain, {NETWORK_INPUT: torch.zeros(2, 3, h, w)}, (NETWORK_OUTPUT,))


def halved(network: Any) -> Any:
    """The same network with its kernels in 16 bits, which makes the file half as large; computed in 32 as before.

    They are integers, with a scale for each output channel: six times as exact as floating point of 16 bits, whose
    exponent nobody needs. Vectors stay as they are.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(network)
    kernels = [c for c in model.graph.initializer if c.data_type == TensorProto.FLOAT and len(c.dims) > 1]
    nodes = []
    for kernel in kernels:
        name, values = kernel.name, numpy_helper.to_array(kernel)
        scale = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True) / INT16
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        kernel.CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype(np.int16), f"{name}_int16"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        nodes.append(
            helper.make_node("Cast", [f"{name}_int16"], [f"{name}_cast"], f"{name}_cast", to=TensorProto.FLOAT)
        )
        nodes.append(helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name], f"{name}_mul"))
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def whole_graph(network: Any, spec: ModelSpec, flip: bool) -> Any:
    """The whole way as an ONNX model, around a network as `network_graph`, `halved` or `quantised` gives it."""
    size, k, (h, w) = spec.codec.size, len(spec.skeleton), spec.codec.shape
    photo, boxes = torch.zeros(90, 80, 3, dtype=torch.uint8), torch.tensor([[10.0, 10, 60, 80], [0, 0, 40, 40]])
    outputs = torch.rand(2 * (1 + flip), spec.stacks, k, h, w)
    place = {"scale": torch.ones(2, 1, 1), "corner": torch.zeros(2, 1, 2)}
    parts = [
        _traced(Plan(size, spec.padding), {"photo": photo, "boxes": boxes}, PLAN),
        cutting(size),
        _traced(_Prepare(spec, flip), {"crops": torch.rand(2, 3, size[1], size[0])}, (NETWORK_INPUT,)),
        network,
        _traced(_Read(spec, flip), {NETWORK_OUTPUT: outputs, **place}, OUTPUTS),
    ]
    return _joined(parts, spec)


class _Prepare(nn.Module):
    """Crops (N, 3, H, W), 0..255 -> what the network takes, the mirror images after the N where flip is set."""

    def __init__(self, spec: ModelSpec, flip: bool) -> None:
        super().__init__()
        self.frame, self.flip = Frame(spec, torch.device("cpu")), flip

    def forward(self, crops: Tensor) -> Tensor:
        return self.frame.input(crops, self.flip)


class _Read(nn.Module):
    """Raw heatmaps -> keypoints (N, K, 2) in photograph pixels, scores, presence (N, K), person score (N,)."""

    def __init__(self, spec: ModelSpec, flip: bool) -> None:
        super().__init__()
        self.frame, self.flip, self.spec = Frame(spec, torch.device("cpu")), flip, spec

    def forward(self, outputs: Tensor, scale: Tensor, corner: Tensor) -> tuple[Tensor, ...]:
        maps = self.frame.heatmaps(outputs, self.flip)[:, -1]
        points, scores = self.frame.codec.decode(maps)
        calibration = self.spec.calibration
        if calibration is not None:
            scores = _bent(scores, calibration.right)
        presence = scores >= self.spec.codec.threshold
        if calibration is not None:
            counts = _bent(scores, calibration.labelled)
            person = (counts * _bent(scores, calibration.nearness)).sum(-1) / counts.sum(-1)
        else:  # as ranking.person_score
            person = (scores * scores).sum(-1) / scores.sum(-1).clamp_min(UNSEEN)
        return points * scale + corner, scores, presence, person


def _bent(scores: Tensor, lines: Lines) -> Tensor:
    """`core.calibration.bend` in torch."""
    slope, bias = torch.tensor(lines).T
    return torch.sigmoid(slope * torch.logit(scores.clamp(SURE, 1 - SURE)) + bias)


def _traced(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Any:
    """A module as ONNX; first axes may be of any length, and both sides of the photograph.

    By torch's tracing exporter: the one that is to replace it takes longer than most models need for a folder of
    photographs, and its guards do not let sizes depend on what a photograph shows.
    """
    import onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its end, and of constants that are meant to be constant
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]  # this exporter takes one
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: [0, 1] if name == "photo" else [0] for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    model.ir_version = IR_VERSION
    return model


def _joined(parts: Sequence[Any], spec: ModelSpec) -> Any:
    """Models that hand tensors to each other by name as one, from photo and boxes to OUTPUTS."""
    import onnx
    from onnx import TensorProto, compose, helper

    nodes, constants = [], []
    for number, part in enumerate(parts):
        if part.graph.name != "cutting":  # its names are its own; torch gives the same ones to every part
            part = compose.add_prefix(part, f"part{number}", rename_inputs=False, rename_outputs=False)
        nodes += part.graph.node
        constants += part.graph.initializer
    k, floats, describe = len(spec.skeleton), TensorProto.FLOAT, helper.make_tensor_value_info
    inputs = [
        describe("photo", TensorProto.UINT8, ["height", "width", 3]),
        describe("boxes", floats, ["people", 4]),
    ]
    outputs = [
        describe("keypoints", floats, ["people", k, 2]),
        describe("scores", floats, ["people", k]),
        describe("presence", TensorProto.BOOL, ["people", k]),
        describe("person_score", floats, ["people"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "sandglass", inputs, outputs, constants),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="sandglass",
        producer_version=__version__,
    )
    onnx.checker.check_model(model)
    return model


def describe(spec: ModelSpec, facts: Mapping[str, str]) -> dict[str, str]:
    """What rides in an exported file: `spec`, from which sandglass reads all, and plain entries for everybody else.

    `scores` are the checkpoint's, taken as `scores_of` says; what the file's own graph scores is among the `facts`.
    """
    skeleton, summary = spec.skeleton, spec.summary
    return {
        "sandglass": FORMAT,
        "version": __version__,
        "spec": json.dumps(spec.to_dict()),
        "joints": json.dumps(skeleton.joints),
        "edges": json.dumps(skeleton.edges),
        "threshold": f"{spec.codec.threshold:g}",
        "data_fingerprint": str(summary.get("data_fingerprint", "not stated")),
        "licence": str(summary.get("licence", "not stated")),
        "training": json.dumps({name: value for name, value in summary.items() if name not in SCORED}),
        "scores": json.dumps(summary.get("scores", {})),
        "scores_of": json.dumps(scores_of(summary)),
        **facts,
    }


def scores_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """How the scores in a checkpoint's summary were taken; empty where it has none.

    Training takes them by one protocol, with the flip test, on the set that it calls `val`, and does not say so.
    """
    if not summary.get("scores"):
        return {}
    taken = {"protocol": "coco-gt", "data": str(summary.get("val", "not stated")), "flip": "yes"}
    said = summary.get("scores_of")
    return taken | said if isinstance(said, dict) else taken


def onnx_bytes(model: Any, description: Mapping[str, str]) -> bytes:
    """A whole graph with its description, as a file."""
    from onnx import helper

    helper.set_model_props(model, dict(description))
    return model.SerializeToString()


def openvino_files(model: Any, description: Mapping[str, str]) -> tuple[bytes, bytes]:
    """The same as OpenVINO's two files: .xml and .bin."""
    import openvino

    graph = openvino.Core().read_model(model.SerializeToString(), b"")
    for key, value in description.items():
        graph.set_rt_info(value, ["sandglass", key])
    with TemporaryDirectory() as folder:
        openvino.save_model(graph, Path(folder, "model.xml"), compress_to_fp16=False)
        return Path(folder, "model.xml").read_bytes(), Path(folder, "model.bin").read_bytes()
