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
from sandglass.inference.export import IR_VERSION, NETWORK_INPUT, NETWORK_OUTPUT
from sandglass.inference.runtimes import Frame
from sandglass.models.spec import ModelSpec

BATCH = 8  # crops at a time


def quantised(network: Any, crops: NDArray[np.uint8], spec: ModelSpec) -> Any:
    """The network's ONNX model, as `export.network_graph` gives it, in 8 bits by its ranges on crops (B, H, W, 3).

    Convolutions alone, for what is added up along the network loses most; not the first, which sees the colours, and
    not those that give the heatmaps: what they say is read to a fraction of a cell. Weights take 7 bits, for with 8
    the sums overflow on processors without VNNI. Raises BadInput without ONNX Runtime's tools.
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
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_ends(onnx.load_model(folded)),
            )
            model = onnx.load_model(small)
    finally:
        logging.disable(logging.NOTSET)
    model.ir_version = IR_VERSION
    return model


def _ends(model: Any) -> list[str]:
    """The convolutions next to the network's input and output."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found = [node.name for node in model.graph.node if NETWORK_INPUT in node.input]
    left = [NETWORK_OUTPUT]
    while left:
        node = makers.get(left.pop())
        if node is not None and node.op_type == "Conv":
            found.append(node.name)
        elif node is not None:
            left += node.input
    return found
