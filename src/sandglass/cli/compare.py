"""`sandglass compare`."""

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal, bar

if TYPE_CHECKING:
    from rich.console import Console

    from sandglass.core.pose import People, Predictions


def run(
    a: Positional[Path],
    b: Positional[Path],
    data: OneSet | None = None,
    protocol: str = "coco-gt",
    boxes: Path | None = None,
    out: Path | None = None,
    resamples: int = 1000,
    flip: bool = True,
    skeleton: str = "",
    device: str = "auto",
) -> None:
    """Say whether one model is really better than another, on the same photographs.

    Args:
        a: The folder of an evaluation (scores.json, predictions.json), or a checkpoint, which is evaluated now.
        b: The other one. Both must be of the same labels by the same protocol.
        data: The labels. Without it, those that an evaluation names are looked for in this folder.
        protocol: For two checkpoints: coco-gt, coco-det (see --boxes) or seed. A folder brings its own.
        boxes: Person detections in COCO's results format, for coco-det.
        out: A file for the result as JSON, compare.json.
        resamples: Of the photographs, for the intervals.
        flip: Average the heatmaps of each crop and of its mirror image.
        skeleton: A .toml file (or a known name) in place of the data's own. Without it, what an evaluation was told.
        device: auto, cpu, cuda, mps.
    """
    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable, write_whole
    from sandglass.data.sets import read_set
    from sandglass.evaluation.compare import (
        check_labels,
        check_same,
        compare,
        labels_of,
        read_evaluation,
        skeleton_of,
    )
    from sandglass.models.shipped import is_model

    console = Terminal()
    if not 100 <= resamples <= 100_000:
        raise BadInput(f"--resamples {resamples} must lie between 100 and 100000")
    for path in (a, b):
        if not path.exists() and not is_model(path):
            raise BadInput(f"{path}: neither the folder of an evaluation nor a checkpoint")
    if out is not None:
        check_writable(out.parent)
    evaluations = [read_evaluation(path) for path in (a, b) if path.is_dir()]
    if len(evaluations) == 2:
        check_same(*evaluations)
    protocol = evaluations[0].protocol if evaluations else protocol
    people = read_set(data or labels_of(evaluations), skeleton or skeleton_of(evaluations))
    for evaluation in evaluations:
        check_labels(evaluation, people)
    one, other = (_predictions(console, path, people, protocol, boxes, flip, device) for path in (a, b))
    compared = compare(people, one, other, protocol, names=(str(a), str(b)), resamples=resamples)
    console.print(f"A: {a}\nB: {b}", highlight=False, markup=False)
    console.print(compared.table())
    if out is not None:
        write_whole(out, compared.to_json())


def _predictions(
    console: "Console", path: Path, people: "People", protocol: str, boxes: Path | None, flip: bool, device: str
) -> "Predictions":
    """Those of an evaluation's folder, or of a checkpoint that looks at the people now."""
    if path.is_dir():
        from sandglass.data.results import read_results

        return read_results(path / "predictions.json", people.skeleton)
    from sandglass.evaluation.evaluate import evaluate
    from sandglass.inference.predictor import Predictor

    predictor = Predictor.load(path, flip=flip, device=device)
    with bar(console, f"looking at people: {path.name}") as progress:
        return evaluate(predictor, people, protocol, boxes=boxes, intervals=0, on_progress=progress)[1]
