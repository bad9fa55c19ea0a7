"""From pixels in memory to what the network trains on, crop and heatmaps: sandglass against the usual worker's way.

Ours: all that is random is drawn as numbers on the host, for a batch; one resampling, the colours and the heatmaps
of the batch are made on the device, from cuts that live there (as those of a pack do). The rival is what a worker
process of the usual repositories does for each sample: OpenCV warps the decoded photograph, NumPy changes the
colours, normalises, transposes and paints a Gaussian a joint, within three sigma. On a CPU both have one core. They
take turns in one process, medians count, and neither has to decode a file.
"""

import time
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import torch
from common import arguments, data, machine, seconds, show, wait
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.image import Photo
from sandglass.data.augment import AugmentConfig, Batch, Painter
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.filters import Filter, keep
from sandglass.data.loader import Loader, Order
from sandglass.data.sets import read_set
from sandglass.inference.runtimes import pick_device
from sandglass.models.codec import Codec, CodecConfig
from sandglass.training.machine import keep_memory

AUGMENT = AugmentConfig(flip=0.5, rotate=30, scale=0.25, brightness=0.2, contrast=0.2, saturation=0.3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDE, SIGMA = 4, 1.5  # pixels a cell; cells


class Ours:
    """Batches of numbers from the host; crops and targets on the device."""

    def __init__(self, crops: PersonCrops, batch: int, device: torch.device) -> None:
        size = crops.config.size
        order = Order([len(crops)], [1.0], 0)
        self.loader = Loader([crops], order, AUGMENT, crops.config, crops.skeleton, 0, 0, resident=True)
        self.painter = Painter(AUGMENT, size, MEAN, STD, device)
        self.painter.resident = torch.from_numpy(np.stack([crops[i].image for i in range(len(crops))])).to(device)
        self.codec = Codec(CodecConfig(size=size, sigmas=(SIGMA,), kind="heatmap"))
        self.batch, self.device, self.done = batch, device, 0

    def draw(self) -> Batch:
        self.done += self.batch
        return self.loader.batch(self.done - self.batch, self.done)

    def paint(self, batch: Batch) -> None:
        batch = batch.to(self.device)
        self.painter(batch)
        self.codec.encode(batch.keypoints, batch.weight)

    def both(self) -> None:
        self.paint(self.draw())


class Usual:
    """One sample after the other, on the host, stacked to a batch at the end."""

    def __init__(self, crops: PersonCrops, photos: list[Photo], batch: int) -> None:
        self.crops, self.photos, self.batch, self.done = crops, photos, batch, 0
        self.rng, (self.w, self.h) = np.random.default_rng(0), crops.config.size

    def both(self) -> None:
        samples = [self.sample((self.done + i) % len(self.crops)) for i in range(self.batch)]
        self.done += self.batch
        for part in zip(*samples, strict=True):
            torch.from_numpy(np.stack(part))

    def sample(self, i: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        people, rng, (w, h) = self.crops.people, self.rng, (self.w, self.h)
        x1, y1, x2, y2 = people.boxes[i]
        side = self.crops.config.padding * max((x2 - x1) / w, (y2 - y1) / h) * 1.25 ** rng.uniform(-1, 1)
        middle = (x1 + x2) / 2, (y1 + y2) / 2
        matrix = np.asarray(cv2.getRotationMatrix2D(middle, rng.uniform(-30, 30), 1 / side), np.float64)
        matrix[:, 2] += np.array([w, h]) / 2 - np.array(middle)
        crop = cv2.warpAffine(self.photos[people.image[i]], matrix, (w, h), flags=cv2.INTER_LINEAR)
        joints, visible = geometry.apply(matrix, people.keypoints[i]), people.visibility[i]
        if rng.random() < 0.5:
            crop, mirror = crop[:, ::-1], list(people.skeleton.mirror)
            joints, visible = (joints * (-1, 1) + (w, 0))[mirror], visible[mirror]
        pixels = crop.astype(np.float32) / 255
        grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
        pixels = grey[..., None] + (pixels - grey[..., None]) * 1.3 ** rng.uniform(-1, 1)
        pixels = (pixels - 0.5) * 1.2 ** rng.uniform(-1, 1) + 0.5 + rng.uniform(-0.2, 0.2)
        pixels = (np.clip(pixels, 0, 1) - np.array(MEAN)) / np.array(STD)
        maps, weight = heatmaps(joints / STRIDE, visible, (w // STRIDE, h // STRIDE))
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32), maps, weight


def heatmaps(
    joints: NDArray[np.float64], visible: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gaussians (K, h, w) one joint after the other, each in its small square; and the weight of each joint."""
    (w, h), reach = size, int(3 * SIGMA)
    maps, weight = np.zeros((len(joints), h, w), np.float32), (visible > 0).astype(np.float32)
    for k, (x, y) in enumerate(joints):
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        right, bottom = min(w, int(x) + reach + 1), min(h, int(y) + reach + 1)
        if not weight[k] or right <= left or bottom <= top:
            weight[k] = 0
            continue
        u, v = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
        maps[k, top:bottom, left:right] = np.exp(-((u - x) ** 2 + (v[:, None] - y) ** 2) / (2 * SIGMA**2))
    return maps, weight


@dataclass
class Rates:
    """Crops a second."""

    ours: float
    draw: float
    paint: float
    usual: float


def compare(ours: Ours, usual: Usual, rounds: int, batches: int) -> Rates:
    """Medians over turns of many batches of ours and a few of theirs."""
    turns: list[list[float]] = [[], [], [], []]
    drawn = ours.draw()
    for number in range(1 + rounds):  # the first warms up
        for rates, work, count in (
            (turns[0], ours.both, batches),
            (turns[1], ours.draw, batches),
            (turns[2], lambda: ours.paint(drawn), batches),
            (turns[3], usual.both, max(1, batches // 4)),
        ):
            wait(ours.device)
            began = time.perf_counter()
            for _ in range(count):
                work()
            wait(ours.device)
            if number:
                rates.append(count * ours.batch / seconds(began))
    return Rates(*map(median, turns))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", default="", metavar="FOLDER@SPLIT", help="photographs; else 100 drawn people")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--batch", type=int, default=0, help="32 on a CPU, else 256")
    parser.add_argument("--batches", type=int, default=0, help="in a turn; 8 on a CPU, else 100")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--people", type=int, default=200, help="of the data set, whose pictures are kept in memory")
    given = parser.parse_args()
    device = pick_device(given.device)
    keep_memory()  # as every run does
    cv2.setNumThreads(1)
    torch.set_num_threads(given.threads or 1)
    quick, small = given.quick, device.type == "cpu"
    crop = CropConfig(size=(64, 64) if quick else tuple(given.size))
    batch, batches = given.batch or (32 if small else 256), given.batches or (8 if small else 100)
    batch, batches, rounds = (4, 1, 1) if quick else (batch, batches, given.rounds)
    with data(given.data, 12 if quick else 100) as named:
        people, _ = keep(read_set(named), Filter())
        people = people.select(np.arange(min(len(people), given.people)))
        crops = PersonCrops(people, crop)
        photos = {int(row): crops.photo(int(np.flatnonzero(people.image == row)[0])) for row in set(people.image)}
        ours = Ours(crops, batch, device)
        usual = Usual(crops, [photos.get(row, np.empty(0, np.uint8)) for row in range(len(people.image_ids))], batch)
        rates = compare(ours, usual, rounds, batches)
    ratio = rates.ours / rates.usual
    w, h = crop.size
    show(
        f"Crops of {w} x {h} and their {len(people.skeleton)} heatmaps, batch {batch}; {machine(device)}",
        ("way", "crops/s"),
        [
            ["sandglass", f"{rates.ours:,.0f}"],
            ["  numbers alone, on the host", f"{rates.draw:,.0f}"],
            ["  crops and heatmaps alone, on the device", f"{rates.paint:,.0f}"],
            ["the usual worker, one core", f"{rates.usual:,.0f}"],
            ["ratio", f"{ratio:.2f}"],
        ],
        {
            "ratio": ratio, "crops_per_second": rates.ours, "usual_crops_per_second": rates.usual,
            "draw_per_second": rates.draw, "paint_per_second": rates.paint, "batch": batch,
            "machine": machine(device), "quick": quick,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
