"""The One-Euro filter against its paper's formula, one number at a time; what it calms, and by how much it lags."""

import math

import numpy as np
import pytest

from sandglass.inference.smoothing import Jitter, OneEuro, SmoothingConfig

ALL = np.ones(4, bool)
SIZE = 100.0
RNG = np.random.default_rng(7)


def run(points, times, size=SIZE, present=None, config=None):
    """Points (T, K, 2) through a filter."""
    one_euro = OneEuro(points.shape[1], config)
    there = np.ones(points.shape[:2], bool) if present is None else present
    return np.array([one_euro(p, here, t, size) for p, here, t in zip(points, there, times, strict=True)])


def uneven(count):
    return np.cumsum(RNG.choice([1 / 60, 1 / 30, 1 / 15], count))


def test_agrees_with_the_formula_of_the_paper_for_uneven_times():
    times, points = uneven(40), RNG.normal(0, 30, (40, 4, 2)).cumsum(0)
    config = SmoothingConfig()

    def alpha(cutoff, step):
        return 1 / (1 + (1 / (2 * math.pi * cutoff)) / step)

    expected = np.empty_like(points)
    for k in range(4):
        place, speed = list(points[0, k]), [0.0, 0.0]
        expected[0, k] = place
        for t in range(1, 40):
            step = times[t] - times[t - 1]
            for axis in (0, 1):
                now = (points[t, k, axis] - place[axis]) / step / SIZE
                speed[axis] += alpha(config.speed_cutoff, step) * (now - speed[axis])
            cutoff = config.cutoff + config.beta * math.hypot(*speed)
            for axis in (0, 1):
                place[axis] += alpha(cutoff, step) * (points[t, k, axis] - place[axis])
            expected[t, k] = place
    assert np.abs(run(points, times) - expected).max() < 1e-9


@pytest.mark.parametrize("times", [np.arange(300) / 30, uneven(300)], ids=["even", "uneven"])
def test_a_still_person_is_calmed_and_found_better(times):
    truth = np.broadcast_to(RNG.uniform(0, 100, (4, 2)), (300, 4, 2))
    noisy = truth + RNG.normal(0, 1.0, truth.shape)
    before, after = Jitter(), Jitter()
    calm = run(noisy, times)
    for raw, smooth, t in zip(noisy, calm, times, strict=True):
        before.add(1, raw, ALL, t, SIZE)
        after.add(1, smooth, ALL, t, SIZE)
    assert after.value < before.value / 3
    assert np.abs(calm - truth)[30:].mean() < 0.6 * np.abs(noisy - truth)[30:].mean()


@pytest.mark.parametrize("speed", [0.1, 0.5, 2.0, 8.0])  # body sizes a second
def test_lag_has_a_bound_that_speed_cannot_pass(speed):
    times = np.arange(240) / 60
    truth = np.zeros((240, 4, 2))
    truth[..., 0] = (speed * SIZE * times)[:, None]
    lag = (truth - run(truth, times))[120:, :, 0] / SIZE  # body sizes
    config = SmoothingConfig()
    assert lag.min() >= 0 and lag.max() <= 1 / (2 * np.pi * config.beta) < 0.027
    assert lag.max() / speed <= 1 / (2 * np.pi * config.cutoff)  # seconds


def test_what_is_twice_as_large_is_smoothed_alike():
    times, points = uneven(30), RNG.normal(0, 10, (30, 4, 2)).cumsum(0)
    assert np.allclose(run(2 * points, times, size=2 * SIZE), 2 * run(points, times))


def test_absent_joints_are_let_through_and_leave_no_trace():
    times, points = np.arange(20) / 30, RNG.normal(0, 10, (20, 4, 2))
    present = np.ones((20, 4), bool)
    present[5:8, 0] = False
    other = np.where(present[..., None], points, 1e6)
    one, two = run(points, times, present=present), run(other, times, present=present)
    assert np.array_equal(one[present], two[present])
    assert np.array_equal(two[~present], other[~present])
    assert np.array_equal(one[:, 1:], run(points, times)[:, 1:])


def test_a_joint_that_was_away_for_long_starts_afresh():
    points = np.array([[[0.0, 0.0]], [[9.0, 9.0]]])
    assert np.array_equal(run(points, [0.0, 0.3])[1], points[1])
    assert (run(points, [0.0, 0.2])[1] < points[1]).all()


@pytest.mark.parametrize("wrong", [{"cutoff": 0}, {"beta": -1}, {"speed_cutoff": 0}, {"forget": -1}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match="must be positive"):
        SmoothingConfig(**wrong)


def test_jitter_is_the_acceleration_in_body_sizes():
    jitter, times = Jitter(), uneven(30)
    for t in times:
        falling = np.full((4, 2), [3.0 * t, 0.5 * 700 * t**2])
        jitter.add(1, falling, ALL, t, SIZE)
    assert jitter.value == pytest.approx(7.0)
    assert jitter.count == 28 * 4


def test_jitter_leaves_out_absent_joints_and_gaps():
    jitter = Jitter()
    assert np.isnan(jitter.value)
    for i in range(6):
        jitter.add(1, np.full((4, 2), 10.0 * i), ALL & (i != 2), i / 30, SIZE)
    assert jitter.count == 4 and jitter.value == pytest.approx(0, abs=1e-9)
    jitter.forget(set())
    jitter.add(1, np.zeros((4, 2)), ALL, 6 / 30, SIZE)
    jitter.add(1, np.zeros((4, 2)), ALL, 7 / 30, SIZE)
    assert jitter.count == 4
