"""Who is worth training on: rules, and what each of them removed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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

    def __post_init__(self) -> None:
        if self.min_joints < 0 or not self.min_box_area >= 0:
            raise BadInput(f"filter with {self.min_joints} joints and {self.min_box_area} px²: neither can be negative")


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


def tally_table(tallies: Sequence[Tally]) -> Table:
    """A table with one row for each set: people in the file, removed by each rule, kept, their images."""
    rules = list(dict.fromkeys(rule for tally in tallies for rule in tally.removed))
    table = Table(title="People worth training on")
    table.add_column("set", no_wrap=True)
    for heading in ("in the file", *(f"- {rule}" for rule in rules), "kept", "images"):
        table.add_column(heading, justify="right")
    for tally in tallies:
        counts = (tally.people, *(tally.removed.get(rule, 0) for rule in rules), tally.kept, tally.images)
        table.add_row(tally.source, *(f"{count:,}" for count in counts))
    return table
