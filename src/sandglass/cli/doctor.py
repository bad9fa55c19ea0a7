"""`sandglass doctor`."""

import sys
from pathlib import Path

from sandglass.cli.terminal import Sets, Terminal


def run(data: Sets = (), model: Path | None = None, folder: Path = Path()) -> None:
    """Say whether this machine can do the work: versions, devices, memory, disk, extras, a model, a data set.

    The exit status is 1 where something fails, else 0; a warning is no failure.

    Args:
        data: Data sets to read, photographs only by their folders' listings; `sandglass data check` looks closer.
        model: A checkpoint to load and run once.
        folder: Where runs and data shall lie: whose disk is measured.
    """
    from sandglass.evaluation.environment import examine, table

    rows = list(examine(folder, data, model))
    Terminal().print(table(rows))
    if any(row.state == "fail" for row in rows):
        sys.exit(1)
