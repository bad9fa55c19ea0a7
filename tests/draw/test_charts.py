"""Laws of the charts."""

import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17
from sandglass.draw import charts, plot

ROWS = [
    {"step": 10, "loss": 2.0, "lr": 1e-3, "images_per_second": 50.0},
    {"step": 20, "loss": math.nan, "lr": 1e-3},
    {"step": 20, "AP": 0.1, "PCK@0.2": 0.3, "per_joint": {}},
    {"step": 30, "loss": 1.0, "lr": 5e-4, "images_per_second": None},
    {"step": 30, "AP": None, "PCK@0.2": 0.4},
]


def test_a_series_is_what_is_known():
    x, y = charts.series(ROWS, "loss")
    assert (x.tolist(), y.tolist()) == ([10, 30], [2.0, 1.0])
    assert charts.series(ROWS, "per_joint")[0].size == charts.series([], "loss")[0].size == 0


def test_smoothing_keeps_a_constant_and_begins_at_the_first_value():
    np.testing.assert_allclose(charts.smooth(np.full(50, 3.0), 10), 3.0, rtol=1e-12)
    values = np.array([4.0, 0.0, 1.0])
    smooth = charts.smooth(values, 3)  # weights 1, 1/2, 1/4
    np.testing.assert_allclose(smooth, [4, (0 + 4 / 2) / 1.5, (1 + 0 / 2 + 4 / 4) / 1.75], rtol=1e-12)


def test_thinning_keeps_the_ends_and_every_extreme():
    rng = np.random.default_rng(0)
    x, y = np.arange(50_000.0), rng.normal(size=50_000)
    tx, ty = charts.thin(x, y, 100)
    assert len(tx) <= 202
    assert (tx[0], tx[-1], ty.min(), ty.max()) == (0, 49_999, y.min(), y.max())
    assert (np.diff(tx) > 0).all()
    assert len(charts.thin(x[:10], y[:10], 100)[0]) == 10


def test_panels_without_data_are_left_out():
    assert len(charts.panels(ROWS)) == 4
    assert len(charts.panels([row for row in ROWS if "AP" in row])) == 1
    assert charts.panels([]) == []
    assert plot.to_png(charts.training_curves([])).startswith(b"\x89PNG")


def test_curves_name_their_protocol():
    assert "coco-gt" in plot.to_svg(charts.training_curves(ROWS, "coco-gt"), "curves")


def test_a_long_run_stays_a_small_chart():
    rows = [{"step": s, "loss": 1 + math.sin(s)} for s in range(20_000)]
    assert len(plot.to_svg(charts.panels(rows)[0], "loss")) < 80_000


def test_first_steps_are_drawn_up_to_their_end():
    axes = charts.first_steps([{"step": s, "loss": 1.0} for s in range(1, 2000)], 500).axes[0]
    assert np.asarray(axes.lines[0].get_xdata())[-1] == 500


def test_bars_group_left_and_right_and_name_what_is_unknown():
    values: dict[str, float | None] = dict.fromkeys(COCO17.joints, 0.5)
    values["left_ear"], values["right_ear"] = None, math.nan
    figure = charts.per_joint_bars(values)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["nose", "eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    assert [bar.get_extents().width > 0 for bar in figure.axes[0].patches] == [True] * 3 + [False] * 2 + [True] * 12
    assert [t.get_text() for t in figure.axes[0].texts].count("n/a") == 2


def test_bars_of_any_skeleton():
    assert plot.to_svg(charts.per_joint_bars({"tail": 0.3}), "tail")
    assert plot.to_svg(charts.per_joint_bars({f"joint{i}": 1.0 for i in range(70)}), "many")


def test_names_are_drawn_as_they_stand():
    for name in ("$\\frac$", "a$b", "\udcff\x00", "<b>"):
        svg = plot.to_svg(charts.per_joint_bars({name: 0.5}, what=name), name)
        assert ElementTree.fromstring(svg) is not None
    assert "$\\frac$ by joint" in plot.to_svg(charts.per_joint_bars({"a": 0.5}, what="$\\frac$"), "math")


def test_the_pck_curve_draws_each_name():
    figure = charts.pck_curve([0.0, 0.1, 0.2], {"hip": [0, 0.5, 0.9], "wrist": [0, 0.2, math.nan]})
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["hip", "wrist"]
    assert charts.pck_curve([0.0, 0.1], [0.0, 1.0]).axes[0].get_legend() is None


def test_svg_is_well_formed_the_same_again_and_says_its_label():
    once, again = (plot.to_svg(charts.panels(ROWS)[0], 'loss of "<x>" & y', themed=True) for _ in range(2))
    assert once == again
    assert ElementTree.fromstring(once).attrib["aria-label"] == 'loss of "<x>" & y'


def test_a_themed_svg_has_no_colour_and_no_style_of_its_own():
    svg = plot.to_svg(charts.panels(ROWS)[1], "scores", themed=True)
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    assert "var(--blue)" in svg
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_ids_of_two_charts_of_a_page_never_clash():
    svgs = [plot.to_svg(charts.panels(ROWS)[0], label) for label in ("one", "two")]
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in svgs]
    assert not ids[0] & ids[1]
    for svg, known in zip(svgs, ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == known


@pytest.mark.parametrize("module", ["charts", "curves", "people", "heatmaps"])
def test_nobody_pays_for_matplotlib_before_drawing(module):
    code = f"import sys, sandglass.draw.{module}; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_pyplot_alone():
    code = (
        "import sys\nfrom sandglass.draw import charts, plot\n"
        "plot.to_svg(charts.per_joint_bars({'a': 1.0}), 'a')\nsys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
