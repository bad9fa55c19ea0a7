"""Every benchmark runs with --quick, and ends with one line of JSON in which `ratio` is a number."""

import json
import math
import runpy
import sys
from pathlib import Path

import cv2
import pytest
import torch

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "common")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch):
    """One thread, as a script of its own would be asked for on a shared machine; others get theirs back."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize("script", [pytest.param(path, id=path.stem) for path in SCRIPTS])
def test_a_benchmark_runs_and_ends_with_its_figures(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = ["--threads", "1"] if "from common import" in script.read_text("utf-8") else []
    monkeypatch.setattr(sys, "argv", [str(script), "--quick", *threads])
    runpy.run_path(str(script), run_name="__main__")
    *table, last = capsys.readouterr().out.splitlines()
    figures = json.loads(last)
    assert isinstance(figures["ratio"], float) and math.isfinite(figures["ratio"]) and figures["ratio"] > 0
    assert len(table) >= 4, "a table for people"
