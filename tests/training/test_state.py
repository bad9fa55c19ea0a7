"""The resume state gives back every bit, and whatever is wrong with its file is told in one line."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sandglass.core.errors import BadInput
from sandglass.models.hourglass import HourglassConfig, StackedHourglass
from sandglass.training.schedule import Average
from sandglass.training.state import STATE_FILE, STATES, Position, load_state, save_state
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
    assert load_state(tmp_path, *theirs, CPU) == (position, "")
    assert_same(ours, theirs)
    walk(*ours, 3, 6)
    walk(*theirs, 3, 6)
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_before_the_first_step_can_be_loaded(name: str, tmp_path: Path) -> None:
    ours, theirs = parts(name), parts(name, seed=1)
    save_state(tmp_path, Position(people=2), *ours)
    assert load_state(tmp_path, *theirs, CPU) == (Position(people=2), "")
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
        with pytest.raises(BadInput, match=r"state\.safetensors: torn .* no older state is whole"):
            load_state(tmp_path, *parts(), CPU)


@pytest.mark.parametrize("damage", ["cut", "a page of zeros", "one bit"])
def test_a_torn_file_costs_one_interval(damage: str, tmp_path: Path) -> None:
    """Also where name and size are right: a disk that lost its power may have the one and not the other."""
    ours, theirs = parts(), parts(seed=1)
    for step in range(3):
        save_state(tmp_path, Position(step=step), *ours)
        walk(*ours, step, step + 1)
    torn = bytearray((tmp_path / STATE_FILE).read_bytes())
    if damage == "cut":
        del torn[len(torn) // 2 :]
    elif damage == "one bit":
        torn[-1] ^= 1
    else:
        torn[-4096:] = bytes(4096)
    (tmp_path / STATE_FILE).write_bytes(torn)
    position, told = load_state(tmp_path, *theirs, CPU)
    assert position.step == 1
    assert "state.safetensors: torn (" in told and "from the state before it, of step 1" in told and "\n" not in told
    save_state(tmp_path, Position(step=7), *theirs)
    assert load_state(tmp_path, *parts(), CPU) == (Position(step=7), "")


def test_a_missing_state_and_a_checkpoint_in_its_place_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"state\.safetensors: no resume state"):
        load_state(tmp_path, *parts(), CPU)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / STATE_FILE)
    with pytest.raises(BadInput, match=r"state\.safetensors: torn"):
        load_state(tmp_path, *parts(), CPU)


def test_the_state_of_another_network_is_told(tmp_path: Path) -> None:
    save_state(tmp_path, Position(), *parts())
    with pytest.raises(BadInput, match="of another run") as caught:
        load_state(tmp_path, *parts(channels=12), CPU)
    assert "\n" not in str(caught.value)


class Killed(BaseException):
    """What no `except OSError` catches."""


@pytest.mark.parametrize("moment", range(8))
def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_state(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each system call of the third save: before it, or with half of it done."""
    ours = parts()
    for step in (1, 2):
        save_state(tmp_path, Position(step=step), *ours)
    calls: list[str] = []

    def dying(name: str) -> Any:
        plain = getattr(os, name)

        def call(*args: Any) -> Any:
            calls.append(name)
            if len(calls) == moment // 2 + 1:
                if name == "fsync" and moment % 2:
                    os.ftruncate(args[0], 1000)  # half of it had reached the disk
                elif moment % 2:
                    plain(*args)
                raise Killed
            return plain(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "fsync"):
            patch.setattr(os, name, dying(name))
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # the dead do not tidy up
        with pytest.raises(Killed):
            save_state(tmp_path, Position(step=3), *ours)
    done = (calls == ["fsync", "replace"] and moment % 2) or len(calls) > 2
    assert load_state(tmp_path, *parts(), CPU) == (Position(step=3 if done else 2), "")
    save_state(tmp_path, Position(step=4), *ours)
    assert load_state(tmp_path, *parts(), CPU) == (Position(step=4), "")
    assert (tmp_path / STATE_FILE).is_file()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failed_write_leaves_the_old_state(failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = parts()
    save_state(tmp_path, Position(step=1), *ours)
    plain, calls = os.replace, []

    def full(*args: Any) -> None:
        calls.append(1)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        plain(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(BadInput, match="No space left on device"):
            save_state(tmp_path, Position(step=2), *ours)
    assert load_state(tmp_path, *ours, CPU) == (Position(step=1 if failing == 1 else 2), "")
    assert all(path.name in STATES for path in tmp_path.iterdir()), "nothing half-written stays"


def test_a_disk_that_is_really_full_leaves_the_old_state(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    ours = parts()
    save_state(tmp_path, Position(step=1), *ours)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # bytes a file may have: a write stops in its middle
    try:
        with pytest.raises(BadInput, match="cannot be written"):
            save_state(tmp_path, Position(step=2), *ours)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_state(tmp_path, *ours, CPU) == (Position(step=1), "")
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
