"""What explains the scores: kinds of mistakes, stacks, calibration. As plain JSON, and as sections of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import People, Predictions
from sandglass.draw import curves, diagnosis
from sandglass.evaluation.page import Sure, chart, embed, figure, fold, number, table, text, told
from sandglass.evaluation.protocols import PROTOCOLS
from sandglass.evaluation.sections import GALLERIES_BYTES, Report, Section, known, left_out, within
from sandglass.metrics.bootstrap import Draws
from sandglass.metrics.calibration import error_interval, joint_error_intervals, outcomes, reliability

KINDS: Mapping[str, str] = {
    "good": "on its place (OKS of the joint from 0.85)",
    "jitter": "near its place, but not on it",
    "inversion": "on the person's other side",
    "swap": "on somebody else",
    "miss": "near nothing of these",
    "scoring": "ranked above a better prediction of the same person",
    "duplicate": "a second prediction of a person",
    "background": "a prediction of nobody",
    "unfound": "a person without a prediction",
}
GAINS: Mapping[str, str] = {
    "jitter": "joints moved until they are just good",
    "inversion": "joints on the right side, as far off as they were from the wrong joint",
    "swap": "joints on the right person, as far off as they were from the wrong joint",
    "miss": "joints moved until they are just good",
    "scoring": "all predictions ranked by their true OKS, not only those that the share counts",
    "duplicate": "them left out",
    "background": "them left out",
    "unfound": "them left out of those to be found",
}
BY_DETECTOR = ("duplicate", "background")  # which a prediction in a labelled box never is: it answers for its person
JOINT_KINDS = ("good", "jitter", "inversion", "swap", "miss")
COSTS = ("M parameters", "GMAC", "ms")
RULES = {"score": "stopped by score", "still": "by movement"}
BOUNDS = {
    "score": "every present joint scores at least",
    "still": "no present joint moves further than (crop pixels)",
}


def calibration(
    people: People, predictions: Predictions, draws: Draws | None = None, *, calibrated: bool = False
) -> dict[str, Any]:
    """How honest joint scores are: `error` (expected calibration error), by bins of the score `claimed` (mean score),
    `true` (share right) and `count`, and the error of each joint; the `interval` of the error and those of `joints`
    over draws, null where none was taken; whether the model's scores are `calibrated`."""
    found = outcomes(people, predictions)
    pooled = reliability(found)
    joints = {name: reliability(found, joint=k).error for k, name in enumerate(people.skeleton.joints)}
    whole, by_joint = None, {}
    if draws is not None:
        image = draws.column(people.image_ids[people.image[found.people]])
        whole, by_joint = error_interval(found, image, draws.floats), joint_error_intervals(found, image, draws.floats)
    return {
        "calibrated": calibrated,
        "error": _plain(pooled.error),
        "interval": whole,
        "joint_intervals": {people.skeleton.joints[k]: ends for k, ends in by_joint.items()},
        "claimed": [_plain(v) for v in pooled.claimed],
        "true": [_plain(v) for v in pooled.true],
        "count": [int(v) for v in pooled.count],
        "joints": {name: _plain(error) for name, error in joints.items()},
    }


def mistakes_section(report: Report) -> Section | None:
    """Kinds of mistakes: how many, what each costs, on which joints and people."""
    found = report.mistakes
    if not found or known(found["AP"]) is None:
        return None
    never = barred(report)
    costs = {kind: cost for kind, cost in found["costs"].items() if kind not in never}
    drawn = [
        chart(diagnosis.mistake_costs(costs), "AP gained by correcting one kind of mistake alone"),
        chart(diagnosis.mistakes_by(found["joints"]), "Mistakes by joint"),
        chart(diagnosis.mistakes_by(_by_group(found["groups"]), "Mistakes by kind of person"), "Mistakes by group"),
    ]
    for threshold, curves_at in found["curves"].items():
        steps = {name: curve for name, curve in curves_at.items() if name.removeprefix("+ ") not in never}
        what = f"Precision and recall at OKS {number(float(threshold), 2)}"
        drawn.append(chart(diagnosis.precision_recall(steps, what), what))
    body = f'<div class="charts">{"".join(drawn)}</div>' + _kinds_table(found, never)
    body += fold("By joint, in figures", _joint_table(found))
    for name, of in found["groups"].items():
        body += fold(f"By {GROUPS.get(name, name)}, in figures", _group_tables(of))
    ap = told(known(found["AP"]), within(found, "intervals", "AP"))
    lead = (
        f"AP is {ap}. Shares are of the labelled joints of people who were found; of scoring, duplicate and background "
        "of the predictions; of unfound of the people. AP gained: each kind is corrected alone, as the table says, and "
        "AP is taken again. After Ronchi and Perona 2017."
    )
    return Section("Mistakes", lead, body)


