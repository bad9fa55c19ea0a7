"""What a device holds and what pays on it, found by trying: the largest batch, and whether to compile."""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from sandglass.data.augment import Batch, draw, move
from sandglass.training.config import RunConfig
from sandglass.training.step import OptimiserConfig, Step

TRIALS = 5  # timed steps of a trial; their median counts


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how a device says that its memory is full."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def made_up(config: RunConfig, size: int) -> Batch:
    """A batch of `size` black cuts with every joint in the middle: it costs what a real one costs."""
    crop, skeleton = config.crop, config.model.skeleton
    w, h = crop.cut_size
    points = np.tile(np.array([w / 2, h / 2]), (size, len(skeleton), 1))
    weight = np.ones((size, len(skeleton)), np.float32)
    drawn = draw(config.augment, crop, skeleton, points, weight, config.seed, np.arange(size))
    points, weight = move(drawn, points, weight, skeleton)
    return Batch.of(np.zeros((size, h, w, 3), np.uint8), points, weight, drawn, np.zeros(size, np.int64))


def largest_batch(attempt: Callable[[int], object], most: int) -> int:
    """The largest power of two up to `most` that `attempt` takes without running out of memory; 0 if not even 2."""
    size = 0
    while max(2, 2 * size) <= most:
        try:
            attempt(max(2, 2 * size))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            break
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        size = max(2, 2 * size)
    return size


def scaled(config: OptimiserConfig, batch: int, recipe_batch: int) -> OptimiserConfig:
    """The learning rate for another batch: times the ratio for SGD (Goyal et al. 2017, arXiv:1706.02677).

    Times its root for optimisers that divide by the gradient's size (Malladi et al. 2022, arXiv:2205.10287).
    """
    ratio = batch / recipe_batch
    return replace(config, lr=config.lr * (ratio if config.name == "sgd" else ratio**0.5))


def compile_where_it_pays(step: Step, choice: str, batch: Batch) -> str:
    """Let the step call a compiled network if `choice` is "on", or "auto" and a trial is faster; says why, in a line.

    The network is as it was: its statistics are put back, no step of the optimiser is taken. A compiler that is
    missing or fails is no error.
    """
    if choice == "off" or (choice == "auto" and step.device.type != "cuda"):
        return ""
    plain, batch = step.model, batch.to(step.device)
    kept = [(buffer, buffer.clone()) for buffer in step.network.buffers()]
    try:
        before = _seconds(step, batch)
        began = time.monotonic()
        step.model = torch.compile(plain, dynamic=False)
        _run(step, batch)
        took = time.monotonic() - began
        after = _seconds(step, batch)
    except Exception as error:  # the compiler's own, the C++ compiler's, Triton's
        step.model = plain
        return f"not compiled: {type(error).__name__}, {(str(error).splitlines() or ['no reason given'])[0][:200]}"
    finally:
        for buffer, value in kept:
            buffer.copy_(value)
        step.optim.zero_grad(set_to_none=True)
    found = (
        f"{before / after:.2f} x as fast ({before * 1e3:.1f} -> {after * 1e3:.1f} ms), after {took:.0f} s of compiling"
    )
    if choice == "auto" and after >= before:
        step.model = plain
        return f"not compiled: forward and backward would be {found}"
    return f"compiled: forward and backward are {found}"


def _seconds(step: Step, batch: Batch) -> float:
    _run(step, batch)
    times = []
    for _ in range(TRIALS):
        began = time.monotonic()
        _run(step, batch)
        times.append(time.monotonic() - began)
    return median(times)


def _run(step: Step, batch: Batch) -> None:
    """Forward and backward, to the end."""
    step.network.train()
    step.forward(batch)[0].backward()
    if step.device.type == "cuda":
        torch.cuda.synchronize(step.device)
