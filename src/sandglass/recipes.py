"""Named runs: plain functions that return a RunConfig. Sizes are (width, height) in pixels, sigmas in heatmap cells."""

from collections.abc import Callable
from dataclasses import replace
from math import log2

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.augment import STRENGTHS, AugmentConfig
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.training.config import RunConfig
from sandglass.training.losses import LossConfig
from sandglass.training.schedule import ScheduleConfig
from sandglass.training.step import OptimiserConfig


def classic() -> RunConfig:
    """The student project that sandglass rebuilds, true to its text where that is no mistake.

    Four stacks of 256 channels at 256x256, one-cell Gaussians, squared error with an 82-fold foreground, RMSprop
    at a constant rate, flip / rotation / scale / colour augmentation, and its decoder: to crop resolution, blur,
    largest pixel, absent below 0.04. What differs: the bottleneck is 4x4, unlabelled joints are masked, heatmaps
    (not coordinates) are averaged in the flip test, and the photograph goes on beyond the crop.
    """
    codec = CodecConfig(size=(256, 256), sigmas=(1.0,), kind="heatmap", decoder="upscale", threshold=0.04)
    return RunConfig(
        recipe="classic",
        model=ModelSpec(
            network="hourglass",
            options={"stacks": 4, "channels": 256, "depth": 4},
            codec=codec,
            skeleton=COCO17,
            padding=1.3,
        ),
        augment=STRENGTHS["medium"],
        loss=LossConfig(name="weighted_mse"),
        optimiser=OptimiserConfig(name="rmsprop", lr=2.5e-4),
        schedule=ScheduleConfig(warmup=0, decay="constant"),
        batch=16,
        average=0.0,
        precision="fp32",
    )


def swift() -> RunConfig:
    """What learns fastest here: cross-entropy of spatial softmaxes, Muon, moving average, sub-pixel decoding.

    One slim stack at 128x128, wider where the maps are small. Every part of it is a flag; LOG.md has what each
    was worth.
    """
    codec = CodecConfig(size=(128, 128), sigmas=(0.7,), kind="distribution", decoder="dark", smooth=1.0, threshold=0.2)
    return RunConfig(
        recipe="swift",
        model=ModelSpec(
            network="hourglass",
            options={"stacks": 1, "channels": 64, "growth": 32, "depth": 3},
            codec=codec,
            skeleton=COCO17,
            padding=1.1,
        ),
        augment=AugmentConfig(
            flip=0.5, rotate=30, rotate_chance=0.6, scale=0.25, brightness=0.1, contrast=0.15, saturation=0.2
        ),
        loss=LossConfig(name="cross_entropy"),
        optimiser=OptimiserConfig(name="muon", lr=1.5e-2, weight_decay=0.3, clip=1.0),
        schedule=ScheduleConfig(warmup=100, decay="linear"),
        batch=16,
        average=0.995,
    )


def figures() -> RunConfig:
    """The demo's: `swift`, half as wide and with larger steps, so that two cores learn drawn people while one waits.

    In a run as short as the demo's a network that sees twice as many people is better than one that is twice as wide;
    everybody is seen a few times only, so of all augmentation the mirror alone pays.
    """
    config = resized(swift(), channels=32, lr=2.5e-2)
    model = replace(config.model, options={**config.model.options, "growth": 16, "stem": 3})
    return replace(config, recipe="figures", model=model, augment=AugmentConfig(flip=0.5), average=0.99, evaluations=4)


RECIPES: dict[str, Callable[[], RunConfig]] = {"classic": classic, "swift": swift, "figures": figures}


def find_recipe(name: str) -> RunConfig:
    """The config of a recipe. Raises BadInput for an unknown name."""
    if name not in RECIPES:
        raise BadInput(f"recipe '{name}' is not known; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()


def resized(
    config: RunConfig,
    *,
    size: tuple[int, int] | None = None,
    stacks: int | None = None,
    channels: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
) -> RunConfig:
    """A recipe with another crop (width, height), network or batch; None keeps the recipe's. Raises BadInput.

    Batch 0 means the largest that the device will hold.

    The hourglass of another crop is as deep as brings its longer side nearest to the paper's 4 cells.
    """
    codec = replace(config.model.codec, size=size) if size else config.model.codec
    depth = max(1, round(log2(max(size) / (4 * codec.stride)))) if size and min(size) > 0 else None
    asked = {"stacks": stacks, "channels": channels, "depth": depth}
    shape = {name: value for name, value in asked.items() if value is not None}
    model = replace(config.model, codec=codec, options={**config.model.options, **shape})
    optimiser = replace(config.optimiser, lr=lr) if lr is not None else config.optimiser
    fit = batch == 0
    return replace(config, model=model, optimiser=optimiser, batch=batch or config.batch, fit_batch=fit)
