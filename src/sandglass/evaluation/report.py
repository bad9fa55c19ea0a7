"""Scores, journal and pictures -> one HTML file that needs nothing else. A section is a function of the Report."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from sandglass import __version__
from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.draw import charts
from sandglass.evaluation.page import Picture, chart, defined, embed, figure, finite, number, table, template, text
from sandglass.evaluation.protocols import PROTOCOLS

MAX_BYTES = 8_000_000  # of the whole page
PICTURES_BYTES = MAX_BYTES - 1_200_000  # the rest is for charts, tables and the page itself
HEADLINE = ("AP", "AP50", "AP75", "AR", "PCK@0.2")
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
}
COUNTS = ("people", "images")


@dataclass(frozen=True, eq=False)
class Report:
    """What the sections of a page are made from; `rows` is the journal, pictures and sheets are (caption, image)."""

    title: str
    scores: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    sheets: Sequence[Picture]
    pictures: Sequence[Picture]
    facts: Mapping[str, str]
    command: str


@dataclass(frozen=True)
class Section:
    """One part of the page. `body` is HTML: whoever makes it escapes what it was given."""

    title: str
    lead: str
    body: str


def write_report(
    folder: str | Path,
    *,
    title: str,
    scores: Mapping[str, Any],
    journal: str | Path | None = None,
    sheets: Sequence[Picture] = (),
    pictures: Sequence[Picture] = (),
    facts: Mapping[str, str] | None = None,
    command: str = "",
) -> Path:
    """Write `folder`/report.html, one file under 8 MB that opens from disk and asks the network for nothing.

    scores: as in scores.json: protocol, figures in 0..1 (None: not defined), people, images, per_joint,
        intervals {figure: (low, high)}, notes.
    journal: the run's metrics.jsonl, for the curves.
    sheets: (caption, image), each as wide as the page: heatmap grids, galleries.
    pictures: (caption, image), several in a row. What does not fit is made smaller, then left out from the
        end, and counted on the page.
    Raises BadInput when the journal cannot be read or the folder cannot be written.
    """
    rows = [] if journal is None else read_journal(journal)
    report = Report(title, scores, rows, sheets, pictures, facts or {}, command)
    path = Path(folder) / "report.html"
    write_whole(path, render(report))
    return path


def render(report: Report) -> str:
    """The page."""
    script = template("report.js")
    sections = [section for make in SECTIONS if (section := make(report)) is not None]
    return Template(template("report.html")).substitute(
        version=__version__,
        title=text(report.title),
        protocol=_protocol(report.scores),
        headline=_headline(report.scores),
        contents="".join(f'<a href="#{_slug(s.title)}">{text(s.title)}</a>' for s in sections),
        sections="\n".join(
            f'<section id="{_slug(s.title)}"><h2>{text(s.title)}</h2>'
            + (f'<p class="lead">{text(s.lead)}</p>' if s.lead else "")
            + f"{s.body}</section>"
            for s in sections
        ),
        style=template("report.css"),
        script=script,
        # Only this script may run, whatever a file name tried to smuggle in.
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def read_journal(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, in order; lines that were torn by a crash are passed over.

    A run that was resumed from an earlier step leaves its undone steps in the file: where the steps go back,
    the later rows count. Raises BadInput when the file cannot be read, or holds lines but not one row.
    """
    try:
        lines = Path(path).read_bytes().decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a run's metrics.jsonl") from None
    rows: dict[tuple[float, bool], dict[str, Any]] = {}  # by step, and whether training or evaluation
    last = -math.inf
    for row in filter(None, map(_row, lines)):
        step = row["step"]
        if step < last:
            rows = {key: kept for key, kept in rows.items() if key[0] <= step}
        rows.pop((step, "loss" in row), None)
        rows[step, "loss" in row] = row
        last = step
    if lines and not rows:
        raise BadInput(f"{path}: none of its {len(lines)} lines is a row with a step; give a run's metrics.jsonl")
    return list(rows.values())


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and finite(row.get("step")) else None


# --- sections -------------------------------------------------------------------------------------------------------


def training_section(report: Report) -> Section | None:
    """Curves over steps, and the first 500 of them apart."""
    figures = charts.panels(report.rows, str(report.scores.get("protocol", "")))
    if not figures:
        return None
    steps, _ = charts.series(report.rows, "loss")
    if len(steps) and (steps <= 500).sum() >= 10 and steps[-1] > 1000:
        figures.append(charts.first_steps(report.rows))
    body = "".join(chart(drawn, f"Training chart {i + 1}") for i, drawn in enumerate(figures))
    lead = "Faint lines are single values, bold lines their moving average. Scores are taken on the way."
    return Section("Training", lead, f'<div class="charts">{body}</div>')


