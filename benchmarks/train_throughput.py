"""From JPEG bytes to optimiser step: sandglass against a plain PyTorch loop of the usual kind.

Both train the same network on the same people, in turn, in one process: a turn of ours, a turn of theirs, and again;
medians count. The rival is what repositories of this field do: DataLoader processes that decode with OpenCV, warp,
and paint a Gaussian a joint with NumPy; fp32, channels first, Adam, a mean of squares, `loss.item()` every step.
Ours reads the photographs as well: nothing is packed, and cuts are not kept in memory. On a busy machine the images
per second of the processor say more than those of the clock; what the rival's worker processes take is not in them.
"""

import argparse
import time
from dataclasses import replace
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from common import COLUMNS, Drive, Pace, arguments, cells, data, hourglass, machine, middle, ready, seconds, show, wait
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from sandglass.core.pose import People
from sandglass.data.sets import read_set
from sandglass.models.zoo import build
from sandglass.training.run import Run
from sandglass.training.step import uses_bf16

STRIDE, SIGMA = 4, 1.0


class UsualDataset(Dataset[tuple[NDArray[np.float32], NDArray[np.float32]]]):
    """One person at a time, finished on the CPU: crop (3, side, side), heatmaps (K, side / 4, side / 4)."""

    def __init__(self, people: People, side: int) -> None:
        self.people, self.side = people, side

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, i: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        cv2.setNumThreads(0)
        person, side, rng = self.people[i], self.side, np.random.default_rng()
        image = cv2.cvtColor(cv2.imread(str(person.image_path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        x1, y1, x2, y2 = person.box
        scale = 1.3 * max(x2 - x1, y2 - y1) * rng.uniform(0.75, 1.25)
        matrix = cv2.getRotationMatrix2D(((x1 + x2) / 2, (y1 + y2) / 2), rng.uniform(-30, 30), side / scale)
        matrix[:, 2] += side / 2 - np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        crop = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
        joints = person.keypoints @ matrix[:, :2].T + matrix[:, 2]
        visible = person.visibility.copy()
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
            joints[:, 0] = side - joints[:, 0]
            mirror = list(self.people.skeleton.mirror)
            joints, visible = joints[mirror], visible[mirror]
        crop = np.clip(crop.astype(np.float32) / 255 * rng.uniform(0.8, 1.2), 0, 1)
        crop = (crop - np.array([0.485, 0.456, 0.406], np.float32)) / np.array([0.229, 0.224, 0.225], np.float32)
        return np.ascontiguousarray(crop.transpose(2, 0, 1)), heatmaps(joints, visible, side // STRIDE)


def heatmaps(joints: NDArray[np.float64], visible: NDArray[np.uint8], cells: int) -> NDArray[np.float32]:
    """A Gaussian a joint, one after the other."""
    found = np.zeros((len(joints), cells, cells), np.float32)
    x, y = np.meshgrid(np.arange(cells), np.arange(cells))
    for k, (u, v) in enumerate(joints / STRIDE):
        if visible[k] and 0 <= u < cells and 0 <= v < cells:
            found[k] = np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * SIGMA**2))
    return found


class Usual:
    """The plain loop, on its own network of the same kind."""

    def __init__(self, run: Run) -> None:
        config, self.device = run.config, run.device
        people = read_set(config.train[0])
        people = people.select(people.labelled >= config.filter.min_joints)
        cuda = self.device.type == "cuda"
        loader = DataLoader(
            UsualDataset(people, config.model.codec.size[0]),
            config.batch,
            shuffle=True,
            num_workers=run.loader.workers,
            drop_last=True,
            pin_memory=cuda,
            persistent_workers=True,
            multiprocessing_context="forkserver" if cuda else None,
        )
        self.batches = self._endless(loader)
        self.network, self.batch = build(config.model).to(self.device), config.batch
        self.optim = torch.optim.Adam(self.network.parameters(), lr=2.5e-4)

    @staticmethod
    def _endless(loader: DataLoader[Any]) -> Any:
        while True:
            yield from loader

    def __call__(self, steps: int) -> tuple[float, float]:
        """Images a second, and the share of the time that the loop waited for data."""
        began, waited = time.perf_counter(), 0.0
        for _ in range(steps):
            asked = time.perf_counter()
            crops, target = next(self.batches)
            waited += seconds(asked)
            crops, target = crops.to(self.device), target.to(self.device)
            loss = nn.functional.mse_loss(self.network(crops), target[:, None].expand(-1, self.stacks(), -1, -1, -1))
            self.optim.zero_grad()
            loss.backward()
            self.optim.step()
            loss.item()
        wait(self.device)
        return steps * self.batch / seconds(began), waited / seconds(began)

    def stacks(self) -> int:
        return len(self.network.stacks)  # type: ignore[arg-type]


def compare(run: Run, rounds: int, steps: int, warm: int) -> tuple[Pace, tuple[float, float], tuple[float, float]]:
    """Medians over the rounds of ours and theirs; and of the images per second of the processor, of either."""
    ours, theirs = Drive(run), Usual(run)
    paces, rivals, busy = [], [], []
    for _ in range(rounds):  # what either loader did during the other's turn is used up in the warm-up
        ours(warm)
        began = time.process_time()
        paces.append(ours(steps))
        between = time.process_time()
        theirs(warm)
        again = time.process_time()
        rivals.append(theirs(steps))
        busy.append((between - began, time.process_time() - again))
    ours.close()
    images = steps * run.config.batch
    return (
        middle(paces),
        (median(rate for rate, _ in rivals), median(share for _, share in rivals)),
        (images / median(one for one, _ in busy), images / median(other for _, other in busy)),
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", default="", metavar="FOLDER@SPLIT", help="photographs; else 400 drawn people")
    parser.add_argument("--steps", type=int, help="in a turn; 3 on a CPU, else 60")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stacks", type=int, default=2)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    if given.quick:
        given = argparse.Namespace(**vars(given) | {
            "stacks": 1, "channels": 16, "side": 64, "batch": 4, "rounds": 1, "steps": 2, "workers": 1,
        })  # fmt: skip
    shape = {"stacks": given.stacks, "channels": given.channels, "side": given.side, "batch": given.batch}
    with data(given.data, 12 if given.quick else 400) as named:
        config = replace(hourglass(named, **shape, given=given), cache_gib=0.0)
        with ready(config) as run:
            steps = given.steps or (3 if run.device.type == "cpu" else 60)
            warm = 1 if run.device.type == "cpu" else 20
            pace, (rate, share), (busy, rival_busy) = compare(run, given.rounds, steps, warm)
            bf16 = uses_bf16(config.precision, run.device)
            where, workers = machine(run.device), run.loader.workers
    ratio = pace.images_per_second / rate
    show(
        f"HG-{given.stacks}, {given.channels} channels, {given.side} x {given.side}, batch {given.batch}; {where}, "
        f"{workers} workers; {'bf16' if bf16 else 'no bf16 units: both in fp32'}",
        ("loop", "images a CPU second", *COLUMNS),
        [["sandglass", f"{busy:.2f}", *cells(pace)],
         ["the usual loop", f"{rival_busy:.2f}", f"{rate:.2f}", f"{share:.1%}", "", "", ""],
         ["ratio", f"{busy / rival_busy:.2f}", f"{ratio:.2f}", "", "", "", ""]],
        {"ratio": ratio, "processor_ratio": busy / rival_busy,
         "images_per_second": pace.images_per_second, "usual_images_per_second": rate,
         "data_wait": pace.data_wait, "usual_data_wait": share, "tflops": pace.tflops, "bf16": bf16,
         "machine": where, "quick": given.quick},
    )  # fmt: skip


if __name__ == "__main__":
    main()
