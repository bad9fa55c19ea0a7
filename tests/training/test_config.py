"""A run's config goes through JSON and comes back; what a hand has spoilt in it is told by the field's name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandglass.core.errors import BadInput
from sandglass.recipes import RECIPES, classic, swift
from sandglass.training.config import CONFIG_FILE, RunConfig
from sandglass.training.losses import LossConfig


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_goes_through_json_and_comes_back(name: str, tmp_path: Path) -> None:
    config = replace(RECIPES[name](), train=("a@train:2", "b@train"), val="a@val", seed=2**63 - 1)
    config.save(tmp_path)
    assert RunConfig.load(tmp_path) == config


def spoil(change: Callable[[dict[str, Any]], Any], folder: Path) -> str:
    """The message that a changed config.json is refused with."""
    swift().save(folder)
    data = json.loads((folder / CONFIG_FILE).read_text())
    change(data)
    (folder / CONFIG_FILE).write_text(json.dumps(data))
    with pytest.raises(BadInput) as caught:
        RunConfig.load(folder)
    message = str(caught.value)
    assert message.startswith(str(folder / CONFIG_FILE)) and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda c: c.update(colour="red"), ["RunConfig has no field", "colour"]),
        (lambda c: c["schedule"].update(epochs=3), ["ScheduleConfig has no field", "epochs"]),
        (lambda c: c.update(batch="many"), ["RunConfig.batch must be int, not 'many'"]),
        (lambda c: c.update(batch=True), ["RunConfig.batch must be int, not True"]),
        (lambda c: c.update(batch=16.5), ["RunConfig.batch must be int, not 16.5"]),
        (lambda c: c.update(train="coco@train"), ["RunConfig.train must be a list"]),
        (lambda c: c.update(train=[3]), ["RunConfig.train must be str, not 3"]),
        (lambda c: c.update(model=None), ["ModelSpec must be a table"]),
        (lambda c: c.pop("model"), ["model"]),
        (lambda c: c["optimiser"].update(name="adagrad"), ["OptimiserConfig.name must be one of", "adagrad"]),
        (lambda c: c["optimiser"].update(lr="fast"), ["OptimiserConfig.lr must be float, not 'fast'"]),
        (lambda c: c["optimiser"].update(betas=[0.9]), ["OptimiserConfig.betas must have 2 entries"]),
        (lambda c: c["model"]["codec"].update(size=[64, None]), ["CodecConfig.size must be int, not None"]),
        (lambda c: c["model"]["skeleton"].update(mirror=[0]), ["mirroring twice"]),
        (lambda c: c["filter"].update(min_joints=-1), ["neither can be negative"]),
    ],
)
def test_a_spoilt_field_is_named(change: Callable[[dict], Any], names: list[str], tmp_path: Path) -> None:
    message = spoil(change, tmp_path)
    assert all(name in message for name in names), message


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"a": ' * 100_000, "\udcff"])
def test_what_is_no_json_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=r"config\.json: "):
        RunConfig.load(tmp_path)


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"config\.json: not found; --resume takes the folder of a run"):
        RunConfig.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch": 1}, "batch 1 must be at least 2"),
        ({"batch": 9, "accumulate": 2}, "multiple of accumulate 2"),
        ({"accumulate": 0}, "multiple of accumulate 0"),
        ({"precision": "fp8"}, "precision 'fp8' is not known; choose auto, fp32 or bf16"),
        ({"average": 1.0}, "average must lie in"),
        ({"evaluations": 0}, "evaluations be at least 1"),
        ({"log_every": 0}, "log_every and evaluations be at least 1"),
        ({"save_minutes": 0}, "save_minutes positive"),
        ({"compile": "perhaps"}, "compile 'perhaps' is not known; choose auto, on or off"),
        ({"save_minutes": 0.0}, "save_minutes positive"),
        ({"seed": -1}, "seed -1 must lie in"),
        ({"loss": LossConfig(name="mse")}, "loss 'mse' needs a codec of kind 'heatmap', not 'distribution'"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(swift(), **fields)
    with pytest.raises(BadInput, match="needs a codec of kind 'distribution', not 'heatmap'"):
        replace(classic(), loss=LossConfig(name="cross_entropy"))


def test_the_crop_is_the_models() -> None:
    config = classic()
    assert (config.crop.size, config.crop.padding, config.crop.margin) == ((256, 256), 1.3, config.margin)
