"""A network in 8 bits: ranges of weights and activations are found on real crops (static, QDQ).

The integers ride in the ONNX graph as pairs of QuantizeLinear and DequantizeLinear, which ONNX Runtime and OpenVINO
turn into integer kernels.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.inference.engines import installed
from sandglass.inference.export import IR_VERSION
from sandglass.inference.exported import NETWORK_INPUT, NETWORK_OUTPUT
from sandglass.inference.runtimes import Frame
from sandglass.models.spec import ModelSpec

BATCH = 8  # crops at a time


def quantised(network: Any, crops: NDArray[np.uint8], spec: ModelSpec) -> Any:
    """The network's ONNX model, as `export.network_graph` gives it, in 8 bits by its ranges on crops (B, H, W, 3).

    Convolutions behind a ReLU, and these ReLUs: what is added up along the network is neither bounded below nor
    normalised, and loses most, so convolutions that look at it (the first, projections beside residual blocks) stay as
    they are; so do those that give the heatmaps, which are read to a fraction of a cell. Weights take 7 bits, for
    with 8 the sums overflow on processors without VNNI. Raises BadInput without ONNX Runtime's tools.
    """
    if not installed("onnxruntime"):
        raise BadInput("8 bits are found with ONNX Runtime's tools; pip install 'sandglass[onnx]'")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    frame = Frame(spec, torch.device("cpu"))
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
    batches = [frame.input(pixels[i : i + BATCH], False).numpy() for i in range(0, len(crops), BATCH)]

    class Crops(CalibrationDataReader):
        left = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # type: ignore[override]
            batch = next(self.left, None)
            return None if batch is None else {NETWORK_INPUT: batch}

    logging.disable(logging.WARNING)  # it advises what was done
    try:
        with TemporaryDirectory() as folder:
            plain, folded, small = (str(Path(folder, name)) for name in ("plain.onnx", "folded.onnx", "small.onnx"))
            onnx.save_model(network, plain)
            quant_pre_process(plain, folded, skip_symbolic_shape=True)
            quantize_static(
                folded,
                small,
                Crops(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=["Conv", "Relu"],
                nodes_to_quantize=_behind_relus(onnx.load_model(folded)),
            )
            model = onnx.load_model(small)
    finally:
        logging.disable(logging.NOTSET)
    model.ir_version = IR_VERSION
    return model


def _behind_relus(model: Any) -> list[str]:
    """The convolutions that see a ReLU's output, but for those that give the heatmaps, and their ReLUs."""
    makers = {name: node for node in model.graph.node for name in node.output}
    last, left = [], [NETWORK_OUTPUT]
    while left:
        node = makers.get(left.pop())
        if node is not None and node.op_type == "Conv":
            last.append(node.name)
        elif node is not None:
            left += node.input
    found = []
    for node in model.graph.node:
        before = makers.get(node.input[0]) if node.op_type == "Conv" and node.name not in last else None
        if before is not None and before.op_type == "Relu":
            found += [before.name, node.name]
    return found
