"""What training does on several processes: torch.distributed under torchrun (see `inference.world`).

Every rank computes its share of each batch, takes the same steps and holds the same weights.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sandglass.core.errors import BadInput
from sandglass.inference.world import World


def check_batch(world: World, batch: int, accumulate: int) -> None:
    """Raise BadInput unless every rank gets as many people of a part of a batch as the others."""
    if batch % (accumulate * world.size):
        parts = f" in {accumulate} parts" if accumulate > 1 else ""
        raise BadInput(
            f"a batch of {batch}{parts} cannot be split evenly over {world.size} processes; "
            f"give a --batch that is a multiple of {accumulate * world.size}"
        )


def describe(world: World, people: int, batch_norm: str) -> str:
    """A line on who computes what, for `people` at once on all ranks together."""
    rule = {
        "sync": "over the people of all processes, as one process would",
        "local": "over each process's own people; running statistics are those of rank 0",
    }[batch_norm]
    return (
        f"{world.size} processes, {world.local_size} on this machine: each takes "
        f"{people // world.size} of {people} people; batch norm ({batch_norm}) {rule}"
    )


def parallel(world: World, network: nn.Module, device: torch.device, compiled: bool) -> Callable[[Tensor], Tensor]:
    """The network, so wrapped that backward leaves the mean of all ranks' gradients."""
    known = signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # torch < 2.13
    options: dict[str, Any] = {"gradient_as_bucket_view": True, buffers: False}
    wrapped = DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None, **options)
    return torch.compile(wrapped, dynamic=False) if compiled else wrapped


def silent(model: Callable[[Tensor], Tensor], last: bool) -> AbstractContextManager[object]:
    """Around a part of a batch: gradients stay here until the last part, and are exchanged once."""
    model = getattr(model, "_orig_mod", model)  # what was compiled
    return model.no_sync() if isinstance(model, DistributedDataParallel) and not last else nullcontext()


class Pulse:
    """What all ranks agree on before a step: rank 0's clock, and the signal that any of them got.

    The answer is one step old. So nobody waits for it: it travels between the hosts while the devices compute.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._asked: tuple[dist.Work, Tensor] | None = None

    def __call__(self, seconds: float, signal: int) -> tuple[float, int]:
        """(seconds, signal) of all, given this rank's; signal 0 is none."""
        if self.world.size == 1:
            return seconds, signal
        mine = torch.tensor([seconds if self.world.first else 0.0, signal], dtype=torch.float64)
        work = dist.all_reduce(mine, dist.ReduceOp.MAX, async_op=True)
        assert work is not None
        before, self._asked = self._asked or (work, mine), (work, mine)
        before[0].wait()
        return float(before[1][0]), int(before[1][1])
