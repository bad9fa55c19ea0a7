"""A run from a pack is the run from the photographs, to the bit; and no run goes on with other data than its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.data.packing import write_pack
from sandglass.data.sets import parse_sets
from sandglass.training.config import RunConfig
from sandglass.training.train import train

TinyRun = Callable[..., RunConfig]
QUIET = Console(quiet=True)


def losses(out: Path) -> list[float]:
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def packed(config: RunConfig, path: Path, *names: str) -> Path:
    write_pack(path, parse_sets(names), config.crop, config.filter)
    return path


def test_a_run_from_a_pack_is_the_run_from_photographs(tiny_run: TinyRun, tiny_coco: Path, tmp_path: Path) -> None:
    names = (f"{tiny_coco}@train:0.5", f"{tiny_coco}@val")
    config = tiny_run(steps=20)
    pack = packed(config, tmp_path / "a.pack", *names)
    train(tiny_run(steps=20, train=names), tmp_path / "photographs", console=QUIET)
    train(tiny_run(steps=20, train=(str(pack),)), tmp_path / "pack", console=QUIET)
    assert len(losses(tmp_path / "pack")) == 20
    assert losses(tmp_path / "pack") == losses(tmp_path / "photographs")


@pytest.mark.parametrize("kind", ["pack", "labels", "photographs"])
def test_a_run_does_not_go_on_with_other_data(tiny_run: TinyRun, tiny_coco: Path, tmp_path: Path, kind: str) -> None:
    folder, out = shutil.copytree(tiny_coco, tmp_path / "set"), tmp_path / "run"
    labels, photo = folder / "annotations" / "person_keypoints_train.json", folder / "train" / "000001.png"
    name = f"{folder}@train"
    if kind == "pack":
        name = str(packed(tiny_run(), tmp_path / "a.pack", name))
    train(tiny_run(steps=2, train=(name,)), out, console=QUIET)
    train(tiny_run(steps=4, train=(name,)), out, resume=True, console=QUIET)
    if kind == "photographs":
        photo.write_bytes(photo.read_bytes() + b"x")
    else:
        data = json.loads(labels.read_text())
        data["annotations"][0]["keypoints"][0] += 1
        labels.write_text(json.dumps(data))
    if kind == "pack":
        packed(tiny_run(), tmp_path / "a.pack", f"{folder}@train")
    with pytest.raises(BadInput, match="the labels, photographs or pack are not those it was made with"):
        train(tiny_run(steps=6, train=(name,)), out, resume=True, console=QUIET)
