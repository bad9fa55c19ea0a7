"""Drawn people for the doctor, and faults to plant into them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sandglass.core.pose import People
from sandglass.data.figures import write_figures
from sandglass.data.sets import read_set

Swap = Callable[..., tuple[People, set[int]]]

# What people who label exchange: an arm, a leg, a girdle against the rest.
PARTS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"), ("elbow", "wrist"), ("shoulder",), ("hip",))


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 drawn people in the COCO layout, split train. Do not write there."""
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, "train", 300, seed=5, workers=1)
    return folder


@pytest.fixture(scope="session")
def drawn(drawn_folder: Path) -> People:
    return read_set(f"{drawn_folder}@train")


@pytest.fixture(scope="session")
def swap() -> Swap:
    """`swap(people, rows)`: sides exchanged in parts of these people, and their ids."""

    def plant(people: People, rows: NDArray[np.int64]) -> tuple[People, set[int]]:
        rng = np.random.default_rng(1)
        keypoints, visibility = people.keypoints.copy(), people.visibility.copy()
        for i in rows:
            part = PARTS[rng.integers(len(PARTS))]
            for a, b in people.skeleton.pairs:
                if any(word in people.skeleton.joints[a] for word in part):
                    keypoints[i, [a, b]], visibility[i, [a, b]] = keypoints[i, [b, a]], visibility[i, [b, a]]
        return replace(people, keypoints=keypoints, visibility=visibility), set(people.ids[rows].tolist())

    return plant
