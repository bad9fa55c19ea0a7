"""Several processes that torchrun started, and how they share work and what came of it. Rank 0 alone writes and speaks.

One process alone needs none of this, and pays nothing for it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from sandglass.core.cores import cpu_count
from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People, Predictions
from sandglass.inference.engines import MAX_THREADS
from sandglass.inference.predictor import Predictor, Progress, Watch

T = TypeVar("T")

TIMEOUT = "SANDGLASS_TIMEOUT"  # environment: seconds that ranks wait for one another before the job ends
DEFAULT_TIMEOUT = 300.0


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this one is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine
    local_size: int = 1
    restarts: int = 0  # how often torchrun has started this job again after a failure

    @property
    def first(self) -> bool:
        """Whether this is rank 0, who writes and speaks."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this rank, where `name` was asked for. Raises BadInput."""
        if self.size == 1:
            return name
        if name not in ("auto", "cpu", "cuda"):
            raise BadInput(f"device '{name}' is no choice under torchrun, which gives every process its own; use cuda")
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return "cpu"
        if self.local_rank >= torch.cuda.device_count():
            raise BadInput(
                f"{self.local_size} processes on a machine with {torch.cuda.device_count()} GPUs; "
                "give torchrun --nproc_per_node that many, or --device cpu"
            )
        return f"cuda:{self.local_rank}"

    def add_up(self, values: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows (n,) of every rank, equally many of each, as (size n,)."""
        whole = np.zeros((self.size, len(rows)), np.int64)
        whole[self.rank] = rows
        self.add_up(torch.from_numpy(whole))
        return whole.ravel()

    def follow(self, network: nn.Module) -> None:
        """Make every weight and running statistic what it is on rank 0."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    def together(self, work: Callable[[], T]) -> T:
        """Do it on all ranks; if any of them raises BadInput, one says so and the others leave with status 2."""
        if self.size == 1:
            return work()
        error = None
        try:
            result = work()
        except BadInput as caught:
            error = caught
        speaker = torch.tensor(self.size if error is None else self.rank)
        dist.all_reduce(speaker, dist.ReduceOp.MIN)
        if error is not None and speaker == self.rank:
            raise error
        if speaker < self.size:
            raise SystemExit(2)
        return result  # type: ignore[reportPossiblyUnbound]

    def shared(self, predictor: Predictor) -> Predictor:
        """The predictor, so that every rank looks at a share of the people."""
        return predictor if self.size == 1 else SharedPredictor(predictor, self)


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """This process among those that torchrun started, connected; alone, where none did. Raises BadInput.

    A process group that is already there is used and left open.
    """
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield World(restarts=restarts)
        return
    ours = not dist.is_initialized()
    if ours:
        _connect(restarts)
    most = torch.tensor(restarts)  # the other machines count their own
    dist.all_reduce(most, dist.ReduceOp.MAX)
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    try:
        yield World(dist.get_rank(), dist.get_world_size(), local_rank, local_size, int(most))
    except BadInput:  # has a line of its own
        raise
    except Exception as error:  # torchrun shows it, at the end of the others' complaints
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)
        raise  # and leave the group as it is: the others may not be there to close it
    if ours:
        dist.destroy_process_group()


def _connect(restarts: int) -> None:
    """Open the process group: NCCL between GPUs, Gloo between hosts."""
    timeout = _timeout()
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # A plain torchrun keeps its store over a restart, and in it the addresses of the dead.
        store = dist.PrefixStore(f"life {restarts}", store)  # type: ignore[reportPrivateImportUsage]
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    torch.set_num_threads(min(cpu_count(), MAX_THREADS))  # torchrun gives everybody one


def _timeout() -> timedelta:
    text = os.environ.get(TIMEOUT, str(DEFAULT_TIMEOUT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 1e6:
        raise BadInput(f"{TIMEOUT} is '{text}'; give the seconds that processes wait for one another, 1 or more")
    return timedelta(seconds=seconds)


class SharedPredictor(Predictor):
    """A predictor on several ranks: each looks at its share of the people, and all get all the answers.

    The shares are runs of the very batches that one process would compute, so that the answers are its to the bit.
    """

    def __init__(self, alone: Predictor, world: World) -> None:
        super().__init__(alone.runtime, alone.spec, flip=alone.flip, batch=alone.batch, early=alone.early)
        self.world = world

    def predict_boxes(
        self,
        people: People,
        images: NDArray[np.int64],
        boxes: Floats,
        ids: NDArray[np.int64] | None = None,
        on_progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Predictions:
        """As a predictor's, on all ranks at once; `on_progress` and `watch` are told of this rank's share.

        What one rank cannot read ends the work of all, see `World.together`.
        """
        order = np.argsort(images, kind="stable")
        batches = -(-len(order) // self.batch)
        first, last = (batches * rank // self.world.size for rank in (self.world.rank, self.world.rank + 1))
        mine = order[first * self.batch : last * self.batch]
        see = None if watch is None else lambda rows, maps: watch(mine[rows], maps)
        share = partial(super().predict_boxes, people, images[mine], boxes[mine], None, on_progress, see)
        found = self.world.together(share)

        def every(part: NDArray[Any]) -> NDArray[Any]:
            values = np.zeros((len(order), *part.shape[1:]))
            values[mine] = part
            return self.whole(values).astype(part.dtype)

        assert (every(np.ones(len(mine))) == 1).all(), "nobody is counted twice, and none is lost"
        return Predictions(
            skeleton=found.skeleton,
            image_ids=people.image_ids[images],
            keypoints=every(found.keypoints),
            scores=every(found.scores),
            present=every(found.present),
            boxes=boxes,
            score=every(found.score),
            people=np.full(len(boxes), -1) if ids is None else ids,
        )

    def whole(self, noted: Floats) -> Floats:
        """The sum over all ranks: each has noted its share."""
        return self.world.add_up(torch.from_numpy(noted)).numpy()
