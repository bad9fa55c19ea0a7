"""SIGKILL at any moment, while a state is written too: the run goes on as if nothing had happened, to the bit."""

import io
import json
import multiprocessing
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.models.checkpoint import load_checkpoint
from sandglass.training import train as module
from sandglass.training.config import CONFIG_FILE, LAST_FILE, RunConfig
from sandglass.training.state import STATES
from sandglass.training.step import OptimiserConfig
from sandglass.training.train import train

TinyRun = Callable[..., RunConfig]
KILLS, AFTER, STEPS = 3, 100, 170  # a hundred losses follow the last kill


@pytest.fixture(autouse=True)
def no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)


def losses(out: Path) -> dict[int, float]:
    """By step; a line that a kill tore is left out."""
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def as_a_process(config: RunConfig, out: Path) -> BaseProcess:
    """The run, or its continuation, in a real process; those of one test share what they import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sandglass.training.train", "torch.utils.tensorboard", "torch._dynamo"])
    process = context.Process(target=train, args=(config, out), kwargs={"resume": (out / CONFIG_FILE).exists()})
    process.start()
    return process


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_killed_at_random_moments_the_losses_are_those_of_an_undisturbed_run(tiny_run: TinyRun, tmp_path: Path) -> None:
    """With a state so often that about half of the moments lie within the writing of one."""
    config = tiny_run(steps=STEPS, decay="cosine", average=0.9, optimiser=OptimiserConfig(name="sgd", lr=0.01))
    train(config, tmp_path / "straight", console=Console(file=io.StringIO()))
    config = replace(config, save_minutes=0.1 / 60)
    out, moments = tmp_path / "killed", random.Random()
    reached = []
    for kill in range(KILLS):
        goal = reached[-1] + 8 if kill else 0
        process = as_a_process(config, out)
        patience = threading.Event()  # a clock: nobody sets it
        while process.is_alive() and (not (out / CONFIG_FILE).exists() or max(losses(out), default=0) < goal):
            patience.wait(0.03)
        patience.wait(moments.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -9, "killed in the middle of its work"
        reached.append(max(losses(out), default=0))
    assert reached[-1] <= STEPS - AFTER
    process = as_a_process(config, out)
    process.join()
    assert process.exitcode == 0
    assert losses(out) == losses(tmp_path / "straight") and len(losses(out)) == STEPS, f"killed at steps {reached}"
    ours, theirs = (load_checkpoint(tmp_path / name / LAST_FILE)[0].state_dict() for name in ("killed", "straight"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not list(out.glob(".*.part")), "what the killed had half written is gone"


def test_a_run_killed_before_its_first_state_starts_from_the_beginning(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    config, told = tiny_run(steps=5), Console(file=io.StringIO(), width=250)
    train(config, tmp_path / "straight", console=told)
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_state", die)
        with pytest.raises(Killed):
            train(config, tmp_path / "killed", console=told)
    assert not any((tmp_path / "killed" / name).exists() for name in STATES)
    train(RunConfig.load(tmp_path / "killed"), tmp_path / "killed", resume=True, console=told)
    assert isinstance(told.file, io.StringIO)
    assert "killed: ended before its first state was saved; starting from the beginning" in told.file.getvalue()
    assert losses(tmp_path / "killed") == losses(tmp_path / "straight")


def test_a_trained_model_without_its_state_is_not_written_over(tiny_run: TinyRun, tmp_path: Path) -> None:
    train(tiny_run(steps=2), tmp_path, console=Console(file=io.StringIO()))
    before = (tmp_path / LAST_FILE).read_bytes()
    for name in STATES:
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(BadInput, match="no resume state; start the run anew"):
        train(tiny_run(steps=2), tmp_path, resume=True, console=Console(file=io.StringIO()))
    assert (tmp_path / LAST_FILE).read_bytes() == before


def test_a_full_disk_does_not_end_a_run_but_is_told_at_its_end(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 3 to 5 find no room; from step 6 on there is some again, or there is none to the end."""
    config = tiny_run(steps=8, save_minutes=1e-9)
    for last in (5, 8):
        out, console = tmp_path / str(last), Console(file=io.StringIO(), width=250)
        plain, saves = module.save_state, []

        def full(folder: Path, position: object, *rest: object, plain=plain, saves=saves, last=last) -> None:
            saves.append(position.step)  # type: ignore[attr-defined]
            if 3 <= saves[-1] <= last:
                raise BadInput(f"{folder}/state: cannot be written (No space left on device)")
            plain(folder, position, *rest)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(module, "save_state", full)
            if last == 5:
                train(config, out, console=console)
            else:
                with pytest.raises(BadInput, match=r"No space.*not saved at step 8.*from step 2 with --resume"):
                    train(config, out, console=console)
        assert isinstance(console.file, io.StringIO)
        assert console.file.getvalue().count("No space left on device); training goes on") >= 3
        assert len(losses(out)) == 8
        train(RunConfig.load(out), out, resume=True, console=console)
        assert len(losses(out)) == 8
