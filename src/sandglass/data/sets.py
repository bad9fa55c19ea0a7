"""Data sets by name: FOLDER@SPLIT[:WEIGHT], or a TOML file that lists several."""

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.coco import read_coco, splits_in

Reader = Callable[[Path, str, Skeleton | None], People]

READERS: dict[str, Reader] = {"coco": read_coco}


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """Where a data set lies, and how often its people are drawn.

    weight: of one person of this set, relative to one of another set, when several sets are mixed.
    layout: the reader, a key of READERS.
    """

    folder: Path
    split: str
    weight: float = 1.0
    layout: str = "coco"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise BadInput(f"{self}: the weight {self.weight:g} must be a positive number")
        if self.layout not in READERS:
            raise BadInput(f"{self}: unknown layout '{self.layout}'; known are {', '.join(READERS)}")
        if not self.split or set(self.split) & set("/\\") or self.split in (".", ".."):
            raise BadInput(f"{self}: '{self.split}' is not the name of a split; write FOLDER@SPLIT, as in coco@train")

    def __str__(self) -> str:
        return f"{self.folder}@{self.split}"


def parse_set(text: str) -> SetSpec:
    """FOLDER@SPLIT[:WEIGHT]; the last @ counts, so the folder may hold others, and colons. Raises BadInput."""
    folder, at, split = text.rpartition("@")
    if not at or not folder:
        there = ", ".join(splits_in(Path(text))) if text else ""
        hint = f"; its splits are: {there}" if there else ", as in coco@train"
        raise BadInput(f"'{text}' names no split: write FOLDER@SPLIT[:WEIGHT]{hint}")
    split, colon, weight = split.partition(":")
    try:
        return SetSpec(folder=Path(folder), split=split, weight=float(weight) if colon else 1.0)
    except BadInput:
        raise
    except ValueError:
        raise BadInput(f"'{text}': the weight '{weight}' is not a number; write FOLDER@SPLIT:0.5") from None


def parse_sets(texts: Iterable[str]) -> list[SetSpec]:
    """The sets that the command line names; a .toml file stands for those it lists. Raises BadInput."""
    specs = []
    for text in texts:
        specs += read_listing(Path(text)) if text.endswith(".toml") else [parse_set(text)]
    if not specs:
        raise BadInput("no data set is named; write FOLDER@SPLIT[:WEIGHT], as in coco@train")
    return specs


def read_listing(path: Path) -> list[SetSpec]:
    """The sets of a TOML file: `[[set]]` tables with path, split and, if wished, weight and layout.

    A relative path starts from the file's own folder. Raises BadInput.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid TOML ({error})") from None
    tables = data.get("set")
    if not isinstance(tables, list) or not tables or data.keys() != {"set"}:
        raise BadInput(f"{path}: must hold [[set]] tables and nothing else, each with path and split")
    return [_from_table(table, f"{path}: set {i + 1}", path.parent) for i, table in enumerate(tables)]


def _from_table(table: Any, place: str, base: Path) -> SetSpec:
    kinds: Mapping[str, tuple[type, ...]] = {"path": (str,), "split": (str,), "weight": (int, float), "layout": (str,)}
    if not isinstance(table, dict) or not {"path", "split"} <= table.keys() <= kinds.keys():
        raise BadInput(f"{place} must have path and split, may have weight and layout, and nothing else")
    for key, value in table.items():
        if type(value) not in kinds[key]:
            raise BadInput(f"{place}: {key} = {value!r} is not a {' or '.join(kind.__name__ for kind in kinds[key])}")
    others = {key: table[key] for key in ("weight", "layout") if key in table}
    return SetSpec(folder=base / table["path"], split=table["split"], **others)


def read_set(spec: SetSpec | str, skeleton: Skeleton | None = None) -> People:
    """The people of one set. Raises BadInput, see the layout's reader."""
    spec = parse_set(spec) if isinstance(spec, str) else spec
    return READERS[spec.layout](spec.folder, spec.split, skeleton)


def read_sets(specs: Iterable[SetSpec | str], skeleton: Skeleton | None = None) -> list[tuple[People, float]]:
    """Several sets with their weights. Raises BadInput when they do not share one skeleton, or one is named twice."""
    parsed = [parse_set(spec) if isinstance(spec, str) else spec for spec in specs]
    sets = [(read_set(spec, skeleton), spec.weight) for spec in parsed]
    named = [(spec.folder.resolve(), spec.split) for spec in parsed]
    for i, (people, _) in enumerate(sets):
        if named[i] in named[:i]:
            raise BadInput(f"{parsed[i]} is named twice; give it a weight of {parsed[i].weight:g} more instead")
        first = sets[0][0]
        if people.skeleton.joints != first.skeleton.joints:
            raise BadInput(
                f"{parsed[i]} has the {len(people.skeleton)} joints of '{people.skeleton.name}', {parsed[0]} the "
                f"{len(first.skeleton)} of '{first.skeleton.name}'; mix only sets of one skeleton"
            )
    return sets
