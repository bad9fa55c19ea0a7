"""The whole main job in minutes, without a download: draw people, train on some, score on others, show it all."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.data.figures import write_figures
from sandglass.data.sets import read_set
from sandglass.evaluation.folders import describe, shorter
from sandglass.evaluation.ledger import survey
from sandglass.evaluation.publish import publish
from sandglass.evaluation.scores import Scores
from sandglass.inference.predictor import Predictor
from sandglass.recipes import figures
from sandglass.training.config import CONFIG_FILE
from sandglass.training.journal import METRICS_FILE
from sandglass.training.state import STATES
from sandglass.training.train import BEST_FILE, LAST_FILE, train

TRAIN, HELD_OUT = 4000, 500  # drawn people to learn from, and others to be scored on
CONTENT = {
    "data", CONFIG_FILE, *STATES, METRICS_FILE, BEST_FILE, LAST_FILE, "tensorboard",
    "scores.json", "scores.csv", "predictions.json", "pictures", "evaluation.json",
    "report.html", "report.json", "report.md",
}  # fmt: skip


def demo(out: Path, *, minutes: float, people: int, seed: int, console: Console) -> tuple[Scores, Path]:
    """Fill the folder `out`: data/, the run's files, scores, pictures, report.html; returns scores and the page.

    A demo that is already there is made anew; any other content is refused. Raises BadInput.
    """
    _check_free(out)
    if not 0 < minutes < float("inf"):
        raise BadInput(f"a demo cannot train for {minutes:g} minutes; give a positive number, as in --minutes 7")
    val = f"{out / 'data'}@val"
    config = replace(
        figures(),
        train=(f"{out / 'data'}@train",),
        val=val,
        seed=seed,
        schedule=replace(figures().schedule, minutes=minutes),
    )
    began = time.monotonic()
    draw(out / "data", people, HELD_OUT, seed, console)
    drawn = time.monotonic()
    for old in (CONFIG_FILE, METRICS_FILE, *STATES):
        (out / old).unlink(missing_ok=True)
    for old in ("tensorboard", "pictures"):
        shutil.rmtree(out / old, ignore_errors=True)
    model = train(config, out, console=console)
    trained = time.monotonic()
    predictor = Predictor.load(model)
    everyone = read_set(val)
    scores, predictions, ledger = survey(predictor, everyone, shorter=shorter(model, predictor))
    record = describe(
        model,
        val,
        scores.protocol,
        f"sandglass demo --out {out} --minutes {minutes:g} --people {people} --seed {seed}",
        title="Drawn people",
        facts={
            "drawing": f"{drawn - began:.0f} s",
            "training, with evaluations": f"{trained - drawn:.0f} s",
            "final evaluation": f"{time.monotonic() - trained:.0f} s",
        },
    )
    page = publish(out, predictor, everyone, scores, predictions, record=record, ledger=ledger)
    return scores, page


def _check_free(out: Path) -> None:
    """A demo replaces a demo, and nothing else."""
    check_writable(out)
    inside = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.is_dir() else set()
    strange = sorted(inside - CONTENT) if "data" in inside else sorted(inside)
    if strange:
        raise BadInput(f"{out} holds {strange[0]}, which no demo made; choose another --out")


def draw(folder: Path, train_people: int, val_people: int, seed: int, console: Console) -> None:
    """Draw the two splits of a data set, with a bar. Raises BadInput."""
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        for split, count in (("train", train_people), ("val", val_people)):
            task = bar.add_task(f"drawing {split}", total=count)
            write_figures(folder, split, count, seed, on_progress=lambda n, t=task: bar.update(t, completed=n))
    console.print(
        f"drawn people in {folder}: {train_people} to learn from, {val_people} others to score", highlight=False
    )
