"""Photographs to score on that are nearly the same as one to learn from: `sandglass data check`, for the model card.

    python runs/leaks.py PEOPLE    PEOPLE holds coco/, lspet/, lsp/ and mpii/ in the COCO layout; a minute of two cores

The last line is JSON: data set -> image ids.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sandglass.data.coco import splits_in
from sandglass.data.doctor.photographs import check_photographs
from sandglass.data.sets import read_set

TEACHING = ("coco@train", "lspet@train", "lsp@train", "mpii@train")
SURE = 0.8  # as `sandglass data check` has it


def near_teaching(folder: Path, held_out: Sequence[str]) -> dict[str, list[int]]:
    """For each set to score on, the image ids of its photographs that are nearly, or wholly, ones to learn from."""
    named = (name.split("@") for name in TEACHING)
    teaching = [read_set(f"{folder}/{of}@{split}") for of, split in named if split in splits_in(folder / of)]
    scored = {name: read_set(f"{folder}/{name}") for name in held_out}
    findings = check_photographs([*teaching, *scored.values()])
    learnt = {str(path) for people in teaching for path in people.image_paths}
    leaks = {f.photo for f in findings if f.kind == "leak" and f.sure >= SURE and f.like in learnt}
    return {
        name: [int(i) for i, path in zip(people.image_ids, people.image_paths, strict=True) if str(path) in leaks]
        for name, people in scored.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="folder that holds the data sets")
    found = near_teaching(parser.parse_args().people, ("coco@val", "lsp@test", "mpii@val"))
    for name, ids in found.items():
        print(f"{name}: {len(ids)} photographs are nearly ones to learn from")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
