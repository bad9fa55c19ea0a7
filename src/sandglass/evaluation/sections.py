"""The sections of the report: each a function of the Report that gives HTML, or None where there is nothing to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandglass.draw import charts, curves
from sandglass.evaluation.journals import Rows, summary
from sandglass.evaluation.notes import BOXES_NOTE, LENGTHS_NOTE
from sandglass.evaluation.page import Picture, Sure, chart, defined, embed, figure, finite, fold, number, table, text
from sandglass.metrics.bootstrap import FEW_PEOPLE, FEWER

PICTURES = "pictures"  # the folder beside the page
MAX_BYTES = 8_000_000  # of the whole page
GALLERIES_BYTES = 2_600_000
PICTURES_BYTES = MAX_BYTES - GALLERIES_BYTES - 1_600_000  # the rest is for charts, tables and the page itself
MEANING: Mapping[str, str] = {
    "AP": "average precision, mean over OKS 0.50 … 0.95",
    "AP50": "average precision at OKS 0.50",
    "AP75": "average precision at OKS 0.75",
    "APM": "AP of medium people, 32² … 96² pixels",
    "APL": "AP of large people, over 96² pixels",
    "AR": "average recall, mean over OKS 0.50 … 0.95",
    "AR50": "recall at OKS 0.50",
    "AR75": "recall at OKS 0.75",
    "ARM": "AR of medium people",
    "ARL": "AR of large people",
    "AUC": "mean PCK over thresholds up to 0.5 of the torso's length",
    "EPE": "mean distance of found joints, pixels",
    "NEPE": "mean distance of found joints, torso lengths",
}
HEADLINE = ("AP", "AP50", "AP75", "AR", "PCK@0.2")
COUNTS = ("people", "images")
LISTS = ("protocol", "source", "skeleton", "fingerprint", *COUNTS)
SPEED = (
    ("images_per_second", "images a second", 1),
    ("data_wait", "share of time waiting for data", 3),
    ("evaluation_share", "share of time evaluating", 3),
    ("tflops", "TFLOP/s", 3),
    ("peak_share", "share of the chip's peak", 3),
    ("memory_gib", "memory, GiB", 2),
)


@dataclass(frozen=True, eq=False)
class Report:
    """What a page is made from, as plain JSON values but for the pictures.

    scores: as in scores.json. runs: name -> rows of its journal; the first is this model's own. ledger, mistakes:
    `Ledger.to_dict()`, `Diagnosis.to_dict()`; calibration: see `findings.calibration`. galleries: kind of mistake ->
    (caption, image); sheets, pictures: (caption, image). All but the last are as wide as the page. files: the pictures
    that lie beside the page, by their names in PICTURES.
    """

    title: str
    scores: Mapping[str, Any]
    runs: Mapping[str, Rows] = field(default_factory=dict)
    ledger: Mapping[str, Any] | None = None
    mistakes: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    galleries: Mapping[str, Picture] = field(default_factory=dict)
    sheets: Sequence[Picture] = ()
    pictures: Sequence[Picture] = ()
    files: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the page. `body` is HTML: whoever makes it escapes what it was given."""

    title: str
    lead: str
    body: str


def figures_section(report: Report) -> Section | None:
    """Every figure with its interval and what it means, and by part: side, visibility, size."""
    scores = report.scores
    names = [n for n in scores if n not in LISTS and (n in MEANING or n.startswith("PCK"))]
    if not names:
        return None
    rows = []
    for name in names:
        value = float(scores[name]) if defined(scores[name]) else None
        rows.append([("", name), ("number", value), ("number", ends(scores, name)), ("faint meaning", _meaning(name))])
    body = table(("figure", "value", "95 % interval", "meaning"), rows)
    body += "".join(f'<p class="aside">{text(note)}</p>' for note in told_notes(scores, aside=True))
    parts = scores.get("parts") or {}
    if parts:
        names = list(dict.fromkeys(part for found in parts.values() for part in found))
        rows = [[("", part), *details(parts, scores.get("part_intervals"), part)] for part in names]
        body += f"<h3>By part</h3>{table(('part', *parts), rows, kind='sortable compact')}"
    lead = (
        "Intervals hold 95 % of bootstrap resamples over photographs. A dash is a figure that is not defined here; "
        f"few stands for an interval where fewer than {FEW_PEOPLE} people are counted. Of the gains of groups and of "
        f"early exits, which are many, {FEWER} resamples are taken."
    )
    return Section("Figures", lead, body)


def joints_section(report: Report) -> Section | None:
    """PCK joint by joint, over thresholds, and every figure that is told joint by joint."""
    per_joint = report.scores.get("per_joint")
    if not isinstance(per_joint, Mapping) or not per_joint:
        return None
    values = {str(name): known(found) for name, found in per_joint.items()}
    if all(value is None for value in values.values()):
        return None
    drawn = [chart(charts.per_joint_bars(values), "PCK@0.2 by joint")]
    curve = dict(report.scores.get("curve") or {})
    thresholds = curve.pop("thresholds", None)
    if thresholds and curve:
        drawn.append(chart(charts.pck_curve(thresholds, curve), "PCK by threshold"))
    joints = report.scores.get("joints") or {"PCK@0.2": per_joint}
    rows = [
        [("", name.replace("_", " ")), *details(joints, report.scores.get("joint_intervals"), name)] for name in values
    ]
    body = f'<div class="charts">{"".join(drawn)}</div>'
    body += fold("Every joint in figures", table(("joint", *joints), rows, kind="sortable compact"))
    lead = (
        "PCK@0.2 is the share of labelled joints found within 0.2 of the torso's length; AUC its mean over thresholds "
        "up to 0.5; EPE the mean distance in pixels, NEPE in torso lengths."
    )
    return Section("Joints", lead, body)


