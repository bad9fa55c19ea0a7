"""What training on two cores is worth when something else wants one of them: on as many threads, and on one fewer.

The threads of a step wait for one another hundreds of times, and OpenMP's spin meanwhile: on a shared core the one that
spins holds what the other one waits for. A run that begins therefore looks what else runs, and leaves it its cores;
so does ours here, by the same code, and the rival takes all. Each figure is a process of its own that takes steps of
the recipe `swift` on one batch; the two take turns, beside a neighbour that keeps one core busy, and alone. `ratio` is
ours over the rival's beside the neighbour.
"""

import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

import torch
from common import arguments, data, ready, show

from sandglass.recipes import swift
from sandglass.training.fitting import made_up
from sandglass.training.machine import all_cores

NEIGHBOUR = [sys.executable, "-c", "while True: pass"]
WAYS = {"as many threads as cores": all_cores(), "as many as are free": 0}


def pace(threads: int, least: float) -> tuple[float, int]:
    """Images a second of this process, measured for that many seconds after a fifth of them; and its threads."""
    config = replace(swift(), schedule=replace(swift().schedule, steps=10**6), device="cpu", threads=threads)
    with data("", 16) as named, ready(replace(config, train=(named,))) as run:
        batch = made_up(config, config.batch).to(run.device)
        for seconds in (least / 5, least):
            began, steps = time.perf_counter(), 0
            while steps < 1 or time.perf_counter() - began < seconds:
                run.step([batch], 1e-4)
                steps += 1
        return steps * config.batch / (time.perf_counter() - began), torch.get_num_threads()


def child(threads: int, least: float) -> tuple[float, int]:
    """The same of a process of its own."""
    words = [sys.executable, __file__, "--pace", str(least), "--threads", str(threads)]
    found = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return float(found[0]), int(found[1])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pace", type=float, default=0, help="only measure this process, for so many seconds")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.pace:
        print(*pace(given.threads, given.pace))
        return
    rounds, least = (1, 0.1) if given.quick else (given.rounds, 5.0)
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for place in ("alone", "beside a neighbour"):
        neighbour = None if place == "alone" else subprocess.Popen(NEIGHBOUR)
        try:
            paces = [{way: child(threads, least) for way, threads in WAYS.items()} for _ in range(rounds)]
        finally:
            if neighbour:
                neighbour.kill()
                neighbour.wait()
        found[place] = {way: (median(f[way][0] for f in paces), paces[-1][way][1]) for way in WAYS}
    rival, ours = WAYS
    ratio = {place: rates[ours][0] / rates[rival][0] for place, rates in found.items()}
    show(
        f"Images a second of training swift, {all_cores()} cores",
        ("", *found),
        [[way, *(f"{rates[way][0]:.1f} ({rates[way][1]} threads)" for rates in found.values())] for way in WAYS],
        {"ratio": ratio["beside a neighbour"], "alone": ratio["alone"], "quick": given.quick, "found": found},
    )


if __name__ == "__main__":
    main()
