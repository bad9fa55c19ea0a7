"""Progress, learning rate and the moving average, against figures worked out by hand."""

import math

import pytest
import torch
from torch import nn

from sandglass.core.errors import BadInput
from sandglass.training.schedule import Average, ScheduleConfig, progress, rate


def test_progress_is_a_share_of_steps_or_of_minutes_whichever_ends_first() -> None:
    by_steps = ScheduleConfig(steps=200)
    assert [progress(by_steps, step, 1e9) for step in (0, 50, 200, 300)] == [0, 0.25, 1, 1]
    by_time = ScheduleConfig(minutes=2.0)
    assert [progress(by_time, 10**9, seconds) for seconds in (0, 30, 120, 500)] == [0, 0.25, 1, 1]
    both = ScheduleConfig(steps=100, minutes=1.0)
    assert progress(both, 90, 6.0) == 0.9 and progress(both, 10, 54.0) == 0.9 and progress(both, 10, 60.0) == 1


def test_warm_up_rises_in_equal_steps_and_starts_above_zero() -> None:
    config = ScheduleConfig(steps=1000, warmup=4, decay="constant")
    assert [rate(config, step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert rate(ScheduleConfig(steps=1000, warmup=0, decay="constant"), 0, 0.0) == 1


@pytest.mark.parametrize(
    ("decay", "shares"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.775, 0.55, 0.1]),
        ("cosine", [1, 0.1 + 0.9 * (2 + math.sqrt(2)) / 4, 0.55, 0.1]),
    ],
)
def test_decay_by_hand_ends_on_the_floor(decay, shares: list[float]) -> None:
    config = ScheduleConfig(steps=100, warmup=0, decay=decay, floor=0.1)
    assert [rate(config, 50, done) for done in (0, 0.25, 0.5, 1)] == pytest.approx(shares, rel=1e-12)


def test_warm_up_and_decay_multiply() -> None:
    config = ScheduleConfig(steps=100, warmup=10, decay="linear", floor=0.0)
    assert rate(config, 4, 0.2) == pytest.approx(0.5 * 0.8)


def test_another_end_replaces_both_limits_and_none_keeps_them() -> None:
    config = ScheduleConfig(minutes=5.0, warmup=7)
    assert config.until(30, 0.0) == ScheduleConfig(steps=30, warmup=7)
    assert config.until(0, 2.0) == ScheduleConfig(minutes=2.0, warmup=7)
    assert config.until(0, 0.0) is config


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": -1}, {"minutes": -0.1}, {"minutes": math.nan}, {"warmup": -1}, {"floor": 1.1}, {"floor": -0.1},
    ],
)  # fmt: skip
def test_impossible_schedules_are_refused(fields: dict) -> None:
    with pytest.raises(BadInput):
        ScheduleConfig(**fields)


def counting() -> nn.Module:
    """One weight, and a norm with running statistics and a counter."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.zeros_(network[0].weight)  # type: ignore[arg-type]
    return network


def test_average_has_its_closed_form() -> None:
    """With a start at 0 and weights that stay at 1 from then on, 1 minus the product of what each step keeps."""
    network = counting()
    average = Average(network, 0.9)
    nn.init.ones_(network[0].weight)  # type: ignore[arg-type]
    kept = 1.0
    for step in range(200):
        average.update(network, step)
        kept *= min(0.9, (1 + step) / (10 + step))
        assert float(average.tensors["0.weight"]) == pytest.approx(1 - kept, abs=1e-6)
    assert float(average.tensors["0.weight"]) == pytest.approx(1, abs=1e-6)


def test_average_of_a_line_lags_by_its_memory() -> None:
    """Weights that grow by 1 a step: the average of decay d ends d / (1 - d) behind."""
    network = counting()
    average = Average(network, 0.9)
    for step in range(400):
        nn.init.constant_(network[0].weight, step)  # type: ignore[arg-type]
        average.update(network, step)
    assert float(average.tensors["0.weight"]) == pytest.approx(399 - 9, abs=1e-3)


def test_the_random_start_is_forgotten_in_the_first_steps() -> None:
    network = counting()
    nn.init.constant_(network[0].weight, 1000.0)  # type: ignore[arg-type]
    average = Average(network, 0.999)
    nn.init.ones_(network[0].weight)  # type: ignore[arg-type]
    for step in range(5):
        average.update(network, step)
    assert abs(float(average.tensors["0.weight"]) - 1) < 1.0  # with 0.999 alone: 994


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    network = counting()
    average = Average(network, 0.5)
    network.train()(torch.tensor([[1.0], [3.0]]))
    network[1].running_mean.fill_(8.0)  # type: ignore[operator, union-attr]
    for step in range(20):
        average.update(network, step)
    assert torch.equal(average.tensors["1.num_batches_tracked"], torch.tensor(1))
    assert float(average.tensors["1.running_mean"]) == pytest.approx(8, abs=1e-3)


def test_without_memory_it_is_the_network() -> None:
    network = counting()
    average = Average(network, 0.0)
    nn.init.constant_(network[0].weight, 0.1234567)  # type: ignore[arg-type]
    average.update(network, 0)
    assert torch.equal(average.tensors["0.weight"], network.state_dict()["0.weight"])


def test_average_does_not_share_memory_with_the_network() -> None:
    network = counting()
    average = Average(network, 0.9)
    nn.init.constant_(network[0].weight, 5.0)  # type: ignore[arg-type]
    assert float(average.tensors["0.weight"]) == 0