def details(values: Mapping[str, Any], intervals: Any, name: str) -> list[tuple[str, Sure]]:
    """A table's cells: every figure of one joint or part, {figure: {name: value}}, with its interval."""
    return [
        ("number", Sure(known(found.get(name)), within(intervals, figure, name))) for figure, found in values.items()
    ]


def within(found: Any, *names: str) -> Any:
    """What stands in nested objects under these names; None where one is missing: older files have no intervals."""
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def training_section(report: Report) -> Section | None:
    """Curves over steps, the first 500 of them apart, PCK of every joint, and the speed; several runs overlaid."""
    runs = {name: rows for name, rows in report.runs.items() if rows}
    if not runs:
        return None
    own = next(iter(runs.values()))
    if len(runs) > 1:
        figures = curves.overlaid(runs)
    else:
        figures = charts.panels(own, str(report.scores.get("protocol", "")))
        steps, _ = charts.series(own, "loss")
        if len(steps) and (steps <= 500).sum() >= 10 and steps[-1] > 1000:
            figures.append(charts.first_steps(own))
    body = f'<div class="charts">{"".join(chart(f, f"Training chart {i + 1}") for i, f in enumerate(figures))}</div>'
    joints = curves.joint_curves(runs)
    body += chart(joints, "PCK@0.2 by joint over steps", wide=True) if joints is not None else ""
    found = {name: summary(rows) for name, rows in runs.items()}
    rows = [
        [("", label), *(("number", number(told[key], digits)) for told in found.values())]
        for key, label, digits in SPEED
        if any(told[key] is not None for told in found.values())
    ]
    body += f"<h3>Speed</h3>{table(('meter', *runs), rows, kind='sortable compact')}" if rows else ""
    lead = "Faint lines are single values, bold lines their moving average. Scores are taken on the way."
    return Section("Training", lead if len(runs) == 1 else "Moving averages over steps.", body)


def pictures_section(report: Report) -> Section | None:
    """What the network saw and said."""
    both = [*report.sheets, *report.pictures]
    if not both:
        return None
    sources = embed([image for _, image in both], PICTURES_BYTES)
    figures = [figure(*picture, source) for picture, source in zip(both, sources, strict=False)]
    whole, small = figures[: len(report.sheets)], figures[len(report.sheets) :]
    body = f'<div class="sheets">{"".join(whole)}</div>' if whole else ""
    body += f'<div class="pictures">{"".join(small)}</div>' if small else ""
    lead = (
        "Left is blue, right is orange; joints that the network calls absent are not drawn. Thin ellipses hold a joint "
        "in half of all cases, as its heatmap sees it. Click to enlarge."
    )
    return Section("Pictures", lead + left_out(len(both) - len(sources)), body)


def left_out(count: int) -> str:
    """What is said of pictures that did not fit the page."""
    return f" {count} more pictures were left out to keep the page small." if count else ""


def facts_section(report: Report) -> Section | None:
    """The network, the data, the machine, the time."""
    if not report.facts:
        return None
    rows = [[("", name), ("", str(value))] for name, value in report.facts.items()]
    return Section("Facts", "", table(("fact", "value"), rows, kind="sortable facts"))


def command_section(report: Report) -> Section | None:
    """How to make it again."""
    if not report.command:
        return None
    body = f'<div class="command"><pre>{text(report.command)}</pre><button type="button">copy</button></div>'
    return Section("Command", "What made these figures.", body)


def told_notes(scores: Mapping[str, Any], *, aside: bool) -> list[str]:
    """The notes of the scores that only explain (`aside`), or those that a reader must know at once.

    What was looked into stands beside the protocol: see `boxes_note`.
    """
    notes = [str(n) for n in scores.get("notes") or () if not str(n).startswith(BOXES_NOTE)]
    return [n for n in notes if n.startswith(LENGTHS_NOTE) == aside]


def boxes_note(scores: Mapping[str, Any]) -> str:
    """Whose boxes were looked into, and how many; "" for labelled ones."""
    return next((str(n) for n in scores.get("notes") or () if str(n).startswith(BOXES_NOTE)), "")


def known(found: object) -> float | None:
    """A figure for a table: None where it is no number."""
    return float(found) if finite(found) else None


def interval(scores: Mapping[str, Any], name: str) -> tuple[float | None, float | None]:
    """The interval of a figure, (None, None) where there is none."""
    found = (scores.get("intervals") or {}).get(name)
    if not isinstance(found, Sequence) or len(found) != 2 or not all(map(defined, found)):
        return None, None
    return float(found[0]), float(found[1])


def ends(scores: Mapping[str, Any], name: str) -> str:
    """The interval of a figure for people; a dash where there is none."""
    low, high = interval(scores, name)
    return f"{number(low)} … {number(high)}" if low is not None else "–"


def _meaning(name: str) -> str:
    if name in MEANING:
        return MEANING[name]
    kind, _, threshold = name.partition("@")
    lengths = {"PCK": "the torso's length", "PCKh": "the head's size"}
    return f"joints found within {threshold} of {lengths[kind]}" if kind in lengths else ""
