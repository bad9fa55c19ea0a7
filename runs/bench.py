"""The bench for recipes: train every entry of bench.toml on real photographs for one budget, score all, one table.

    runs/bench.py PEOPLE OUT --minutes 20              PEOPLE holds coco/, lspet/, lsp/ and mpii/ in the COCO layout
    runs/bench.py PEOPLE OUT --steps 2000 --only swift "swift, AdamW"

`--minutes` is the fairer budget on a quiet machine, `--steps` on one that is shared. What was finished is kept: the
same command goes on where it was interrupted. OUT/bench.md is the table: AP on coco@val, PCK@0.2 on lsp@test, PCKh@0.5
on mpii@val, each with its 95 % interval, the mean over the seeds; and what each entry has more than the first, by a
paired bootstrap over the photographs of coco@val.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

SANDGLASS = [sys.executable, "-m", "sandglass.cli"]
FIGURES = {"coco@val": "AP", "lsp@test": "PCK@0.2", "mpii@val": "PCKh@0.5"}


def main() -> None:
    arguments = parse()
    listing = tomllib.loads(arguments.listing.read_text("utf-8"))
    common = listing["common"]
    entries = [entry for entry in listing["entry"] if not arguments.only or entry["name"] in arguments.only]
    if missing := set(arguments.only) - {entry["name"] for entry in entries}:
        sys.exit(f"{arguments.listing} has no entry {sorted(missing)}")
    rows = []
    for entry in entries:
        runs = []
        for seed in range(arguments.seeds or entry.get("seeds", 1)):
            run = arguments.out / slug(entry["name"]) / f"seed{seed}"
            train(entry, common, arguments, run, seed)
            for name in common["score"]:
                evaluate(run, arguments.people, name, arguments.device)
            runs.append(run)
        rows.append((entry["name"], runs))
        report(arguments, common["score"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="folder that holds the data sets")
    parser.add_argument("out", type=Path)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, default=0.0)
    budget.add_argument("--steps", type=int, default=0)
    parser.add_argument("--listing", type=Path, default=Path(__file__).with_name("bench.toml"))
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=0, help="for every entry, in place of its own number")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


def train(entry: dict[str, Any], common: dict[str, Any], arguments: argparse.Namespace, run: Path, seed: int) -> None:
    if (run / "done").exists():
        return
    budget = ["--minutes", arguments.minutes] if arguments.minutes else ["--steps", arguments.steps]
    machine = ["--device", arguments.device, "--threads", arguments.threads]
    if (run / "config.json").exists():
        call("train", "--resume", run, *budget, *machine)
    else:
        sets = [f"{arguments.people}/{name}" for name in entry.get("train", common["train"])]
        settings = ["--set", *entry.get("set", [])] if entry.get("set") else []
        call("train", entry["recipe"], "--data", *sets, "--out", run, "--seed", seed, *settings, *budget, *machine)
    (run / "done").touch()


def evaluate(run: Path, people: Path, name: str, device: str) -> None:
    out = run / slug(name)
    if not (out / "scores.json").exists():
        call("evaluate", run / "last.safetensors", "--data", people / name, "--out", out, "--device", device)


def call(*words: object) -> None:
    line = [*SANDGLASS, *map(str, words)]
    print("$ sandglass", *line[len(SANDGLASS) :], flush=True)
    subprocess.run(line, check=True)


def report(arguments: argparse.Namespace, scored: Sequence[str], rows: Iterable[tuple[str, list[Path]]]) -> None:
    """The table as far as it goes, to the terminal and to OUT/bench.md."""
    rows = list(rows)
    budget = f"{arguments.minutes:g} minutes" if arguments.minutes else f"{arguments.steps:,} steps"
    heads = ["entry", "seeds", "images", *(f"{FIGURES.get(name, 'AP')} on {name}" for name in scored), "AP, more"]
    lines = [f"{budget} an entry", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, runs in rows:
        images = mean(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] for run in runs)
        batch = json.loads((runs[0] / "config.json").read_text())["batch"]
        cells = [name, str(len(runs)), f"{images * batch:,.0f}"]
        cells += [figure(runs, data) for data in scored]
        cells += ["" if runs == rows[0][1] else difference(rows[0][1][0], runs[0], scored[0], arguments.people)]
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "bench.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


def figure(runs: Sequence[Path], data: str) -> str:
    name = FIGURES.get(data, "AP")
    scores = [json.loads((run / slug(data) / "scores.json").read_text("utf-8")) for run in runs]
    low, high = (mean(s["intervals"][name][end] for s in scores) for end in (0, 1))
    return f"{mean(s[name] for s in scores):.3f} ({low:.3f} … {high:.3f})"


def difference(first: Path, run: Path, data: str, people: Path) -> str:
    """AP of `run` less that of `first`, seed 0 of both, with its interval."""
    out = run / "compare.json"
    if not out.exists():
        folders = [path / slug(data) for path in (first, run)]
        call("compare", *folders, "--data", people / data, "--out", out)
    found = json.loads(out.read_text("utf-8"))["figures"]["AP"]
    return f"{found['difference']:+.3f} ({found['low']:+.3f} … {found['high']:+.3f})"


def slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


if __name__ == "__main__":
    main()
