"""Charts of what a model gets wrong: kinds of mistakes, what each costs, how honest its scores are. matplotlib."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sandglass.draw.plot import (
    BLUE,
    FAINT,
    GREEN,
    GRID,
    ORANGE,
    PANEL,
    ROSE,
    bare_axes,
    blank_figure,
    name_series,
    number,
    plain,
    set_title,
)

if TYPE_CHECKING:  # matplotlib takes a third of a second to import: only who draws pays
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One colour a kind of mistake in every chart. Mistakes of joints are plain, those of whole people are hatched.
COLOURS: Mapping[str, str] = {
    "good": GRID, "jitter": GREEN, "inversion": ORANGE, "swap": ROSE, "miss": BLUE,
    "scoring": FAINT, "duplicate": ROSE, "background": ORANGE, "unfound": BLUE,
}  # fmt: skip
HATCHED = ("scoring", "duplicate", "background", "unfound")
ROW = 0.27  # inches a bar
Curve = tuple[Sequence[float], Sequence[float], Sequence[float]]  # claimed, true, how many


def mistake_costs(costs: Mapping[str, float | None], what: str = "AP gained by correcting one kind alone") -> "Figure":
    """One bar a kind, most expensive first; kinds whose cost is not defined are left out."""
    known = {name: number(cost) for name, cost in costs.items() if math.isfinite(number(cost))}
    names = sorted(known, key=lambda name: -known[name])
    figure = blank_figure((PANEL[0], 0.8 + ROW * max(1, len(names))))
    axes = bare_axes(figure)
    low, high = min([0.0, *known.values()]), max([0.01, *known.values()])
    for y, name in enumerate(names):
        _bar(axes, y, 0, known[name], name)
        axes.text(max(0, known[name]) + 0.012 * high, y, _signed(known[name]), va="center", fontsize=8, color=FAINT)
    _rows(axes, names)
    axes.set_xlim(1.05 * low, 1.16 * high)
    set_title(axes, what)
    return figure


def mistakes_by(rows: Mapping[str, Mapping[str, float | None]], what: str = "Mistakes by joint") -> "Figure":
    """Stacked bars from 0 to 1, one a row: good joints and each kind of mistake, as shares. NaN rows say 'n/a'."""
    kinds = [kind for kind in COLOURS if any(kind in shares for shares in rows.values())]
    figure = blank_figure((PANEL[0], 0.95 + ROW * max(1, len(rows))))
    axes = bare_axes(figure)
    for y, shares in enumerate(rows.values()):
        left = 0.0
        for kind in kinds:
            share = number(shares.get(kind))
            if math.isfinite(share):
                _bar(axes, y, left, share, kind)
                left += share
        if not left:
            axes.text(0.01, y, "n/a", va="center", fontsize=8, color=FAINT)
    _rows(axes, [name.replace("_", " ") for name in rows])
    axes.set_xlim(0, 1)
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    set_title(axes, what)
    _name_below(figure, kinds)
    return figure


def precision_recall(curves: Mapping[str, Sequence[float]], what: str = "Precision and recall") -> "Figure":
    """Precision (R,) at recalls from 0 to 1, first as it is, then after correcting kind after kind ("+ miss", …).

    What each correction wins is filled, as the COCO analysis tool draws it; beside it stands the area that it adds,
    or 'n/a' where a curve is not defined.
    """
    figure = blank_figure((PANEL[0], 3.6))
    axes = bare_axes(figure)
    below, area = 0.0, 0.0
    for i, (name, values) in enumerate(curves.items()):
        curve = np.array([number(value) for value in values])
        if not np.isfinite(curve).all():  # nobody is left to be found
            axes.fill_between([], [], label=plain(f"{name}  n/a"), facecolor=GRID)
            continue
        recall, top = np.linspace(0, 1, len(curve)), np.maximum(below, curve)
        label = f"{name}  {_signed(curve.mean() - area)}" if i else f"{name}  {curve.mean():.3f}"
        _fill(axes, recall, np.broadcast_to(below, curve.shape), top, name.removeprefix("+ "), label)
        below, area = top, curve.mean()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    set_title(axes, what)
    if curves:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, labelcolor=FAINT)
    return figure


def reliability_diagram(curves: Mapping[str, Curve], what: str = "Joint scores: said and true") -> "Figure":
    """For one or several sets of scores: how often a joint with such a score is right, against the score itself.

    A curve is (mean score, share right, joints) by bin; empty bins are left out. Honest scores lie on the diagonal.
    """
    figure = blank_figure((PANEL[0], 3.6))
    axes = bare_axes(figure)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    entries = []
    for (name, (claimed, true, count)), colour, marker in zip(
        curves.items(), (ORANGE, BLUE, GREEN, ROSE), "so^D", strict=False
    ):
        some = np.asarray(count) > 0
        share = np.asarray(count, np.float64)[some] / max(1, int(np.sum(count)))
        x, y = np.asarray(claimed, np.float64)[some], np.asarray(true, np.float64)[some]
        axes.plot(x, y, color=colour, linewidth=1.6)
        axes.scatter(x, y, s=12 + 260 * share, color=colour, marker=marker, linewidth=0)
        entries.append((name, colour, marker))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("score (larger signs: more joints)")
    set_title(axes, what)
    name_series(axes, entries)
    return figure


def _signed(value: float) -> str:
    shown = f"{value:+.3f}"
    return "+0.000" if shown == "-0.000" else shown


def _fill(
    axes: "Axes", x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], kind: str, label: str
) -> None:
    hatched = kind in HATCHED
    axes.fill_between(
        x, low, high, facecolor=COLOURS.get(kind, GRID), edgecolor=GRID if hatched else "none",
        hatch="////" if hatched else None, linewidth=0, label=plain(label),
    )  # fmt: skip


def _name_below(figure: "Figure", kinds: Sequence[str]) -> None:
    """The kinds' colours in one line under the axes: there are too many for the title's line."""
    from matplotlib.patches import Patch

    hatches = {kind: "////" if kind in HATCHED else None for kind in kinds}
    marks = [Patch(facecolor=COLOURS[k], edgecolor=GRID, hatch=hatches[k], label=k, linewidth=0) for k in kinds]
    figure.legend(
        handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, labelcolor=FAINT,
        handlelength=0.9, handletextpad=0.4, columnspacing=1.4, fontsize=8.5,
    )  # fmt: skip


def _bar(axes: "Axes", y: float, left: float, width: float, kind: str) -> None:
    hatch = "////" if kind in HATCHED else None
    axes.barh(y, width, 0.7, left=left, color=COLOURS.get(kind, FAINT), hatch=hatch, edgecolor=GRID, linewidth=0)


def _rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
