"""Train a model that ships once more, from nothing: the sittings that its JSON file tells of, one after the other.

    python runs/again.py PEOPLE OUT [--model swift-s]    PEOPLE holds coco/, lspet/, lsp/ and mpii/ in the COCO layout

The sittings had budgets of time, here they have as many steps: the learning rate falls by steps in place of seconds,
and the result is of the same quality, not the same to the bit.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandglass.models.shipped import DEFAULT_MODEL, SHIPPED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="folder that holds the data sets")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=SHIPPED, default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    facts = SHIPPED[given.model].with_suffix(".json")
    stages = json.loads(facts.read_text("utf-8"))["summary"].get("stages")
    if not stages:
        sys.exit(f"{facts} does not say how the model was trained; runs/ship.py PEOPLE RUN writes it")
    for words in commands(stages, given.people, given.out, given.device):
        if status := subprocess.run([sys.executable, "-m", "sandglass", *words], check=False).returncode:
            sys.exit(status)


def commands(stages: Sequence[Mapping[str, Any]], people: Path, out: Path, device: str) -> Iterator[list[str]]:
    """`sandglass train ...` for each sitting, which starts from the model of the one before it."""
    for i, stage in enumerate(stages):
        data = [people / name for name in stage["train"]]
        words = ["train", stage["recipe"], "--data", *data, "--val", people / "coco@val", "--device", device]
        words += ["--seed", stage["seed"], "--steps", stage["steps"], "--out", out / f"sitting{i + 1}"]
        words += ["--init", out / f"sitting{i}" / "model.safetensors"] if i else []
        words += ["--set", *stage["settings"]] if stage["settings"] else []
        yield [str(word) for word in words]


if __name__ == "__main__":
    main()
