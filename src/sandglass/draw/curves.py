"""Charts over training, of one run or several, and of what each stack costs and earns. matplotlib figures."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sandglass.core.skeleton import infer_mirror
from sandglass.draw.charts import MARKERS, Rows, Series, series, smooth, thin
from sandglass.draw.plot import (
    BLUE,
    FAINT,
    GREEN,
    INK,
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

COLOURS = (BLUE, ORANGE, GREEN, ROSE, INK, FAINT)
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))  # the second sign beside colour
COMPARED = (
    ("loss", "Training loss"),
    ("AP", "AP"),
    ("PCK@0.2", "PCK@0.2"),
    ("images_per_second", "Training speed, images per second"),
)
ACROSS = 3  # small charts beside each other
Point = tuple[float, float]
Bar = tuple[float, float | None, float | None, float | None]  # cost, figure, and the ends of its interval


def overlaid(runs: Mapping[str, Rows]) -> list["Figure"]:
    """Loss, AP, PCK and speed over steps, one figure each with a line for every run; those without data left out."""
    figures = []
    for key, title in COMPARED:
        lines = {name: found for name, rows in runs.items() if len((found := series(rows, key))[0])}
        if not lines:
            continue
        figure = blank_figure((PANEL[0], PANEL[1] + 0.2 * math.ceil(len(runs) / 3)))
        axes = bare_axes(figure)
        for i, name in enumerate(runs):
            if name in lines:
                x, y = lines[name]
                y = smooth(y, max(5, len(y) // 50)) if key in ("loss", "images_per_second") else y
                axes.plot(*thin(x, y), color=_colour(i), linestyle=_dash(i), linewidth=1.7, label=plain(name))
        axes.set_ylim(0, 1 if key == "PCK@0.2" else None)
        _steps(axes)
        set_title(axes, title)
        if len(runs) > 1:
            _runs_below(figure)
        figures.append(figure)
    return figures


def joint_curves(runs: Mapping[str, Rows], what: str = "PCK@0.2") -> "Figure | None":
    """PCK of every joint over steps: a small chart for each joint or pair, left blue, right orange; a dash a run.

    Read from `per_joint` of the rows; None where no run has two of them.
    """
    curves = {name: _by_joint(rows) for name, rows in runs.items()}
    names = list(dict.fromkeys(joint for found in curves.values() for joint in found))
    if not any(len(x) > 1 for found in curves.values() for x, _ in found.values()):
        return None
    groups = [(i,) if i == m else (i, m) for i, m in enumerate(infer_mirror(names)) if i <= m]
    down = math.ceil(len(groups) / ACROSS)
    figure = blank_figure((2 * PANEL[0], 0.5 + 1.55 * down))
    for cell, group in enumerate(groups):
        axes = bare_axes(figure, (down, ACROSS, cell + 1))
        for joint, colour in zip(group, (BLUE, ORANGE), strict=False):
            for i, found in enumerate(curves.values()):
                if names[joint] in found:
                    shade = colour if len(group) == 2 else INK
                    axes.plot(*found[names[joint]], color=shade, linestyle=_dash(i), linewidth=1.5)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1])
        _steps(axes, small=True)
        axes.set_title(plain(_shared(names, group)), loc="left", x=0, color=INK, fontsize=9.5, pad=4)
    _sides_below(figure, list(runs), any(len(group) == 2 for group in groups))
    figure.suptitle(
        plain(f"{what} by joint over steps"), x=0.01, ha="left", color=INK, fontsize=10.5, fontweight="bold"
    )
    return figure


def cost_curve(stages: Sequence[Bar], rules: Mapping[str, Sequence[Point]], what: str = "AP") -> "Figure":
    """AP against the mean GMAC of one look at one crop.

    `stages`: the network cut after each stack, with its interval as a bar; `rules`: early exit by name, a line
    through its bounds.
    """
    figure = blank_figure((PANEL[0], 3.4))
    axes = bare_axes(figure)
    entries = [("cut", INK, "D")]
    for n, (cost, value, low, high) in enumerate(stages):
        if value is None:
            continue
        if low is not None and high is not None:
            axes.plot([cost, cost], [low, high], color=FAINT, linewidth=1.1)
        axes.plot([cost], [value], color=INK, marker="D", markersize=5.5, linestyle="none")
        axes.annotate(str(n + 1), (cost, value), (6, 5), textcoords="offset points", fontsize=8.5, color=FAINT)
    for (name, points), colour, marker in zip(rules.items(), COLOURS, MARKERS, strict=False):
        x, y = np.array(sorted(points), np.float64).reshape(-1, 2).T
        axes.plot(x, y, color=colour, linewidth=1.6, marker=marker, markersize=4)
        entries.append((name, colour, marker))
    axes.set_xlim(0, 1.08 * max((cost for cost, *_ in stages), default=1.0))  # room for the last sign and its number
    axes.set_xlabel("mean GMAC of one look at one crop")
    set_title(axes, what)
    name_series(axes, entries)
    return figure


def joints_by_stack(stages: Sequence[Mapping[str, float | None]], what: str = "PCK@0.2") -> "Figure":
    """One row a joint, one sign a stack, faint strokes and then a blue dot for the last: what later stacks settle."""
    names = list(stages[0])
    figure = blank_figure((PANEL[0], 0.8 + 0.2 * len(names)))
    axes = bare_axes(figure)
    for row, name in enumerate(names):
        values = [number(stage.get(name)) for stage in stages]
        if any(map(math.isfinite, values)):
            axes.plot([np.nanmin(values), np.nanmax(values)], [row, row], color=FAINT, linewidth=1)
        for n, x in enumerate(values[:-1]):
            axes.plot([x], [row], color=FAINT, marker="|", markersize=7)
            axes.annotate(
                str(n + 1), (x, row), (0, 4), textcoords="offset points", ha="center", fontsize=6.5, color=FAINT
            )
        axes.plot(values[-1:], [row], color=BLUE, marker="o", markersize=6)
    axes.set_yticks(range(len(names)), [plain(name.replace("_", " ")) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.8)
    axes.set_xlim(0, 1)
    set_title(axes, f"{what} by joint, after each stack")
    name_series(axes, [("last", BLUE, "o")])
    return figure


def _by_joint(rows: Rows) -> dict[str, Series]:
    """Joint -> steps and values."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        per_joint = row.get("per_joint")
        for joint, value in per_joint.items() if isinstance(per_joint, Mapping) else ():
            point = number(row.get("step")), number(value)
            if all(map(math.isfinite, point)):
                found.setdefault(str(joint), []).append(point)
    arrays = {joint: np.array(points, np.float64) for joint, points in found.items()}
    return {joint: (points[:, 0], points[:, 1]) for joint, points in arrays.items()}


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _dash(i: int):  # type: ignore[no-untyped-def]  # matplotlib's linestyles have no common type
    return DASHES[i % len(DASHES)]


def _steps(axes: "Axes", small: bool = False) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4 if small else 6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if not small:
        axes.set_xlabel("step")


def _shared(names: Sequence[str], group: tuple[int, ...]) -> str:
    words = [names[j].replace("_", " ").split() for j in group]
    return " ".join([word for word in words[0] if all(word in other for other in words)] or words[0])


def _runs_below(figure: "Figure") -> None:
    figure.legend(
        loc="outside lower left", ncols=3, frameon=False, labelcolor=FAINT, handlelength=1.8, columnspacing=1.4,
        fontsize=8.5,
    )  # fmt: skip


def _sides_below(figure: "Figure", runs: Sequence[str], sides: bool) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=c, label=name) for name, c in (("left", BLUE), ("right", ORANGE))] if sides else []
    if len(runs) > 1:
        marks += [Line2D([], [], color=FAINT, linestyle=_dash(i), label=plain(name)) for i, name in enumerate(runs)]
    if marks:
        figure.legend(
            handles=marks, loc="outside lower left", ncols=6, frameon=False, labelcolor=FAINT, handlelength=1.8,
            columnspacing=1.4, fontsize=8.5,
        )  # fmt: skip
