"""What all charts share: colours, a bare figure, its axes and title, and how it becomes SVG or PNG."""

import math
import re
from collections.abc import Sequence
from html import escape
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # matplotlib takes a third of a second to import: only who draws pays
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Written into the figure; `to_svg(themed=True)` turns each into a CSS variable, so that a page can recolour it.
INK, FAINT, GRID = "#24292f", "#6b7380", "#d9dde3"
BLUE, ORANGE, GREEN, ROSE = "#0067c5", "#d06a00", "#008566", "#b0407f"  # apart in every kind of colour blindness
THEME = {INK: "ink", FAINT: "faint", GRID: "grid", BLUE: "blue", ORANGE: "orange", GREEN: "green", ROSE: "rose"}

PANEL = (5.4, 3.0)  # inches, at 72 to the inch in SVG


def number(value: Any) -> float:
    """A value read from JSON as a number; NaN where it is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return math.nan


def printable(text: str) -> str:
    """Text without control characters and lone surrogates, which file names may hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def plain(text: str) -> str:
    """Text that matplotlib draws as it stands, also between dollars, where it would see a formula."""
    return printable(text).replace("$", r"\$")


def _salted(label: str, name: str) -> str:
    """An id that no other figure of the page has."""
    return re.sub(r"\W+", "-", label).strip("-").lower() + "-" + name


def blank_figure(size: tuple[float, float]) -> "Figure":
    """An empty figure of `size` (w, h) inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def bare_axes(figure: "Figure", cell: tuple[int, int, int] = (1, 1, 1)) -> "Axes":
    """Axes in a cell (rows, columns, which) of the figure, with a grid and without a frame."""
    axes = figure.add_subplot(*cell)
    axes.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=FAINT, labelsize=8.5, length=0)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.label.set(color=FAINT, fontsize=8.5)
    axes.margins(x=0.015)
    return axes


def set_title(axes: "Axes", text: str) -> None:
    """A title above the left edge."""
    axes.set_title(plain(text), loc="left", x=0, color=INK, fontsize=10.5, fontweight="bold", pad=9)


def name_series(axes: "Axes", entries: Sequence[tuple[str, str, str]]) -> None:
    """Name, colour and marker of each, at the right end of the title's line: no box over the data."""
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=c, label=plain(name), marker=m, ls="none", markersize=5) for name, c, m in entries]
    axes.legend(
        handles=marks,
        labelcolor=[colour for _, colour, _ in entries], loc="lower right", bbox_to_anchor=(1.02, 0.985),
        ncols=len(entries), frameon=False, handlelength=0.7, handletextpad=0.4, columnspacing=1.2, fontsize=8.5,
    )  # fmt: skip


def to_svg(figure: "Figure", label: str, *, themed: bool = False) -> str:
    """The figure as one <svg> element, its text as text; `label` is what a screen reader says.

    `themed`: colours are CSS variables (--ink, --faint, --grid, --blue, …), which the page around it defines.
    """
    import matplotlib as mpl

    label = printable(label)
    out = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<(metadata|style).*?</\1>\s*", "", svg, flags=re.DOTALL)  # a style would reach the whole page
    used = set(re.findall(r"#([A-Za-z]\w*)", svg))  # only what something points at keeps its id: pages hold many
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{_salted(label, m[1])}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)([A-Za-z]\w*)', lambda m: m[1] + _salted(label, m[2]), svg)
    if themed:
        svg = re.sub("|".join(THEME), lambda m: f"var(--{THEME[m[0]]})", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    head = f'<svg role="img" aria-label="{escape(label)}" style="stroke-linejoin: round" '
    return svg.replace("<svg ", head, 1)


def to_png(figure: "Figure", dpi: int = 144) -> bytes:
    """The figure as a PNG file on white."""
    out = BytesIO()
    figure.savefig(out, format="png", dpi=dpi, facecolor="white")
    return out.getvalue()
