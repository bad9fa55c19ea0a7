"""How fast a person is found on a CPU: JPEG bytes to keypoints, one crop at a time, by every runtime that is installed.

HG-2 (256 channels, 256 x 256) and the network of the recipe `swift` (128 x 128), without flip test, on a photograph
of 640 x 480. The runtimes take turns; medians. `around` is what is neither JPEG decoding nor the network: cutting,
normalising, reading the heatmaps. Then a folder: photographs one by one against the way `sandglass predict` does it
(decoded ahead, batches across photographs); and whole processes from start to first answer. Weights are random: they
do not change the pace. `ratio` is PyTorch in fp32 over the fastest, HG-2, end to end.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from common import arguments, machine, seconds, show

# isort: split
import cv2
import numpy as np
import torch

from sandglass.core.cores import cpu_count
from sandglass.core.errors import BadInput
from sandglass.core.image import decode_image, read_image, write_image
from sandglass.core.skeleton import COCO17
from sandglass.data.figures import draw_picture
from sandglass.inference.ahead import ahead
from sandglass.inference.engines import GraphRuntime, Run, Runtime, installed, onnxruntime_run, openvino_run
from sandglass.inference.export import describe, network_graph, onnx_bytes, whole_graph
from sandglass.inference.predictor import Predictor
from sandglass.inference.quantise import quantised
from sandglass.inference.runtimes import TorchRuntime
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.shipped import DEFAULT_MODEL
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build
from sandglass.recipes import swift

PHOTO_SIZE = (640, 480)
BOX = np.array([[150.0, 40, 390, 460]])
BOUND = 3.0  # ms for what lies around the network
GROUP = 16


def specs(quick: bool) -> dict[str, ModelSpec]:
    """The networks by name; tiny ones for --quick."""
    small = swift().model
    if quick:
        tiny = {"stacks": 1, "channels": 8, "depth": 2}
        return {"HG-2": replace(small, options=tiny, codec=replace(small.codec, size=(64, 64)))}
    large = ModelSpec(network="hourglass", options={"stacks": 2}, codec=CodecConfig(), skeleton=COCO17)
    return {"HG-2": large, "swift": small}


@dataclass
class Clock:
    """Seconds that something took, call by call."""

    work: Callable[..., Any]
    took: list[float] = field(default_factory=list)

    def __call__(self, *given: Any) -> Any:
        began = time.perf_counter()
        answer = self.work(*given)
        self.took.append(seconds(began))
        return answer


def runtimes(spec: ModelSpec, network: torch.nn.Module, crops: np.ndarray, threads: int) -> dict[str, Runtime]:
    """Every runtime that is installed, fp32 first; OpenVINO in bf16 only where the processor has units for it."""
    found: dict[str, Runtime] = {"PyTorch fp32": TorchRuntime(network, spec, torch.device("cpu"))}
    runs: dict[str, Callable[[], Run]] = {}
    if installed("onnxruntime") or installed("openvino"):
        plain = network_graph(build_like(network, spec), spec)
        data = plain.SerializeToString()
        if installed("onnxruntime"):
            small = quantised(plain, crops, spec).SerializeToString()
            runs["ONNX Runtime fp32"] = lambda: onnxruntime_run(data, threads)
            runs["ONNX Runtime int8"] = lambda: onnxruntime_run(small, threads)
        if installed("openvino"):
            runs["OpenVINO fp32"] = lambda: openvino_run(data, "fp32", threads)
            runs["OpenVINO bf16"] = lambda: openvino_run(data, "bf16", threads)
        if installed("openvino") and installed("onnxruntime"):
            runs["OpenVINO int8"] = lambda: openvino_run(small, "fp32", threads)
    for name, start in runs.items():
        try:
            found[name] = GraphRuntime(start(), spec, name)
        except BadInput:
            print(f"{name}: not on this processor")
    return found


def build_like(network: torch.nn.Module, spec: ModelSpec) -> torch.nn.Module:
    """The same network again: exporting changes the layout of its weights."""
    again = build(spec)
    again.load_state_dict(network.state_dict())
    return again.eval()


def clocked(runtime: Runtime) -> Clock:
    """Put a clock around the network itself."""
    if isinstance(runtime, GraphRuntime):
        runtime.run = clock = Clock(runtime.run)
    else:
        assert isinstance(runtime, TorchRuntime)
        clock = Clock(runtime.network.forward)
        runtime.network.forward = clock  # type: ignore[method-assign]
    return clock


def one_by_one(spec: ModelSpec, jpeg: bytes, repeats: int, threads: int) -> dict[str, dict[str, float]]:
    """Milliseconds of JPEG bytes to keypoints: whole, the decoding, the network, what lies around it."""
    torch.manual_seed(0)
    network = build(spec).eval()
    crops = np.random.default_rng(0).integers(0, 256, (8, spec.codec.size[1], spec.codec.size[0], 3), np.uint8)
    ways = runtimes(spec, network, crops, threads)
    predictors = {name: Predictor(runtime, spec, flip=False) for name, runtime in ways.items()}
    clocks = {name: clocked(runtime) for name, runtime in ways.items()}
    decode = Clock(lambda: decode_image(jpeg, "jpeg"))
    work = {name: Clock(lambda predictor=predictor: predictor(decode(), BOX)) for name, predictor in predictors.items()}
    if installed("onnxruntime"):
        whole = whole_graph(network_graph(build_like(network, spec), spec), spec, flip=False)
        run = onnxruntime_run(whole.SerializeToString(), threads)
        work["one graph, ONNX Runtime"] = Clock(lambda: run([decode(), BOX.astype(np.float32)]))
    for turn in range(repeats + 1):
        for name, way in work.items():
            way()
            if turn == 0:  # warms up
                way.took.clear()
                clocks[name].took.clear() if name in clocks else None
    jpeg_ms = 1000 * median(decode.took)
    found = {}
    for name, way in work.items():
        found[name] = {"ms": 1000 * median(way.took), "jpeg": jpeg_ms}
        if name in clocks:
            found[name]["network"] = 1000 * median(clocks[name].took)
            found[name]["around"] = found[name]["ms"] - found[name]["network"] - jpeg_ms
    return found


def folder_pace(spec: ModelSpec, jpeg: bytes, photos: int, folder: Path) -> dict[str, float]:
    """Photographs a second by the default runtime: one by one, and as `sandglass predict` looks at a folder."""
    model = folder / "folder.safetensors"
    save_checkpoint(model, build(spec), spec, {})
    predictor = Predictor.load(model, flip=False, device="cpu")
    paths = [folder / f"{i}.jpg" for i in range(photos)]
    for path in paths:
        path.write_bytes(jpeg)
    predictor(paths[0], BOX)
    began = time.perf_counter()
    for path in paths:
        predictor(path, BOX)
    plain = photos / seconds(began)
    began = time.perf_counter()
    opened = ahead(read_image, paths)
    for _ in range(0, photos, GROUP):
        group = [photo for _, photo in zip(range(GROUP), opened, strict=False)]
        predictor.several(group, [BOX] * len(group))
    return {"one by one": plain, "folder": photos / seconds(began)}


def first_answers(spec: ModelSpec, folder: Path, photo: Path, repeats: int) -> dict[str, tuple[float, ...]]:
    """Seconds, and CPU seconds, of whole processes that load a model and look at one photograph."""
    network = build(spec).eval()
    save_checkpoint(folder / "model.safetensors", network, spec, {})
    ways = {"checkpoint, torch": ("model.safetensors", "torch"), "checkpoint, auto": ("model.safetensors", "auto")}
    if installed("onnxruntime"):
        whole = whole_graph(network_graph(network, spec), spec, flip=False)
        (folder / "model.onnx").write_bytes(onnx_bytes(whole, describe(spec, {"weights": "fp32"})))
        ways["exported .onnx, auto"] = ("model.onnx", "auto")
    ways["the model that ships, auto"] = (DEFAULT_MODEL, "auto")
    found = {}
    for name, (model, runtime) in list(ways.items())[-repeats:]:
        code = f"from sandglass import Predictor; Predictor.load({model!r}, runtime={runtime!r})({str(photo)!r})"
        took = []
        for _ in range(repeats):
            began, before = time.perf_counter(), os.times()
            subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            took.append((seconds(began), cpu))
        found[name] = median(wall for wall, _ in took), median(cpu for _, cpu in took)
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    threads = given.threads or cpu_count()
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    repeats, photos, starts = (1, 3, 1) if given.quick else (given.repeats, 64, 3)
    image = cv2.resize(draw_picture(0, 0).image, PHOTO_SIZE, interpolation=cv2.INTER_CUBIC)
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"threads": threads}
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        write_image(folder / "photo.jpg", image)  # type: ignore[arg-type]
        jpeg = (folder / "photo.jpg").read_bytes()
        models = specs(given.quick)
        for model, spec in models.items():
            found = one_by_one(spec, jpeg, repeats, threads)
            slow = found["PyTorch fp32"]["ms"]
            figures[model] = found
            for name, took in found.items():
                parts = [f"{took[part]:.2f}" if part in took else "" for part in ("ms", "jpeg", "network", "around")]
                rows.append([f"{model}, {name}", *parts, f"{slow / took['ms']:.2f}"])
            figures[f"{model} ratio"] = slow / min(took["ms"] for took in found.values())
        last = list(models)[-1]
        paces = folder_pace(models[last], jpeg, photos, folder)
        rows += [[f"{last}, {name}, photographs/s", f"{pace:.1f}", "", "", "", ""] for name, pace in paces.items()]
        firsts = first_answers(models[last], folder, folder / "photo.jpg", starts)
        rows += [
            [f"{last}, {name}: start to answer, s (CPU s)", f"{wall:.2f} ({cpu:.2f})", "", "", "", ""]
            for name, (wall, cpu) in firsts.items()
        ]
    figures |= {"folder": paces, "first_answer": firsts, "ratio": figures["HG-2 ratio"]}
    title = f"JPEG bytes to keypoints, one crop at a time; {machine(torch.device('cpu'))}; bound for around: {BOUND} ms"
    show(title, ("", "ms", "JPEG", "network", "around", "times PyTorch"), rows, figures)


if __name__ == "__main__":
    main()
