"""The pictures of a bench: first steps, what each idea is worth, what more people are worth, and score against cost.

    python runs/figures.py OUT [--docs docs] [--only ideas]    OUT is the folder of runs/bench.py

It writes first-steps.png, ideas.png, learning-curve.png, frontier.png and, of the model that ships, stages.png and
failures.png.
Milliseconds a person are taken here, once a network (OUT/speed.json; a quiet machine, please), by every runtime that is
installed; the picture shows the fastest. The last line is the trend of the learning curve, as JSON.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sandglass.core.files import write_whole
from sandglass.core.image import Photo, write_image
from sandglass.core.skeleton import Skeleton
from sandglass.draw.people import draw_pose
from sandglass.draw.plot import BLUE, FAINT, INK, ORANGE, bare_axes, blank_figure, name_series, set_title, to_png
from sandglass.draw.sheets import gallery
from sandglass.evaluation.findings import cost_curve
from sandglass.models.checkpoint import read_spec
from sandglass.models.codec import Codec
from sandglass.models.shipped import DEFAULT_MODEL, SHIPPED
from sandglass.models.spec import ModelSpec
from sandglass.training.config import LAST_FILE
from sandglass.training.journal import METRICS_FILE
from sandglass.training.losses import LOSSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
SETS = {"coco@val": "AP on coco@val", "lsp@test": "PCK@0.2 on lsp@test"}
ALL_OF_COCO = 134_214  # people of train2017 that the filters leave
NORMAL = 1.96
FIRST_STEPS = 500
PICTURES = ("first-steps", "ideas", "learning-curve", "frontier", "stages", "failures")
TILE = 220  # pixels
NEAR = 0.08  # of the axes: names would cover each other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the bench")
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parent.parent / "docs")
    parser.add_argument("--threads", type=int, default=1, help="for the timing")
    parser.add_argument("--no-speed", action="store_true", help="leave out the milliseconds")
    parser.add_argument("--only", nargs="*", default=PICTURES, choices=PICTURES, help="in place of all")
    given = parser.parse_args()
    rows = json.loads((given.out / "bench.json").read_text("utf-8"))
    for name in given.only:
        path = given.docs / f"{name}.png"
        if name == "failures":
            write_image(path, failures())
        else:
            write_whole(path, to_png(drawn(name, given, rows)))
    print(json.dumps({SETS[name]: trend(curve_points(rows), name) for name in SETS}))


def drawn(name: str, given: argparse.Namespace, rows: Rows) -> "Figure":
    if name == "first-steps":
        return first_steps(journal(given.out / rows[0]["folder"]), read_spec(given.out / rows[0]["folder"] / LAST_FILE))
    if name == "stages":
        return cost_curve(shipped()["ledger"])
    if name == "ideas":
        return ideas(rows)
    if name == "learning-curve":
        return learning_curve(rows)
    return frontier(networks(rows), {} if given.no_speed else timed(given.out, networks(rows), given.threads))


def shipped() -> dict[str, Any]:
    """The figures of the default model."""
    return json.loads(SHIPPED[DEFAULT_MODEL].with_suffix(".json").read_text("utf-8"))


# Failures


def failures() -> Photo:
    """The worst failures of the model that ships: what it said beside what is true, without the photograph."""
    told = next(iter(shipped()["sets"].values()))["failures"]
    skeleton = read_spec(SHIPPED[DEFAULT_MODEL]).skeleton
    tiles, captions = [], []
    for row in told:
        tiles += [stick(row[which], row["aspect"], skeleton) for which in ("said", "truth")]
        wrong = ", ".join(f"{row[kind]} {kind}" for kind in ("jitter", "inversion", "swap", "miss") if row[kind])
        captions += [f"said; OKS {row['oks']:.2f}\n{wrong}", f"true\nperson {row['person']}"]
    return gallery(tiles, 6, captions)


def stick(points: Sequence[Sequence[float] | None], aspect: float, skeleton: Skeleton) -> Photo:
    """A pose in its box on an empty tile, from shares of the box's sides; `aspect` is width over height."""
    box = TILE * np.array([aspect, 1.0]) / max(aspect, 1) * 0.7
    corner = (TILE - box) / 2
    places = np.array([point or (np.nan, np.nan) for point in points]) * box + corner
    outline = np.concatenate([corner, corner + box])
    present = np.array([point is not None for point in points])
    return draw_pose(np.full((TILE, TILE, 3), 60, np.uint8), places, present, skeleton, box=outline)


