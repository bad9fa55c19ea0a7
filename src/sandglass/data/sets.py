"""Data sets by name: FOLDER@SPLIT[:WEIGHT], FILE.pack[:WEIGHT], or a TOML file that lists several."""

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.coco import annotation_file, read_coco, splits_in
from sandglass.data.lsp import is_lsp, read_lsp
from sandglass.data.mpii import is_mpii, read_mpii
from sandglass.data.mpii_h5 import is_mpii_h5, read_mpii_h5
from sandglass.data.mpii_mat import is_mpii_mat, read_mpii_mat
from sandglass.data.skeletons import find_skeleton, skeleton_of
from sandglass.data.table import is_table, read_table
from sandglass.data.variants import is_variant, read_variant
from sandglass.data.yolo import is_yolo, read_yolo

Reader = Callable[[Path, str, Skeleton | None], People]

READERS: dict[str, Reader] = {
    "coco": read_coco,
    "variant": read_variant,
    "yolo": read_yolo,
    "csv": read_table,
    "mpii": read_mpii,
    "mpii-h5": read_mpii_h5,
    "mpii-mat": read_mpii_mat,
    "lsp": read_lsp,
}
# By which files of (folder, split) a layout is known; the first that is found is taken, "coco" where none is.
SIGNS: dict[str, Callable[[Path, str], bool]] = {
    "coco": lambda folder, split: annotation_file(folder, split).exists(),
    "variant": is_variant,
    "yolo": is_yolo,
    "csv": is_table,
    "mpii": is_mpii,
    "mpii-h5": is_mpii_h5,
    "mpii-mat": is_mpii_mat,
    "lsp": is_lsp,
}
PACK = "pack"  # the layout of a packed file, which is no data set but crops made of some: see pack.py
PACK_NAME = re.compile(r"(.+\.pack)(?::([^:]*))?")


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """Where a data set lies, and how often its people are drawn.

    weight: of one person of this set, relative to one of another set, when several sets are mixed.
    layout: the reader, a key of READERS; or PACK, then `folder` is the file and there is no split.
    skeleton: a .toml file or a name of KNOWN, in place of the one that the data set brings; "" for none.
    """

    folder: Path
    split: str = ""
    weight: float = 1.0
    layout: str = "coco"
    skeleton: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise BadInput(f"{self}: the weight {self.weight:g} must be a positive number")
        if self.layout == PACK and not self.split:
            return
        if self.layout not in READERS:
            raise BadInput(f"{self}: unknown layout '{self.layout}'; known are {', '.join(READERS)}")
        if not self.split or set(self.split) & set("/\\") or self.split in (".", ".."):
            raise BadInput(f"{self}: '{self.split}' is not the name of a split; write FOLDER@SPLIT, as in coco@train")

    def __str__(self) -> str:
        return f"{self.folder}@{self.split}" if self.split else str(self.folder)


def parse_set(text: str) -> SetSpec:
    """FOLDER@SPLIT[:WEIGHT] or FILE.pack[:WEIGHT]; the last @ counts, so the folder may hold others, and colons.

    Raises BadInput.
    """
    if packed := PACK_NAME.fullmatch(text):
        return SetSpec(folder=Path(packed[1]), weight=_weight(packed[2], text), layout=PACK)
    folder, at, split = text.rpartition("@")
    if not at or not folder:
        there = ", ".join(splits_in(Path(text))) if text else ""
        hint = f"; its splits are: {there}" if there else ", as in coco@train"
        raise BadInput(f"'{text}' names no split: write FOLDER@SPLIT[:WEIGHT]{hint}")
    split, colon, weight = split.partition(":")
    layout = _layout(Path(folder), split)
    return SetSpec(folder=Path(folder), split=split, weight=_weight(weight if colon else None, text), layout=layout)


def _layout(folder: Path, split: str) -> str:
    return next((layout for layout, found in SIGNS.items() if split and found(folder, split)), "coco")


def _weight(written: str | None, text: str) -> float:
    try:
        return 1.0 if written is None else float(written)
    except ValueError:
        raise BadInput(f"'{text}': the weight '{written}' is not a number; write FOLDER@SPLIT:0.5") from None


