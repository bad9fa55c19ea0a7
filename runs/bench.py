"""The bench for recipes: train every entry of bench.toml on real photographs for one budget, score all, one table.

    python runs/bench.py PEOPLE OUT --minutes 20       PEOPLE holds coco/, lspet/, lsp/ and mpii/ in the COCO layout
    python runs/bench.py PEOPLE OUT --images 16000 --only swift "swift, AdamW"
    python runs/bench.py PEOPLE OUT --table            only the tables of what is finished

`--minutes` is the fairer budget on a quiet machine, `--images` (seen, repeats counted) on one that is shared. People
are cut out of their photographs once for all entries that cut alike (OUT/packs). What was finished is kept: the same
command goes on where it was interrupted. OUT/bench.md is the table, OUT/bench.json the same for programs: AP on
coco@val, PCK@0.2 on lsp@test, PCKh@0.5 on mpii@val, each with its 95 % interval over photographs; and what each run has
more than the first, by a bootstrap that draws the same photographs for both.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sandglass.core.config import altered
from sandglass.core.cores import cpu_count
from sandglass.core.files import write_whole
from sandglass.data.pack import open_pack
from sandglass.data.results import read_results, write_results
from sandglass.data.sets import read_set
from sandglass.evaluation.compare import compare
from sandglass.evaluation.evaluate import evaluate
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import read_spec
from sandglass.models.zoo import build, cost
from sandglass.recipes import find_recipe
from sandglass.training.config import RunConfig

SANDGLASS = [sys.executable, "-m", "sandglass"]
FIGURES = {"coco@val": "AP", "lsp@test": "PCK@0.2", "mpii@val": "PCKh@0.5"}
COMPARED = ("coco@val", "lsp@test")  # where `sandglass compare` says what a run has more than the first


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One way of learning.

    set: fields of config.json; train: data sets, with weights; drawn: learn from so many drawn people in their place;
    start: the entry whose model (of the same seed) it starts from.
    """

    name: str
    recipe: str
    set: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    drawn: int = 0
    start: str = ""
    seeds: int = 1


@dataclass(frozen=True)
class Bench:
    """The folders, the budget and the machine that all entries share."""

    people: Path
    out: Path
    minutes: float
    images: int
    machine: tuple[str, ...]

    def run(self, entry: Entry, seed: int) -> Path:
        """The folder of one run."""
        return self.out / slug(entry.name) / f"seed{seed}"

    def config(self, entry: Entry) -> RunConfig:
        return altered(find_recipe(entry.recipe), entry.set)

    def budget(self, entry: Entry) -> list[object]:
        return ["--minutes", self.minutes] if self.minutes else ["--steps", self.images // self.config(entry).batch]


def main() -> None:
    given = parse()
    listing = tomllib.loads(given.listing.read_text("utf-8"))
    entries, scored = read_entries(listing), listing["common"]["score"]
    bench = Bench(given.people, given.out, given.minutes, given.images, machine(given))
    chosen = [entry for entry in entries if not given.only or entry.name in given.only]
    if missing := set(given.only) - {entry.name for entry in entries}:
        sys.exit(f"{given.listing} has no entry {sorted(missing)}")
    work = [] if given.table else [(seed, e) for e in chosen for seed in range(e.seeds)]
    for seed, entry in sorted(work, key=lambda pair: pair[0]):  # every entry once, then again
        train(bench, entry, seed)
        for name in scored:
            score(bench, bench.run(entry, seed), name)
        report(bench, entries, scored)
    if given.table:
        report(bench, entries, scored)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="folder that holds the data sets")
    parser.add_argument("out", type=Path)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, default=0.0)
    budget.add_argument("--images", type=int, default=0)
    budget.add_argument("--table", action="store_true")
    parser.add_argument("--listing", type=Path, default=Path(__file__).with_name("bench.toml"))
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    return parser.parse_args()


def machine(given: argparse.Namespace) -> tuple[str, ...]:
    return ("--device", given.device, "--threads", str(given.threads), "--workers", str(given.workers))


def read_entries(listing: dict[str, Any]) -> list[Entry]:
    """The entries of a listing. Who names no data sets takes the common ones; what is set for a recipe is set first."""
    found = []
    for table in listing["entry"]:
        usual = listing.get("recipe", {}).get(table["recipe"], {}).get("set", ())
        train = tuple(table.get("train", listing["common"]["train"]))
        found.append(Entry(**table | {"set": (*usual, *table.get("set", ())), "train": train}))
    return found


def train(bench: Bench, entry: Entry, seed: int) -> None:
    run = bench.run(entry, seed)
    if (run / "done").exists():
        return
    if (run / "config.json").exists():
        call("train", "--resume", run, *bench.budget(entry), *bench.machine)
    else:
        start = ["--init", bench.out / slug(entry.start) / f"seed{seed}" / "last.safetensors"] if entry.start else []
        settings = ["--set", *entry.set] if entry.set else []
        words = ["train", entry.recipe, "--data", packed(bench, entry), "--out", run, "--seed", seed]
        call(*words, *settings, *start, *bench.budget(entry), *bench.machine)
    (run / "done").touch()


