"""`sandglass data draw`."""

from pathlib import Path

from sandglass.cli.terminal import Terminal


def run(out: Path, people: int = 4000, val_people: int = 500, seed: int = 2016) -> None:
    """Draw people in the COCO layout: an endless, seeded data set, splits train and val.

    What is there and the same is kept: after an interruption the same command goes on. Another set is never replaced.

    Args:
        out: Folder of the data set.
        people: Drawn people in train, at least.
        val_people: Drawn people in val, at least.
        seed: Of all drawings; each split has its own people.
    """
    from sandglass.core.errors import BadInput
    from sandglass.data.figures import replaces
    from sandglass.demo import draw as work

    for split, count in (("train", people), ("val", val_people)):
        if replaces(out, split, count, seed):
            raise BadInput(f"{out}: already holds another '{split}'; choose another --out, or remove the folder first")
    work(out, people, val_people, seed, Terminal())
