"""Laws of the charts over training and of stacks."""

import math

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17
from sandglass.draw import curves, plot

RUN = [{"step": s, "loss": 3 / s, "images_per_second": 9.0} for s in range(10, 200, 10)] + [
    {"step": s, "AP": s / 400, "PCK@0.2": s / 300, "per_joint": dict.fromkeys(COCO17.joints, s / 300)}
    for s in (50, 100, 150)
]
OTHER = [{"step": s, "loss": 2 / s} for s in range(10, 100, 10)]


def lines(axes):
    return [line for line in axes.lines if len(np.asarray(line.get_xdata()))]


def test_each_run_is_a_line_and_what_nobody_has_no_chart():
    figures = curves.overlaid({"a": RUN, "b $x$": OTHER})
    assert [figure.axes[0].get_title(loc="left") for figure in figures] == [
        "Training loss", "AP", "PCK@0.2", "Training speed, images per second"
    ]  # fmt: skip
    assert [len(lines(figure.axes[0])) for figure in figures] == [2, 1, 1, 1]
    assert "b $x$" in plot.to_svg(figures[0], "loss")
    assert curves.overlaid({"b": OTHER})[0].legends == [] and len(curves.overlaid({"b": OTHER})) == 1
    assert curves.overlaid({}) == []


def test_a_run_keeps_its_colour_and_its_dash_in_every_chart():
    first, second = (curves.overlaid({"x": OTHER, "y": RUN})[i].axes[0].lines[-1] for i in (0, 1))
    assert (first.get_color(), first.get_linestyle()) == (second.get_color(), second.get_linestyle())
    many = curves.overlaid({str(i): OTHER for i in range(11)})[0].axes[0].lines
    looks = {(line.get_color(), str(vars(line)["_unscaled_dash_pattern"])) for line in many}
    assert len(looks) == 11  # colour and dash together tell them apart


def test_joints_stand_in_pairs_left_blue_right_orange():
    figure = curves.joint_curves({"a": RUN, "b": RUN})
    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["nose", "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    assert [line.get_color() for line in figure.axes[1].lines] == [plot.BLUE, plot.BLUE, plot.ORANGE, plot.ORANGE]
    assert {line.get_color() for line in figure.axes[0].lines} == {plot.INK}
    assert np.asarray(figure.axes[0].lines[0].get_ydata()).tolist() == pytest.approx([50 / 300, 100 / 300, 150 / 300])


def test_one_evaluation_is_no_curve_and_strange_rows_are_passed_over():
    assert curves.joint_curves({"a": RUN[:-2]}) is None
    assert curves.joint_curves({"a": OTHER}) is None and curves.joint_curves({}) is None
    strange = [{"step": 1, "per_joint": 3}, {"step": 2, "per_joint": {"tail": None}}, {"per_joint": {"tail": 0.5}}]
    assert curves.joint_curves({"a": strange}) is None
    figure = curves.joint_curves({"a": [{"step": s, "per_joint": {"$tail$": 0.1 * s}} for s in (1, 2)]})
    assert figure is not None and "$tail$" in plot.to_svg(figure, "tail")


def test_the_cost_curve_draws_stages_and_rules():
    stages = [(0.1, 0.3, 0.28, 0.32), (0.2, None, None, None), (0.3, 0.4, None, None)]
    axes = curves.cost_curve(stages, {"by score": [(0.3, 0.4), (0.1, 0.3)], "by movement": []}).axes[0]
    drawn = lines(axes)
    assert [np.asarray(line.get_xdata()).tolist() for line in drawn] == [[0.1, 0.1], [0.1], [0.3], [0.1, 0.3]]
    assert [text.get_text() for text in axes.texts] == ["1", "3"]
    assert axes.get_xlim()[0] == 0 and axes.get_xlim()[1] > 0.31


def test_dots_of_every_stack_and_gaps_where_nothing_is_known():
    stages = [{"nose": 0.2, "tail": None}, {"nose": 0.6, "tail": math.nan}]
    axes = curves.joints_by_stack(stages).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nose", "tail"]
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0.2, 0.6]
    assert plot.to_svg(axes.get_figure(), "stacks")  # type: ignore[arg-type]
