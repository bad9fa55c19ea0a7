"""Scores, what explains them, journals and pictures -> one HTML file that needs nothing else; the same for machines."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

from sandglass import __version__
from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.data.untrusted import read_json
from sandglass.evaluation.brief import brief_section, sentences
from sandglass.evaluation.findings import calibration_section, galleries_section, mistakes_section, stacks_section
from sandglass.evaluation.journals import summary
from sandglass.evaluation.markdown import to_markdown
from sandglass.evaluation.page import defined, finite, number, template, text
from sandglass.evaluation.protocols import PROTOCOLS
from sandglass.evaluation.sections import (
    COUNTS,
    HEADLINE,
    PICTURES,
    Report,
    Section,
    boxes_note,
    command_section,
    facts_section,
    figures_section,
    interval,
    joints_section,
    pictures_section,
    told_notes,
    training_section,
)

OWN = re.compile(r"\d\d-[a-z0-9-]+\.png|photo-[^/\\\0]+\.jpg|curves\.png")  # names that `publish` gives to pictures
FORMAT = 1  # of report.json; raised when a key changes its meaning

# The page, from top to bottom. A section without data is None and leaves no trace.
SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    brief_section,
    figures_section,
    joints_section,
    mistakes_section,
    galleries_section,
    pictures_section,
    stacks_section,
    calibration_section,
    training_section,
    facts_section,
    command_section,
)


def write_report(folder: str | Path, report: Report) -> Path:
    """Write report.html, report.json and report.md into `folder`; returns the path of the page.

    The page is one file under 8 MB that opens from disk and asks the network for nothing; pictures that do not fit
    are made smaller, then left out from the end, and counted on the page. Picture files of the report that lay here
    before are removed. Raises BadInput when the folder cannot be written.
    """
    folder = Path(folder)
    before = _pictures_of(folder)
    write_whole(folder / "report.json", json.dumps(_defined(to_dict(report)), indent=1, allow_nan=False) + "\n")
    write_whole(folder / "report.md", to_markdown(report))
    write_whole(folder / "report.html", render(report))
    for name in before - set(report.files):
        with suppress(OSError):  # gone already, or not a file any more
            (folder / PICTURES / name).unlink()
    return folder / "report.html"


def _pictures_of(folder: Path) -> set[str]:
    """The picture files that the report in this folder says it wrote; nothing that no report would call so."""
    try:
        told = read_json(folder / "report.json")
    except BadInput:  # there is none, or no whole one
        return set()
    names = told.get(PICTURES) if isinstance(told, dict) else None
    return {str(name) for name in names if OWN.fullmatch(str(name))} if isinstance(names, list) else set()


def to_dict(report: Report) -> dict[str, Any]:
    """Plain JSON values under keys that stay.

    format, sandglass (its version), title, command, facts; brief: the sentences at its top; scores (as scores.json);
    mistakes (`Diagnosis.to_dict`), ledger (`Ledger.to_dict`), calibration (`findings.calibration`): null where they
    were not taken; training: name of each run -> `journals.summary`; pictures: names of the files in pictures/.
    """
    return {
        "format": FORMAT,
        "sandglass": __version__,
        "title": report.title,
        "command": report.command,
        "facts": dict(report.facts),
        "brief": sentences(report),
        "scores": dict(report.scores),
        "mistakes": report.mistakes,
        "ledger": report.ledger,
        "calibration": report.calibration,
        "training": {name: summary(rows) for name, rows in report.runs.items()},
        PICTURES: list(report.files),
    }


def _defined(found: Any) -> Any:
    """Plain values with None for numbers that are none: JSON has no others."""
    if isinstance(found, Mapping):
        return {str(key): _defined(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_defined(value) for value in found]
    return None if isinstance(found, float) and not finite(found) else found


def render(report: Report) -> str:
    """The page."""
    script = template("report.js")
    sections = [section for make in SECTIONS if (section := make(report)) is not None]
    source = _source(report)
    return Template(template("report.html")).substitute(
        version=__version__,
        title=text(report.title),
        protocol=_protocol(report.scores),
        headline=_headline(report.scores),
        contents="".join(f'<a href="#{_slug(s.title)}">{text(s.title)}</a>' for s in sections),
        sections="\n".join(
            f'<section id="{_slug(s.title)}"><h2>{text(s.title)}</h2>'
            + (f'<p class="lead">{text(s.lead)}</p>' if s.lead else "")
            + s.body
            + ("" if s.title in UNSOURCED else source)
            + "</section>"
            for s in sections
        ),
        style=template("report.css"),
        script=script,
        # Only this script may run, whatever a file name tried to smuggle in.
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


UNSOURCED = ("Facts", "Command")


def _source(report: Report) -> str:
    """Under every section: by which protocol, on what, by which command its figures were made."""
    scores = report.scores
    parts = [str(scores[key]) for key in ("protocol", "source") if scores.get(key)]
    parts += [f"{scores[key]:,} {key}" for key in COUNTS if isinstance(scores.get(key), int)]
    told = text(" · ".join(parts))
    command = f"<code>{text(report.command)}</code>" if report.command else ""
    return f'<p class="source">{told}{" · " * bool(told and command)}{command}</p>' if told or command else ""


def _headline(scores: Mapping[str, Any]) -> str:
    cards = []
    for name in (n for n in HEADLINE if n in scores):
        low, high = interval(scores, name)
        ends = f"95 %: {number(low)} … {number(high)}" if low is not None else ""
        cards.append(
            f'<div class="figure"><dt>{text(name)}</dt><dd><span class="value">{number(scores[name])}</span>'
            f'<div class="interval">{ends}</div>{_track(scores[name], low, high)}</dd></div>'
        )
    notes = "".join(f"<li>{text(note)}</li>" for note in told_notes(scores, aside=False))
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
    if boxes := boxes_note(scores):
        parts.append(text(boxes[0].upper() + boxes[1:]))
    return ". ".join(parts) + ("." if parts else "")


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
