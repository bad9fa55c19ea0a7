"""`sandglass evaluate`."""

import shlex
from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal, bar


def run(
    model: Positional[Path],
    data: OneSet,
    out: Path,
    protocol: str = "coco-gt",
    boxes: Path | None = None,
    flip: bool = True,
    stacks: int | None = None,
    skeleton: str = "",
    device: str = "auto",
    runtime: str = "auto",
) -> None:
    """Score a model on a data set, with intervals, kinds of mistakes, what each stack is worth, and a page.

    Args:
        model: A checkpoint, model.safetensors, or an exported file, .onnx or .xml.
        data: What to score on.
        out: Folder for scores.json, scores.csv, predictions.json, pictures, and the report: html, json, md.
        protocol: coco-gt (labelled boxes), coco-det (boxes of a detector, see --boxes) or seed.
        boxes: Person detections in COCO's results format, for coco-det.
        flip: Average the heatmaps of each crop and of its mirror image.
        stacks: Cut the network after so many of its stacks.
        skeleton: A .toml file (or a known name) whose joints and OKS sigmas count in place of the data's own.
        device: auto, cpu, cuda, mps.
        runtime: torch, onnxruntime, openvino; auto takes the fastest that is installed.
    """
    from sandglass.core.files import check_writable
    from sandglass.data.sets import read_set
    from sandglass.evaluation.folders import describe, shorter
    from sandglass.evaluation.ledger import survey
    from sandglass.evaluation.publish import publish
    from sandglass.inference.predictor import Predictor

    console = Terminal()
    check_writable(out)
    predictor = Predictor.load(model, flip=flip, stacks=stacks, device=device, runtime=runtime)
    people = read_set(data, skeleton)
    with bar(console, "looking at people") as progress:
        scores, predictions, ledger = survey(
            predictor, people, protocol, boxes=boxes, shorter=shorter(model, predictor), on_progress=progress
        )
    told = ["sandglass", "evaluate", model, "--data", data, "--protocol", protocol, "--out", out]
    told += ["--boxes", boxes] if boxes else []
    told += [] if flip else ["--no-flip"]
    told += ["--stacks", stacks] if stacks else []
    told += ["--runtime", runtime] if runtime != "auto" else []
    told += ["--skeleton", skeleton] if skeleton else []
    skeleton = str(Path(skeleton).resolve()) if skeleton.endswith(".toml") else skeleton
    command = shlex.join(map(str, told))
    record = describe(model, data, protocol, command, flip=flip, stacks=stacks or 0, skeleton=skeleton)
    page = publish(out, predictor, people, scores, predictions, record=record, ledger=ledger)
    console.print(scores.table())
    console.print(ledger.table())
    console.print(f"look at {page}", highlight=False)