def packed(bench: Bench, entry: Entry) -> Path:
    """The people of an entry in one file, which other entries use too if they cut and choose them alike."""
    config = bench.config(entry)
    if entry.drawn and not (bench.out / "drawn").exists():
        call("data", "draw", "--out", bench.out / "drawn", "--people", entry.drawn, "--val-people", 1)
    sets = [f"{bench.out}/drawn@train"] if entry.drawn else [f"{bench.people}/{name}" for name in entry.train]
    mark = hashlib.sha256(repr((sets, config.crop, config.filter)).encode()).hexdigest()[:12]
    path = bench.out / "packs" / f"{mark}.pack"
    if not path.exists():
        settings = ["--set", *entry.set] if entry.set else []
        path.parent.mkdir(parents=True, exist_ok=True)
        call("data", "pack", *sets, "--recipe", entry.recipe, *settings, "--out", path, *bench.machine[-2:])
    return path


def score(bench: Bench, run: Path, name: str) -> None:
    """What `sandglass evaluate` finds, without its page and pictures."""
    out = run / slug(name)
    if (out / "scores.json").exists():
        return
    device, threads = bench.machine[1], int(bench.machine[3])
    torch.set_num_threads(threads or cpu_count())
    predictor = Predictor.load(run / "last.safetensors", device=device, runtime="torch")
    scores, predictions = evaluate(predictor, read_set(f"{bench.people}/{name}"), "coco-gt")
    out.mkdir(exist_ok=True)
    write_results(out / "predictions.json", predictions)
    scores.write(out)


def call(*words: object) -> None:
    line = [*SANDGLASS, *map(str, words)]
    print("$ sandglass", *line[len(SANDGLASS) :], flush=True)
    if status := subprocess.run(line, check=False).returncode:
        sys.exit(status)


def report(bench: Bench, entries: Sequence[Entry], scored: Sequence[str]) -> None:
    """The table as far as it goes, to the terminal, to OUT/bench.md and to OUT/bench.json."""
    runs = [(e, seed, bench.run(e, seed)) for e in entries for seed in range(e.seeds)]
    runs = [(e, seed, run) for e, seed, run in runs if all((run / slug(n) / "scores.json").exists() for n in scored)]
    rows = [described(bench, entry, seed, run, scored, runs[0][2]) for entry, seed, run in runs]
    write_whole(bench.out / "bench.json", json.dumps(rows, indent=2) + "\n")
    text = table(rows, scored)
    write_whole(bench.out / "bench.md", text)
    print(text, flush=True)


def described(bench: Bench, entry: Entry, seed: int, run: Path, scored: Iterable[str], first: Path) -> dict[str, Any]:
    """All that is known of one run."""
    spec, config = read_spec(run / "last.safetensors"), RunConfig.load(run)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    price = cost(build(spec), spec.codec.size)
    return {
        "entry": entry.name,
        "seed": seed,
        "folder": str(run.relative_to(bench.out)),
        "drawn": bool(entry.drawn),
        "share": config.filter.share,
        "people": len(open_pack(Path(config.train[0])).ids),
        "images": rows[-1]["step"] * config.batch,
        "seconds": max(row["seconds"] for row in rows if "seconds" in row),
        "network": {"name": spec.network, "options": dict(spec.options), "size": list(spec.codec.size)},
        "parameters": price.parameters,
        "gmac": price.gmac,
        "scores": {name: figure(run, name) for name in scored},
        "more": {} if run == first else {name: more(bench, first, run, name) for name in COMPARED if name in scored},
    }


def figure(run: Path, data: str) -> dict[str, Any]:
    name = FIGURES.get(data, "AP")
    scores = json.loads((run / slug(data) / "scores.json").read_text("utf-8"))
    low, high = scores["intervals"][name]
    return {"figure": name, "value": scores[name], "low": low, "high": high}


def more(bench: Bench, first: Path, run: Path, data: str) -> dict[str, Any]:
    """What `run` has more than the first run, on the same photographs, with its interval."""
    out = run / slug(data) / "compare.json"
    if not out.exists():
        people = read_set(f"{bench.people}/{data}")
        one, other = (read_results(path / slug(data) / "predictions.json", people.skeleton) for path in (first, run))
        found = compare(people, one, other, "coco-gt", names=(str(first), str(run)))
        write_whole(out, found.to_json())
    name = FIGURES.get(data, "AP")
    found = json.loads(out.read_text("utf-8"))["figures"][name]
    return {"figure": name, **{key: found[key] for key in ("difference", "low", "high", "real")}}


def table(rows: Sequence[dict[str, Any]], scored: Sequence[str]) -> str:
    """One line a run; differences that are real stand in bold."""
    compared = [name for name in COMPARED if name in scored]
    heads = ["", "people", "images seen", "GMAC", *(f"{FIGURES.get(name, 'AP')} on {name}" for name in scored)]
    heads += [f"{FIGURES[name]} more than the first" for name in compared]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        name = row["entry"] + (f", seed {row['seed']}" if row["seed"] else "")
        cells = [name, f"{row['people']:,}", f"{row['images']:,}", f"{row['gmac']:.3f}"]
        cells += ["{value:.3f} ({low:.3f} … {high:.3f})".format_map(row["scores"][name]) for name in scored]
        for found in (row["more"].get(name) for name in compared):
            told = "{difference:+.3f} ({low:+.3f} … {high:+.3f})".format_map(found) if found else ""
            cells.append(f"**{told}**" if found and found["real"] else told)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


if __name__ == "__main__":
    main()
