"""Export with its verification: built, held against the model, and only then written, with a card beside it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from rich import box
from rich.table import Table

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable, write_whole
from sandglass.core.pose import People
from sandglass.data.coco import read_coco
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.figures import write_figures
from sandglass.data.sets import read_set
from sandglass.evaluation.evaluate import check_skeleton
from sandglass.evaluation.parity import BOUNDS, MOVED, Parity, parity
from sandglass.evaluation.protocols import people_to_predict
from sandglass.inference.engines import installed, onnxruntime_run, openvino_run
from sandglass.inference.export import describe, halved, network_graph, onnx_bytes, openvino_files, whole_graph
from sandglass.inference.predictor import Predictor
from sandglass.inference.quantise import quantised
from sandglass.inference.runtimes import TorchRuntime, pick_device
from sandglass.models.checkpoint import load_checkpoint
from sandglass.models.cut import cut
from sandglass.models.shipped import find_model

FIGURES_SEED = 5  # of the people that are drawn where no data set is named
CALIBRATION = 128  # people whose crops show the ranges of activations
PARSED = (
    "spec", "joints", "edges", "training", "scores", "scores_of", "graph_scores", "graph_scores_of", "parity",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What is to be exported; see `sandglass export --help`."""

    model: Path
    to: Literal["onnx", "openvino"]
    out: Path | None = None
    flip: bool = False
    int8: bool = False
    half: bool = False
    data: str = ""
    people: int = 200
    stacks: int | None = None
    licence: str | None = None  # None: what the checkpoint says

    @property
    def target(self) -> Path:
        """The file that is written. Raises BadInput for a wrong ending."""
        suffix = ".onnx" if self.to == "onnx" else ".xml"
        path = self.out or self.model.with_suffix(suffix)
        if path.suffix != suffix:
            raise BadInput(f"{path}: what is exported to {self.to} ends in {suffix}")
        return path


def ship(order: Order, on_progress: Callable[[int, int], None] | None = None) -> tuple[Path, Table]:
    """Export; returns the file, and what was found. Raises BadInput, and has then written nothing."""
    if not installed("openvino" if order.to == "openvino" else "onnxruntime"):
        extra = "openvino" if order.to == "openvino" else "onnx"
        raise BadInput(f"an export to {order.to} needs its tools; pip install 'sandglass[{extra}]'")
    if order.people < 1:
        raise BadInput(f"--people {order.people}: verify on at least 1 person")
    if order.int8 and order.half:
        raise BadInput("--int8 and --half: weights are kept in 8 bits or in 16; choose one")
    check_writable(order.target.parent)
    network, spec = load_checkpoint(order.model)
    if order.stacks is not None:
        network, spec = cut(network, spec, order.stacks)
    with TemporaryDirectory() as folder:
        people = _some(read_set(order.data) if order.data else _drawn(Path(folder), order.people), order.people)
        predictor = Predictor(TorchRuntime(network, spec, pick_device("cpu")), spec, flip=order.flip)
        if order.data:
            check_skeleton(predictor, people)
        graph = network_graph(network, spec)
        if order.int8:
            graph = quantised(graph, _crops(predictor, people), spec)
        elif order.half:
            graph = halved(graph)
        whole = whole_graph(graph, spec, order.flip)
        data = whole.SerializeToString()
        run = onnxruntime_run(data) if order.to == "onnx" else openvino_run(data)
        found = parity(predictor, run, people, on_progress)
    weights = "int8" if order.int8 else "int16" if order.half else "fp32"
    found.check(BOUNDS[weights])
    _write(order, spec, whole, weights, found)
    return order.target, _table(found, order.target)


def _write(order: Order, spec: Any, whole: Any, weights: str, found: Parity) -> None:
    """The graph with its description, and the card."""
    flip = "yes" if order.flip else "no"
    taken = {"protocol": found.protocol, "data": found.data, "fingerprint": found.fingerprint, "flip": flip}
    own = None if found.ap_exported is None else round(found.ap_exported, 5)
    facts = {
        "weights": weights,
        "checkpoint": hashlib.sha256(find_model(order.model).read_bytes()).hexdigest(),
        "flip": flip,
        "graph_scores": json.dumps({} if own is None else {"AP": own}),
        "graph_scores_of": json.dumps({} if own is None else {**taken, "people": found.people}),
        "protocol": found.protocol,
        "parity": json.dumps(found.to_dict()),
    }
    if order.licence is not None:
        facts["licence"] = order.licence
    description = describe(spec, facts)
    target = order.target
    if order.to == "onnx":
        write_whole(target, onnx_bytes(whole, description))
    else:
        graph, constants = openvino_files(whole, description)
        write_whole(target.with_suffix(".bin"), constants)
        write_whole(target, graph)
    card = {key: json.loads(value) if key in PARSED else value for key, value in description.items()}
    write_whole(target.with_name(f"{target.name}.json"), json.dumps(card, indent=1))


def _drawn(folder: Path, people: int) -> People:
    write_figures(folder, "export", people, FIGURES_SEED)
    return replace(read_coco(folder, "export"), source="drawn people")


def _some(people: People, count: int) -> People:
    """The photographs, in order, that the first `count` scorable people are on."""
    asked = people_to_predict(people, "coco-gt")
    images = asked.image[: min(count, len(asked))]
    return people.select(np.isin(people.image, images))


def _crops(predictor: Predictor, people: People) -> np.ndarray:
    asked = people_to_predict(people, "coco-gt")
    chosen = asked.select(np.unique(np.linspace(0, len(asked) - 1, min(CALIBRATION, len(asked))).astype(int)))
    spec = predictor.spec
    crops = PersonCrops(chosen, CropConfig(size=spec.codec.size, padding=spec.padding, margin=1.0))
    return np.stack([crops[i].image for i in range(len(crops))])


def _table(found: Parity, target: Path) -> Table:
    """For the terminal: how far the joints moved, and what that does to AP."""
    title = f"{target.name}: {found.people} people of {found.data}"
    table = Table("joints differ by, pixels", title=title, box=box.SIMPLE_HEAD)
    for heading in ("of the crop", "of the photograph"):
        table.add_column(heading, justify="right")
    table.add_row("mean", f"{found.mean_pixels:.4f}", f"{found.mean_photo_pixels:.4f}")
    table.add_row("99 % within", f"{found.p99_pixels:.4f}", "")
    table.add_row("largest", f"{found.max_pixels:.3f}", f"{found.max_photo_pixels:.3f}")
    table.caption = f"{found.moved:.2%} of the present joints moved by more than {MOVED * found.side:g} crop pixels"
    if found.ap is not None and found.ap_exported is not None:
        table.caption += f"; AP ({found.protocol}) {found.ap:.4f} -> {found.ap_exported:.4f}, {-found.lost_ap:+.4f}"
    return table
