"""Each kind of mistake, planted: found exactly, costing what it must, and nothing else costing anything."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.pose import Predictions
from sandglass.core.skeleton import COCO17
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import average_precision
from sandglass.metrics.bootstrap import Draws
from sandglass.metrics.diagnosis import AS_IT_IS, CORRECTIONS, CURVES_AT, diagnose
from sandglass.metrics.judgement import Verdict, judge
from sandglass.metrics.mistakes import Kind

GRID = np.array([[x, y] for x in range(0, 600, 200) for y in range(0, 1200, 200)], float)[:17]  # joints far apart
AREA = 10_000.0
MIRROR = list(COCO17.mirror)


def detected(found: Predictions, **columns) -> Predictions:
    return replace(found, people=np.full(len(found), -1), **columns)


@pytest.fixture
def ten(make_people):
    """Ten photographs with two people each, far apart."""
    points = np.stack([GRID, GRID + 3000.0] * 10)
    return make_people(points, image=np.arange(20) // 2, areas=[AREA] * 20)


def costly(found, people):
    """The kinds that cost anything, and how much."""
    costs = diagnose(people, found, people.image_ids).costs
    assert tuple(costs) == CORRECTIONS
    return {name: cost for name, cost in costs.items() if abs(cost) > 1e-12}


def test_the_truth_has_nothing_to_correct(ten, answer):
    for found in (answer(ten), detected(answer(ten))):
        got = diagnose(ten, found, ten.image_ids)
        assert got.ap == 1 and set(got.costs.values()) == {0.0}
        assert got.shares == {name: float(name == "good") for name in got.shares}
        assert all(of["good"] == 1 for of in got.joints.values())


def test_planted_jitter(ten, answer):
    sigmas = np.array(COCO17.sigmas)
    off = 2 * sigmas * np.sqrt(-2 * np.log(0.72) * AREA)  # nearness 0.72: right up to OKS 0.70, wrong from 0.75 on
    got = diagnose(ten, answer(ten, shift=np.stack([off, 0 * off], -1)), ten.image_ids)
    assert (got.shares["jitter"], got.shares["good"]) == (1, 0)
    # Pulled until just good, nearness 0.85: right at 0.50 ... 0.85, eight of ten thresholds, instead of five.
    assert got.ap == pytest.approx(0.5)
    assert {name: cost for name, cost in got.costs.items() if abs(cost) > 1e-9} == {"jitter": pytest.approx(0.3)}


def test_planted_inversions(ten, answer):
    points = ten.keypoints.copy()
    points[:5] = points[:5][:, MIRROR]
    got = diagnose(ten, replace(answer(ten), keypoints=points, score=np.full(20, 0.5)), ten.image_ids)
    assert got.shares["inversion"] == pytest.approx(5 * 16 / (20 * 17))
    assert got.joints["left_hip"]["inversion"] == 0.25 and got.joints["nose"]["inversion"] == 0
    assert {name for name, cost in got.costs.items() if cost > 1e-9} == {"inversion", "scoring"}
    assert got.ap + got.costs["inversion"] == pytest.approx(1)


def test_planted_swaps(ten, answer):
    points = ten.keypoints.copy()
    points[0, :12] = ten.keypoints[1, :12]
    got = diagnose(ten, replace(answer(ten), keypoints=points, score=np.linspace(0.1, 0.9, 20)), ten.image_ids)
    assert got.shares["swap"] == pytest.approx(12 / (20 * 17))
    assert {name for name, cost in got.costs.items() if abs(cost) > 1e-9} == {"swap"}
    assert got.ap + got.costs["swap"] == pytest.approx(1)


def test_planted_misses(ten, answer):
    points = ten.keypoints.copy()
    points[3, 5:] += 77_000
    got = diagnose(ten, replace(answer(ten), keypoints=points, score=np.linspace(0.1, 0.9, 20)), ten.image_ids)
    assert got.shares["miss"] == pytest.approx(12 / (20 * 17))
    expected = average_precision(ten, answer(ten).select(np.arange(20) != 3), ten.image_ids)
    assert got.ap < expected.figures["AP"]  # it is a false alarm too, until it is corrected
    corrected = got.ap + got.costs["miss"]
    # The 12 joints are then just good (0.85) and 5 exact: OKS 0.894, right up to 0.85, missing at 0.90 and 0.95.
    assert corrected == pytest.approx((8 + 2 * average_precision_without_the_worst()) / 10)
    assert got.costs["miss"] > 0.01


def average_precision_without_the_worst():
    """20 people, 19 hits, then a miss of one of the lower scores (third from the end of the ranking: row 3 of 20).

    Ranked best first, 16 hits come, the miss, then 3 hits: precision 1 up to recall 16/20, 19/20 up to 19/20.
    """
    recalls = np.linspace(0, 1, 101)
    return np.where(recalls <= 16 / 20, 1, np.where(recalls <= 19 / 20, 19 / 20, 0)).mean()


def test_planted_duplicates_and_false_alarms(ten, answer):
    found = detected(answer(ten))
    rows = np.array([*range(20), 4, 4, 7])
    points = found.keypoints[rows]
    points[20:22] += 2.0  # the same person twice more
    points[22] += 50_000  # nobody
    both = replace(found.select(rows), keypoints=points, score=np.array([*[0.5] * 20, 0.9, 0.1, 0.95]))
    judged = judge(ten, both)
    assert judged.verdicts.tolist() == [
        *[Verdict.ANSWER] * 20,
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
        Verdict.BACKGROUND,
    ]
    assert np.flatnonzero(judged.misranked).tolist() == [20]  # scored above the better one; 21 is scored below
    assert judged.overtaken(20, both.score) == 4 and judged.nearest[[4, 20, 21]].tolist() == [4, 4, 4]
    assert judged.likeness[4] == 1 and judged.likeness[22] == 0
    got = diagnose(ten, both, ten.image_ids)
    assert got.shares["duplicate"] == pytest.approx(2 / 23) and got.shares["background"] == pytest.approx(1 / 23)
    assert got.shares["scoring"] == pytest.approx(1 / 23) and got.shares["unfound"] == 0
    assert {name for name, cost in got.costs.items() if abs(cost) > 1e-9} == {"background", "duplicate", "scoring"}
    assert got.curves[0.5]["+ background"].min() == 1
    nothing = both.select(np.arange(20))
    assert costly(nothing, ten) == {}


def test_planted_scoring_errors(ten, answer):
    """Half of the people found twice: well, and worse with a higher score."""
    found = detected(answer(ten))
    rows = np.concatenate([np.arange(20), np.arange(10)])
    points = found.keypoints[rows]
    points[20:, :5] += 400_000
    twice = replace(found.select(rows), keypoints=points, score=np.array([0.5] * 20 + [0.6] * 10))
    judged = judge(ten, twice)
    assert np.flatnonzero(judged.misranked).tolist() == list(range(20, 30))
    assert (judged.mistakes.kinds == Kind.GOOD).all()  # the better one answers
    got = diagnose(ten, twice, ten.image_ids)
    assert got.shares["scoring"] == pytest.approx(1 / 3)
    assert got.ap + got.costs["scoring"] == pytest.approx(1)  # the better ones come first, the others do no harm
    same = replace(twice, score=np.full(30, 0.5))
    assert not judge(ten, same).misranked.any()  # equal scores are not the wrong way round


def test_planted_unfound_people(ten, answer):
    got = diagnose(ten, detected(answer(ten)).select(np.arange(15)), ten.image_ids)
    assert got.shares["unfound"] == 0.25
    assert {name for name, cost in got.costs.items() if abs(cost) > 1e-9} == {"unfound"}
    assert got.ap + got.costs["unfound"] == pytest.approx(1)
    nobody = diagnose(ten, answer(ten).select(np.arange(0)), ten.image_ids)
    assert nobody.ap == 0 and nobody.shares["unfound"] == 1 and np.isnan(nobody.shares["good"])
    assert np.isnan(nobody.costs["unfound"])  # nobody is left to be found
    assert json.dumps(nobody.to_dict(), allow_nan=False)


def test_what_lies_on_crowds_and_unlabelled_people_is_excused(ten, answer):
    people = replace(ten, crowd=np.arange(20) == 0)
    unlabelled = np.where((np.arange(20) == 2)[:, None], 0, people.visibility)
    people = replace(people, visibility=unlabelled.astype(np.uint8))
    found = detected(answer(ten))
    judged = judge(people, found)
    assert np.flatnonzero(judged.verdicts == Verdict.EXCUSED).tolist() == [0, 2]
    assert len(judged.people) == 18 and (judged.verdicts[[1, *range(3, 20)]] == Verdict.ANSWER).all()
    assert costly(found, people) == {}


def test_an_answer_in_a_labelled_box_is_never_a_false_alarm(ten, answer):
    lost = answer(ten, shift=(90_000, 0))
    judged = judge(ten, lost)
    assert (judged.verdicts == Verdict.ANSWER).all() and (judged.mistakes.kinds == Kind.MISS).all()
    assert (judge(ten, detected(lost)).verdicts == Verdict.BACKGROUND).all()


def test_groups_are_scored_by_their_own_people(make_people, answer):
    """Small people are inverted, people with few joints are missed, the rest is exact."""
    points = np.stack([GRID + 3000.0 * i for i in range(6)])
    visibility = np.full((6, 17), 2)
    visibility[4:, 4:] = 0
    people = make_people(points, image=[0, 0, 1, 1, 2, 2], areas=[900.0] * 2 + [9000.0] * 4, visibility=visibility)
    found = points.copy()
    found[:2] = found[:2][:, MIRROR]
    found[5] += 90_000
    got = diagnose(people, replace(answer(people), keypoints=found), people.image_ids)
    small, medium = got.groups["size"]["small"], got.groups["size"]["medium"]
    assert (small.people, small.ap, small.shares["inversion"]) == (2, 0, pytest.approx(16 / 17))
    assert small.costs["inversion"] == pytest.approx(1) and small.costs["miss"] == 0
    assert (medium.people, medium.shares["inversion"]) == (4, 0)
    assert medium.ap == pytest.approx(1 * 76 / 101)  # three of four found, the fourth ranked last
    few, all_of_them = got.groups["joints"]["1-5 joints"], got.groups["joints"]["16-17 joints"]
    assert (few.people, few.shares["miss"]) == (2, 0.5) and few.costs["miss"] > 0.3
    assert all_of_them.costs["inversion"] > 0.4 and all_of_them.costs["miss"] == 0
    alone, crowded = got.groups["overlap"]["alone"], got.groups["overlap"]["3 or more"]
    assert alone.ap == pytest.approx(got.ap) and crowded.people == 0 and np.isnan(crowded.ap)
    assert sum(group.people for group in got.groups["joints"].values()) == 6


def test_correcting_one_after_the_other_ends_well(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    got = diagnose(people, simulate(people, seed=0, everybody=True), people.image_ids)
    for at in CURVES_AT:
        steps = got.curves[at]
        assert list(steps) == [AS_IT_IS, *(f"+ {name}" for name in CORRECTIONS)]
        assert steps["+ unfound"].mean() > 0.98
        assert steps[AS_IT_IS].mean() < 0.7 * steps["+ unfound"].mean()
    assert got.curves[0.5][AS_IT_IS].mean() == pytest.approx(
        average_precision(people, simulate(people, seed=0, everybody=True), people.image_ids).figures["AP50"]
    )
    assert min(got.costs.values()) > -0.02
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert set(plain) == {"AP", "shares", "costs", "joints", "groups", "curves", "intervals"}
    assert list(plain["curves"]) == ["0.5", "0.75"]


def test_only_the_photographs_asked_for_are_judged(ten, answer):
    found = answer(ten)
    found.keypoints[:2] += 90_000
    got = diagnose(ten, found, ten.image_ids[1:])
    assert got.ap == 1 and got.shares["miss"] == 0


def test_nobody_to_be_found(ten, answer):
    people = replace(ten, visibility=np.zeros_like(ten.visibility))
    got = diagnose(people, detected(answer(ten)), people.image_ids)
    assert np.isnan(got.ap) and all(np.isnan(cost) for cost in got.costs.values())
    assert got.shares["background"] == 0
    assert json.dumps(got.to_dict(), allow_nan=False)


def test_every_photograph_once_is_the_diagnosis_itself(coco_val, coco_people, simulate):
    """All intervals of AP, shares and gains, of all, by joint and by group, are taken of what they stand beside."""
    people = coco_people(coco_val)
    found = simulate(people, seed=0, everybody=True)
    ids = people.image_ids[people.image_ids % 3 > 0]  # not all of the photographs
    got = diagnose(people, found, ids, Draws(np.unique(ids), np.ones((2, len(ids)), np.uint16)))

    def same(ends, value):
        assert ends == (pytest.approx(value, abs=1e-9), pytest.approx(value, abs=1e-9))

    same(got.intervals.ap, got.ap)
    assert got.intervals.shares.keys() == got.shares.keys() and got.intervals.costs.keys() == got.costs.keys()
    for intervals, values in ((got.intervals.shares, got.shares), (got.intervals.costs, got.costs)):
        for name, ends in intervals.items():
            same(ends, values[name])
    for joint, of in got.intervals.joints.items():
        for name, ends in of.items():
            same(ends, got.joints[joint][name])
    assert all(of for of in got.intervals.joints.values())
    few, known = 0, 0
    for groups in got.groups.values():
        for group in groups.values():
            if group.people < bootstrap.FEW_PEOPLE:
                assert set(group.intervals.values()) == ({"few"} if group.people else set())
                assert "AP" in group.intervals or not group.people
                assert set(group.cost_intervals.values()) == ({"few"} if group.people else set())
                few += 1
                continue
            assert group.intervals.keys() == {"AP", *group.shares}
            for name, ends in group.intervals.items():
                same(ends, group.ap if name == "AP" else group.shares[name])
            assert group.cost_intervals.keys() == group.costs.keys()
            for name, ends in group.cost_intervals.items():
                same(ends, group.costs[name])
            known += 1
    assert few and known > 5
    plain = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert plain["intervals"]["costs"]["miss"] == pytest.approx([got.costs["miss"]] * 2)
    assert diagnose(people, found, ids).to_dict()["intervals"] == {"shares": {}, "costs": {}, "joints": {}}


def test_one_photograph_over_and_over_is_the_diagnosis_of_that_photograph(coco_val, coco_people, simulate):
    """Whatever is counted, it is counted for the photograph that it is on."""
    people = coco_people(coco_val)
    found = simulate(people, seed=0, everybody=True)
    ids = np.unique(people.image_ids)
    busy = int(np.bincount(np.searchsorted(ids, people.image_ids[people.image])).argmax())
    weights = np.zeros((2, len(ids)), np.uint16)
    weights[:, busy] = len(ids)
    got, alone = diagnose(people, found, ids, Draws(ids, weights)), diagnose(people, found, ids[busy : busy + 1])
    assert got.intervals.ap == pytest.approx((alone.ap, alone.ap))
    pairs = [(got.intervals.shares, alone.shares), (got.intervals.costs, alone.costs)]
    pairs += [(of, alone.joints[joint]) for joint, of in got.intervals.joints.items()]
    for name, groups in got.groups.items():
        for key, group in groups.items():
            told = {what: ends for what, ends in group.intervals.items() if what != "AP" and ends != "few"}
            pairs += [(told, alone.groups[name][key].shares), (group.cost_intervals, alone.groups[name][key].costs)]
    compared = 0
    for intervals, values in pairs:
        for name, ends in intervals.items():
            if ends != "few":
                assert ends == (pytest.approx(values[name]), pytest.approx(values[name])), name
                compared += 1
    assert compared > 60


def test_a_gain_has_the_interval_of_the_paired_bootstrap(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    found = simulate(people, seed=1, everybody=True)
    draws = bootstrap.draw(people.image_ids, 200)
    got = diagnose(people, found, people.image_ids, draws)
    judged = judge(people, found)
    mended = replace(found, score=judged.likeness)
    both = [average_precision(people, one, people.image_ids).matches for one in (found, mended)]
    a, b = (bootstrap.average_precision_samples(one, draws.weights) for one in both)
    wanted = bootstrap.paired(a, b, {"AP": got.costs["scoring"]})["AP"]
    assert got.intervals.costs["scoring"] == pytest.approx((wanted.low, wanted.high))
    assert wanted.low < got.costs["scoring"] < wanted.high


def test_gains_of_groups_are_taken_over_the_first_resamples(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    found = simulate(people, seed=1, everybody=True)
    draws = bootstrap.draw(people.image_ids, bootstrap.FEWER + 50)
    got = diagnose(people, found, people.image_ids, draws)
    few = diagnose(people, found, people.image_ids, draws.first())
    group, again = got.groups["size"]["medium"], few.groups["size"]["medium"]
    assert group.cost_intervals == again.cost_intervals and group.intervals["AP"] != again.intervals["AP"]
    for kind in ("miss", "swap", "inversion", "jitter"):
        ends = group.cost_intervals[kind]
        assert ends != "few" and ends[0] < group.costs[kind] < ends[1], kind


def test_the_gain_of_scoring_ranks_everybody_its_share_counts_who_was_predicted_twice(ten, answer):
    """One prediction a person, worse ones ranked first: no share, but a gain."""
    worse = ten.keypoints.copy()
    worse[:10, :12] += 9000
    got = diagnose(ten, replace(answer(ten), keypoints=worse), ten.image_ids)
    assert got.shares["scoring"] == 0
    assert (got.ap, got.costs["scoring"]) == pytest.approx((51 / 101 / 2, 51 / 101 / 2))  # precision 1/2, then 1
