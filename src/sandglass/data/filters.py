"""Who is worth training on: rules, and what each of them removed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.pose import People


@dataclass(frozen=True, kw_only=True)
class Filter:
    """People to keep; the defaults are those of the system that this project rebuilds.

    Crowd regions are never kept: they mark many people by one box.
    """

    min_joints: int = 5  # labelled joints, at least
    min_box_area: float = 900.0  # square pixels; the box must be larger
    share: float = 1.0  # of the photographs, each kept or not with all its people; a smaller share lies in a larger one
    seed: int = 0  # of that draw

    def __post_init__(self) -> None:
        if self.min_joints < 0 or not self.min_box_area >= 0:
            raise BadInput(f"filter with {self.min_joints} joints and {self.min_box_area} px²: neither can be negative")
        if not 0 < self.share <= 1 or not 0 <= self.seed < 2**63:
            raise BadInput(f"a share of {self.share:g} of the photographs by seed {self.seed}: give 0 < share <= 1")


@dataclass(frozen=True)
class Tally:
    """How many people of one set each rule removed, in the order in which the rules are asked."""

    source: str
    people: int  # in the file
    removed: dict[str, int]  # rule -> people that it was the first to remove
    kept: int
    images: int  # that hold a kept person


def keep(people: People, rules: Filter) -> tuple[People, Tally]:
    """The people that pass every rule, and what each rule removed. Raises BadInput if nobody is left."""
    failed = {
        "crowd": people.crowd,
        f"< {rules.min_joints} joints": people.labelled < rules.min_joints,
        f"box ≤ {rules.min_box_area:g} px²": geometry.area(people.boxes) <= rules.min_box_area,
    }
    if rules.share < 1:
        failed[f"not in the share {rules.share:g}"] = (_lots(people.image_ids, rules.seed) >= rules.share)[people.image]
    left = np.ones(len(people), bool)
    removed = {}
    for rule, fails in failed.items():
        removed[rule] = int((left & fails).sum())
        left &= ~fails
    tally = Tally(people.source, len(people), removed, int(left.sum()), len(np.unique(people.image[left])))
    if not tally.kept:
        why = ", ".join(f"{rule}: {count}" for rule, count in removed.items())
        raise BadInput(f"{people.source}: no people left of {len(people)} ({why}); relax the filter")
    return people.select(left), tally


def _lots(ids: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number in 0..1 for each photograph, from its id and the seed alone: what else a set holds changes nothing.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / 2.0**53


def tally_table(tallies: Sequence[Tally]) -> Table:
    """A table with one row for each set: people in the file, removed by each rule, kept, their images."""
    rules = list(dict.fromkeys(rule for tally in tallies for rule in tally.removed))
    table = Table(title="People worth training on")
    table.add_column("set", overflow="fold")
    for heading in ("in the file", *(f"- {rule}" for rule in rules), "kept", "images"):
        table.add_column(heading, justify="right")
    for tally in tallies:
        counts = (tally.people, *(tally.removed.get(rule, 0) for rule in rules), tally.kept, tally.images)
        table.add_row(tally.source, *(f"{count:,}" for count in counts))
    return table
