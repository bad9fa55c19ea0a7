"""Who a process is among those that torchrun started; alone without it. tests/training starts real ones."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.distributed as dist

from sandglass.core.errors import BadInput
from sandglass.data.sets import read_set
from sandglass.inference.predictor import Predictor
from sandglass.inference.world import TIMEOUT, SharedPredictor, World, joined


@dataclass(frozen=True)
class Meeting:
    """Ranks that are threads, and add up when the last has come."""

    barrier: threading.Barrier
    brought: list[torch.Tensor]

    def add_up(self, values: torch.Tensor) -> torch.Tensor:
        self.brought.append(values)
        self.barrier.wait()
        total = torch.stack(self.brought).sum(0)
        self.barrier.wait()
        self.brought.clear()
        self.barrier.wait()
        return total


@pytest.mark.parametrize("size", [2, 3, 5])
def test_shares_are_exact_whatever_their_number(size, predictor, tiny_coco, monkeypatch) -> None:
    """Five ranks for four batches: one has nobody to look at. What they note is everybody's, once."""
    people = read_set(f"{tiny_coco}@train")
    alone, meeting = Predictor(predictor.runtime, predictor.spec, batch=2), Meeting(threading.Barrier(size), [])
    monkeypatch.setattr(World, "add_up", lambda _, values: meeting.add_up(values))
    monkeypatch.setattr(World, "together", lambda _, work: work())

    def share(rank: int):
        shared, noted = World(rank, size).shared(alone), np.zeros(len(people))
        assert isinstance(shared, SharedPredictor) and (shared.flip, shared.batch) == (alone.flip, alone.batch)

        def watch(rows, maps) -> None:
            noted[rows] += 1 + rows

        found = shared.predict_boxes(people, people.image, people.boxes, people.ids, None, watch)
        return found, shared.whole(noted)

    with ThreadPoolExecutor(size) as pool:
        answers = list(pool.map(share, range(size)))
    expected = alone.predict(people)
    for found, noted in answers:
        for field in ("keypoints", "scores", "present", "score", "people", "image_ids", "boxes"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
        np.testing.assert_array_equal(noted, 1 + np.arange(len(people)))


def test_one_process_has_no_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    with joined() as world:
        assert world == World() and not dist.is_initialized()
    assert world.device("mps") == "mps"
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "1"), ("TORCHELASTIC_RESTART_COUNT", "2")):
        monkeypatch.setenv(name, value)
    with joined() as world:
        assert world == World(restarts=2) and not dist.is_initialized()


def test_devices_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    last = World(rank=3, size=4, local_rank=1, local_size=2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (last.device("auto"), last.device("cpu")) == ("cpu", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (last.device("auto"), last.device("cuda"), last.device("cpu")) == ("cuda:1", "cuda:1", "cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadInput, match="2 processes on a machine with 1 GPUs; give torchrun --nproc_per_node"):
        last.device("auto")
    with pytest.raises(BadInput, match="device 'cuda:1' is no choice under torchrun"):
        last.device("cuda:1")


@pytest.mark.parametrize("text", ["soon", "0", "nan", "-5"])
def test_a_timeout_that_is_none_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "2"), (TIMEOUT, text)):
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=f"{TIMEOUT} is '{text}'; give the seconds"), joined():
        pass
