"""`sandglass evaluate`."""

import shlex
from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal, bar
from sandglass.models.shipped import DEFAULT_MODEL


def run(
    model: Positional[Path] = Path(DEFAULT_MODEL),
    *,
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

    Under torchrun the processes share the people; the scores are those of one process.

    Args:
        model: A checkpoint, model.safetensors, or an exported file, .onnx or .xml, in place of the model that ships.
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
    from sandglass.evaluation.evaluate import where_to_look
    from sandglass.evaluation.folders import describe, shorter
    from sandglass.evaluation.ledger import judge, look
    from sandglass.evaluation.publish import digest, publish
    from sandglass.inference.predictor import Predictor
    from sandglass.inference.world import joined
    from sandglass.models.shipped import find_model

    with joined() as world:
        console = Terminal(quiet=not world.first)

        def prepare():
            check_writable(out)
            mark = digest(find_model(model))  # before it is read: a training may replace it meanwhile
            predictor = Predictor.load(model, flip=flip, stacks=stacks, device=world.device(device), runtime=runtime)
            people = read_set(data, skeleton)
            return mark, predictor, people, where_to_look(predictor, people, protocol, boxes)

        mark, predictor, people, places = world.together(prepare)
        with bar(console, "looking at people") as progress:
            seen = look(world.shared(predictor), people, places, progress)
    if not world.first:
        return
    scores, predictions, ledger = judge(seen, predictor, people, protocol, shorter=shorter(model, predictor))
    words: list[object] = ["sandglass", "evaluate", model, "--data", data, "--protocol", protocol, "--out", out]
    words += [] if flip else ["--no-flip"]
    for flag, value in (("boxes", boxes), ("stacks", stacks), ("runtime", runtime), ("skeleton", skeleton)):
        words += [f"--{flag}", value] if value not in (None, "", "auto") else []
    command = shlex.join(map(str, words))
    skeleton = str(Path(skeleton).resolve()) if skeleton.endswith(".toml") else skeleton
    given = {"flip": flip, "stacks": stacks or 0, "skeleton": skeleton, "boxes": str(boxes.resolve()) if boxes else ""}
    record = describe(model, data, protocol, command, sha256=mark, **given)
    page = publish(out, predictor, people, scores, predictions, record=record, ledger=ledger)
    console.print(scores.table())
    console.print(ledger.table())
    console.print(f"look at {page}", highlight=False)
