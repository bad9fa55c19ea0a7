"""`sandglass data convert`."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal


def run(
    data: Positional[OneSet],
    out: Path,
    layout: Literal["coco", "yolo"] = "coco",
    to: str = "",
    skeleton: str = "",
    photos: Literal["link", "copy", "none"] = "link",
) -> None:
    """Write a data set down in another layout, and with the joints of another skeleton if wished.

    Args:
        data: What to convert: COCO and its variants, MPII, LSP, YOLO-pose or CSV; the folder tells which.
        out: Folder of the new data set; the split keeps its name.
        layout: coco, or yolo (labels/, data.yaml, skeleton.toml).
        to: coco17, mpii16, lsp14, crowdpose14 or a .toml file: joints are matched by name, others become unlabelled.
        skeleton: A .toml file, or a known name, in place of the data's own, before that.
        photos: Link to the folder of photographs, copy them, or leave them out.
    """
    from sandglass.data.converting import write_set
    from sandglass.data.sets import parse_set, read_set
    from sandglass.data.skeletons import convert, find_skeleton

    spec = parse_set(data)
    people = read_set(spec, skeleton)
    people = convert(people, find_skeleton(to)) if to else people
    written = write_set(people, out, spec.split, layout, photos)
    left = f" ({written.dropped:,} crowds and people without joints left out)" if written.dropped else ""
    told = f"{written.people:,} people with the {len(people.skeleton)} joints of {people.skeleton.name}{left}"
    Terminal().print(f"{told} in {written.labels}; use them as {out}@{spec.split}", highlight=False, soft_wrap=True)
