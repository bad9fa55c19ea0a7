"""The report in Markdown: headline, joints, mistakes, stacks, training. For issues, wikis and other machines."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandglass.evaluation.brief import sentences
from sandglass.evaluation.findings import barred
from sandglass.evaluation.journals import summary
from sandglass.evaluation.page import number, told
from sandglass.evaluation.sections import LISTS, MEANING, Report, ends, known, within


def to_markdown(report: Report) -> str:
    """The report as one Markdown text; what was given is escaped. Sections without data are left out."""
    scores = report.scores
    what = [f"{scores[key]}" for key in ("protocol", "source") if scores.get(key)]
    what += [f"{scores[key]:,} {key}" for key in ("people", "images") if isinstance(scores.get(key), int)]
    parts = [f"# {_text(report.title)}", _text(", ".join(what)), "\n".join(f"- {_text(s)}" for s in sentences(report))]
    parts.append(_figures(scores))
    parts += [f"- {_text(note)}" for note in scores.get("notes") or ()]
    joints = scores.get("joints") or {"PCK@0.2": scores.get("per_joint") or {}}
    names = list(dict.fromkeys(name for found in joints.values() for name in found))
    if names:
        sure = scores.get("joint_intervals")
        rows = [
            [name, *(told(known(found.get(name)), within(sure, figure, name)) for figure, found in joints.items())]
            for name in names
        ]
        parts += ["## Joints", _table(("joint", *joints), rows)]
    if report.mistakes:
        parts += ["## Mistakes", _mistakes(report.mistakes, barred(report))]
    if report.ledger:
        parts += ["## Stacks", _stacks(report.ledger)]
    if report.calibration and (error := known(report.calibration["error"])) is not None:
        shown = told(error, report.calibration.get("interval"))
        parts += ["## Calibration", f"Expected calibration error of joint scores: {shown}"]
    if report.runs:
        found = {name: summary(rows) for name, rows in report.runs.items()}
        rows = [[key, *(_short(run[key]) for run in found.values())] for key in next(iter(found.values()))]
        parts += ["## Training", _table(("", *found), rows)]
    if report.facts:
        parts += ["## Facts", _table(("fact", "value"), list(report.facts.items()))]
    if report.command:
        parts += ["## Command", "\n".join(f"    {line}" for line in _encodable(report.command).splitlines())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(scores: Mapping[str, Any]) -> str:
    names = [name for name in scores if name not in LISTS and (name in MEANING or name.startswith("PCK"))]
    rows = [[name, number(scores[name]), ends(scores, name)] for name in names]
    return _table(("figure", "value", "95 % interval"), rows) if rows else ""


def _mistakes(found: Mapping[str, Any], left_out: Sequence[str]) -> str:
    kinds = [kind for kind in dict.fromkeys([*found["shares"], *found["costs"]]) if kind not in left_out]
    rows = [
        [kind, *(told(known(found[of].get(kind)), within(found, "intervals", of, kind)) for of in ("shares", "costs"))]
        for kind in kinds
    ]
    return _table(("kind", "share", "AP gained by correcting it alone"), rows)


def _stacks(found: Mapping[str, Any]) -> str:
    rows = [
        [
            str(stage["stack"]), number(stage["figures"]["AP"]), ends(stage, "AP"),
            told(known(stage["figures"]["PCK@0.2"]), within(stage, "intervals", "PCK@0.2")),
            told(known(stage["inversions"]), within(stage, "intervals", "inversions")),
            told(known(stage["entropy"]), within(stage, "intervals", "entropy"), 2),
            number(stage["gmac"]), number(known(stage["milliseconds"]), 1),
        ]
        for stage in found["stages"]
    ]  # fmt: skip
    return _table(("after stack", "AP", "95 % interval", "PCK@0.2", "inversions", "entropy", "GMAC", "ms"), rows)


def _short(found: float | None) -> str:
    return "–" if found is None else f"{found:,.4g}" if abs(found) < 1000 else f"{found:,.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(_text, line)) + " |" for line in (heads, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])


def _encodable(given: object) -> str:
    return str(given).encode("utf-8", "replace").decode()  # file names may hold lone surrogates


def _text(given: object) -> str:
    """Anything as Markdown that means only itself."""
    line = " ".join(_encodable(given).split())
    return re.sub(r"(?<!\w)(?=_)|(?=[\\`*\[\]<>|#~])", r"\\", line)  # an underscore within a word is harmless
