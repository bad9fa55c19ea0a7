"""The network behind one call: uint8 crops in, heatmaps out. Here run as a graph, by ONNX Runtime or OpenVINO.

Crops are (B, H, W, 3) RGB uint8 of the codec's size; heatmaps are (B, S, K, h, w), one set for every stack, after
the spatial softmax where the codec has one, and averaged with the mirrored crop's where `flip` is set.

Each engine is an extra (`pip install 'sandglass[onnx]'`, `'sandglass[openvino]'`) and is imported when it is asked
for. They run on the processor and need no torch, whose import takes longer than everything else: `runtimes` does.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from sandglass.core.cores import cpu_count, cpu_flags
from sandglass.core.errors import BadInput
from sandglass.models.reading import Reading
from sandglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from openvino import Model
    from torch import Tensor

Maps: TypeAlias = "NDArray[np.floating] | Tensor"  # an array, or what torch keeps on its device

Engine = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "bf16"]
Arrays = list[NDArray[Any]]
Run = Callable[[Sequence[NDArray[Any]]], Arrays]  # a graph's inputs, in order -> its outputs, in order

EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
NEEDS = {"torch": ("torch",), "onnxruntime": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}
MAX_THREADS = 16  # one crop does not keep more busy


class Runtime(Protocol):
    """What a predictor needs of an engine."""

    name: str

    def __call__(self, crops: NDArray[np.uint8], flip: bool) -> Maps:
        """Heatmaps (B, S, K, h, w) of crops (B, H, W, 3)."""
        ...


class GraphRuntime:
    """A network that ONNX Runtime or OpenVINO runs; what lies around it says what `runtimes.Frame` says in torch."""

    def __init__(self, run: Run, spec: ModelSpec, name: str) -> None:
        self.run, self.name = run, name
        self.reading, self.mirror = Reading(spec.codec), np.array(spec.skeleton.mirror)
        mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (spec.mean, spec.std))
        self.scale, self.shift = 1 / (255 * std), mean / std

    def __call__(self, crops: NDArray[np.uint8], flip: bool) -> NDArray[np.floating]:
        b, h, w, _ = crops.shape
        x = np.empty((b * (1 + flip), 3, h, w), np.float32)
        np.multiply(crops.transpose(0, 3, 1, 2), self.scale, out=x[:b])
        x[:b] -= self.shift
        if flip:
            x[b:] = x[:b, ..., ::-1]
        (outputs,) = self.run([x])
        maps = self.reading.heatmaps(outputs)
        if not flip:
            return maps
        return (maps[:b] + maps[b:, ..., ::-1][:, :, self.mirror]) / 2  # heatmaps, not coordinates, are averaged


def installed(engine: str) -> bool:
    """Whether what an engine needs is there."""
    return all(find_spec(name) is not None for name in NEEDS[engine])


def pick_engine(name: str, usable: Sequence[str]) -> str:
    """The engine of that name; for 'auto' the fastest of the `usable` ones that is installed.

    Raises BadInput for a name that is not known, one that is not installed, and one that is not usable here.
    """
    if name != "auto" and name not in get_args(Engine):
        raise BadInput(f"runtime '{name}' is not known; choose auto, {', '.join(get_args(Engine))}")
    if name != "auto" and name not in usable:
        raise BadInput(f"runtime '{name}' cannot run this model here; use {' or '.join(usable)}")
    if name != "auto" and not installed(name):
        raise BadInput(f"runtime '{name}' is not installed; pip install 'sandglass[{EXTRAS[name]}]'")
    if name != "auto":
        return name
    found = [engine for engine in _by_speed() if engine in usable and installed(engine)]
    if not found:
        wanted = " or ".join(f"'sandglass[{EXTRAS[engine]}]'" for engine in usable)
        raise BadInput(f"no runtime for this model is installed; pip install {wanted}")
    return found[0]


def _by_speed() -> tuple[Engine, ...]:
    """The fastest first, by benchmarks/inference.py: OpenVINO where it can multiply in bf16."""
    if cpu_flags() & {"avx512_bf16", "amx_bf16"}:
        return "openvino", "onnxruntime", "torch"
    return "onnxruntime", "openvino", "torch"


def onnxruntime_run(model: bytes, threads: int = 0) -> Run:
    """An ONNX graph in ONNX Runtime. Raises BadInput when it cannot be run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(cpu_count(), MAX_THREADS)
    options.log_severity_level = 4  # fatal ones: what else goes wrong is raised, and told in one line
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # its own classes derive from nothing else
        raise BadInput(f"ONNX Runtime cannot load the model ({_first_line(error)}); export it again") from None
    names = [entry.name for entry in session.get_inputs()]
    return lambda inputs: [np.asarray(part) for part in session.run(None, dict(zip(names, inputs, strict=True)))]


def openvino_run(model: "bytes | Model", precision: Precision = "fp32", threads: int = 0) -> Run:
    """A graph (ONNX, or read by OpenVINO) in OpenVINO. Raises BadInput when it cannot be run."""
    import openvino

    core = openvino.Core()
    settings: Mapping[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or min(cpu_count(), MAX_THREADS),
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[openvino_precision(precision)],
    }
    try:
        graph = core.read_model(model, b"") if isinstance(model, bytes) else model
        compiled = core.compile_model(graph, "CPU", settings)
    except Exception as error:  # RuntimeError and classes of its own
        raise BadInput(f"OpenVINO cannot load the model ({_first_line(error)}); export it again") from None
    request = compiled.create_infer_request()

    def run(inputs: Sequence[NDArray[Any]]) -> Arrays:
        found = request.infer(list(inputs))
        return [np.array(found[i]) for i in range(len(compiled.outputs))]  # copies: the next call writes there

    return run


def openvino_precision(asked: Precision) -> Literal["fp32", "bf16"]:
    """What OpenVINO multiplies in: 'auto' takes bf16 where the chip has units for it. Raises BadInput."""
    import openvino

    if asked == "fp32":
        return "fp32"
    here = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if asked == "bf16" and not here:
        raise BadInput("this processor has no bf16 units (AVX512_BF16 or AMX); use precision fp32 or auto")
    return "bf16" if here else "fp32"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
