"""Charts of a run: loss, learning rate, AP and PCK over steps; PCK by joint. matplotlib figures, nothing shown."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sandglass.core.skeleton import infer_mirror
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

Rows = Sequence[Mapping[str, Any]]
Series = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps, values

BINS = 300  # a long run is drawn by the lowest and highest value of so many stretches
MARKERS = "osD^"  # the second sign beside colour
HEADLINES = (("AP", BLUE), ("AP50", GREEN), ("AR", ROSE))


def training_curves(rows: Rows, protocol: str = "") -> "Figure":
    """All panels of a run in one figure: for a file beside the run. `protocol` names how AP was taken."""
    drawn = [draw for draw in PANELS if draw(rows, None, protocol)]
    figure = blank_figure((2 * PANEL[0], PANEL[1] * max(1, math.ceil(len(drawn) / 2))))
    for i, draw in enumerate(drawn):
        draw(rows, bare_axes(figure, (math.ceil(len(drawn) / 2), 2, i + 1)), protocol)
    return figure


def panels(rows: Rows, protocol: str = "") -> list["Figure"]:
    """The same panels, one figure each: for a page that lays them out itself. Panels without data are left out."""
    figures = []
    for draw in PANELS:
        if draw(rows, None, protocol):
            figures.append(blank_figure(PANEL))
            draw(rows, bare_axes(figures[-1]), protocol)
    return figures


def first_steps(rows: Rows, steps: int = 500) -> "Figure":
    """The loss of the first `steps` steps, every value: does it leave the plateau?"""
    x, y = series(rows, "loss")
    figure = blank_figure(PANEL)
    axes = bare_axes(figure)
    _loss(axes, x[x <= steps], y[x <= steps])
    set_title(axes, f"Loss of the first {steps:,} steps")
    return figure


def per_joint_bars(per_joint: Mapping[str, float | None], what: str = "PCK@0.2") -> "Figure":
    """One bar a joint, left and right of a pair together, from 0 to 1. None and NaN leave a gap, named 'n/a'."""
    names = list(per_joint)
    mirror = infer_mirror(names)
    groups = [(i,) if i == m else (i, m) for i, m in enumerate(mirror) if i <= m]
    figure = blank_figure((PANEL[0], 0.7 + 0.38 * max(1, len(groups))))
    axes = bare_axes(figure)
    for row, group in enumerate(groups):
        for joint, colour, y in zip(group, (BLUE, ORANGE), _lanes(row, len(group)), strict=False):
            value = number(per_joint[names[joint]])
            height = 0.34 if len(group) == 2 else 0.5
            known = math.isfinite(value)
            axes.barh(y, value if known else 0, height, color=colour if len(group) == 2 else FAINT)
            text = f"{value:.2f}" if known else "n/a"
            axes.text((value if known else 0) + 0.012, y, text, va="center", fontsize=8, color=FAINT)
    axes.set_yticks(range(len(groups)), [plain(_shared_name(names, group)) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    axes.grid(axis="y", visible=False)
    set_title(axes, f"{what} by joint")
    if any(len(group) == 2 for group in groups):
        name_series(axes, [("left", BLUE, "s"), ("right", ORANGE, "s")])
    return figure


def pck_curve(thresholds: Sequence[float], values: Mapping[str, Sequence[float]] | Sequence[float]) -> "Figure":
    """The share of joints within each threshold, for one curve or for several by name."""
    curves = values if isinstance(values, Mapping) else {"": values}
    figure = blank_figure(PANEL)
    axes = bare_axes(figure)
    for (name, curve), colour in zip(curves.items(), (BLUE, ORANGE, GREEN, ROSE, INK), strict=False):
        axes.plot(thresholds, [number(v) for v in curve], color=colour, linewidth=1.8, label=plain(name))
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(thresholds))
    set_title(axes, "PCK by threshold")
    axes.set_xlabel("threshold, of the reference length")
    if len(curves) > 1:
        axes.legend(frameon=False, loc="lower right", labelcolor=FAINT, fontsize=8.5)
    return figure


def series(rows: Rows, key: str) -> Series:
    """Steps and values of the rows that have `key` as a finite number: (n,), (n,)."""
    pairs = [(number(row.get("step")), number(row.get(key))) for row in rows]
    known = np.array([pair for pair in pairs if all(map(math.isfinite, pair))], np.float64).reshape(-1, 2)
    return known[:, 0], known[:, 1]


def smooth(values: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """The exponential moving average (n,) of about `span` values, unbiased at its beginning."""
    rate, average, weight = 2 / (max(1, span) + 1), 0.0, 0.0
    out = np.empty(len(values))
    for i, value in enumerate(values):
        average, weight = (1 - rate) * average + rate * value, (1 - rate) * weight + rate
        out[i] = average / weight
    return out


def thin(x: NDArray[np.float64], y: NDArray[np.float64], bins: int = BINS) -> Series:
    """The lowest and the highest value of each of `bins` stretches, in order: a line's outline in 2 x bins points."""
    if len(x) <= 2 * bins:
        return x, y
    keep: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), bins):
        keep |= {int(part[np.argmin(y[part])]), int(part[np.argmax(y[part])])}
    chosen = np.array(sorted(keep))
    return x[chosen], y[chosen]


