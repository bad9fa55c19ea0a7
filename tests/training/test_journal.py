"""metrics.jsonl is JSON line by line whatever happens; what a resumed run will do again is dropped from it."""

import io
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.training.journal import METRICS_FILE, PLAIN_EVERY, Journal, clock


@pytest.fixture(autouse=True)
def no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard is not installed: an import of it fails."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def open_journal(folder: Path, step: int = 0) -> Journal:
    return Journal(folder, step, Console(file=io.StringIO(), width=200))


def said(journal: Journal) -> list[str]:
    assert isinstance(journal.console.file, io.StringIO)
    return journal.console.file.getvalue().splitlines()


def rows(folder: Path) -> list[dict[str, Any]]:
    """Strictly: NaN and Infinity are not JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    lines = (folder / METRICS_FILE).read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_rows_are_on_disk_at_once_and_valid_json(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "new" / "folder")
    journal.row({"step": 10, "loss": 0.25, "names": {"nose": 0.5}})
    journal.row({"step": 20, "loss": math.nan, "grad_norm": math.inf, "lr": -math.inf})
    assert rows(tmp_path / "new" / "folder") == [
        {"step": 10, "loss": 0.25, "names": {"nose": 0.5}},
        {"step": 20, "loss": None, "grad_norm": None, "lr": None},
    ]
    journal.close()


def test_later_rows_and_torn_lines_are_dropped_on_resume(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for step in (10, 20, 30, 40):
        journal.row({"step": step, "loss": 1.0 / step})
    journal.close()
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('[1, 2]\n"text"\n{"loss": 0.5}\n\n{"step": 50, "lo')  # strange, and torn by a kill
    journal = open_journal(tmp_path, step=30)
    journal.row({"step": 35, "loss": 0.0})
    journal.close()
    assert [row["step"] for row in rows(tmp_path)] == [10, 20, 30, 35]
    assert [row["loss"] for row in rows(tmp_path)] == [1 / 10, 1 / 20, 1 / 30, 0.0], "to the bit"


def test_bytes_that_are_no_text_do_not_stop_a_resume(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).write_bytes(b'{"step": 10}\n\xff\xfe\x00torn')
    open_journal(tmp_path, step=10).close()
    assert rows(tmp_path) == [{"step": 10}]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).mkdir()
    with pytest.raises(BadInput, match=r"metrics\.jsonl: cannot be "):
        open_journal(tmp_path)


def test_a_full_disk_delays_rows_and_is_told_once(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    journal = open_journal(tmp_path)
    journal.row({"step": 1, "loss": 0.5})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))  # bytes that a file may have
    try:
        for step in (2, 3, 4):
            journal.row({"step": step, "loss": 0.5})
        assert "the last rows could not be written (File too large)" in journal.unwritten
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.row({"step": 5, "loss": 0.5})
    journal.close()
    assert journal.unwritten == ""
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5], "and none is torn"
    assert sum("training goes on, make room" in line for line in said(journal)) == 1


def test_a_disk_that_stays_full_does_not_stop_the_journal_from_closing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    journal = open_journal(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))
    try:
        for step in range(9):
            journal.row({"step": step, "loss": 0.5})
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / METRICS_FILE).stat().st_size <= 60


def test_without_a_terminal_lines_come_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("sandglass.training.journal.time", SimpleNamespace(monotonic=lambda: now))
    journal = open_journal(tmp_path)
    journal.progress(0.1, "step 10")
    journal.progress(0.2, "step 20")
    now += PLAIN_EVERY
    journal.progress(0.3, "step 30")
    journal.progress(1.0, "over")
    journal.say("a line")
    journal.close()
    assert said(journal) == ["training  10%  step 10", "training  30%  step 30", "training 100%  over", "a line"]


def test_tensorboard_gets_the_numbers_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []
    opened: list[dict[str, Any]] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int | None = None) -> None:
            opened.append({"folder": folder, "purge_step": purge_step})

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", 0.0, 0))

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    for step in (0, 10):
        journal = open_journal(tmp_path, step)
        journal.row({"step": step + 10, "loss": 0.5, "AP": math.nan, "per_joint": {"nose": 1.0}})
        journal.close()
    folder = str(tmp_path / "tensorboard")
    assert opened == [{"folder": folder, "purge_step": None}, {"folder": folder, "purge_step": 11}]
    for step in (10, 20):
        assert written[:3] == [("loss", 0.5, step), ("per_joint/nose", 1.0, step), ("closed", 0.0, 0)]
        del written[:3]
    assert not written


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (-3, "0:00"),
        (42.4, "0:42"),
        (59.6, "1:00"),
        (725, "12:05"),
        (3599.7, "1:00:00"),
        (11231, "3:07:11"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
