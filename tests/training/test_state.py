"""The resume state gives back every bit, and whatever is wrong with its file is told in one line."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from sandglass.core.errors import BadInput
from sandglass.models.hourglass import HourglassConfig, StackedHourglass
from sandglass.training.schedule import Average
from sandglass.training.state import STATE_FILE, Position, load_state, save_state
from sandglass.training.step import OptimiserConfig, optimiser

CPU = torch.device("cpu")
NAMES = ("muon", "adamw", "adam", "rmsprop", "sgd")


def parts(name: str = "adamw", seed: int = 0, channels: int = 8) -> tuple[nn.Module, Average, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = StackedHourglass(HourglassConfig(stacks=1, channels=channels, depth=1), 3)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    config = OptimiserConfig(name=name, lr=1e-2, weight_decay=0.01)  # type: ignore[arg-type]
    return network, Average(network, 0.9), optimiser(config, network)


def walk(network: nn.Module, average: Average, optim: torch.optim.Optimizer, first: int, last: int) -> None:
    """Steps first ... last - 1 on made-up crops."""
    for step in range(first, last):
        crops = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        network.train()(crops).square().sum().backward()
        optim.step()
        optim.zero_grad()
        average.update(network, step)


def assert_same(ours: tuple, theirs: tuple) -> None:
    for a, b in ((ours[0].state_dict(), theirs[0].state_dict()), (ours[1].tensors, theirs[1].tensors)):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)
    a, b = (found[2].state_dict()["state"] for found in (ours, theirs))
    assert a.keys() == b.keys()
    for i in a:
        assert a[i].keys() == b[i].keys()
        assert all(torch.equal(torch.as_tensor(a[i][slot]), torch.as_tensor(b[i][slot])) for slot in a[i])


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_is_exact_and_so_are_the_next_steps(name: str, tmp_path: Path) -> None:
    ours, theirs = parts(name), parts(name, seed=1)
    walk(*ours, 0, 3)
    position = Position(step=3, seconds=1.25, people=7, best=0.125)
    save_state(tmp_path, position, *ours)
    assert load_state(tmp_path, *theirs, CPU) == position
    assert_same(ours, theirs)
    walk(*ours, 3, 6)
    walk(*theirs, 3, 6)
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_before_the_first_step_can_be_loaded(name: str, tmp_path: Path) -> None:
    ours, theirs = parts(name), parts(name, seed=1)
    save_state(tmp_path, Position(people=2), *ours)
    assert load_state(tmp_path, *theirs, CPU) == Position(people=2)
    walk(*ours, 0, 2)
    walk(*theirs, 0, 2)
    assert_same(ours, theirs)


def test_what_is_saved_is_a_copy(tmp_path: Path) -> None:
    ours = parts()
    save_state(tmp_path, Position(), *ours)
    kept = (tmp_path / STATE_FILE).read_bytes()
    walk(*ours, 0, 1)
    assert (tmp_path / STATE_FILE).read_bytes() == kept


def test_a_torn_file_is_told_at_any_length(tmp_path: Path) -> None:
    ours = parts()
    save_state(tmp_path, Position(), *ours)
    whole = (tmp_path / STATE_FILE).read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / STATE_FILE).write_bytes(whole[:length])
        with pytest.raises(BadInput, match=r"state\.safetensors: torn"):
            load_state(tmp_path, *parts(), CPU)


def test_a_missing_state_and_a_checkpoint_in_its_place_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"state\.safetensors: no resume state"):
        load_state(tmp_path, *parts(), CPU)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / STATE_FILE)
    with pytest.raises(BadInput, match=r"state\.safetensors: torn, or of another run"):
        load_state(tmp_path, *parts(), CPU)


def test_the_state_of_another_network_is_told(tmp_path: Path) -> None:
    save_state(tmp_path, Position(), *parts())
    with pytest.raises(BadInput, match="of another run") as caught:
        load_state(tmp_path, *parts(channels=12), CPU)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = parts()
    save_state(tmp_path, Position(step=1), *ours)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(BadInput, match="No space left on device"):
            save_state(tmp_path, Position(step=2), *ours)
    assert load_state(tmp_path, *ours, CPU).step == 1
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE], "nothing half-written stays"
    shutil.rmtree(tmp_path)
