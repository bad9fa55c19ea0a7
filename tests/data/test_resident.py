"""Cuts that live on the device: the same crops from batches without pixels."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data import resident
from sandglass.data.augment import STRENGTHS, Painter
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.loader import Loader, Order
from sandglass.data.pack import PackedCrops, open_pack
from sandglass.data.resident import resident_cuts, room_for_cuts
from sandglass.data.sets import read_set

CPU = torch.device("cpu")


def opened(path: Path) -> list[PackedCrops]:
    pack = open_pack(path)
    return [PackedCrops(pack, number) for number in range(len(pack.info.sets))]


def test_all_cuts_in_the_order_of_the_sets(tiny_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "BLOCK", 3)  # two whole blocks and a part
    sets = opened(tiny_pack)
    cuts = resident_cuts(sets, CPU, 2**30, workers=2)
    want = np.stack([one[i].image for one in sets for i in range(len(one))])
    assert cuts is not None and torch.equal(cuts, torch.from_numpy(want))


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_crops_are_the_same_without_pixels_in_the_batch(
    tiny_coco: Path, make_pack: Any, tmp_path: Path, crop: CropConfig, encoding: str
) -> None:
    make_pack(tmp_path / "a.pack", f"{tiny_coco}@train:0.5", f"{tiny_coco}@val", encoding=encoding)
    sets, strong = opened(tmp_path / "a.pack"), STRENGTHS["strong"]
    order = Order([5, 3], [0.5, 1.0], 3)
    given = (sets, order, strong, crop, COCO17, 3, 1)
    with_pixels, without = Loader(*given).batch(0, 12), Loader(*given, resident=True).batch(0, 12)
    for f in fields(without):
        if f.name != "cuts":
            assert torch.equal(getattr(without, f.name), getattr(with_pixels, f.name)), f.name
    assert without.cuts.numel() == 0 and len(without) == 12
    painter = Painter(strong, crop.size, (0.5,) * 3, (0.25,) * 3, CPU)
    want = painter(with_pixels)
    painter.resident = resident_cuts(sets, CPU, 2**30, workers=1)
    assert torch.equal(painter(without), want)


def test_only_packs_that_fit(tiny_coco: Path, tiny_pack: Path, crop: CropConfig) -> None:
    sets = opened(tiny_pack)
    needed = 8 * crop.cut_size[0] * crop.cut_size[1] * 3
    assert resident_cuts(sets, CPU, needed - 1, 1) is None and resident_cuts(sets, CPU, needed, 1) is not None
    photos = PersonCrops(read_set(f"{tiny_coco}@val"), crop)
    assert resident_cuts([*sets, photos], CPU, 2**40, 1) is None
    assert room_for_cuts(CPU) == 0


def test_a_broken_cut_is_told_at_the_start(
    tiny_coco: Path, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack(tmp_path / "a.pack", f"{tiny_coco}@train", encoding="jpeg")
    sets = opened(tmp_path / "a.pack")
    object.__setattr__(sets[0].pack, "pixels", np.zeros_like(sets[0].pack.pixels))
    with pytest.raises(BadInput, match=r"a\.pack: person 1: not a picture"):
        resident_cuts(sets, CPU, 2**30, workers=2)
