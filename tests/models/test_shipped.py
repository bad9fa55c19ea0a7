"""The model in the package: found by name, small enough to ride in a wheel, and taught nothing that it is scored on."""

import hashlib
import json
from pathlib import Path

import pytest

from sandglass.core.skeleton import COCO17
from sandglass.models.checkpoint import load_checkpoint, read_spec
from sandglass.models.shipped import DEFAULT_MODEL, SHIPPED, find_model, is_model

HELD_OUT = ("coco@val", "lsp@test", "mpii@val")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_loads_by_name_and_is_small(name: str) -> None:
    network, spec = load_checkpoint(name)
    assert spec.skeleton == COCO17 and sum(p.numel() for p in network.parameters()) > 100_000
    assert find_model(name).stat().st_size <= 15 * 2**20


@pytest.mark.parametrize("name", SHIPPED)
def test_it_was_trained_on_train_splits_alone(name: str) -> None:
    summary = read_spec(name).summary
    sets = [text.split(":")[0] for text in summary["train"]]
    assert sets and all(text.endswith("@train") for text in sets) and not set(sets) & set(HELD_OUT)


@pytest.mark.parametrize(("text", "expected"), [("a.safetensors", True), ("A.ONNX", True), ("m.xml", True),
                                                (DEFAULT_MODEL, True), ("a.jpg", False), ("a", False)])  # fmt: skip
def test_what_means_a_model(text: str, expected: bool) -> None:
    assert is_model(text) is expected and is_model(Path(text)) is expected


def test_a_path_stays_a_path(tmp_path: Path) -> None:
    assert find_model(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"


def test_no_held_out_photograph_is_among_those_to_learn_from(people_folder: Path) -> None:
    held_out, teaching = {}, {}
    for labels in people_folder.glob("*/annotations/person_keypoints_*.json"):
        folder, split = labels.parent.parent, labels.stem.removeprefix("person_keypoints_")
        photos = folder / split
        if photos.is_dir():
            place = held_out if f"{folder.name}@{split}" in HELD_OUT else teaching
            place |= {path: path.stat().st_size for path in photos.iterdir()}
    assert len(held_out) > 900 and len(teaching) > 14_000
    sizes = set(held_out.values())
    alike = [path for path, size in teaching.items() if size in sizes]  # only files of one size can be the same
    assert not {digest(path) for path in alike} & {digest(path) for path in held_out}


def test_no_held_out_coco_image_is_among_those_to_learn_from(people_folder: Path) -> None:
    ids = {
        split: {image["id"] for image in json.loads(path.read_bytes())["images"]}
        for split in ("train", "val")
        if (path := people_folder / "coco" / "annotations" / f"person_keypoints_{split}.json").is_file()
    }
    assert ids["val"] and ids["train"] and not ids["val"] & ids["train"]


def digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