def _kinds_table(found: Mapping[str, Any], never: Sequence[str]) -> str:
    rows = []
    for kind, said in KINDS.items():
        values = [Sure(known(found[of].get(kind)), within(found, "intervals", of, kind)) for of in ("shares", "costs")]
        if kind in never:
            values, said = [Sure(None, None)] * 2, f"{said}; never in labelled boxes"
        elif all(figure.value is None for figure in values):
            continue
        meanings = (("faint meaning", said), ("faint meaning", GAINS.get(kind, "")))
        rows.append([("", kind), *(("number", figure) for figure in values), *meanings])
    return table(("kind", "share", "AP gained", "the share counts what is", "AP is gained with"), rows)


def _joint_table(found: Mapping[str, Any]) -> str:
    """Shares of the kinds of mistakes, joint by joint."""
    rows = [
        [("", joint.replace("_", " "))]
        + [
            ("number", Sure(known(of.get(kind)), within(found, "intervals", "joints", joint, kind)))
            for kind in JOINT_KINDS
        ]
        for joint, of in found["joints"].items()
    ]
    return table(("joint", *JOINT_KINDS), rows, kind="sortable compact")


def barred(report: Report) -> tuple[str, ...]:
    """Kinds of mistakes that the protocol leaves no room for."""
    rules = PROTOCOLS.get(str(report.scores.get("protocol")))
    return BY_DETECTOR if rules is not None and rules.labelled_boxes else ()


def galleries_section(report: Report) -> Section | None:
    """People and predictions for each kind of mistake, and a word for each kind of which there are no pictures."""
    if not report.galleries:
        return None
    sources = embed([image for _, image in report.galleries.values()], GALLERIES_BYTES)
    shown = [figure(*picture, source) for picture, source in zip(report.galleries.values(), sources, strict=False)]
    body = f'<div class="sheets">{"".join(shown)}</div>'
    body += "".join(f'<p class="aside">{text(line)}</p>' for line in _absent(report))
    lead = (
        "What was said, and beside it what is true, on different photographs. Left is blue, right is orange. "
        "Click to enlarge."
    )
    return Section("Mistakes seen", lead + left_out(len(report.galleries) - len(sources)), body)


def _absent(report: Report) -> list[str]:
    """Of which kinds there is no gallery, and why: a line a reason."""
    reasons: dict[str, list[str]] = {}
    for kind in KINDS:
        if kind != "good" and kind not in report.galleries:
            made = known((report.mistakes or {}).get("shares", {}).get(kind))
            reason = "none on the photographs that are here" if made else "none was made"
            reason = "none where boxes are labelled (see coco-det)" if kind in barred(report) else reason
            reasons.setdefault(reason, []).append(kind)
    return [f"No pictures of {', '.join(kinds)}: {reason}." for reason, kinds in reasons.items()]


GROUPS = {"size": "size", "overlap": "overlap with others", "joints": "number of labelled joints"}


