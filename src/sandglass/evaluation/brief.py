"""A report in a few sentences: how good, what costs most, who fails, what the stacks and the scores are worth."""

from collections.abc import Mapping
from typing import Any

from sandglass.evaluation.page import defined, number, text
from sandglass.evaluation.sections import Report, Section, ends, known
from sandglass.metrics.bootstrap import FEW_PEOPLE

HONEST = 0.05  # calibration error up to which scores pass for probabilities
MEND = "; sandglass calibrate mends that."


def brief_section(report: Report) -> Section | None:
    """The sentences as a list."""
    told = sentences(report)
    body = "".join(f"<li>{text(line)}</li>" for line in told)
    return Section("In short", "", f'<ul class="brief">{body}</ul>') if told else None


def sentences(report: Report) -> list[str]:
    """What the figures of a report come to; what is not defined is not spoken of."""
    found = [_found(report.scores), _joints(report.scores)]
    if report.mistakes and known(report.mistakes["AP"]) is not None:
        found += [_costs(report.mistakes), _people(report.mistakes)]
    found += [_stacks(report.ledger)] if report.ledger else []
    found += [_honesty(report.calibration)] if report.calibration else []
    return [line for line in found if line]


def _found(scores: Mapping[str, Any]) -> str:
    if not (defined(scores.get("AP")) and defined(scores.get("AR50"))):
        return ""
    between = ends(scores, "AP")
    line = f"AP {number(scores['AP'])}" + (f" (95 %: {between})" if between != "–" else "")
    line += f": {100 * scores['AR50']:.0f} % of the people are found at OKS 0.50"
    return line + (f", {100 * scores['AR75']:.0f} % at 0.75." if defined(scores.get("AR75")) else ".")


def _joints(scores: Mapping[str, Any]) -> str:
    values = {name: v for name, v in (scores.get("per_joint") or {}).items() if defined(v)}
    if len(set(values.values())) < 2:
        return ""
    order = sorted(values, key=lambda name: values[name])
    worst, best = order[0], order[-1]
    line = f"Joints: best {_joint(best)} (PCK@0.2 {number(values[best])}), worst {_joint(worst)} "
    return line + f"({number(values[worst])})."


def _joint(name: str) -> str:
    return str(name).replace("_", " ")


def _costs(mistakes: Mapping[str, Any]) -> str:
    costs = {kind: v for kind, found in mistakes["costs"].items() if (v := known(found)) is not None and v >= 0.0005}
    if not costs:
        return ""
    top = sorted(costs, key=lambda kind: -costs[kind])[:3]
    return f"What costs most AP: {', '.join(_gain(kind, costs[kind], kind == top[0]) for kind in top)}."


def _gain(kind: str, gain: float, first: bool) -> str:
    """Correcting a kind corrects those that its share counts; not so of scoring."""
    how = " if it were corrected" if first else ""
    how = " if all predictions were ranked by their true OKS" if kind == "scoring" else how
    return f"{kind} (+{number(gain)}{how})"


def _people(mistakes: Mapping[str, Any]) -> str:
    """The split whose groups differ most."""
    widest: tuple[float, str] = (0.0, "")
    for split, groups in mistakes["groups"].items():
        values = {
            name: v for name, g in groups.items() if (v := known(g["AP"])) is not None and g["people"] >= FEW_PEOPLE
        }
        if len(values) < 2:
            continue
        worst, best = min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])
        told = [f"{number(values[name])} for {_group(split, name)}" for name in (worst, best)]
        line = f"Who fails: AP {told[0]}, {told[1]}."
        widest = max(widest, (values[best] - values[worst], line))
    return widest[1]


def _group(split: str, name: str) -> str:
    """The people of a group of `Diagnosis.groups`, in words."""
    if split == "overlap":
        return "people alone" if name == "alone" else f"people who overlap {name.removesuffix(' others')} others"
    return f"people with {name} labelled" if split == "joints" else f"{name} people"


def _stacks(ledger: Mapping[str, Any]) -> str:
    stages = ledger["stages"]
    if len(stages) < 2:
        return ""
    first, last = stages[0], stages[-1]
    gained = [known(stage["figures"]["AP"]) for stage in (first, last)]
    if gained[0] is None or gained[1] is None:
        return ""
    line = f"Stacks: AP {number(gained[0])} after the first, {number(gained[1])} after the last, "
    return line + f"at {last['gmac'] / first['gmac']:.1f} x the GMAC."


def _honesty(found: Mapping[str, Any]) -> str:
    error = known(found["error"])
    if error is None:
        return ""
    if error <= HONEST:
        return f"Scores: about as often right as they say (calibration error {number(error)})."
    bins = [(c, t, n) for c, t, n in zip(found["claimed"], found["true"], found["count"], strict=True) if n]
    sure = sum((c - t) * n for c, t, n in bins) > 0
    said = "surer than they are right" if sure else "right more often than they say"
    line = f"Scores: joints are {said} (calibration error {number(error)})"
    return line + (", although the model is calibrated." if found.get("calibrated") else MEND)
