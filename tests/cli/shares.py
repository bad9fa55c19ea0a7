"""What both processes of test_evaluate.py do under torchrun: `shares.py FOLDER`, once for each command in its list."""

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import torch

from sandglass import cli
from sandglass.inference.predictor import Predictor
from sandglass.inference.world import joined

Predictor.load = partial(Predictor.load, batch=3)  # type: ignore[method-assign] # so that few people are many batches


def main(folder: Path) -> None:
    told = []
    with joined() as world:  # one connection for all commands: to start processes costs more than they do
        for words in json.loads((folder / "commands.json").read_text()):
            torch.set_num_threads(1)
            sys.argv = ["sandglass", *words]
            with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
                try:
                    status = cli.main()
                except SystemExit as stop:
                    status = stop.code
            told.append([status, output.getvalue(), errors.getvalue()])
        (folder / f"rank{world.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
