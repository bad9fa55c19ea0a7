"""Every benchmark runs with --quick, and ends with one line of JSON in which `ratio` is a number."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "common")


@pytest.mark.parametrize("script", [pytest.param(path, id=path.stem) for path in SCRIPTS])
def test_a_benchmark_runs_and_ends_with_its_figures(script: Path) -> None:
    threads = ["--threads", "1"] if "from common import" in script.read_text("utf-8") else []
    line = [sys.executable, str(script), "--quick", *threads]  # a process of its own, as users start it
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    figures = json.loads(last)
    assert isinstance(figures["ratio"], float) and math.isfinite(figures["ratio"]) and figures["ratio"] > 0
    assert len(table) >= 4, "a table for people"
