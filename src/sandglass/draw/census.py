"""A data set in pictures: joints a person, people an image, box sizes, visibility, and which joints come together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sandglass.draw.plot import BLUE, FAINT, INK, ORANGE, PANEL, bare_axes, blank_figure, name_series, plain, set_title

if TYPE_CHECKING:  # matplotlib takes a third of a second to import: only who draws pays
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = NDArray[np.int64] | NDArray[np.float64]

LAST = 12  # people an image: so many or more are one bar
BINS = 40


def counts_figure(joints: Numbers, people_an_image: Numbers, few: int = 5) -> "Figure":
    """Two panels: people with 0 ... K labelled joints (those with less than `few` in orange), images by people."""
    figure = blank_figure((2 * PANEL[0], PANEL[1]))
    axes = bare_axes(figure, (1, 2, 1))
    number = np.arange(len(joints))
    axes.bar(number, joints, 0.8, color=[ORANGE if n < few else BLUE for n in number])
    set_title(axes, "People by labelled joints")
    name_series(axes, [(f"fewer than {few}", ORANGE, "s"), (f"{few} or more", BLUE, "s")])
    axes.set_xlabel("labelled joints")
    _whole_numbers(axes)
    axes = bare_axes(figure, (1, 2, 2))
    last = min(LAST, len(people_an_image) - 1)
    images = [*people_an_image[:last], people_an_image[last:].sum()]
    axes.bar(range(last + 1), images, 0.8, color=BLUE)
    marks = [str(n) for n in range(last)] + [f"{last}+" if len(people_an_image) - 1 > last else str(last)]
    axes.set_xticks(range(last + 1), marks)
    set_title(axes, "Images by people on them")
    axes.set_xlabel("people")
    _whole_numbers(axes, ticks=False)
    return figure


def sizes_figure(sides: Numbers, cover: Numbers) -> "Figure":
    """Two panels: how many people there are by the longer side of their box, and by its share of the photograph."""
    figure = blank_figure((2 * PANEL[0], PANEL[1]))
    axes = bare_axes(figure, (1, 2, 1))
    sides = np.maximum(sides, 1)
    edges = np.geomspace(sides.min(initial=8), max(float(sides.max(initial=16)), 16) * 1.01, BINS + 1)
    edges[0] = 0.999 * sides.min(initial=8)  # rounding must not put the smallest outside
    axes.hist(sides, edges.tolist(), color=BLUE)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    set_title(axes, "People by box size")
    axes.set_xlabel("longer side of the box, pixels")
    _whole_numbers(axes, ticks=False)
    axes = bare_axes(figure, (1, 2, 2))
    axes.hist(np.clip(cover, 0, 1), np.linspace(0, 1, BINS + 1).tolist(), color=BLUE)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    set_title(axes, "People by share of the photograph")
    axes.set_xlabel("area of the box over area of the photograph")
    _whole_numbers(axes, ticks=False)
    return figure


def visibility_figure(joints: Sequence[str], states: Numbers) -> "Figure":
    """One bar a joint: visible, hidden, not labelled, as shares of people. states (K, 3): none, hidden, visible."""
    figure = blank_figure((PANEL[0] * 1.3, 0.9 + 0.24 * max(3, len(joints))))
    axes = bare_axes(figure)
    share = states / np.maximum(states.sum(1, keepdims=True), 1)
    rows = np.arange(len(joints))
    axes.barh(rows, share[:, 2], 0.72, color=BLUE)
    axes.barh(rows, share[:, 1], 0.72, left=share[:, 2], color=ORANGE, hatch="////", edgecolor="white", linewidth=0)
    for row, value in enumerate(share[:, 1:].sum(1)):
        axes.text(min(value + 0.012, 1.0), row, f"{value:.0%}", va="center", fontsize=8, color=FAINT)
    axes.set_yticks(rows, [plain(joint) for joint in joints])
    axes.set_ylim(len(joints) - 0.4, -0.6)
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.arange(0, 1.01, 0.2))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y", visible=False)
    set_title(axes, "Labels by joint")
    name_series(axes, [("visible", BLUE, "s"), ("hidden", ORANGE, "s")])
    return figure


def together_figure(joints: Sequence[str], given_other: Numbers) -> "Figure":
    """How often the column's joint is labelled where the row's is: (K, K) in 0..1, NaN where the row's never is."""
    side = 2.2 + 0.32 * max(4, len(joints))
    figure = blank_figure((side + 1.0, side))
    axes = bare_axes(figure)
    shown = axes.imshow(given_other, cmap="cividis", vmin=0, vmax=1)  # made for every kind of colour vision
    names = [plain(joint) for joint in joints]
    axes.set_xticks(range(len(joints)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(joints)), names)
    axes.grid(visible=False)
    if len(joints) <= 24:
        for row, column in np.ndindex(*given_other.shape):
            value = given_other[row, column]
            if np.isfinite(value):
                ink = "white" if value < 0.55 else INK
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=6.5, color=ink)
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, format=lambda value, _: f"{value:.0%}")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(colors=FAINT, labelsize=8.5, length=0)
    set_title(axes, "Labelled together: where the row's joint is, how often the column's is too (%)")
    return figure


def _whole_numbers(axes: "Axes", ticks: bool = True) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if ticks:
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.grid(axis="x", visible=False)
