"""What a data set holds, counted: joints, people, boxes, visibility, and what each rule leaves out. Labels only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.filters import Filter, Tally, keep

Counts = NDArray[np.int64]

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles of lengths
FEW = 5  # the seed's boundary: people with fewer labelled joints are not worth training on
OVERVIEW = {  # heading of a column -> what a row is called
    "joints": "joints of the skeleton",
    "images": "images",
    "people": "people",
    "crowds": "crowds",
    f"0-{FEW - 1} joints": f"people with 0-{FEW - 1} joints",
    "a person": "joints a person",
    "images with > 1": "images with > 1 person, of those with any",
    "box side": "longer side of a box, median",
}


@dataclass(frozen=True, eq=False)
class Census:
    """Counts of one data set. Crowd regions are counted once and are nobody elsewhere.

    joints: (K + 1,) people with 0 ... K labelled joints. images_by_most: (K + 1,) images by the most that one of
    their people has. people_an_image: (M',) images with 0, 1, 2 ... people. sides: (N,) longer sides of boxes, pixels.
    cover: (N,) box over photograph, areas. states: (K, 3) labels not given, hidden, visible.
    together: (K, K) people with both joints labelled; a joint's own count on the diagonal.
    tally: what `Filter()` removes.
    """

    source: str
    skeleton: Skeleton
    images: int  # in the file
    crowds: int
    joints: Counts
    images_by_most: Counts
    people_an_image: Counts
    sides: Floats
    cover: Floats
    states: Counts
    together: Counts
    tally: Tally | None

    @property
    def people(self) -> int:
        return int(self.joints.sum())

    @property
    def few(self) -> int:
        """People with less than five labelled joints."""
        return int(self.joints[:FEW].sum())

    @property
    def given_other(self) -> Floats:
        """(K, K) the share of the people with joint i labelled (row) who have joint j labelled too; NaN for none."""
        own = np.diag(self.together).astype(np.float64)[:, None]
        return np.divide(self.together, own, out=np.full(self.together.shape, np.nan), where=own > 0)

    @classmethod
    def of(cls, people: People, rules: Filter | None = None) -> "Census":
        """Count a data set. A set of which the rules leave nobody has no tally."""
        persons = people.select(~people.crowd)
        k, images = len(people.skeleton), len(people.image_ids)
        labelled, given = persons.labelled, (persons.visibility > 0).astype(np.float64)
        held = np.bincount(persons.image, minlength=images)
        most = np.zeros(images, np.int64)
        np.maximum.at(most, persons.image, labelled)
        extent = persons.boxes[:, 2:] - persons.boxes[:, :2]
        states = [(persons.visibility == state).sum(0) for state in range(3)]
        return cls(
            source=people.source,
            skeleton=people.skeleton,
            images=images,
            crowds=int(people.crowd.sum()),
            joints=np.bincount(labelled, minlength=k + 1).astype(np.int64),
            images_by_most=np.bincount(most[held > 0], minlength=k + 1).astype(np.int64),
            people_an_image=np.bincount(held, minlength=2).astype(np.int64),
            sides=extent.max(1) if len(persons) else np.zeros(0),
            cover=geometry.area(persons.boxes) / people.image_sizes[persons.image].prod(1),
            states=np.stack(states, axis=1).astype(np.int64),
            together=np.rint(given.T @ given).astype(np.int64),
            tally=_tally(people, rules or Filter()),
        )


def _tally(people: People, rules: Filter) -> Tally | None:
    try:
        return keep(people, rules)[1]
    except BadInput:
        return None


def overview_table(found: Sequence[Census], upright: bool = False) -> Table:
    """One row a set: images, people, how crowded, how many have few joints, and how large they are.

    upright: one row a count instead, set below set, for terminals that are too narrow.
    """
    table = Table(title="What the sets hold")
    table.add_column("set", overflow="fold")
    if upright:
        table.add_column("what")
        table.add_column("count", justify="right", no_wrap=True)
    for heading in () if upright else OVERVIEW:
        table.add_column(heading, justify="right")
    for census in found:
        counts = _overview(census)
        if upright:
            for i, (what, count) in enumerate(zip(OVERVIEW.values(), counts, strict=True)):
                table.add_row("" if i else census.source, what, count, end_section=i == len(counts) - 1)
        else:
            table.add_row(census.source, *counts)
    return table


def _overview(census: Census) -> list[str]:
    """What `OVERVIEW` names."""
    peopled = int(census.people_an_image[1:].sum())
    joints = float((np.arange(len(census.joints)) * census.joints).sum())
    return [
        str(len(census.skeleton)),
        f"{census.images:,}",
        f"{census.people:,}",
        f"{census.crowds:,}",
        f"{census.few:,} ({_percent(census.few, census.people)})",
        f"{joints / max(census.people, 1):.2f}",
        _percent(int(census.people_an_image[2:].sum()), peopled),
        f"{np.median(census.sides):.0f} px" if len(census.sides) else "-",
    ]


def joints_table(census: Census) -> Table:
    """Each joint: labelled people, visible and hidden among them, and the joint that comes along most seldom."""
    table = Table(title=f"{census.source}: joints of {census.people:,} people")
    table.add_column("joint", no_wrap=True)
    for heading in ("labelled", "of people", "visible", "hidden"):
        table.add_column(heading, justify="right")
    table.add_column("seldom together with")
    other = np.where(np.eye(len(census.skeleton), dtype=bool), np.nan, census.given_other)
    for j, joint in enumerate(census.skeleton.joints):
        _, hidden, visible = (int(count) for count in census.states[j])
        labelled = hidden + visible
        rarest = int(np.nanargmin(other[j])) if np.isfinite(other[j]).any() else None
        table.add_row(
            joint,
            f"{labelled:,}",
            _percent(labelled, census.people),
            _percent(visible, labelled),
            _percent(hidden, labelled),
            "" if rarest is None else f"{census.skeleton.joints[rarest]} ({other[j, rarest]:.0%})",
        )
    return table


def counts_table(census: Census) -> Table:
    """By number of labelled joints: people, images by the best labelled person; beside it people an image."""
    table = Table(title=f"{census.source}: how many there are")
    for heading in ("number", "people with so many joints", "images, best person", "images with so many people"):
        table.add_column(heading, justify="right")
    columns = (census.joints, census.images_by_most, census.people_an_image)
    for n in range(max(map(len, columns))):
        counts = [int(column[n]) if n < len(column) else 0 for column in columns]
        if any(counts):
            table.add_row(str(n), *(f"{count:,}" if count else "" for count in counts))
    return table


def sizes_table(found: Sequence[Census]) -> Table:
    """Quantiles of the longer side of boxes, and of how much of the photograph they cover."""
    table = Table(title="Boxes: the longer side in pixels, the share of the photograph")
    table.add_column("set", overflow="fold")
    for share in SHARES:
        table.add_column(f"{share:.0%}", justify="right")
    for census in found:
        if len(census.sides):
            sides, cover = (np.quantile(values, SHARES) for values in (census.sides, census.cover))
            table.add_row(census.source, *(f"{a:.0f} px, {b:.1%}" for a, b in zip(sides, cover, strict=True)))
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"
