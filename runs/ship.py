"""Ship a model: its weights into the package, all its figures into a JSON file beside them, its tables into the card.

    python runs/ship.py PEOPLE RUN [RUN ...]    the last run's best model; the earlier ones are those it went on from
    python runs/ship.py PEOPLE                  measure the model that ships once more
    python runs/ship.py --render                only write the tables of MODEL_CARD.md again, from the JSON files
    ... --model swift-s [--stacks 1]            another one than swift-m; cut after its first stack

PEOPLE holds coco/, lsp/ and mpii/ in the COCO layout; their splits val and test are scored on. Ten minutes of one core;
the speed table wants a quiet machine. A test holds the card against the JSON files, and those against the weights.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import render
from leaks import near_teaching
from numpy.typing import NDArray
from pace import milliseconds
from rich.console import Console

from sandglass.core.config import to_plain
from sandglass.core.cores import cpu_count
from sandglass.core.files import write_whole
from sandglass.core.pose import Floats, People, Predictions
from sandglass.data.pack import open_pack
from sandglass.data.sets import parse_sets, read_set
from sandglass.evaluation.calibrate import calibrate
from sandglass.evaluation.evaluate import evaluate
from sandglass.evaluation.ledger import Ledger, survey
from sandglass.evaluation.scores import HEADLINE, Held, Scores, hold, score
from sandglass.evaluation.shipping import Order
from sandglass.evaluation.shipping import ship as export
from sandglass.inference.predictor import Predictor
from sandglass.metrics import bootstrap
from sandglass.metrics.diagnosis import Diagnosis, Group, diagnose
from sandglass.metrics.judgement import judge
from sandglass.metrics.margins import JOINT_KINDS
from sandglass.metrics.mistakes import MISTAKES, Kind, Mistakes
from sandglass.metrics.oks import matched
from sandglass.metrics.pck import pck, pck_terms
from sandglass.models.checkpoint import load_checkpoint, read_spec, save_checkpoint
from sandglass.models.cut import cut
from sandglass.models.shipped import DEFAULT_MODEL, SHIPPED
from sandglass.models.zoo import cost
from sandglass.recipes import find_recipe
from sandglass.training.config import BEST_FILE, RunConfig

CARD = Path(__file__).resolve().parent.parent / "MODEL_CARD.md"
SETS = {
    "coco@val": ("AP", "AP50", "AP75", "APM", "APL", "AR", "PCK@0.2"),
    "lsp@test": ("PCK@0.2",),
    "mpii@val": ("PCK@0.2", "PCKh@0.5"),
}
LEARNT, SOME = "coco@train", 400  # so many of its photographs are scored too: what is better there, it knows by heart
FIRST = "coco@val"  # whose joints, mistakes, groups, calibration and failures are told
RESAMPLES = 1000
KEPT = ("sandglass", "recipe", "people", "data_fingerprint", "val", "cut")  # of the last run's summary
WORST = 6  # failures that are told
WELL_LABELLED = 12  # joints of a person whose failure says something
UNSET = (
    "recipe", "train", "val", "skeleton", "init", "seed", "device", "threads", "workers", "cache_gib", "evaluations",
    "evaluate_every", "save_minutes", "log_every", "schedule.steps", "schedule.minutes",
)  # fmt: skip


def main() -> None:
    given = parse()
    weights = given.weights or SHIPPED[given.model]
    facts, threads = weights.with_suffix(".json"), given.threads or cpu_count()
    torch.set_num_threads(threads)
    if given.runs:
        ship(given.runs, weights, given)
    if given.runs or not (given.render or given.speed):
        scored(weights, given.people)
        exported(weights, given.people)
    if not given.render:
        before = json.loads(facts.read_text("utf-8")) if facts.exists() else {}
        found = before if given.speed else measured(weights, given.people)
        pace = {} if given.repeats else before.get("speed", {})
        found["speed"] = pace or {"threads": threads, **milliseconds(read_spec(weights), threads, given.repeats)}
        write_whole(facts, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    write_whole(given.card, render(given.card.read_text("utf-8"), told(weights.parent)))
    print(f"{weights}, {facts}, {given.card}")


def told(folder: Path) -> dict[str, Any]:
    """The facts of all models in a folder, by name, the smallest first."""
    found = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    return {facts["model"]: facts for facts in sorted(found, key=lambda facts: facts["parameters"])}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, nargs="?", help="folder that holds the data sets")
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folders of trainings, in their order")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--model", choices=SHIPPED, default=DEFAULT_MODEL, help="which of those in the package")
    parser.add_argument("--weights", type=Path, help="a place outside the package for it")
    parser.add_argument("--card", type=Path, default=CARD)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--speed", action="store_true", help="measure the speed alone once more")
    parser.add_argument("--repeats", type=int, default=40, help="of the timing; 0 keeps the speed that was measured")
    parser.add_argument("--stacks", type=int, help="cut the network after so many")
    parser.add_argument("--padding", type=float, help="side of the crop over side of the box, in place of the model's")
    parser.add_argument("--smooth", type=float, help="blur before decoding, cells, in place of the model's")
    given = parser.parse_args()
    if not given.render and not given.speed and given.people is None:
        parser.error("name the folder that holds the data sets")
    return given


def ship(runs: Sequence[Path], weights: Path, given: argparse.Namespace) -> None:
    """The last run's best model into the package, with a summary of all that it was taught.

    given: `stacks` to cut it after; `padding` and `smooth`, what runs/test_time.py found to be better than what it was
    trained with.
    """
    network, spec = load_checkpoint(runs[-1] / BEST_FILE)
    network, spec = cut(network, spec, given.stacks or spec.stacks)
    codec = spec.codec if given.smooth is None else replace(spec.codec, smooth=given.smooth)
    spec = replace(spec, codec=codec, padding=spec.padding if given.padding is None else given.padding)
    start = RunConfig.load(runs[0]).init  # a model that ships, whose own sittings came before
    stages = [*(read_spec(start).summary["stages"] if start in SHIPPED else []), *(stage(run) for run in runs)]
    summary = {name: spec.summary[name] for name in KEPT if name in spec.summary}
    summary |= {name: round(sum(one[name] for one in stages), 1) for name in ("steps", "images", "seconds")}
    summary |= {"licence": "MIT", "train": stages[-1]["train"], "stages": stages}
    summary |= {"scores_of": {"protocol": "coco-gt", "data": FIRST, "flip": "yes"}}
    save_checkpoint(weights, network, spec, summary)


def scored(weights: Path, people: Path) -> None:
    """The scores that ride in the checkpoint, as the code now takes them."""
    network, spec = load_checkpoint(weights)
    predictor = Predictor.load(weights, device="cpu", runtime="torch")
    scores = evaluate(predictor, read_set(f"{people}/{FIRST}"), "coco-gt", intervals=0)[0]
    summary = dict(spec.summary) | {"scores": {name: scores.figures[name] for name in HEADLINE}}
    save_checkpoint(weights, network, spec, summary)


def exported(weights: Path, people: Path) -> None:
    """The same model as an ONNX file beside it, which starts without torch; verified on photographs first."""
    path, table = export(Order(weights, "onnx", data=f"{people}/{FIRST}", licence="MIT", half=True))
    path.with_name(path.name + ".json").unlink()  # what it says is in the file too
    Console().print(table)


def stage(run: Path) -> dict[str, Any]:
    """What is needed to train a run again: `sandglass train` by runs/again.py."""
    config = RunConfig.load(run)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = max(row["step"] for row in rows)
    return {
        "recipe": config.recipe,
        "train": taught_by(config.train),
        "settings": settings(config),
        "seed": config.seed,
        "steps": steps,
        "images": steps * config.batch,
        "seconds": round(max(row.get("seconds", 0) for row in rows), 1),
        "threads": config.threads,
    }


def taught_by(train: Sequence[str]) -> list[str]:
    """Sets with their weights and without their folders; of a pack, those that it was made of."""
    names = []
    for spec in parse_sets(train):
        sets = open_pack(spec.folder).info.sets if spec.layout == "pack" else [spec]
        for one in sets:
            weight = one.weight * (spec.weight if spec.layout == "pack" else 1)
            names.append(f"{Path(one.folder).name}@{one.split}" + (f":{weight:g}" if weight != 1 else ""))
    return names


def settings(config: RunConfig) -> list[str]:
    """The fields in which a run differs from its recipe, as `sandglass train --set` takes them."""
    recipe, ours = flat(to_plain(find_recipe(config.recipe))), flat(to_plain(config))
    changed = [name for name in ours if name not in UNSET and ours[name] != recipe.get(name)]
    return [f"{name}={json.dumps(ours[name])}" for name in changed if not name.startswith("model.skeleton")]


def flat(plain: Mapping[str, Any], parents: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in plain.items():
        found |= flat(value, f"{parents}{name}.") if isinstance(value, dict) else {parents + name: value}
    return found


def measured(weights: Path, people: Path) -> dict[str, Any]:
    """All that the card tells in figures, but for the speed."""
    network, spec = load_checkpoint(weights)
    predictor = Predictor.load(weights, device="cpu", runtime="torch")

    def shorter(stacks: int) -> Predictor:
        return Predictor.load(weights, device="cpu", runtime="torch", stacks=stacks)

    sets, added, near = {}, {}, near_teaching(people, tuple(SETS))
    for name, figures in SETS.items():
        there = read_set(f"{people}/{name}")
        scores, predictions, ledger = survey(predictor, there, "coco-gt", intervals=RESAMPLES, shorter=shorter)
        sets[name] = {
            "people": scores.people,
            "images": scores.images,
            "fingerprint": scores.fingerprint,
            "figures": with_ends(scores, figures),
            **({"apart": apart(there, predictions, near[name], figures)} if near[name] else {}),
        }
        if name == FIRST:
            held = hold(there, predictions, "coco-gt")
            sets[name] |= details(there, predictions, held) | {"calibration": honesty(predictor, there)}
            added = {"ledger": shortened(ledger)} if len(ledger.stages) > 1 else {}
        print(name, flush=True)
    return {
        "model": weights.stem,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "parameters": cost(network, spec.codec.size).parameters,
        "gmac": round(cost(network, spec.codec.size).gmac, 4),
        "spec": to_plain(replace(spec, summary={})),
        "summary": dict(spec.summary),
        **added,
        "sets": sets,
        "learnt": learnt(predictor, people),
    }


def learnt(predictor: Predictor, people: Path) -> dict[str, Any]:
    """The scores on some of those that it learnt from: what more people, learnt from as long, could bring at most."""
    there = read_set(f"{people}/{LEARNT}")
    chosen = np.random.default_rng(0).permutation(np.unique(there.image))[:SOME]
    scores, _ = evaluate(predictor, there.select(np.isin(there.image, chosen)), "coco-gt", intervals=RESAMPLES)
    figures = with_ends(scores, SETS[FIRST])
    return {"data": LEARNT, "people": scores.people, "images": scores.images, "figures": figures}


def with_ends(scores: Scores, figures: Sequence[str]) -> dict[str, Any]:
    return {name: ends(scores.figures[name], scores.intervals[name]) for name in figures if name in scores.intervals}


def apart(people: People, predictions: Predictions, near: Sequence[int], figures: Sequence[str]) -> dict[str, Any]:
    """The scores without the photographs that are nearly ones to learn from."""
    rest = people.select(~np.isin(photographs(people), near))
    found = score(rest, predictions.select(~np.isin(predictions.image_ids, near)), "coco-gt", intervals=RESAMPLES)
    return {"people": found.people, "photographs": len(near), "figures": with_ends(found, figures)}


def shortened(ledger: Ledger) -> dict[str, Any]:
    """The ledger but for its joints, in four digits."""
    told = ledger.to_dict()
    stages = [{k: value for k, value in stage.items() if not k.startswith("joint")} for stage in told["stages"]]
    return rounded(told | {"stages": stages})


def rounded(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {name: rounded(value) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [rounded(value) for value in plain]
    return round(plain, 4) if isinstance(plain, float) else plain


def details(people: People, predictions: Predictions, held: Held) -> dict[str, Any]:
    """Joints, kinds of mistakes, kinds of people and the worst failures, with intervals over the same resamples."""
    draws = bootstrap.draw(held.precision.image_ids, RESAMPLES)
    found = diagnose(people, predictions, held.precision.image_ids, draws)
    judged = judge(people, predictions)
    return {
        "joints": joints(held, draws),
        "mistakes": mistakes(found),
        "groups": {of: {name: group_of(g) for name, g in some.items()} for of, some in found.groups.items()},
        "failures": failures(judged.people, judged.mistakes, predictions),
    }


def joints(held: Held, draws: bootstrap.Draws) -> dict[str, Any]:
    """PCK@0.2 of each joint."""
    values, counted = pck_terms(held.torso, 0.2)
    told = {}
    for k, (name, value) in enumerate(pck(held.torso, 0.2).per_joint.items()):
        one = slice(k, k + 1)
        samples = bootstrap.mean_samples((values[:, one], counted[:, one]), held.image, draws.floats)
        told[name] = ends(value, bootstrap.interval(samples)) | {"joints": int(counted[:, k].sum())}
    return told


def mistakes(found: Diagnosis) -> dict[str, Any]:
    """For each kind, its share of the labelled joints and the AP that mending it alone would bring."""
    sure = found.intervals
    told: dict[str, Any] = {
        name: {"share": ends(found.shares[name], sure.shares[name])} for name in JOINT_KINDS if name != "good"
    }
    told["scoring"] = {}
    for name, of in told.items():
        of["gain"] = ends(found.costs[name], sure.costs[name])
    return told


def group_of(group: Group) -> dict[str, Any]:
    """How many they are, and their AP, which tells something only where they are enough for an interval."""
    sure = group.intervals.get("AP", "few")
    return {"people": group.people, "AP": None if sure == "few" else ends(group.ap, sure)}


def photographs(people: People) -> NDArray[np.int64]:
    return people.image_ids[people.image]


def failures(people: People, found: Mistakes, predictions: Predictions) -> list[dict[str, Any]]:
    """The well labelled people who were found worst: which photograph, what went wrong, and both poses."""
    oks = matched(people, predictions, found.rows)
    order = np.argsort(np.where(people.labelled >= WELL_LABELLED, oks, np.inf), kind="stable")[:WORST]
    return [
        {
            "image": int(photographs(people)[i]),
            "person": int(people.ids[i]),
            "oks": round(float(oks[i]), 3),
            **{kind.name.lower(): int((found.kinds[i] == kind).sum()) for kind in (Kind.GOOD, *MISTAKES)},
            "aspect": round(float(extent[0] / extent[1]), 3),
            "truth": in_box(people.keypoints[i], people.boxes[i], people.visibility[i] > 0),
            "said": in_box(predictions.keypoints[row], people.boxes[i], predictions.present[row]),
        }
        for i in order
        for row, extent in ((found.rows[i], people.boxes[i, 2:] - people.boxes[i, :2]),)
    ]


def in_box(points: Floats, box: Floats, there: NDArray[np.bool_]) -> list[list[float] | None]:
    """Points (K, 2) as shares of the sides of a box (4,); None for those that are not there."""
    shares = ((points - box[:2]) / (box[2:] - box[:2])).round(3).tolist()
    return [share if known else None for share, known in zip(shares, there.tolist(), strict=True)]


def honesty(predictor: Predictor, people: People) -> dict[str, Any]:
    """Expected calibration error of the scores, as they are and calibrated on the other half, either way round."""
    trials = calibrate(predictor, people)
    return {side: [round(getattr(t.last, side).reliability.error, 4) for t in trials] for side in ("before", "after")}


def ends(value: float | None, interval: Sequence[float]) -> dict[str, Any]:
    assert value is not None
    return {"value": round(value, 4), "low": round(interval[0], 4), "high": round(interval[1], 4)}


if __name__ == "__main__":
    sys.exit(main())
