"""From a model on disk to a runtime: which file it is, which engine runs it. torch is imported if it is needed."""

import sys
from pathlib import Path

from sandglass.core.cores import Neighbours
from sandglass.core.errors import BadInput
from sandglass.inference.engines import Precision, Runtime, pick_engine
from sandglass.inference.exported import SUFFIXES, graph_runtime, open_exported
from sandglass.models.shipped import EXPORTED
from sandglass.models.spec import ModelSpec

FEW = 20  # photographs: looking at fewer is quicker than converting a network first
GRAPHICS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of Linux: NVIDIA's, AMD's, and that of Windows beneath


def open_model(
    path: str | Path,
    engine: str,
    device: str,
    precision: Precision = "auto",
    *,
    stacks: int | None = None,
    stepwise: bool = False,
    photos: int | None = None,
) -> tuple[Runtime, ModelSpec]:
    """A checkpoint or an exported file in the engine of that name, and its spec. Raises BadInput.

    A checkpoint is converted in memory for ONNX Runtime and OpenVINO, which run on the processor, as exported files
    always do. `stacks` cuts its network after so many; `stepwise` asks for an engine that can stop after any.
    """
    if Path(path).suffix in SUFFIXES:
        if stacks is not None:
            raise BadInput(f"{path}: an exported network has the stacks that it has; cut the checkpoint instead")
        if device not in ("auto", "cpu"):
            _check_device(device)
        return open_exported(path, engine, precision)
    if str(path) in EXPORTED and stacks is None and not stepwise and _on_processor(device):
        chosen = pick_engine(engine, ("torch", "onnxruntime", "openvino"))
        if chosen != "torch":
            return open_exported(EXPORTED[str(path)], chosen, precision)
    return _open_checkpoint(path, engine, device, precision, stacks, stepwise, photos)


def _open_checkpoint(
    path: str | Path,
    engine: str,
    device: str,
    precision: Precision,
    stacks: int | None,
    stepwise: bool,
    photos: int | None,
) -> tuple[Runtime, ModelSpec]:
    others = Neighbours()  # from here on: torch takes a second to import
    from sandglass.inference.export import network_graph
    from sandglass.inference.runtimes import TorchRuntime, leave_busy_cores, pick_device
    from sandglass.models.checkpoint import load_checkpoint
    from sandglass.models.cut import cut

    place = pick_device(device)
    network, spec = load_checkpoint(path, place)
    if stacks is not None:
        network, spec = cut(network, spec, stacks)
    few = engine == "auto" and photos is not None and photos < FEW
    usable = ("torch",) if stepwise or place.type != "cpu" or few else ("torch", "onnxruntime", "openvino")
    engine = pick_engine(engine, usable)
    if engine == "torch":
        if place.type == "cpu":
            leave_busy_cores(others)
        return TorchRuntime(network, spec, place), spec
    graph = network_graph(network, spec).SerializeToString()
    return graph_runtime(graph, spec, engine, precision, "fp32"), spec


def _check_device(name: str) -> None:
    from sandglass.inference.runtimes import pick_device

    pick_device(name)


def _on_processor(device: str) -> bool:
    """Whether the processor is meant; for 'auto' without asking torch, where nothing hints at another device."""
    bare = sys.platform == "linux" and not any(Path(sign).exists() for sign in GRAPHICS)
    return device == "cpu" or (device == "auto" and bare)