# The first steps


def journal(run: Path) -> Rows:
    lines = (run / METRICS_FILE).read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


def first_steps(rows: Rows, spec: ModelSpec) -> "Figure":
    """The loss of one run's first steps, and where it would stay if every map said nothing."""
    shown = [row for row in rows if row["step"] <= FIRST_STEPS]
    figure = blank_figure((6.4, 3.2))
    axes = bare_axes(figure)
    axes.plot([row["step"] for row in shown], [row["loss"] for row in shown], color=BLUE, linewidth=1.6)
    flat = plateau(spec)
    axes.axhline(flat, color=FAINT, linewidth=1)
    axes.annotate("every cell as likely as any other", (shown[-1]["step"], flat), (0, 4), textcoords="offset points",
                  ha="right", fontsize=8.5, color=FAINT)  # fmt: skip
    axes.set_ylim(0, 1.12 * flat)
    axes.set_xlabel("step")
    set_title(axes, "loss, nats a joint")
    return figure


def plateau(spec: ModelSpec) -> float:
    """The cross-entropy loss of maps that say nothing, in nats a joint: ln(cells) less the entropy of a target."""
    codec = Codec(spec.codec)
    target, _ = codec.encode(torch.tensor(spec.codec.size).float().view(1, 1, 2) / 2, torch.ones(1, 1))
    return float(LOSSES["cross_entropy"](torch.zeros_like(target), target).mean())


# What each idea is worth


def ideas(rows: Rows) -> "Figure":
    """What every run has more than the first, with its interval; the first again with another seed shows the noise."""
    from matplotlib.ticker import MaxNLocator

    others = [row for row in rows if row["more"] and not row["drawn"] and row["share"] == 1]
    figure = blank_figure((10.6, 1.0 + 0.3 * len(others)))
    for i, (data, title) in enumerate(SETS.items()):
        axes = bare_axes(figure, (1, 2, i + 1))
        for y, row in enumerate(others):
            found = row["more"][data]
            again = row["entry"] == rows[0]["entry"]
            colour = FAINT if again or not found["real"] else BLUE if found["difference"] > 0 else ORANGE
            axes.plot([found["low"], found["high"]], [y, y], color=colour, linewidth=2, solid_capstyle="round")
            axes.plot(found["difference"], y, "o" if found["real"] and not again else "D", color=colour, markersize=5)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_ylim(len(others) - 0.5, -0.5)
        axes.set_yticks(range(len(others)), [label(row, rows) for row in others] if i == 0 else [""] * len(others))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter("{x:+g}")
        axes.grid(axis="y", visible=False)
        first = rows[0]["scores"][data]["value"]
        set_title(axes, f"{title}, against {first:.3f} of {rows[0]['entry']}")
    return figure


def label(row: Mapping[str, Any], rows: Rows) -> str:
    name = rows[0]["entry"]
    if row["entry"] == name:
        return f"{name} with seed {row['seed']}"
    return row["entry"].removeprefix(f"{name}, ")


# What more people are worth


def curve_points(rows: Rows) -> Rows:
    """The first entry, and what differs from it in the number of people alone; fewest first."""
    whole = rows[0]["entry"]
    found = [row for row in rows if (row["entry"] == whole and not row["seed"]) or row["share"] < 1]
    return sorted(found, key=lambda row: row["people"])


def learning_curve(rows: Rows) -> "Figure":
    from matplotlib.ticker import NullLocator

    points = curve_points(rows)
    people = [row["people"] for row in points]
    figure = blank_figure((10.6, 3.2))
    for i, (data, title) in enumerate(SETS.items()):
        axes = bare_axes(figure, (1, 2, i + 1))
        whiskers(axes, people, [row["scores"][data] for row in points], BLUE, "o")
        axes.plot(people, [row["scores"][data]["value"] for row in points], color=BLUE, linewidth=1.2)
        axes.set_xscale("log", base=2)
        axes.set_xticks(people, [f"{n:,}" for n in people])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, None)
        axes.margins(x=0.06)
        axes.set_xlabel(f"people to learn from; each run saw {points[0]['images']:,} pictures")
        set_title(axes, title)
    return figure


def whiskers(axes: "Axes", x: Sequence[float], scores: Sequence[Mapping[str, float]], colour: str, marker: str) -> None:
    for at, score in zip(x, scores, strict=True):
        axes.plot([at, at], [score["low"], score["high"]], color=colour, linewidth=1.6, alpha=0.6)
        axes.plot(at, score["value"], marker, color=colour, markersize=6)


