"""The whole report at val2017's size, prediction apart: every score with its interval, two stacks, the page.

The predictions are simulated, as in evaluation.py: those of the second stack, and noisier ones of the first. CPU time
counts, of all threads, once the libraries are loaded; `ratio` is how often it fits into the bound of 30 s. `--labels`
is person_keypoints_val2017.json, whose photographs need not be here (pictures are left out then); `--quick` makes up
300 people instead.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation import LABELS, made_up, simulate
from sandglass.core import geometry
from sandglass.core.pose import People
from sandglass.core.skeleton import COCO17
from sandglass.data.coco import read_coco_file
from sandglass.evaluation.evaluate import Places
from sandglass.evaluation.ledger import Recorder, Seen, judge
from sandglass.evaluation.publish import Record, publish
from sandglass.inference.predictor import Predictor
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

T = TypeVar("T")

PROTOCOL = "coco-det"
BOUND = 30.0  # seconds
RESAMPLES = 1000
SPEC = ModelSpec(
    network="hourglass",
    options={"stacks": 2, "channels": 16, "depth": 3},
    codec=CodecConfig(size=(192, 256)),
    skeleton=COCO17,
)


class Silent:
    """A network that nobody waits for."""

    name = "simulated"

    def __call__(self, crops: Any, flip: bool) -> Any:
        return np.zeros((len(crops), 2, 17, 64, 48), np.float32)


def main(words: list[str] | None = None) -> None:
    """Print the table, and one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--quick", action="store_true", help="300 made-up people")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        few = Path(folder) / "few.json"
        few.write_text(json.dumps(made_up(300)))
        build(few, Path(folder) / "first")  # loads PyTorch, matplotlib and their like, which costs seconds
        figures = build(few if given.quick else given.labels, Path(folder) / "out")
    table = Table(title="{people:,} people, {images:,} images, {predictions:,} predictions".format(**figures))
    for heading in ("what", "seconds", "CPU seconds"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, name in (
        ("scores, and both stacks", "scoring_"),
        ("mistakes, calibration, the page", "explaining_"),
        (f"all of it, with {RESAMPLES:,} resamples", ""),
    ):
        table.add_row(what, *(f"{figures[f'{name}{kind}']:.1f}" for kind in ("seconds", "cpu_seconds")))
    Console().print(table)
    print(json.dumps(figures))


def build(labels: Path, out: Path) -> dict[str, float]:
    """The report of one set of labels, and what it took."""
    people = read_coco_file(labels, labels.parent, labels.name)
    predictor: Any = Predictor(Silent(), SPEC)
    seen = simulated(people, predictor)
    scoring, found = timed(lambda: judge(seen, predictor, people, PROTOCOL, intervals=RESAMPLES))
    scores, predictions, ledger = found
    record = Record(protocol=PROTOCOL)
    explaining, page = timed(lambda: publish(out, predictor, people, scores, predictions, record=record, ledger=ledger))
    return {
        "people": len(people),
        "images": len(people.image_ids),
        "predictions": len(predictions),
        "resamples": RESAMPLES,
        "scoring_seconds": scoring[0],
        "scoring_cpu_seconds": scoring[1],
        "explaining_seconds": explaining[0],
        "explaining_cpu_seconds": explaining[1],
        "seconds": scoring[0] + explaining[0],
        "cpu_seconds": scoring[1] + explaining[1],
        "page_bytes": page.stat().st_size,
        "ratio": BOUND / (scoring[1] + explaining[1]),
    }


def timed(work: Callable[[], T]) -> tuple[tuple[float, float], T]:
    """The seconds that the work took, on the clock and of all cores together, and what it gave."""
    began, spent = time.perf_counter(), time.process_time()
    answer = work()
    return (time.perf_counter() - began, time.process_time() - spent), answer


def simulated(people: People, predictor: Any, seed: int = 0) -> Seen:
    """What a detector and two stacks might say; joint scores that are worth little."""
    rng = np.random.default_rng(seed)
    found = simulate(people, seed)
    found = replace(found, scores=rng.uniform(0.3, 1, found.scores.shape))
    order = np.argsort(people.image_ids)
    rows = order[np.searchsorted(people.image_ids[order], found.image_ids)]
    places = Places(rows, found.boxes, found.people, rng.uniform(0.5, 1, len(found)), "simulated.json")
    recorder = Recorder(predictor, len(found))
    matrices = geometry.image_from_crop(found.boxes, SPEC.codec.size, SPEC.padding)
    points = geometry.apply(geometry.invert(matrices), found.keypoints)
    recorder.points[0] = points + rng.normal(0, 6, points.shape)  # crop pixels
    recorder.scores[0] = found.scores * rng.uniform(0.6, 1, found.scores.shape)
    recorder.entropy[:] = rng.uniform(2, 6, recorder.entropy.shape)
    return Seen(places, found, recorder)


if __name__ == "__main__":
    main()
