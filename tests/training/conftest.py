"""A run that is over in a second: eight channels, crops of 64x64, the five people of `tiny_coco`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sandglass.data.figures import write_figures
from sandglass.recipes import swift
from sandglass.training.config import RunConfig

TinyRun = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def one_thread():
    """So that sums have one order; and other tests get their threads back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_run(tiny_coco: Path) -> TinyRun:
    """`tiny_run(steps=6, loss=...)`: swift on a tiny network; fields of its schedule may be named beside the others."""

    def make(data: Path = tiny_coco, **changes: Any) -> RunConfig:
        recipe = swift()
        model = replace(
            recipe.model,
            options={"stacks": 1, "channels": 8, "depth": 1},
            codec=replace(recipe.model.codec, size=(64, 64)),
        )
        ends = {name: changes.pop(name) for name in ("steps", "minutes", "warmup", "decay") if name in changes}
        schedule = replace(recipe.schedule, **({"warmup": 2} | ends))
        base: dict[str, Any] = {
            "model": model, "train": (f"{data}@train",), "schedule": schedule, "batch": 4, "precision": "fp32",
            "evaluations": 1, "log_every": 1, "threads": 1, "workers": 1, "device": "cpu",
        }  # fmt: skip
        return replace(recipe, **(base | changes))

    return make


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people: 16 in train, 4 in val."""
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, "train", 16, seed=3, workers=1)
    write_figures(folder, "val", 4, seed=3, workers=1)
    return folder
