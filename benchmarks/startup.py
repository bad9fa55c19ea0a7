"""How long one waits: for `sandglass --help`, for a verb's help, for the first training step of a packed set on a CPU.

Whole processes; the median of some after one that warms the disk's cache. The training is a run of one step of the
recipe `swift` (128 x 128, batch 16), with all that it writes. On a busy machine the CPU seconds say more than the
wall clock. `ratio` is the bound for `sandglass --help` over what it took.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from common import arguments, packed, seconds, show

from sandglass.recipes import swift

BOUNDS = {"sandglass --help": 0.3, "sandglass train --help": None, "first training step": 10.0}  # seconds


def timed(words: Sequence[str]) -> tuple[float, float]:
    """Wall clock and CPU seconds of one command."""
    command = [str(Path(sys.executable).with_name("sandglass")), *words]
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"COLUMNS": "200"})
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds(began), cpu


def first_step(pack: str, threads: int) -> tuple[float, float]:
    """A run of one step."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "swift", "--data", pack, "--out", f"{folder}/run", "--steps", "1", "--device", "cpu"]
        return timed([*words, "--threads", str(threads)])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--people", type=int, default=1000, help="drawn, in the pack")
    given = parser.parse_args()
    people, repeats = (12, 1) if given.quick else (given.people, 5)
    with packed("", people, swift()) as pack:
        work: dict[str, Callable[[], tuple[float, float]]] = {
            "sandglass --help": lambda: timed(["--help"]),
            "sandglass train --help": lambda: timed(["train", "--help"]),
            "first training step": lambda: first_step(pack, given.threads),
        }
        found = {}
        for name, one in work.items():
            if not given.quick:
                one()
            walls, cpus = zip(*(one() for _ in range(repeats)), strict=True)
            found[name] = {"seconds": median(walls), "cpu_seconds": median(cpus)}
    rows = [
        [name, f"{took['seconds']:.2f}", f"{took['cpu_seconds']:.2f}", f"{BOUNDS[name] or ''}"]
        for name, took in found.items()
    ]
    ratio = 0.3 / found["sandglass --help"]["seconds"]
    headings = ("from the start of the process", "seconds", "CPU seconds", "bound")
    show(f"{people} packed people, swift", headings, rows, {"ratio": ratio, **found, "quick": given.quick})


if __name__ == "__main__":
    main()
