"""One thing that is probably wrong with a data set: what, where, how sure, and the cure."""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich import box
from rich.table import Table

from sandglass.core.files import write_whole

# Kind -> the cure. Those of SAFE can be cured by a program, see `fixing`.
CURES = {
    "field": "correct or remove the entry",
    "photo": "fetch or export the photograph again",
    "size": "correct `width` and `height` in the annotation file, or put the original picture back",
    "leak": "keep the photograph in one of the two sets",
    "repeated photo": "keep one of the two, with the people of both",
    "similar photo": "keep the better one; never one to train on and one to score on",
    "skeleton": "give the skeleton its mirror: `mirror` in its TOML, or in the category",
    "sides": "exchange the names of the two joints in the category",
    "swap": "exchange left and right of these joints",
    "duplicate": "drop one of the two",
    "outside photo": "move the joint, or mark it as not labelled",
    "outside box": "grow the box",
    "limb": "look at both ends of the limb",
    "doubtful": "look at the joints, and label them anew",
}
SAFE = ("leak", "swap", "duplicate", "outside box")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """kind: a key of CURES. id: of the annotation, None where the finding is not one person's.

    photo: the file, "" where none is concerned; like: the one that it is the same as, or nearly. sure: 0..1.
    exchange: the left/right pairs, by their first joints, that the cure exchanges (kind "swap" only).
    """

    kind: str
    source: str
    id: int | None = None
    photo: str = ""
    like: str = ""
    sure: float = 1.0
    what: str
    exchange: tuple[int, ...] = ()

    @property
    def cure(self) -> str:
        return CURES[self.kind]


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """The surest first; among equals in the order of CURES, so that what breaks a run comes before what blurs it."""
    order = {kind: i for i, kind in enumerate(CURES)}
    return sorted(findings, key=lambda finding: (-finding.sure, order[finding.kind]))


def write_findings(folder: Path, findings: Sequence[Finding]) -> None:
    """findings.json and findings.csv, the surest first. Raises BadInput."""
    rows = [asdict(finding) | {"cure": finding.cure} for finding in ranked(findings)]
    write_whole(folder / "findings.json", json.dumps(rows, indent=1))
    text = io.StringIO()
    names = [field.name for field in fields(Finding)] + ["cure"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"exchange": " ".join(map(str, row["exchange"]))} for row in rows)
    write_whole(folder / "findings.csv", text.getvalue())


def counts(findings: Sequence[Finding]) -> Table:
    """For the terminal: how many of each kind, how many of them nearly sure, and the cure."""
    every, sure = (Counter(f.kind for f in findings if f.sure >= least) for least in (0.0, 0.9))
    table = Table(title="findings", box=box.SIMPLE_HEAD)
    for heading, side in (("kind", "left"), ("count", "right"), ("sure from 0.9", "right"), ("cure", "left")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for kind, cure in CURES.items():
        if every[kind]:
            table.add_row(kind, f"{every[kind]:,}", f"{sure[kind]:,}", cure + " (--fix)" * (kind in SAFE))
    return table


def worst(findings: Sequence[Finding], most: int) -> Table:
    """For the terminal: the surest findings, one row each."""
    table = Table(title=f"the surest {min(most, len(findings))} of {len(findings):,}", box=box.SIMPLE_HEAD)
    for heading in ("sure", "kind", "set", "annotation", "photograph", "what"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("sure", "kind", "annotation"))
    for f in ranked(findings)[:most]:
        table.add_row(f"{f.sure:.2f}", f.kind, f.source, "" if f.id is None else str(f.id), Path(f.photo).name, f.what)
    return table