def figures_section(report: Report) -> Section | None:
    """Every figure with its interval and what it means."""
    scores = report.scores
    names = [n for n in scores if n not in COUNTS and (n in MEANING or n.startswith("PCK"))]
    if not names:
        return None
    rows = []
    for name in names:
        low, high = interval(scores, name)
        value = float(scores[name]) if defined(scores[name]) else None
        shown = f"{number(low)} … {number(high)}" if low is not None else "–"
        rows.append([("", name), ("number", value), ("number", shown), ("faint meaning", _meaning(name))])
    lead = "Intervals hold 95 % of bootstrap resamples over photographs. A dash is a figure that is not defined here."
    return Section("Figures", lead, table(("figure", "value", "95 % interval", "meaning"), rows))


def joints_section(report: Report) -> Section | None:
    """PCK joint by joint, as a chart and as a table."""
    per_joint = report.scores.get("per_joint")
    if not isinstance(per_joint, Mapping) or not per_joint:
        return None
    values = {str(name): float(value) if defined(value) else None for name, value in per_joint.items()}
    rows = [[("", name.replace("_", " ")), ("number", value)] for name, value in values.items()]
    body = chart(charts.per_joint_bars(values), "PCK@0.2 by joint")
    body += table(("joint", "PCK@0.2"), rows, kind="sortable compact")
    lead = "The share of labelled joints that were found within 0.2 of the torso's length."
    return Section("Joints", lead, f'<div class="sides">{body}</div>')


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
    missing = len(both) - len(sources)
    lead = "Left is blue, right is orange; joints that the network calls absent are not drawn. Click to enlarge."
    lead += f" {missing} more pictures were left out to keep the page small." if missing else ""
    return Section("Pictures", lead, body)


def facts_section(report: Report) -> Section | None:
    """The network, the data, the machine, the time."""
    if not report.facts:
        return None
    rows = [[("", name), ("", str(value))] for name, value in report.facts.items()]
    return Section("Facts", "", table(("", ""), rows, kind="facts"))


def command_section(report: Report) -> Section | None:
    """How to make it again."""
    if not report.command:
        return None
    body = f'<div class="command"><pre>{text(report.command)}</pre><button type="button">copy</button></div>'
    return Section("Command", "What made these figures.", body)


# The page, from top to bottom. A section without data is None and leaves no trace.
SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    training_section,
    figures_section,
    joints_section,
    pictures_section,
    facts_section,
    command_section,
)


# --- parts ----------------------------------------------------------------------------------------------------------


def interval(scores: Mapping[str, Any], name: str) -> tuple[float | None, float | None]:
    """The interval of a figure, (None, None) where there is none."""
    ends = (scores.get("intervals") or {}).get(name)
    if not isinstance(ends, Sequence) or len(ends) != 2 or not all(map(defined, ends)):
        return None, None
    return float(ends[0]), float(ends[1])


def _headline(scores: Mapping[str, Any]) -> str:
    cards = []
    for name in (n for n in HEADLINE if n in scores):
        low, high = interval(scores, name)
        ends = f"95 %: {number(low)} … {number(high)}" if low is not None else ""
        cards.append(
            f'<div class="figure"><dt>{text(name)}</dt><dd><span class="value">{number(scores[name])}</span>'
            f'<div class="interval">{ends}</div>{_track(scores[name], low, high)}</dd></div>'
        )
    notes = "".join(f"<li>{text(note)}</li>" for note in scores.get("notes") or ())
    return f'<dl class="headline">{"".join(cards)}</dl>' + (f'<ul class="notes">{notes}</ul>' if notes else "")


def _track(value: object, low: float | None, high: float | None) -> str:
    """A ruler from 0 to 1 with the figure and its interval."""
    if not defined(value):
        return '<span class="track"></span>'
    marks = f'<b style="left:{100 * min(value, 1):.2f}%"></b>'
    if low is not None and high is not None:
        marks = f'<i style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>' + marks
    return f'<span class="track">{marks}</span>'


def _protocol(scores: Mapping[str, Any]) -> str:
    name = str(scores.get("protocol", ""))
    parts = [f"<b>{text(name)}</b>"] if name else []
    if name in PROTOCOLS:
        parts[0] += f": {text(PROTOCOLS[name].description)}"
    counts = [f"{scores[key]:,} {key}" for key in COUNTS if isinstance(scores.get(key), int)]
    if counts:
        parts.append(text(" on ".join(counts) + (f" of {scores['source']}" if "source" in scores else "")))
    return ". ".join(parts) + ("." if parts else "")


def _meaning(name: str) -> str:
    if name in MEANING:
        return MEANING[name]
    kind, _, threshold = name.partition("@")
    lengths = {"PCK": "the torso's length", "PCKh": "the head's size"}
    return f"joints found within {threshold} of {lengths[kind]}" if kind in lengths else ""


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
