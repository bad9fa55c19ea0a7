"""Training on one GPU from packed crops, end to end: HG-2, 256 channels, 256 x 256; by batch size, compiled and not.

    python benchmarks/h200.py --device cuda --data coco.pack

The aim on one H200 is 4,000 images/s with a data wait of at most 2 %; `ratio` is the best over that. Without --data,
people are drawn and packed first. `--photographs` with a set (FOLDER@SPLIT) leaves out the pack.
"""

from common import COLUMNS, Drive, Pace, arguments, cells, hourglass, machine, middle, packed, ready, show

from sandglass.training.config import RunConfig
from sandglass.training.fitting import out_of_memory

AIM = 4000.0  # images/s on one H200


def measure(config: RunConfig, steps: int, warm: int, rounds: int) -> tuple[Pace | None, str]:
    """The median pace; None where the memory is too small. And the machine."""
    with ready(config) as run:
        drive = Drive(run)
        try:
            drive(warm)
            return middle([drive(steps) for _ in range(rounds)]), machine(run.device)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None, machine(run.device)
        finally:
            drive.close()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", default="", metavar="FILE.pack", help="else drawn people, packed first")
    parser.add_argument("--people", type=int, default=4000, help="to draw, where no data are named")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--steps", type=int, default=100, help="in a round of three")
    parser.add_argument("--compile", nargs="+", choices=("on", "off"), default=["off", "on"])
    given = parser.parse_args()
    shape = {"stacks": 2, "channels": 256, "side": 256}
    warm, rounds = 20, 3
    if given.quick:
        shape = {"stacks": 1, "channels": 16, "side": 64}
        given.batches, given.steps, given.people, given.compile = [4], 2, 12, ["off"]
        warm, rounds = 1, 1
    found, rows, where = [], [], ""
    first = hourglass("", batch=given.batches[0], given=given, **shape)
    with packed(given.data, given.people, first) as named:
        for compiling in given.compile:
            for batch in given.batches:
                config = hourglass(named, batch=batch, given=given, compile=compiling, **shape)
                pace, where = measure(config, given.steps, warm, rounds)
                head = [str(batch), "compiled" if compiling == "on" else "as it is"]
                rows.append([*head, *(cells(pace) if pace else ["out of memory", *[""] * (len(COLUMNS) - 1)])])
                if pace is not None:
                    found.append({"batch": batch, "compiled": compiling == "on", **vars(pace)})
    best = max(found, key=lambda row: row["images_per_second"])
    show(
        f"HG-{shape['stacks']}, {shape['channels']} channels, {shape['side']} x {shape['side']}, packed crops; {where}",
        ("batch", "network", *COLUMNS),
        rows,
        {"ratio": best["images_per_second"] / AIM, **best, "machine": where, "quick": given.quick, "rows": found},
    )


if __name__ == "__main__":
    main()
