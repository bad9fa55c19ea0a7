"""What a run takes of its machine: the device, memory, and cores of the CPU."""

import ctypes
from contextlib import suppress

import cv2
import torch

from sandglass.core.cores import Neighbours, cpu_count, to_spare
from sandglass.inference.runtimes import pick_device
from sandglass.inference.world import World
from sandglass.training.config import RunConfig

MAX_THREADS = 16  # of the CPU, unless the user asks for more: a server is shared


def take_machine(config: RunConfig, world: World) -> torch.device:
    """The device, as fast as the precision allows it to be."""
    keep_memory()
    cv2.setNumThreads(1)  # the loader has threads of its own
    device = pick_device(world.device(config.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
        exact = config.precision == "fp32"  # else what is left in fp32 multiplies in TF32: 10 bits of mantissa
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not exact
    return device


def keep_memory() -> None:
    """Let glibc keep what the network frees: giving it back costs a page fault for every page of the next step."""
    with suppress(OSError, AttributeError):  # another C library, another system
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 * 2**20)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(option, value)


def all_cores() -> int:
    """That a run takes of its machine, if nobody else wants them."""
    return min(cpu_count(), MAX_THREADS)


def spared(config: RunConfig, device: torch.device, world: World, others: Neighbours) -> int:
    """How many cores a run that begins leaves to what else runs; none where the user, a GPU or torchrun says how many
    it takes. A thread that waits for one without a core makes training many times slower (benchmarks/shared_cores.py).
    """
    choosing = device.type == "cpu" and world.size == 1 and not config.threads
    return to_spare(all_cores(), others.busy(0.5)) if choosing and all_cores() > 1 else 0


def threads(config: RunConfig, device: torch.device, spared: int = 0) -> tuple[int, int]:
    """How many the network gets, and the loader: together the cores that this process may keep busy but for those
    it spares, at most MAX_THREADS. On a CPU a quarter of them decodes, beside a GPU half. Of two cores, both compute:
    little is decoded.
    """
    cores = max(1, all_cores() - spared)
    loaders = config.workers or max(1, cores // (4 if device.type == "cpu" else 2))
    return config.threads or max(min(cores, 2), cores - loaders), loaders


def share_out(config: RunConfig, device: torch.device, spared: int) -> int:
    """Give the network its threads; returns how many the loader gets."""
    computing, loading = threads(config, device, spared)
    torch.set_num_threads(computing)
    return loading
