"""From a model on disk to a runtime: which file it is, which engine runs it."""

from pathlib import Path

import torch

from sandglass.core.errors import BadInput
from sandglass.inference.engines import Precision, pick_engine
from sandglass.inference.export import network_graph
from sandglass.inference.exported import SUFFIXES, graph_runtime, open_exported
from sandglass.inference.runtimes import Runtime, TorchRuntime
from sandglass.models.checkpoint import load_checkpoint
from sandglass.models.cut import cut
from sandglass.models.spec import ModelSpec


def open_model(
    path: str | Path,
    engine: str,
    device: torch.device,
    precision: Precision = "auto",
    *,
    stacks: int | None = None,
    stepwise: bool = False,
) -> tuple[Runtime, ModelSpec]:
    """A checkpoint or an exported file in the engine of that name, and its spec. Raises BadInput.

    A checkpoint is converted in memory for ONNX Runtime and OpenVINO, which run on the processor, as exported files
    always do. `stacks` cuts its network after so many; `stepwise` asks for an engine that can stop after any.
    """
    if Path(path).suffix in SUFFIXES:
        if stacks is not None:
            raise BadInput(f"{path}: an exported network has the stacks that it has; cut the checkpoint instead")
        return open_exported(path, engine, precision)
    network, spec = load_checkpoint(path, device)
    if stacks is not None:
        network, spec = cut(network, spec, stacks)
    usable = ("torch",) if stepwise or device.type != "cpu" else ("torch", "onnxruntime", "openvino")
    engine = pick_engine(engine, usable)
    if engine == "torch":
        return TorchRuntime(network, spec, device), spec
    graph = network_graph(network, spec).SerializeToString()
    return graph_runtime(graph, spec, engine, precision, "fp32"), spec
