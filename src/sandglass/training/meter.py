"""Where the seconds of a run go, and how hard its chip works."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sandglass.core.cores import Neighbours, to_spare

# Dense peak in TFLOP/s by words of the device's name: with bf16, and without it (TF32 where there is such a unit);
# from the makers' data sheets. The entry with the most words that fits counts.
PEAKS: dict[str, tuple[float, float]] = {
    "B200": (2250, 1125),
    "GH200": (989, 494),
    "H200": (989, 494),
    "H100": (989, 494),
    "H100 NVL": (835, 417),
    "H100 PCIe": (756, 378),
    "A100": (312, 156),
    "L40S": (362, 183),
    "L4": (121, 60),
    "RTX 4090": (165, 83),
    "RTX 3090": (71, 36),
    "V100": (15.7, 15.7),
    "T4": (8.1, 8.1),
}
TRAINING = 3  # a backward pass costs two forward ones
CURES = {
    "step": "",
    "data": ": more --workers, or the cuts in one file (sandglass data pack)",
    "evaluation": ": score less often, or on fewer people",
    "saving": ": a faster disk for --out",
}


def peak_tflops(name: str, bf16: bool) -> float | None:
    """What a chip could do at best; None where it is not in the table, as no CPU is."""
    words = set(re.split(r"[^A-Za-z0-9]+", name))
    fitting = [key for key in PEAKS if words >= set(key.split())]
    return PEAKS[max(fitting, key=lambda key: len(key.split()))][not bf16] if fitting else None


def memory_gib(device: torch.device) -> float | None:
    """The most memory that was taken so far: of the accelerator, or of this process; None where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class Meter:
    """A stopwatch for the parts of a run. What is no `data`, `evaluation` or `saving` counts as `step`.

    gmac: 1e9 multiply-adds of the network for one image, forward.
    """

    def __init__(self, gmac: float, device: torch.device, bf16: bool, devices: int = 1) -> None:
        self.tflop = TRAINING * 2 * gmac / 1e3  # an image
        self.device, self.devices = device, devices
        peak = peak_tflops(torch.cuda.get_device_name(device), bf16) if device.type == "cuda" else None
        self.peak = peak * devices if peak else None  # of all that work on a batch
        self.spent: dict[str, float] = {"data": 0.0, "evaluation": 0.0, "saving": 0.0}  # seconds of this sitting
        self.images = 0
        self.began = self._mark = time.monotonic()
        self._before = dict(self.spent)  # as they were at the mark
        self._queue: torch.cuda.Event | None = None
        self._neighbours = Neighbours()

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Count the seconds of this block as `part`.

        Waiting for data counts only if the device has run out of work meanwhile: the loop may be ahead of it.
        """
        began = time.monotonic()
        try:
            yield
        finally:
            if part != "data" or self._queue is None or self._queue.query():
                self.spent[part] += time.monotonic() - began

    def queued(self) -> None:
        """A step has been handed to the device."""
        if self.device.type == "cuda":
            self._queue = torch.cuda.Event()
            self._queue.record()

    def figures(self, images: int) -> dict[str, float | None]:
        """What the journal says of the `images` since the last call; evaluation and saving do not slow the rate."""
        now = time.monotonic()
        part = {name: seconds - self._before[name] for name, seconds in self.spent.items()}
        took = max(now - self._mark - part["evaluation"] - part["saving"], 1e-9)
        self._mark, self._before, self.images = now, dict(self.spent), self.images + images
        tflops = self.tflop * images / took
        memory = memory_gib(self.device)
        return {
            "images_per_second": round(images / took, 2),
            "data_wait": round(min(part["data"] / took, 1.0), 4),
            "tflops": float(f"{tflops:.3g}"),
            "peak_share": round(tflops / self.peak, 4) if self.peak else None,
            "memory_gib": round(memory, 3) if memory is not None else None,
        }

    def shares(self) -> dict[str, float]:
        """Shares of this sitting's wall clock, the largest first."""
        total = max(time.monotonic() - self.began, 1e-9)
        parts = self.spent | {"step": total - sum(self.spent.values())}
        return {name: parts[name] / total for name in sorted(parts, key=lambda name: -parts[name])}

    def summary(self) -> str:
        """One line at the end: where the time went, and what to change to save some."""
        shares = self.shares()
        most = next(iter(shares))
        parts = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        seconds = (shares["step"] + shares["data"]) * (time.monotonic() - self.began)
        rate = f"{self.images / max(seconds, 1e-9):.0f} images/s while training"
        return f"time: {parts}; {rate}; the bottleneck is {'the ' * (most == 'step')}{most}{CURES[most]}{self._crowd()}"

    def _crowd(self) -> str:
        """What to say where others wanted the cores that this run's threads were on."""
        threads, others = torch.get_num_threads(), self._neighbours.busy()
        fewer = threads - to_spare(threads, others)
        if self.device.type != "cpu" or self.devices > 1 or fewer == threads:
            return ""
        return f"; other programs kept {others:.1f} of {os.cpu_count()} cores busy: --threads {fewer} may be faster"


def meter_line(figures: dict[str, float | None]) -> str:
    """A row's figures as the progress line shows them."""
    share = f" ({figures['peak_share']:.0%} of peak)" if figures["peak_share"] is not None else ""
    memory = f"  {figures['memory_gib']:.1f} GiB" if figures["memory_gib"] is not None else ""
    return (
        f"{figures['images_per_second']:.0f} img/s  {figures['tflops']:.3g} TFLOP/s{share}  "
        f"data wait {figures['data_wait']:.0%}{memory}"
    )
