"""A report in a few sentences: each says what the figures say, and nothing of what is not defined."""

from sandglass.evaluation.brief import sentences
from sandglass.evaluation.sections import Report

SCORES = {
    "AP": 0.2071, "AR50": 0.587, "AR75": 0.195, "intervals": {"AP": [0.18, 0.23]},
    "per_joint": {"left_ear": 0.9, "nose": 0.8, "left_hip": 0.5, "tail": None},
}  # fmt: skip


def group(people, ap):
    return {"people": people, "AP": ap}


MISTAKES = {
    "AP": 0.2071,
    "costs": {"miss": 0.3, "swap": 0.0, "jitter": 0.05, "scoring": None, "inversion": 0.06, "unfound": 0.01},
    "groups": {
        "size": {"small": group(3, 0.0), "medium": group(40, 0.2), "large": group(40, 0.25)},  # three say little
        "overlap": {"alone": group(50, 0.3), "3 or more": group(20, 0.1), "1-2 others": group(30, 0.2)},
        "joints": {"1-5 joints": group(30, None), "16-17 joints": group(30, 0.5)},
    },
}
STAGES = [{"figures": {"AP": 0.18}, "gmac": 0.1}, {"figures": {"AP": 0.21}, "gmac": 0.25}]


def calibration(error, claimed, true):
    return {"error": error, "claimed": [None, claimed], "true": [None, true], "count": [0, 9]}


def test_every_sentence():
    told = sentences(
        Report("", SCORES, ledger={"stages": STAGES}, mistakes=MISTAKES, calibration=calibration(0.1, 0.6, 0.5))
    )
    assert told == [
        "AP 0.207 (95 %: 0.180 … 0.230): 59 % of the people are found at OKS 0.50, 20 % at 0.75.",
        "Joints: best left ear (PCK@0.2 0.900), worst left hip (0.500).",
        "What costs most AP: miss (+0.300 if it were corrected), inversion (+0.060), jitter (+0.050).",
        "Who fails: AP 0.100 for people who overlap 3 or more others, 0.300 for people alone.",
        "Stacks: AP 0.180 after the first, 0.210 after the last, at 2.5 x the GMAC.",
        "Scores: joints are surer than they are right (calibration error 0.100); sandglass calibrate mends that.",
    ]


def test_scores_that_are_too_modest_or_honest():
    for found, said in (
        ((0.2, 0.4, 0.6), "right more often than they say"),
        ((0.01, 0.5, 0.51), "about as often right"),
    ):
        [line] = sentences(Report("", {}, calibration=calibration(*found)))
        assert said in line


def test_what_scoring_would_gain_is_said_to_rank_everybody():
    costs = {"scoring": 0.2, "miss": 0.1}
    [line] = sentences(Report("", {}, mistakes={"AP": 0.3, "costs": costs, "groups": {}}))
    assert line == (
        "What costs most AP: scoring (+0.200 if all predictions were ranked by their true OKS), miss (+0.100)."
    )
    [line] = sentences(Report("", {}, mistakes={"AP": 0.3, "costs": costs | {"miss": 0.3}, "groups": {}}))
    assert "miss (+0.300 if it were corrected), scoring (+0.200 if all predictions were ranked" in line


def test_a_calibrated_model_is_not_told_to_be_calibrated():
    [line] = sentences(Report("", {}, calibration=calibration(0.1, 0.6, 0.5) | {"calibrated": True}))
    assert line == (
        "Scores: joints are surer than they are right (calibration error 0.100), although the model is calibrated."
    )


def test_what_is_not_defined_is_not_spoken_of():
    empty = {"AP": None, "AR50": None, "per_joint": {"a": 0.0, "b": 0.0}}
    groups = {"size": {"small": group(30, None)}}
    nothing = {"AP": 0.0, "costs": {"miss": None, "swap": 0.0}, "groups": groups}
    ledger = {"stages": [{"figures": {"AP": None}, "gmac": 1.0}] * 2}
    assert sentences(Report("", empty, ledger=ledger, mistakes=nothing, calibration=calibration(None, 0, 0))) == []
    assert sentences(Report("", {}, mistakes={**MISTAKES, "AP": None})) == []
    assert sentences(Report("", {}, ledger={"stages": STAGES[:1]})) == []
