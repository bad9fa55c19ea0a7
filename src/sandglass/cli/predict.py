"""`sandglass predict`."""

from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import bar


def run(
    model: Positional[Path],
    photos: Positional[tuple[Path, ...]],
    out: Path,
    boxes: Path | None = None,
    threshold: float | None = None,
    flip: bool = True,
    device: str = "auto",
) -> None:
    """Find the joints of people in photographs: an overlay for each, and predictions.json.

    Args:
        model: A checkpoint, model.safetensors.
        photos: Photographs, or folders of them.
        out: Folder for the overlays and predictions.json (COCO results, with file names).
        boxes: JSON with people's boxes (xywh) by file name or image id; without it, or for a photograph that
            it does not name, the whole photograph is taken to show one person.
        threshold: Score from which on a joint counts as present, in place of the model's.
        flip: Average the heatmaps of each crop and of its mirror image.
        device: auto, cpu, cuda, mps.
    """
    from rich.console import Console

    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable
    from sandglass.inference.folder import find_photos, predict_photos
    from sandglass.inference.predictor import Predictor

    console = Console()
    check_writable(out)
    found = find_photos(photos)
    predictor = Predictor.load(model, flip=flip, threshold=threshold, device=device)
    with bar(console, "looking at photographs") as progress:
        people, refused = predict_photos(predictor, found, out, boxes, on_progress=progress)
    console.print(f"{people} poses in {len(found) - len(refused)} photographs: {out}", highlight=False)
    if refused:
        raise BadInput(f"{len(refused)} of {len(found)} photographs could not be used; the first: {refused[0]}")
