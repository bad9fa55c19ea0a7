"""Recipes: each builds and is whole; classic keeps what is known of the seed, swift differs where it should."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.core.geometry import apply
from sandglass.core.skeleton import COCO17
from sandglass.data.augment import draw
from sandglass.models.hourglass import HourglassConfig
from sandglass.models.zoo import build, cost
from sandglass.recipes import RECIPES, classic, figures, find_recipe, resized, swift
from sandglass.training.config import RunConfig
from sandglass.training.losses import DISTRIBUTIONS


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_builds_and_leaves_data_and_length_to_the_user(name: str) -> None:
    config = find_recipe(name)
    assert isinstance(config, RunConfig) and config.recipe == name
    assert config.train == () and config.val == "" and not config.schedule.steps and not config.schedule.minutes
    w, h = config.model.codec.size
    with torch.device("meta"):
        network = build(config.model)
        outputs = network.eval()(torch.zeros(1, 3, h, w))
    stacks = config.model.options["stacks"]
    assert outputs.shape == (1, stacks, len(config.model.skeleton), *config.model.codec.shape)


def test_classic_is_the_seed() -> None:
    """Each fact as it stands in the description of that system, but for its mistakes."""
    config = classic()
    model, codec = config.model, config.model.codec
    assert (model.network, model.skeleton, model.padding) == ("hourglass", COCO17, 1.3)
    shape = HourglassConfig(**model.options)
    assert (shape.stacks, shape.channels, shape.growth, shape.blocks, shape.stem) == (4, 256, 0, 1, 7)
    assert codec.size == (256, 256) and codec.shape == (64, 64)
    assert codec.shape[0] // 2**shape.depth == 4, "its bottleneck, as in the paper"
    assert (codec.kind, codec.sigmas, codec.decoder, codec.threshold) == ("heatmap", (1.0,), "upscale", 0.04)
    assert config.loss.name in ("mse", "weighted_mse") and not config.loss.unlabelled and not config.loss.hardest
    assert config.optimiser.name == "rmsprop" and config.schedule.decay == "constant"
    assert (config.average, config.precision) == (0.0, "fp32"), "2020: no moving average, no bf16"
    assert (config.filter.min_joints, config.filter.min_box_area) == (5, 900)
    augment = config.augment
    assert (augment.flip, augment.rotate, augment.scale) == (0.5, 30, 0.25)
    assert augment.brightness > 0 and augment.blur > 0 and augment.noise > 0 and augment.holes > 0


def test_swift_is_todays_practice() -> None:
    config, old = swift(), classic()
    assert config.loss.name in DISTRIBUTIONS and config.model.codec.kind == "distribution"
    assert config.model.codec.decoder in ("dark", "mean"), "finer than a cell"
    assert (
        config.optimiser.name in ("muon", "adamw") and config.optimiser.weight_decay > 0 and config.optimiser.clip > 0
    )
    assert config.schedule.warmup > 0 and config.schedule.decay in ("linear", "cosine")
    assert config.average > 0.9 and config.precision == "auto"
    assert not config.loss.unlabelled
    assert config.filter == old.filter, "both learn from the same people"
    slim, wide = (cost(build(c.model), c.model.codec.size) for c in (config, resized(old, size=(64, 64))))
    assert slim.parameters < wide.parameters / 5


def test_figures_is_swift_for_a_short_while() -> None:
    config = figures()
    assert config.loss == swift().loss and config.model.codec.kind == swift().model.codec.kind
    assert config.optimiser.name == swift().optimiser.name


def test_recipes_are_new_each_time_and_unknown_ones_are_told() -> None:
    assert classic() == classic() and classic() is not classic()
    with pytest.raises(BadInput, match="recipe 'modern' is not known; choose one of classic, swift, figures"):
        find_recipe("modern")


def test_resized_changes_what_is_named_and_nothing_else() -> None:
    config = swift()
    assert resized(config) == config
    other = resized(config, size=(192, 256), stacks=3, channels=32, batch=6, lr=0.5)
    assert other.model.codec == replace(config.model.codec, size=(192, 256))
    assert (other.model.options["stacks"], other.model.options["channels"]) == (3, 32)
    assert other.model.options["growth"] == config.model.options["growth"]
    assert (other.batch, other.optimiser) == (6, replace(config.optimiser, lr=0.5))
    kept = replace(other, model=config.model, batch=config.batch, optimiser=config.optimiser)
    assert kept == config


@pytest.mark.parametrize(("size", "depth"), [((256, 256), 4), ((192, 256), 4), ((128, 128), 3), ((64, 64), 2)])
def test_another_crop_gets_the_depth_that_leaves_four_cells(size: tuple[int, int], depth: int) -> None:
    for recipe in RECIPES.values():
        config = resized(recipe(), size=size)
        assert config.model.options["depth"] == depth
        with torch.device("meta"):
            build(config.model)


@pytest.mark.parametrize(
    "changes", [{"size": (250, 256)}, {"size": (0, 64)}, {"size": (-64, 64)}, {"batch": 1}, {"lr": 0}]
)
def test_impossible_sizes_are_refused(changes: dict) -> None:
    with pytest.raises(BadInput):
        resized(swift(), **changes)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_augmented_crops_show_photograph_and_hardly_any_black(name: str) -> None:
    """The cut is larger than the crop. The strongest turn of the largest view leaves it by a little, in a few crops."""
    config = find_recipe(name)
    count, joints = 4000, len(COCO17)
    nobody = np.zeros((count, joints, 2)), np.zeros((count, joints))
    drawn = draw(config.augment, config.crop, COCO17, *nobody, 0, np.arange(count))
    w, h = config.crop.size
    grid = np.stack(np.meshgrid(np.linspace(0, w, 65), np.linspace(0, h, 65)), -1).reshape(-1, 2)
    seen = apply(drawn.cut_from_crop, np.broadcast_to(grid, (count, *grid.shape)))
    black = ((seen < 0) | (seen > np.array(config.crop.cut_size))).any(-1).mean(1)
    assert (black > 0).mean() < 0.1 and black.max() < 0.05 and black.mean() < 1e-3