def _by_group(groups: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    """What becomes of the joints of every group of people, of all splits."""
    shares = {key: group["shares"] for of in groups.values() for key, group in of.items()}
    return {key: {kind: found.get(kind) for kind in JOINT_KINDS} for key, found in shares.items()}


def _group_tables(groups: Mapping[str, Any]) -> str:
    """What becomes of the joints of each group, and what each kind of mistake costs it."""
    costly = (*JOINT_KINDS[1:], "scoring")
    shares, gains = [], []
    for name, group in groups.items():
        of = {"AP": group["AP"], **group["shares"]}
        told = [Sure(known(of.get(what)), within(group, "intervals", what)) for what in ("AP", *JOINT_KINDS)]
        costs = [Sure(known(group["costs"].get(kind)), within(group, "cost_intervals", kind)) for kind in costly]
        shares.append([("", name), ("number", str(group["people"])), *(("number", figure) for figure in told)])
        gains.append([("", name), *(("number", figure) for figure in costs)])
    first = table(("group", "people", "AP", *JOINT_KINDS), shares, kind="sortable compact")
    return first + table(("group", *(f"AP gained: {kind}" for kind in costly)), gains, kind="sortable compact")


def stacks_section(report: Report) -> Section | None:
    """The ledger: what each stack earns and costs, all in all and joint by joint, and early exit."""
    found = report.ledger
    if not found:
        return None
    stages = found["stages"]
    body = ""
    if len(stages) > 1:
        by_stack = [{joint: told["PCK@0.2"] for joint, told in stage["joints"].items()} for stage in stages]
        drawn = chart(cost_curve(found), "AP against cost") + chart(curves.joints_by_stack(by_stack), "PCK by stack")
        body += f'<div class="charts">{drawn}</div>'
    body += table(
        ("after stack", "AP", "PCK@0.2", "inversions", "entropy", "calibration error", *COSTS),
        [
            [
                ("", str(stage["stack"])),
                *(("number", Sure(known(stage["figures"][name]), _sure(stage, name))) for name in ("AP", "PCK@0.2")),
                *(("number", Sure(known(stage.get(name)), _sure(stage, name))) for name in _OF_STAGES),
                ("number", stage["parameters"] / 1e6),
                ("number", stage["gmac"]),
                ("number", number(known(stage["milliseconds"]), 1)),
            ]
            for stage in stages
        ],
    )
    body += fold("Joint by joint, in figures", _stage_joints(stages))
    body += fold("Early exit, in figures", _exit_table(found["exits"])) if found["exits"] else ""
    flip = "the flip test takes two looks" if found["flip"] else "without the flip test"
    lead = (
        "What the heatmaps after each stack would be worth, from one pass. Inversions: labelled joints on their mirror "
        "twin. Entropy: the maps' mean doubt, in nats. GMAC and parameters are of one look at one crop, earlier stacks "
        f"included ({flip}); ms of one crop alone, by the network cut there, on this machine."
    )
    return Section("Stacks", lead, body)


def cost_curve(found: Mapping[str, Any]) -> Any:
    """AP against cost, of a ledger as `Ledger.to_dict` tells it."""
    stages = []
    for stage in found["stages"]:
        low, high = stage["intervals"].get("AP") or (None, None)
        stages.append((stage["gmac"], known(stage["figures"]["AP"]), low, high))
    rules = {
        label: [(e["gmac"], e["AP"]) for e in found["exits"] if e["rule"] == rule and known(e["AP"]) is not None]
        for rule, label in RULES.items()
    }
    return curves.cost_curve(stages, {label: points for label, points in rules.items() if points})


def _stage_joints(stages: Sequence[Mapping[str, Any]]) -> str:
    measures = ("PCK@0.2", "inversions", "entropy") if len(stages) > 1 else ("inversions", "entropy")
    heads = [f"{name}, {stage['stack']}" if len(stages) > 1 else name for name in measures for stage in stages]
    rows = [
        [("", joint.replace("_", " "))]
        + [
            ("number", Sure(known(stage["joints"][joint][name]), within(stage, "joint_intervals", joint, name)))
            for name in measures
            for stage in stages
        ]
        for joint in stages[0]["joints"]
    ]
    return table(("joint", *heads), rows, kind="sortable compact")


_OF_STAGES = ("inversions", "entropy", "calibration_error")  # the last is not in older files


def _sure(stage: Mapping[str, Any], name: str) -> Any:
    return within(stage, "intervals", name)


def _exit_table(exits: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            ("", BOUNDS[e["rule"]]),
            ("number", e["bound"]),
            ("number", Sure(known(e["AP"]), e.get("interval"))),
            ("number", e["stacks"]),
            ("number", e["gmac"]),
        ]
        for e in exits
    ]
    return table(("a crop is done when", "bound", "AP", "mean stacks", "mean GMAC"), rows, kind="sortable compact")


def calibration_section(report: Report) -> Section | None:
    """Whether a score of 0.6 means right in six cases of ten."""
    found = report.calibration
    if not found or not any(found["count"]):
        return None
    curve = [[np.nan if v is None else v for v in found[name]] for name in ("claimed", "true", "count")]
    drawn = chart(diagnosis.reliability_diagram({"joint scores": (curve[0], curve[1], curve[2])}), "Reliability")
    rows = [
        [("", name.replace("_", " ")), ("number", Sure(known(error), within(found, "joint_intervals", name)))]
        for name, error in found["joints"].items()
    ]
    errors = table(("joint", "calibration error"), rows, kind="sortable compact")
    error, of = told(known(found["error"]), found.get("interval")), " of calibrated scores" * _calibrated(found)
    lead = (
        f"Expected calibration error{of} {error}: the mean gap between a joint's score and the share of joints "
        "with such a score that lie where their OKS is at least 0.5. On the diagonal scores are probabilities."
    )
    return Section("Calibration", lead, f'<div class="sides">{drawn}{errors}</div>')


def _calibrated(found: Mapping[str, Any]) -> bool:
    return found.get("calibrated") is True


def _plain(found: NDArray[Any] | float) -> float | None:
    return float(found) if np.isfinite(found) else None
