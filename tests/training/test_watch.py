"""A run is stopped in clear cases only: no number, or a thousand times the usual over most of a row."""

import math

import pytest

from sandglass.training.watch import Watch

ROW = [2.0, 2.1, 1.9, 2.0, 2.2]
FINE = [1.0] * 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_found_where_it_is(bad: float) -> None:
    found = Watch().wrong([2.0, 2.0, bad, bad, 2.0], FINE)
    assert found is not None and found[0] == 2 and found[1].startswith(f"the loss is {bad:g} and the gradient 1")
    found = Watch().wrong(ROW, [1.0, 1.0, 1.0, bad, 1.0])
    assert found is not None and found[0] == 3


def test_a_finite_explosion_is_found_with_its_first_step() -> None:
    watch = Watch()
    assert watch.wrong(ROW, FINE) is None
    found = watch.wrong([2.0, 2.0, 3e3, 4e5, 6e6], FINE)
    assert found is not None
    assert found == (2, "the loss is 3e+03, 1,500 times the usual 2")


@pytest.mark.parametrize(
    "row",
    [
        [2.0, 1e9, 2.0, 1e9, 2.0],  # some bad batches
        [1900.0] * 5,  # high, but from there runs have come back
        [0.0] * 5,
    ],
)
def test_what_may_pass_is_let_pass(row: list[float]) -> None:
    watch = Watch()
    assert watch.wrong(ROW, FINE) is None
    assert watch.wrong(row, FINE) is None


def test_a_first_row_and_a_loss_of_nothing_have_no_usual() -> None:
    assert Watch().wrong([1e9] * 5, FINE) is None
    watch = Watch()
    assert watch.wrong([0.0], [0.0]) is None and watch.wrong([5.0], [1.0]) is None


def test_the_usual_is_that_of_many_rows() -> None:
    """A slow rise by a factor of ten in each of a few rows does not become the usual at once."""
    watch = Watch()
    for _ in range(9):
        assert watch.wrong(ROW, FINE) is None
    for loss in (20.0, 200.0, 2000.0):
        assert watch.wrong([loss] * 5, FINE) is None
    assert watch.wrong([2.1e3] * 5, FINE) is not None
