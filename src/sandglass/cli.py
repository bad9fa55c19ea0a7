"""The command line: one verb a command. Bad input ends with one line on standard error and status 2."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from rich.console import Console

Sets = Annotated[tuple[str, ...], arg(metavar="FOLDER@SPLIT[:WEIGHT]")]
app = tyro.extras.SubcommandApp()


@app.command
def demo(out: Path = Path("demo"), minutes: float = 7.0, people: int = 4000, seed: int = 2016) -> None:
    """Draw people, train on them, score and show: the whole main job, without a download.

    Args:
        out: Folder for everything that the demo leaves behind.
        minutes: Time to train for, evaluations included.
        people: Drawn people to learn from; 500 others are scored.
        seed: Of the drawing and of the training.
    """
    from rich.console import Console

    from sandglass.demo import demo as run

    console = Console()
    scores, page = run(out, minutes=minutes, people=people, seed=seed, console=console)
    console.print(scores.table())
    console.print(f"look at {page}", highlight=False)


@app.command
def train(
    recipe: Positional[str] = "",
    data: Sets = (),
    val: Annotated[str, arg(metavar="FOLDER@SPLIT")] = "",
    out: Path | None = None,
    resume: Path | None = None,
    steps: int = 0,
    minutes: float = 0.0,
    seed: int = 0,
    size: Annotated[tuple[int, int] | None, arg(metavar="WIDTH HEIGHT")] = None,
    stacks: int | None = None,
    channels: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
) -> None:
    """Train a recipe on one or several data sets in the COCO layout, or go on with a run.

    Args:
        recipe: classic (the system that sandglass rebuilds), swift (learns fastest) or figures (the demo's).
        data: What to learn from; several sets are mixed by weight. A .toml file may list them.
        val: What to score on, along the way and at the end.
        out: Folder of the run: model.safetensors (best), last.safetensors, metrics.jsonl, config.json.
        resume: Folder of a run to go on with; --steps or --minutes move its end, --lr its rate.
        steps: Optimiser steps until the end.
        minutes: Wall clock until the end, evaluations included.
        seed: Of the weights, the order of examples and their augmentation.
        size: Of the crop that the network sees, in place of the recipe's.
        stacks: Number of hourglasses, in place of the recipe's.
        channels: Width of the network, in place of the recipe's.
        batch: People a step, in place of the recipe's.
        lr: Peak learning rate, in place of the recipe's.
        device: auto, cpu, cuda, cuda:1, mps.
        threads: CPU threads for the network; 0 takes the cores that this process may use, at most 16.
        workers: Threads that decode photographs; 0 takes half of those cores.
    """
    from dataclasses import replace

    from sandglass.core.errors import BadInput
    from sandglass.recipes import find_recipe, resized
    from sandglass.training.config import RunConfig
    from sandglass.training.train import train as run

    if resume is not None:
        given = (recipe, data, val, out, seed, size, stacks, channels, batch)
        if any(value not in ("", (), 0, None) for value in given):
            raise BadInput("--resume takes recipe, data, folder, seed and sizes from the run; leave them out")
        config = resized(RunConfig.load(resume), lr=lr)
        schedule = config.schedule.until(steps, minutes)
        config = replace(config, schedule=schedule, device=device, threads=threads, workers=workers)
        run(config, resume, resume=True)
        return
    if not recipe or not data or out is None:
        raise BadInput(
            "a run needs a recipe, --data and --out, as in: sandglass train swift --data coco@train --out run"
        )
    config = resized(find_recipe(recipe), size=size, stacks=stacks, channels=channels, batch=batch, lr=lr)
    schedule = config.schedule.until(steps, minutes)
    config = replace(
        config, train=data, val=val, seed=seed, schedule=schedule, device=device, threads=threads, workers=workers
    )
    run(config, out)


@app.command
def evaluate(
    model: Positional[Path],
    data: Annotated[str, arg(metavar="FOLDER@SPLIT")],
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

    from sandglass.core.image import check_writable
    from sandglass.data.sets import read_set
    from sandglass.evaluation.evaluate import evaluate as run
    from sandglass.evaluation.publish import publish
    from sandglass.inference.predictor import Predictor

    console = Console()
    check_writable(out)
    predictor = Predictor.load(model, flip=flip, device=device)
    people = read_set(data)
    with bar(console, "looking at people") as progress:
        scores, predictions = run(predictor, people, protocol, boxes=boxes, on_progress=progress)
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


@app.command
def predict(
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
    from sandglass.core.image import check_writable
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


@app.command
def models(
    size: Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")] = (256, 256),
    channels: int = 256,
    depth: int = 4,
    joints: int = 17,
) -> None:
    """What stacked hourglasses weigh and work: parameters and GMAC for 1, 2, 4 and 8 stacks.

    Args:
        size: Of the crop.
        channels: Width of the network.
        depth: Times that an hourglass halves its resolution.
        joints: Heatmaps a stack.
    """
    from rich.console import Console

    from sandglass.models.zoo import cost_table

    Console().print(cost_table(size, channels=channels, depth=depth, joints=joints))


@app.command
def ceiling(
    data: Annotated[str, arg(metavar="FOLDER@SPLIT")],
    size: Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")] = (256, 256),
    sigma: float = 1.5,
) -> None:
    """What each decoder could reach at best: ground truth through encode, decode, score.

    Args:
        data: The set whose joints make the trip.
        size: Of the crop.
        sigma: Of the Gaussians, heatmap cells.
    """
    from rich.console import Console

    from sandglass.data.sets import read_set
    from sandglass.evaluation.ceiling import ceiling_table

    Console().print(ceiling_table(read_set(data), size, sigma))


drawing = tyro.extras.SubcommandApp()
app.command(drawing, name="data", help="Data sets: draw people.")


@drawing.command
def draw(out: Path, people: int = 4000, val_people: int = 500, seed: int = 2016) -> None:
    """Draw people in the COCO layout: an endless, seeded data set, splits train and val.

    Args:
        out: Folder of the data set.
        people: Drawn people in train, at least.
        val_people: Drawn people in val, at least.
        seed: Of all drawings; each split has its own people.
    """
    from rich.console import Console

    from sandglass.demo import draw as run

    run(out, people, val_people, seed, Console())


@contextmanager
def bar(console: "Console", text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and time left; what it yields is told (done, total)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
    began = time.monotonic()
    with Progress(TextColumn(text), *columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None, rate="")

        def move(done: int, total: int) -> None:
            rate = done / max(time.monotonic() - began, 1e-6)
            progress.update(task, completed=done, total=total, rate=f"{rate:.0f}/s")

        yield move


def gather(arguments: Sequence[str], flag: str) -> list[str]:
    """Repeated flags as one: `--data a --data b` means `--data a b`."""
    kept: list[str] = []
    values: list[str] = []
    place = None
    taking = False
    for argument in arguments:
        if argument == flag or argument.startswith(f"{flag}="):
            place = len(kept) if place is None else place
            values += [argument.removeprefix(f"{flag}=")] if "=" in argument[: len(flag) + 1] else []
            taking = argument == flag
        elif taking and not argument.startswith("--"):
            values.append(argument)
        else:
            taking = False
            kept.append(argument)
    return kept if place is None else [*kept[:place], flag, *values, *kept[place:]]


def main() -> int:
    """The entry point; returns the exit status."""
    from sandglass.core.errors import BadInput

    try:
        app.cli(prog="sandglass", args=gather(sys.argv[1:], "--data"), description=__doc__)
    except BadInput as error:
        print(f"sandglass: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"sandglass: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
