"""Pictures of a data set: every panel shows what it was given, also for nobody and for a single joint."""

import numpy as np
import pytest

from sandglass.draw.census import LAST, counts_figure, sizes_figure, together_figure, visibility_figure
from sandglass.draw.plot import to_png


def test_bars_are_the_counts() -> None:
    figure = counts_figure(np.array([3, 1, 4, 1, 5, 9]), np.arange(20))
    joints, images = ([bar.get_height() for bar in axes.patches] for axes in figure.axes)  # type: ignore[attr-defined]
    assert joints == [3, 1, 4, 1, 5, 9]
    assert images[:LAST] == list(range(LAST)) and images[LAST] == sum(range(LAST, 20))


def test_everybody_is_in_the_histograms() -> None:
    figure = sizes_figure(np.array([0.5, 8, 100, 100, 4000]), np.array([0, 0.1, 0.5, 1, 1.7]))
    for axes in figure.axes:
        assert sum(bar.get_height() for bar in axes.patches) == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("k", [1, 17, 40])
def test_any_number_of_joints(k: int) -> None:
    joints = [f"joint_{j}$" for j in range(k)]
    for figure in (
        visibility_figure(joints, np.zeros((k, 3), np.int64)),
        together_figure(joints, np.full((k, k), np.nan)),
        counts_figure(np.zeros(k + 1, np.int64), np.zeros(2, np.int64)),
        sizes_figure(np.zeros(0), np.zeros(0)),
    ):
        assert to_png(figure, dpi=40).startswith(b"\x89PNG")
