"""Learning rate over a run, and the moving average of weights. Progress is a share of the run, 0..1."""

from dataclasses import dataclass, replace
from math import cos, pi
from typing import Literal

import torch
from torch import Tensor, nn

from sandglass.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How long a run lasts and how its learning rate moves. Give steps or minutes; the first to end, ends it."""

    steps: int = 0  # optimiser steps; 0: no limit
    minutes: float = 0.0  # wall clock from the first step, evaluation included; 0: no limit
    warmup: int = 100  # steps of linear rise
    decay: Literal["constant", "linear", "cosine"] = "linear"
    floor: float = 0.01  # share of the peak learning rate at the end

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.minutes >= 0 or self.warmup < 0 or not 0 <= self.floor <= 1:
            raise BadInput(f"a schedule takes no negative numbers, and a floor in 0..1: {self}")

    def until(self, steps: int, minutes: float) -> "ScheduleConfig":
        """The same schedule with another end, where one is given."""
        return replace(self, steps=steps, minutes=minutes) if steps or minutes else self


def progress(config: ScheduleConfig, step: int, seconds: float) -> float:
    """How much of the run is over: 1 when it is time to stop."""
    by_steps = step / config.steps if config.steps else 0.0
    by_time = seconds / (60 * config.minutes) if config.minutes else 0.0
    return min(1.0, max(by_steps, by_time))


def rate(config: ScheduleConfig, step: int, done: float) -> float:
    """The learning rate of a step, as a share of its peak."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + cos(pi * done))}[config.decay]
    return warm * (config.floor + (1 - config.floor) * shape if config.decay != "constant" else 1.0)


class Average:
    """Exponential moving average of a network's weights and running statistics (Polyak; EMA).

    It forgets faster in the beginning, so that the random start is gone after a few steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move toward the network's present weights; integer counters are copied."""
        keep = min(self.decay, (1 + step) / (10 + step))
        old: list[Tensor] = []
        new: list[Tensor] = []
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                old.append(self.tensors[name])
                new.append(tensor)
            else:
                self.tensors[name].copy_(tensor)
        torch._foreach_lerp_(old, new, 1 - keep)  # type: ignore[reportPrivateImportUsage]