def _steps(axes: "Axes") -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _loss(axes: "Axes", x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    axes.plot(*thin(x, y), color=BLUE, alpha=0.3, linewidth=0.8)
    axes.plot(*thin(x, smooth(y, max(5, len(y) // 50))), color=BLUE, linewidth=1.8)
    if len(y) and y.min() > 0 and y.max() > 30 * y.min():
        axes.set_yscale("log")
    _steps(axes)


def _draw_loss(rows: Rows, axes: "Axes | None", protocol: str) -> bool:
    x, y = series(rows, "loss")
    if axes is not None:
        _loss(axes, x, y)
        set_title(axes, "Training loss")
    return len(x) > 0


def _draw_scores(rows: Rows, axes: "Axes | None", protocol: str) -> bool:
    pck = sorted({key for row in rows for key in row if key.startswith("PCK@")})[:1]
    named = [(key, colour, series(rows, key)) for key, colour in (*HEADLINES, *((key, ORANGE) for key in pck))]
    named = [entry for entry in named if len(entry[2][0])]
    if axes is not None:
        for (_, colour, (x, y)), marker in zip(named, MARKERS, strict=False):
            axes.plot(x, y, color=colour, linewidth=1.8, marker=marker, markersize=4 if len(x) < 40 else 0)
        axes.set_ylim(0, 1)
        _steps(axes)
        set_title(axes, "Scores" + (f", {protocol}" if protocol else ""))
        name_series(axes, [(key, colour, marker) for (key, colour, _), marker in zip(named, MARKERS, strict=False)])
    return bool(named)


def _draw_rate(rows: Rows, axes: "Axes | None", protocol: str) -> bool:
    from matplotlib.ticker import MaxNLocator

    x, y = series(rows, "lr")
    if axes is not None:
        axes.plot(*thin(x, y), color=GREEN, linewidth=1.8)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter("{x:g}")
        _steps(axes)
        set_title(axes, "Learning rate")
    return len(x) > 0


def _draw_speed(rows: Rows, axes: "Axes | None", protocol: str) -> bool:
    x, y = series(rows, "images_per_second")
    if axes is not None:
        axes.plot(*thin(x, y), color=ROSE, linewidth=0.8, alpha=0.3)
        axes.plot(*thin(x, smooth(y, max(5, len(y) // 50))), color=ROSE, linewidth=1.8)
        axes.set_ylim(0, None)
        _steps(axes)
        set_title(axes, "Training speed, images per second")
    return len(x) > 0


# Each draws into `axes`, or with None only says whether there is anything to draw.
PANELS: tuple[Callable[[Rows, "Axes | None", str], bool], ...] = (_draw_loss, _draw_scores, _draw_rate, _draw_speed)


def _lanes(row: int, count: int) -> tuple[float, ...]:
    return (row - 0.18, row + 0.18) if count == 2 else (float(row),)


def _shared_name(names: Sequence[str], group: tuple[int, ...]) -> str:
    """'left_hip', 'right_hip' -> 'hip': the words both have."""
    words = [re.split(r"[_\-\s]+", names[j]) for j in group]
    shared = [word for word in words[0] if all(word in other for other in words)]
    return " ".join(shared or words[0])
