"""What a run learns from: photographs and packs, mixed at will, give the same batches."""

import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.augment import STRENGTHS
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.filters import Filter
from sandglass.data.loader import Loader, Order
from sandglass.data.pack import PackedCrops
from sandglass.data.sets import parse_sets
from sandglass.data.sources import Sources, read_sources

STRONG = STRENGTHS["strong"]


def sources(crop: CropConfig, *names: Any, cache_bytes: int = 0) -> Sources:
    return read_sources(parse_sets(map(str, names)), crop, Filter(), cache_bytes, say=lambda text: None)


def loader(found: Sources, crop: CropConfig, workers: int = 0) -> Loader:
    order = Order([len(one) for one, _ in found.sets], [weight for _, weight in found.sets], 5)
    return Loader([one for one, _ in found.sets], order, STRONG, crop, COCO17, 5, workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_a_pack_are_those_from_the_photographs(
    tiny_coco: Path, tiny_pack: Path, crop: CropConfig, workers: int
) -> None:
    photos, packed = sources(crop, f"{tiny_coco}@train:0.5", f"{tiny_coco}@val"), sources(crop, tiny_pack)
    assert [type(one) for one, _ in packed.sets] == [PackedCrops, PackedCrops]
    want, got = (loader(found, crop, workers).batches(0, 4) for found in (photos, packed))
    for _ in range(8):
        a, b = next(want), next(got)
        assert all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    want.close()
    got.close()


def test_packs_and_photographs_mix_and_weights_multiply(
    tiny_coco: Path, tiny_pack: Path, make_pack: Any, crop: CropConfig, tmp_path: Path
) -> None:
    make_pack(tmp_path / "val.pack", f"{tiny_coco}@val:3", encoding="jpeg")
    (tmp_path / "mix.toml").write_text(f"[[set]]\npath = '{tmp_path / 'val.pack'}'\nweight = 0.25\n")
    found = sources(crop, f"{tiny_pack}:2", f"{tiny_coco}@train:0.3", tmp_path / "mix.toml")
    assert [(type(one), len(one), weight) for one, weight in found.sets] == [
        (PackedCrops, 5, 1.0),
        (PackedCrops, 3, 2.0),
        (PersonCrops, 5, 0.3),
        (PackedCrops, 3, 0.75),
    ]
    assert found.people == 16 and len(found.tallies) == 1 and found.skeleton == COCO17
    batch = loader(found, crop).batch(0, 30)
    assert batch.cuts.shape[0] == 30
    told = loader(found, crop).people(batch.index.numpy())
    assert (
        all(f" of {crops.source}" in told for crops, _ in found.sets) and len(re.findall(r"\d+(?=[,\]])", told)) == 30
    )


def test_the_memory_for_cuts_is_shared(tiny_coco: Path, make_pack: Any, crop: CropConfig, tmp_path: Path) -> None:
    make_pack(tmp_path / "a.pack", f"{tiny_coco}@train", f"{tiny_coco}@val", encoding="jpeg")
    cut = crop.cut_size[0] * crop.cut_size[1] * 3
    found = sources(crop, tmp_path / "a.pack", f"{tiny_coco}@train", cache_bytes=9 * cut)
    assert [one.cache_bytes // cut for one, _ in found.sets if isinstance(one, PackedCrops | PersonCrops)] == [5, 3, 1]


def test_mixtures_that_are_refused(tiny_coco: Path, tiny_pack: Path, crop: CropConfig, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is named twice; give it a weight of 2 more"):
        sources(crop, tiny_pack, f"{tiny_pack}:2")
    with pytest.raises(BadInput, match="pack again: sandglass data pack"):
        sources(CropConfig(size=(64, 64)), tiny_pack)
    with pytest.raises(BadInput, match=r"none\.pack: cannot be read"):
        sources(crop, tmp_path / "none.pack")


def test_the_fingerprint_is_of_all_the_content(
    tiny_coco: Path, tiny_pack: Path, make_pack: Any, crop: CropConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    marks = [sources(crop, *names).fingerprint for names in (
        [f"{folder}@train"], [f"{folder}@val"], [f"{folder}@train", f"{folder}@val"], [tiny_pack],
    )]  # fmt: skip
    assert len(set(marks)) == 4
    assert sources(crop, f"{tiny_coco}@train:0.5").fingerprint == marks[0]  # not of where, or how often
    photo = folder / "train" / "000003.png"
    photo.write_bytes(photo.read_bytes() + b"x")
    assert sources(crop, f"{folder}@train").fingerprint != marks[0]
    make_pack(tmp_path / "again.pack", f"{tiny_coco}@train:0.5", f"{tiny_coco}@val")
    assert sources(crop, tmp_path / "again.pack").fingerprint == marks[3]


def test_a_missing_photograph_is_told_and_its_people_left_out(
    tiny_coco: Path, crop: CropConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    (folder / "train" / "000002.png").unlink()
    specs, told = parse_sets([f"{folder}@train"]), []
    with pytest.raises(BadInput, match=r"1 of 3 photographs unusable \(the first: .*000002\.png, missing\)"):
        read_sources(specs, crop, Filter(), 0, told.append)
    monkeypatch.setattr("sandglass.data.sources.MAX_MISSING", 0.5)
    found = read_sources(specs, crop, Filter(), 0, told.append)
    assert found.people == 4 and "2 people left out, 1 photographs" in told[0]
