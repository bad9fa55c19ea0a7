"""What training and looking are worth beside a busy program: on as many threads as cores, and on as many as are free.

PyTorch's threads wait for one another at every layer, and spin meanwhile: on a shared core the one that spins holds
what the other one waits for. Whoever begins to train, or loads a model, therefore looks what else runs, and leaves it
its cores; so does ours here, by the same code, and the rival takes all. Each figure is a process of its own: steps of
the recipe `swift` on one batch, and looks of `swift-s` in PyTorch at one person. The two take turns, beside a neighbour
that keeps one core busy, and alone. `ratio` is ours over the rival's in training beside the neighbour.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from common import arguments, data, ready, show

from sandglass.inference.predictor import Predictor
from sandglass.recipes import swift
from sandglass.training.fitting import made_up
from sandglass.training.machine import all_cores

NEIGHBOUR = [sys.executable, "-c", "while True: pass"]
WAYS = {"as many threads as cores": all_cores(), "as many as are free": 0}
WORK = ("training, images/s", "swift-s, looks/s")
PLACES = ("alone", "beside a neighbour")


def rate(work: Callable[[], object], least: float) -> float:
    """How often a second, measured for that many seconds after a fifth of them."""
    times, began = 0, time.perf_counter()
    for seconds in (least / 5, least):
        times, began = 0, time.perf_counter()
        while times < 1 or time.perf_counter() - began < seconds:
            work()
            times += 1
    return times / (time.perf_counter() - began)


def measure(threads: int, least: float) -> dict[str, tuple[float, int]]:
    """Of this process: how fast each kind of work is, and on how many threads; 0: it chooses."""
    if not threads:
        os.environ.pop("OMP_NUM_THREADS", None)
    predictor = Predictor.load("swift-s", device="cpu", runtime="torch")
    photo, box = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), [[200.0, 100.0, 400.0, 400.0]]
    looks = rate(lambda: predictor(photo, box), least), torch.get_num_threads()
    config = replace(swift(), schedule=replace(swift().schedule, steps=10**6), device="cpu", threads=threads)
    with data("", 16) as named, ready(replace(config, train=(named,))) as run:
        batch = made_up(config, config.batch).to(run.device)
        steps = rate(lambda: run.step([batch], 1e-4), least)
        return dict(zip(WORK, ((steps * config.batch, torch.get_num_threads()), looks), strict=True))


def child(threads: int, least: float) -> dict[str, tuple[float, int]]:
    """The same of a process of its own."""
    words = [sys.executable, __file__, "--seconds", str(least), "--threads", str(threads)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=0, help="only measure this process, each work for so long")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.seconds:
        print(json.dumps(measure(given.threads, given.seconds)))
        return
    rounds, least = (1, 0.05) if given.quick else (given.rounds, 4.0)
    found: dict[str, dict[str, dict[str, float]]] = {}
    rows = {(work, way): [work, way] for work in WORK for way in WAYS}
    for place in PLACES:
        neighbour = None if place == "alone" else subprocess.Popen(NEIGHBOUR)
        try:
            several = [{way: child(threads, least) for way, threads in WAYS.items()} for _ in range(rounds)]
        finally:
            if neighbour:
                neighbour.kill()
                neighbour.wait()
        found[place] = {work: {way: median(one[way][work][0] for one in several) for way in WAYS} for work in WORK}
        for (work, way), row in rows.items():
            row.append(f"{found[place][work][way]:.1f} ({several[-1][way][work][1]} threads)")
    rival, ours = WAYS
    ratios = {place: {work: found[place][work][ours] / found[place][work][rival] for work in WORK} for place in PLACES}
    for work in WORK:
        rows[work, "ratio"] = [work, "ratio", *(f"{ratios[place][work]:.2f}" for place in PLACES)]
    show(
        f"What another program costs, {all_cores()} cores",
        ("work", "threads", *PLACES),
        list(rows.values()),
        {"ratio": ratios[PLACES[1]][WORK[0]], "ratios": ratios, "quick": given.quick, "found": found},
    )


if __name__ == "__main__":
    main()
