"""`sandglass data draw`."""

from pathlib import Path

from sandglass.cli.terminal import Terminal


def run(out: Path, people: int = 4000, val_people: int = 500, seed: int = 2016) -> None:
    """Draw people in the COCO layout: an endless, seeded data set, splits train and val.

    Args:
        out: Folder of the data set.
        people: Drawn people in train, at least.
        val_people: Drawn people in val, at least.
        seed: Of all drawings; each split has its own people.
    """
    from sandglass.demo import draw as work

    work(out, people, val_people, seed, Terminal())
