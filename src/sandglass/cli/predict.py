"""`sandglass predict`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sandglass.cli.terminal import Terminal, bar, counted

ALONE = (
    "Each photograph was taken to show one person, near its middle. Where there are more, --boxes names them and "
    "--detector finds them (sandglass predict --help)."
)


def run(
    photos: Positional[Annotated[tuple[Path, ...], arg(metavar="[MODEL] PHOTO...")]],
    out: Path = Path("out"),
    boxes: Path | None = None,
    detector: Path | None = None,
    format: Annotated[tuple[Literal["coco", "jsonl", "csv"], ...], arg(metavar="coco|jsonl|csv ...")] = ("coco",),
    picture: Literal["jpg", "png", "webp"] = "jpg",
    doubt: bool = False,
    threshold: float | None = None,
    flip: bool = True,
    stacks: int | None = None,
    sure: float | None = None,
    device: str = "auto",
    runtime: str = "auto",
) -> None:
    """Find the joints of people in photographs: an overlay for each, and predictions.json.

    Args:
        photos: Photographs, or folders of them; before them a checkpoint or an exported file (.onnx, .xml), in place of
            the model that ships with sandglass.
        out: Folder for the overlays and predictions.json (COCO results, with file names).
        boxes: JSON with people's boxes (xywh) by file name or image id; without it, or for a photograph that
            it does not name, the whole photograph is taken to show one person.
        detector: YOLOX as .onnx, which finds the boxes of photographs that --boxes does not name; its weights
            (Apache-2.0) you download yourself, from github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0.
        format: How poses are written: coco as predictions.json, jsonl as predictions.jsonl, csv as predictions.csv.
        picture: Kind of the overlays.
        doubt: Draw around each joint the ellipse that holds it in half of all cases.
        threshold: Score from which on a joint counts as present, in place of the model's.
        flip: Average the heatmaps of each crop and of its mirror image.
        stacks: Cut the network after so many of its stacks.
        sure: Look at each person only until every joint that is present scores as much as this, in 0..1.
        device: auto, cpu, cuda, mps.
        runtime: torch, onnxruntime, openvino; auto takes the fastest that is installed and can do what is asked.
    """
    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable
    from sandglass.data.formats import WRITERS
    from sandglass.inference.detectors import Yolox
    from sandglass.inference.exits import Exit
    from sandglass.inference.folder import Output, find_photos, predict_photos
    from sandglass.inference.predictor import Predictor
    from sandglass.models.shipped import DEFAULT_MODEL, is_model

    console = Terminal()
    check_writable(out)
    named = bool(photos) and is_model(photos[0])
    model, photos = (photos[0], photos[1:]) if named else (Path(DEFAULT_MODEL), photos)
    found = find_photos(photos)
    finder = None if detector is None else Yolox.load(detector)
    output = Output(formats=format, picture=picture, doubt=doubt)
    early = None if sure is None else Exit(score=sure)
    n = len(found)
    predictor = Predictor.load(
        model, flip=flip, threshold=threshold, stacks=stacks, early=early, device=device, runtime=runtime, photos=n
    )
    notes: list[str] = []  # told below the bar
    with bar(console, "looking at photographs") as progress:
        people, refused = predict_photos(
            predictor, found, out, boxes, on_progress=progress, detector=finder, output=output, say=notes.append
        )
    used, files = counted(n - len(refused), "photograph"), ", ".join(WRITERS[form][0] for form in format)
    say = partial(console.print, highlight=False, soft_wrap=True)
    say(f"{counted(people, 'person', 'people')} in {used}, by {predictor.runtime.name}")
    say(f"wrote {out}: {files} and {counted(n - len(refused), 'picture')}")
    say(f"absent, and not drawn: joints that score less than {predictor.spec.codec.threshold:g} (--threshold)")
    for note in [ALONE] if boxes is None and detector is None else notes:
        say(note)
    if refused:
        raise BadInput(f"{len(refused)} of {n} photographs could not be used; the first: {refused[0]}")
