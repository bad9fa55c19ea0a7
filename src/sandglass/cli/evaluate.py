"""`sandglass evaluate`."""

from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, bar


def run(
    model: Positional[Path],
    data: OneSet,
    out: Path,
    protocol: str = "coco-gt",
    boxes: Path | None = None,
    flip: bool = True,
    device: str = "auto",
) -> None:
    """Score a model on a data set, with intervals, pictures and a page.

    Args:
        model: A checkpoint, model.safetensors.
        data: What to score on.
        out: Folder for scores.json, scores.csv, predictions.json, pictures and report.html.
        protocol: coco-gt (labelled boxes), coco-det (boxes of a detector, see --boxes) or seed.
        boxes: Person detections in COCO's results format, for coco-det.
        flip: Average the heatmaps of each crop and of its mirror image.
        device: auto, cpu, cuda, mps.
    """
    from rich.console import Console

    from sandglass.core.files import check_writable
    from sandglass.data.sets import read_set
    from sandglass.evaluation.evaluate import evaluate as work
    from sandglass.evaluation.publish import publish
    from sandglass.inference.predictor import Predictor

    console = Console()
    check_writable(out)
    predictor = Predictor.load(model, flip=flip, device=device)
    people = read_set(data)
    with bar(console, "looking at people") as progress:
        scores, predictions = work(predictor, people, protocol, boxes=boxes, on_progress=progress)
    told = [f"sandglass evaluate {model} --data {data} --protocol {protocol} --out {out}"]
    told += [f"--boxes {boxes}"] if boxes else []
    told += [] if flip else ["--no-flip"]
    journal = model.parent / "metrics.jsonl"
    page = publish(
        out,
        predictor,
        people,
        scores,
        predictions,
        journal=journal if journal.exists() else None,
        command=" ".join(told),
    )
    console.print(scores.table())
    console.print(f"look at {page}", highlight=False)
