"""Packed cuts in the memory of the device: then a batch costs the host nothing but numbers, and no copy of pixels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sandglass.data.crops import Crops
from sandglass.data.pack import PackedCrops

SHARE = 0.5  # of the device's free memory that cuts may take: the rest is for the network
BLOCK = 512  # cuts on their way to the device at a time


def room_for_cuts(device: torch.device) -> int:
    """Bytes that a device has to spare for cuts; none where its memory is the machine's, which maps the pack anyway."""
    return int(SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


def resident_cuts(sets: Sequence[Crops], device: torch.device, room: int, workers: int) -> Tensor | None:
    """All cuts (N, H, W, 3) uint8 on the device, in the order of the concatenated sets.

    None where they do not fit into `room` bytes, or are not all packed, in one size. Raises BadInput for a cut that
    is broken.
    """
    packed = [crops for crops in sets if isinstance(crops, PackedCrops)]
    sizes = {crops.pack.info.crop.cut_size for crops in packed}
    if len(packed) < len(sets) or len(sizes) != 1:
        return None
    people, (w, h) = sum(map(len, packed)), sizes.pop()
    if people * w * h * 3 > room:
        return None
    cuts = torch.empty((people, h, w, 3), dtype=torch.uint8, device=device)
    places = [(crops, i) for crops in packed for i in range(len(crops))]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, people, BLOCK):
            block = pool.map(lambda place: place[0][place[1]].image, places[start : start + BLOCK])
            cuts[start : start + BLOCK] = torch.from_numpy(np.stack(list(block)))
    return cuts
