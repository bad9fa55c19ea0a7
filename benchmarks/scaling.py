"""What a step costs against batch size, stacks and width: images/s, TFLOP/s and share of the chip's peak.

On black pictures that are on the device already: the step alone, from cut to optimiser, with the precision that the
chip has units for. `ratio` is the best TFLOP/s over those of the smallest batch: what a large batch is worth. On a
busy machine the processor's time says more than the clock's; beside a GPU it is what the host does for a step.
"""

import time
from dataclasses import replace
from statistics import median

from common import COLUMNS, Pace, arguments, cells, data, hourglass, machine, middle, ready, show, wait

from sandglass.training.config import RunConfig
from sandglass.training.fitting import made_up, out_of_memory


def measure(config: RunConfig, steps: int, rounds: int) -> tuple[Pace | None, float, str]:
    """The pace of steps on one batch; None where the device does not hold it. The processor's seconds a step, and the
    machine."""
    with ready(config) as run:
        batch = made_up(config, config.batch).to(run.device)
        paces, busy = [], []
        try:
            for _ in range(1 + rounds):  # the first warms up
                run.meter.figures(0)
                began = time.process_time()
                for _ in range(steps):
                    run.step([batch], 1e-4)
                wait(run.device)
                paces.append(Pace(**run.meter.figures(steps * config.batch)))  # type: ignore[arg-type]
                busy.append((time.process_time() - began) / steps)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None, 0.0, machine(run.device)
        return middle(paces[1:]), median(busy[1:]), machine(run.device)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="cuda: try 16 ... 512")
    parser.add_argument("--stacks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="where stacks and width vary")
    parser.add_argument("--steps", type=int, default=2, help="in a round; cuda: try 50")
    parser.add_argument("--rounds", type=int, default=3, help="after one that warms up")
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="off")
    given = parser.parse_args()
    if given.quick:
        given.batches, given.stacks, given.channels = [2, 4], [1], [8, 16]
        given.side, given.batch, given.steps = 64, 2, 1
    given.batches = [batch for batch in given.batches if batch > 1] or [2]
    middle_stacks, width = given.stacks[len(given.stacks) // 2], given.channels[-1]
    shapes = [(middle_stacks, width, batch) for batch in given.batches]
    shapes += [(stacks, width, given.batch) for stacks in given.stacks]
    shapes += [(middle_stacks, channels, given.batch) for channels in given.channels]
    found: dict[tuple[int, int, int], Pace] = {}
    rows, figures, where = [], [], ""
    with data("", 8) as named:
        for stacks, channels, batch in dict.fromkeys(shapes):
            config = hourglass(named, stacks=stacks, channels=channels, side=given.side, batch=batch, given=given)
            alike = replace(config, compile=given.compile)
            pace, busy, where = measure(alike, given.steps, 1 if given.quick else given.rounds)
            head = [f"{stacks} x {channels}", str(batch)]
            if pace is None:
                rows.append([*head, "", "", "out of memory", *[""] * (len(COLUMNS) - 2)])
                continue
            found[stacks, channels, batch] = pace
            line = cells(pace)
            step = batch / pace.images_per_second
            rows.append([*head, f"{1000 * step:.1f}", f"{1000 * busy:.1f}", line[0], *line[2:]])
            figures.append({"stacks": stacks, "channels": channels, "batch": batch, "cpu_seconds": busy, **vars(pace)})
    columns = [name for name in COLUMNS if name != "data wait"]
    best, first = max(p.tflops for p in found.values()), found[middle_stacks, width, given.batches[0]].tflops
    show(
        f"One step at {given.side} x {given.side}; {where}",
        ("stacks x channels", "batch", "ms a step", "CPU ms", *columns),
        rows,
        {"ratio": best / first, "best_tflops": best, "machine": where, "quick": given.quick, "rows": figures},
    )


if __name__ == "__main__":
    main()