def trend(points: Rows, data: str) -> dict[str, Any] | None:
    """The straight line through score over log2(people), by weighted least squares, and where it is at all of COCO.

    Its interval knows the photographs, not the seeds; `real` is whether the slope's leaves out 0. None for fewer than
    three points.
    """
    if len(points) < 3:
        return None
    x = np.log2([row["people"] for row in points])
    y, spread = (np.array(values) for values in zip(*(middle(row["scores"][data]) for row in points), strict=True))
    design = np.stack([np.ones_like(x), x], 1) / spread[:, None]
    covariance = np.linalg.inv(design.T @ design)
    line = covariance @ design.T @ (y / spread)
    slope = NORMAL * float(np.sqrt(covariance[1, 1]))
    there = np.array([1.0, np.log2(ALL_OF_COCO)])
    reach = NORMAL * float(np.sqrt(there @ covariance @ there))
    at = float(there @ line)
    return {
        "a doubling": [float(line[1]), float(line[1]) - slope, float(line[1]) + slope],
        "real": abs(float(line[1])) > slope,
        "all of COCO": [at, at - reach, at + reach],
        "points": [[row["people"], row["scores"][data]["value"]] for row in points],
    }


def middle(score: Mapping[str, float]) -> tuple[float, float]:
    """A score and its standard error."""
    return score["value"], max(1e-6, (score["high"] - score["low"]) / (2 * NORMAL))


# Score against cost


def networks(rows: Rows) -> Rows:
    """Runs with networks of their own, and the ways of learning that the first is measured against."""
    first, found = rows[0], [rows[0]]
    for row in rows[1:]:
        other = row["network"] != first["network"]
        if not row["seed"] and other and row["share"] == 1 and not row["drawn"]:
            found.append(row)
    return found


def timed(out: Path, rows: Rows, threads: int) -> dict[str, dict[str, dict[str, float]]]:
    """Entry -> runtime -> milliseconds; what is in OUT/speed.json is not taken again."""
    from pace import milliseconds

    place = out / "speed.json"
    found = json.loads(place.read_text("utf-8")) if place.exists() else {}
    for row in rows:
        if row["entry"] not in found:
            found[row["entry"]] = milliseconds(read_spec(out / row["folder"] / "last.safetensors"), threads)
            write_whole(place, json.dumps(found, indent=1) + "\n")
    return found


def frontier(rows: Rows, speed: Mapping[str, Mapping[str, Mapping[str, float]]]) -> "Figure":
    """Score over GMAC and over milliseconds: the family of the first entry, and the references."""
    from matplotlib.ticker import MaxNLocator

    costs = {"GMAC a look": {row["entry"]: row["gmac"] for row in rows}}
    if speed:
        fastest = {name: min(took["ms"] for took in of.values()) for name, of in speed.items()}
        costs["ms a person, fastest runtime, one thread"] = fastest
    figure = blank_figure((10.6, 3.1 * len(SETS)))
    ours = rows[0]["entry"]
    for r, (data, title) in enumerate(SETS.items()):
        for c, (what, cost) in enumerate(costs.items()):
            axes = bare_axes(figure, (len(SETS), len(costs), r * len(costs) + c + 1))
            taken: list[tuple[float, float]] = []
            for row in rows:
                family = row["entry"].startswith(ours)
                at, score = cost[row["entry"]], row["scores"][data]
                whiskers(axes, [at], [score], BLUE if family else ORANGE, "o" if family else "s")
                name = ours if row["entry"] == ours else label(row, rows)
                spot = at / max(cost.values()), score["value"] / rows[0]["scores"][data]["value"]
                near = sum(max(abs(a - b) for a, b in zip(spot, one, strict=True)) < NEAR for one in taken)
                place = (7, 4 + 14 * near)  # above the name of another that is there
                axes.annotate(name, (at, score["value"]), place, textcoords="offset points", fontsize=8, color=FAINT)
                taken.append(spot)
            axes.set_ylim(0, None)
            axes.set_xlim(0, 1.35 * max(cost[row["entry"]] for row in rows))
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.set_xlabel(what)
            set_title(axes, title)
            if r == 0 and c == len(costs) - 1:
                name_series(axes, [(ours, BLUE, "o"), ("reference", ORANGE, "s")])
    return figure


if __name__ == "__main__":
    main()