def parse_sets(texts: Iterable[str], skeleton: str = "") -> list[SetSpec]:
    """The sets that the command line names; a .toml file stands for those it lists. Raises BadInput.

    skeleton: of all of them, in place of their own.
    """
    specs = []
    for text in texts:
        specs += read_listing(Path(text)) if text.endswith(".toml") else [parse_set(text)]
    if not specs:
        raise BadInput("no data set is named; write FOLDER@SPLIT[:WEIGHT], as in coco@train")
    if skeleton and (packed := next((spec for spec in specs if spec.layout == PACK), None)):
        raise BadInput(f"{packed}: a pack keeps the skeleton that it was made with; leave --skeleton out")
    return [replace(spec, skeleton=skeleton) for spec in specs] if skeleton else specs


def read_listing(path: Path) -> list[SetSpec]:
    """The sets of a TOML file: `[[set]]` tables with path, split and, if wished, weight, layout and skeleton.

    A pack has no split. A relative path starts from the file's own folder. Raises BadInput.
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
    kinds |= {"skeleton": (str,)}
    packed = isinstance(table, dict) and str(table.get("path")).endswith(".pack")
    needed = {"path"} if packed else {"path", "split"}
    if not isinstance(table, dict) or not needed <= table.keys() <= kinds.keys():
        raise BadInput(f"{place} must have path and split, may have weight, layout and skeleton, and nothing else")
    for key, value in table.items():
        if type(value) not in kinds[key]:
            raise BadInput(f"{place}: {key} = {value!r} is not a {' or '.join(kind.__name__ for kind in kinds[key])}")
    folder = base / table["path"]
    layout = PACK if packed and "split" not in table else _layout(folder, table["split"])
    given: dict[str, Any] = {"layout": layout, **{key: table[key] for key in kinds if key in table and key != "path"}}
    if given.get("skeleton", "").endswith(".toml"):
        given["skeleton"] = str(base / given["skeleton"])
    return SetSpec(folder=folder, **given)


def read_set(spec: SetSpec | str, skeleton: Skeleton | str | None = None) -> People:
    """The people of one set. Raises BadInput, see the layout's reader.

    Their skeleton is `skeleton` (itself, or as `find_skeleton` knows it), else the one that `spec` names, else the
    folder's own skeleton.toml, else what the layout says.
    """
    spec = parse_set(spec) if isinstance(spec, str) else spec
    if spec.layout == PACK:
        raise BadInput(f"{spec} holds crops to train on, without photographs; name the data set that it was made of")
    wanted = skeleton or spec.skeleton or skeleton_of(spec.folder)
    return READERS[spec.layout](spec.folder, spec.split, find_skeleton(wanted) if isinstance(wanted, str) else wanted)


def read_sets(specs: Iterable[SetSpec | str], skeleton: Skeleton | None = None) -> list[tuple[People, float]]:
    """Several sets with their weights. Raises BadInput when they do not share one skeleton, or one is named twice."""
    parsed = [parse_set(spec) if isinstance(spec, str) else spec for spec in specs]
    check_named_once(parsed)
    sets = [(read_set(spec, skeleton), spec.weight) for spec in parsed]
    check_mixable(parsed, [people.skeleton for people, _ in sets])
    return sets


def check_named_once(specs: Sequence[SetSpec]) -> None:
    """Raises BadInput when two sets are the same."""
    named = [(spec.folder.resolve(), spec.split) for spec in specs]
    for i, spec in enumerate(specs):
        if named[i] in named[:i]:
            raise BadInput(f"{spec} is named twice; give it a weight of {spec.weight:g} more instead")


def check_mixable(specs: Sequence[SetSpec], skeletons: Sequence[Skeleton]) -> None:
    """Raises BadInput when sets do not share one skeleton."""
    first = skeletons[0]
    for spec, other in zip(specs, skeletons, strict=True):
        if other.joints != first.joints:
            raise BadInput(
                f"{spec} has the {len(other)} joints of '{other.name}', {specs[0]} the {len(first)} of "
                f"'{first.name}'; mix only sets of one skeleton"
            )
