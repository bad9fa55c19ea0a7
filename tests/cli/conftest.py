"""Shared by tests of the command line: a verb in this process or in one of its own, and a small trained run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sandglass import cli

SMALL = ("--size", "64", "64", "--channels", "8", "--batch", "4", "--threads", "1", "--workers", "1", "--device", "cpu")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch):
    """TensorBoard takes its time to start; threads are given back to the next test."""
    monkeypatch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`call("train", "swift", ...)`: what the command would do, in this process: status, output, errors."""

    def run(*words: object, width: int = 200) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sandglass", *map(str, words)])
        monkeypatch.setenv("COLUMNS", str(width))
        try:
            status = cli.main()
        except SystemExit as stop:  # tyro's usage errors and --help
            status = stop.code if isinstance(stop.code, int) else 1
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """`refused("train", ...)`: the one line that a command ends with; status 2 and no traceback."""

    def run(*words: object) -> str:
        status, _, errors = call(*words)
        assert status == 2
        assert errors.startswith("sandglass: ") and errors.count("\n") == 1 and errors.endswith("\n"), errors
        assert "Traceback" not in errors and len(errors) < 600
        return errors

    return run


def _command(*words: object, **given: Any) -> subprocess.Popen[str]:
    line = [str(Path(sys.executable).with_name("sandglass")), *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **given)


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.Popen[str]]:
    """`command("train", "swift", ...)`: the same as a process of its own, as a shell starts it.

    In the foreground: a test run in the background ignores Ctrl-C, and what it starts would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return _command


@pytest.fixture(scope="session")
def run_folder(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sandglass train` leaves, made by the command itself."""
    out = tmp_path_factory.mktemp("cli") / "run"
    words = ["train", "swift", "--data", f"{tiny_coco}@train", "--val", f"{tiny_coco}@val", "--out", out, "--steps", 12]
    process = _command(*words, "--seed", 3, *SMALL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out


@pytest.fixture(scope="session")
def model(run_folder: Path) -> Path:
    return run_folder / "model.safetensors"


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be spoilt."""
    return shutil.copytree(tiny_coco, tmp_path / "set")
