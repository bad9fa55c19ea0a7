"""Shared by tests of packs: how people are cut out, and packs of the tiny data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.data.crops import CropConfig
from sandglass.data.filters import Filter
from sandglass.data.packing import Packed, write_pack
from sandglass.data.sets import parse_sets

MakePack = Callable[..., Packed]


@pytest.fixture(scope="session")
def crop() -> CropConfig:
    return CropConfig(size=(48, 64))


@pytest.fixture(scope="session")
def make_pack(crop: CropConfig) -> MakePack:
    """`make_pack(path, "FOLDER@SPLIT", ..., encoding="jpeg")`."""

    def make(path: Path, *sets: str, **options: Any) -> Packed:
        return write_pack(path, parse_sets(sets), options.pop("crop", crop), Filter(), **options)

    return make


@pytest.fixture(scope="session")
def tiny_pack(tiny_coco: Path, make_pack: MakePack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train (5 people) at weight 0.5 and val (3 people), raw. Do not write there."""
    path = tmp_path_factory.mktemp("packs") / "tiny.pack"
    assert make_pack(path, f"{tiny_coco}@train:0.5", f"{tiny_coco}@val").people == 8
    return path


@pytest.fixture(scope="session")
def as_matlab() -> Callable[[Any], Any]:
    """`as_matlab([{...}, {...}])`: what SciPy writes as an array of structs; a lone {...} is one of one struct."""
    return _as_matlab


def _as_matlab(value: Any) -> Any:
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        return value
    table = np.empty((1, len(rows)), [(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, inner in row.items():
            table[name][0, i] = _as_matlab(inner)
    return table
