"""Charts of mistakes: bars as long as they should be, nothing drawn for what is not defined."""

import math
from typing import Any

import numpy as np
import pytest

from sandglass.draw.diagnosis import COLOURS, HATCHED, mistake_costs, mistakes_by, precision_recall, reliability_diagram
from sandglass.draw.plot import THEME, to_png, to_svg


def drawn(figure: Any) -> Any:
    """The axes, with artists whose types matplotlib does not tell."""
    return figure.axes[0]


def words(figure):
    return [text.get_text() for text in drawn(figure).texts]


def test_costs_are_sorted_and_undefined_ones_left_out():
    figure = mistake_costs({"miss": 0.1, "swap": None, "jitter": 0.3, "unfound": math.nan, "scoring": -0.01})
    axes = drawn(figure)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["jitter", "miss", "scoring"]
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.1, -0.01]
    assert words(figure) == ["+0.300", "+0.100", "-0.010"]
    assert axes.get_xlim()[0] < -0.01 and axes.get_xlim()[1] > 0.3
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False, False, True]


def test_shares_are_stacked_to_one():
    rows = {
        "left_hip": {"good": 0.5, "jitter": 0.25, "miss": 0.25},
        "nose": {"good": math.nan, "jitter": None, "miss": math.nan},
    }
    figure = mistakes_by(rows)
    axes = drawn(figure)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["left hip", "nose"]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx([0.5, 0.75, 1])
    assert words(figure) == ["n/a"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["good", "jitter", "miss"]


def test_a_curve_is_named_with_what_it_adds():
    recall = np.linspace(0, 1, 101)
    curves = {"as it is": (recall < 0.5) * 1.0, "+ miss": (recall < 0.75) * 1.0, "+ unfound": np.ones(101)}
    axes = drawn(precision_recall(curves))
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["as it is  0.495", "+ miss  +0.248", "+ unfound  +0.257"]
    assert [bool(area.get_hatch()) for area in axes.collections] == [False, False, True]


def test_a_curve_that_is_not_defined_is_named_so():
    curves = {"as it is": np.full(101, 0.5), "+ miss": np.full(101, 0.4999), "+ unfound": [None] * 101}
    told = [text.get_text() for text in drawn(precision_recall(curves)).get_legend().get_texts()]
    assert told == ["as it is  0.500", "+ miss  +0.000", "+ unfound  n/a"]


def test_empty_bins_are_no_points():
    nan = math.nan
    figure = reliability_diagram({"as it is": ([nan, 0.5, 0.9], [nan, 0.2, 0.6], [0, 10, 30])})
    _, line = drawn(figure).lines
    assert line.get_xdata().tolist() == [0.5, 0.9] and line.get_ydata().tolist() == [0.2, 0.6]
    small, large = drawn(figure).collections[0].get_sizes()
    assert large > small


@pytest.mark.parametrize(
    ("draw", "nothing"),
    [
        (mistake_costs, {}),
        (mistakes_by, {}),
        (precision_recall, {}),
        (precision_recall, {"as it is": [math.nan] * 101}),
        (reliability_diagram, {}),
        (reliability_diagram, {"nobody": ([math.nan], [math.nan], [0])}),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_is_drawn_from_nothing(draw, nothing):
    assert to_png(draw(nothing)).startswith(b"\x89PNG")


def test_colours_are_the_themes():
    assert set(COLOURS.values()) <= set(THEME) and set(HATCHED) < set(COLOURS)
    svg = to_svg(mistakes_by({"nose": {"good": 0.5, "miss": 0.5}}), "mistakes", themed=True)
    assert "var(--blue)" in svg and "#0067c5" not in svg
