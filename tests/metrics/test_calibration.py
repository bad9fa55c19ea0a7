"""Reliability by hand; fits that find the truth; what is counted."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sandglass.core.calibration import bend, logit
from sandglass.metrics import bootstrap
from sandglass.metrics.calibration import (
    Outcomes,
    error_interval,
    fit,
    joint_error_intervals,
    logistic,
    outcomes,
    reliability,
)


def made(scores, right, labelled=None):
    """Outcomes in which a joint's nearness is 0.9 where it is right, else 0.1."""
    scores, right = np.atleast_2d(np.asarray(scores, float)), np.atleast_2d(np.asarray(right, bool))
    labelled = np.ones(right.shape, bool) if labelled is None else np.atleast_2d(labelled)
    return Outcomes(np.arange(len(scores)), scores, np.where(right, 0.9, 0.1) * labelled, labelled)


def test_reliability_by_hand():
    found = made([[0.05], [0.15], [0.15], [0.95], [1.0]], [[0], [1], [0], [1], [1]])
    got = reliability(found, bins=10)
    assert got.count.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]
    assert got.claimed[[0, 1, 9]] == pytest.approx([0.05, 0.15, 0.975])
    assert got.true[[0, 1, 9]] == pytest.approx([0, 0.5, 1])
    assert np.isnan(got.true[5])
    assert got.error == pytest.approx((0.05 + 2 * 0.35 + 2 * 0.025) / 5)


def test_unlabelled_joints_say_nothing():
    found = made([[0.2, 0.9], [0.2, 0.9]], [[0, 0], [0, 0]], np.array([[True, False], [True, False]]))
    assert reliability(found).error == pytest.approx(0.2)
    assert reliability(found, joint=0).count.sum() == 2
    assert np.isnan(reliability(found, joint=1).error)
    assert fit(found).right[1] == (1.0, 0.0)  # nothing is known of it: as it was


def test_what_is_right_is_judged_by_the_oks_term(make_people, answer):
    people = make_people(np.full((3, 17, 2), 50.0) + np.arange(17)[:, None] * 300, areas=[5000.0] * 3)
    radius = 2 * np.array(people.skeleton.sigmas) * np.sqrt(2 * np.log(2) * 5000)  # where the OKS term is 0.5
    shift = np.stack([0.999 * radius, 1.001 * radius, np.zeros(17)])[..., None] * np.array([1.0, 0.0])
    found = outcomes(people, answer(people, shift).select(np.array([0, 1])))  # the third was not answered
    assert found.people.tolist() == [0, 1]
    assert found.right[0].all() and not found.right[1].any()
    assert found.nearness[0] == pytest.approx(np.full(17, 0.5), abs=1e-3)
    hidden = replace(people, visibility=np.where(np.arange(17) == 3, 0, people.visibility).astype(np.uint8))
    found = outcomes(hidden, answer(people))
    assert not found.right[:, 3].any() and not found.labelled[:, 3].any() and found.right.sum() == 3 * 16


def test_honest_scores_stay_and_wrong_ones_are_bent_back():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.95, (20_000, 3))
    right = rng.random(truth.shape) < truth
    lines = ((1.0, 0.0), (0.5, 1.0), (3.0, -1.0))
    said = bend(truth, lines)  # the first is honest, the second is blurred and boasts, the third is too sure
    half = np.arange(len(truth)) < 10_000
    found = fit(made(said[half], right[half]))
    for (slope, bias), (a, b) in zip(found.right, lines, strict=True):
        assert (slope, bias) == pytest.approx((1 / a, -b / a), abs=0.12)
    before, after = made(said[~half], right[~half]), made(found.probabilities(said[~half]), right[~half])
    assert reliability(before).error > 0.1
    assert reliability(after).error < 0.012
    np.testing.assert_allclose(found.probabilities(said), truth, atol=0.03)


def test_the_expected_oks_is_what_comes():
    rng = np.random.default_rng(1)
    n, k = 20_000, 5
    truth = rng.uniform(0.1, 0.9, (n, k))
    labelled = rng.random((n, k)) < np.linspace(0.3, 1, k)
    labelled[:, 0] |= ~labelled.any(1)
    right = (rng.random((n, k)) < truth) & labelled
    outcome = made(truth**2, right, labelled)
    found = fit(outcome)
    got = found.expected_oks(found.probabilities(outcome.scores))
    true = outcome.nearness.sum(1) / labelled.sum(1)
    edges = np.quantile(got, [0, 0.25, 0.5, 0.75, 1])
    for low, high in pairwise(edges):
        some = (got >= low) & (got <= high)
        assert got[some].mean() == pytest.approx(true[some].mean(), abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_likeliest(seed):
    """No other line on a fine grid around it has a smaller loss, and none far away."""
    rng = np.random.default_rng(seed)
    x = logit(rng.uniform(0, 1, 80))
    y = np.clip(rng.random(80) * 0.5 + 0.5 * (rng.random(80) < 1 / (1 + np.exp(-x))), 0, 1)

    def loss(slope, bias):
        z = slope[..., None] * x + bias[..., None]
        return (np.logaddexp(0, z) - y * z).sum(-1) + ((slope - 1) ** 2 + bias**2) / 2

    slope, bias = logistic(x, y)
    least = loss(np.array(slope), np.array(bias))
    for reach in (1e-3, 0.1, 5):
        around = np.meshgrid(slope + np.linspace(-reach, reach, 21), bias + np.linspace(-reach, reach, 21))
        values = loss(*around)
        assert values.argmin() == values.size // 2 and values.min() >= least


def test_hard_cases_stay_within_bounds():
    x = logit(np.linspace(0, 1, 50))
    assert logistic(x[:0], x[:0]) == (1.0, 0.0)
    slope, bias = logistic(x, (x > 0).astype(float))  # a perfect step
    assert 1 < slope < 10 and abs(bias) < 1
    slope, bias = logistic(x, np.ones(50))
    assert slope >= 0 and np.isfinite(bias)
    slope, bias = logistic(x, (x < 0).astype(float))  # upside down: the score is ignored, the share stays
    assert slope == 0 and abs(bias) < 0.1


def test_one_score_for_all_becomes_the_share_that_is_right():
    labelled = np.ones((400, 2), bool)
    nearness = np.tile(np.array([[0.9, 0.1], [0.9, 0.9], [0.1, 0.9], [0.9, 0.1]]), (100, 1))
    same = Outcomes(np.arange(400), np.full((400, 2), 0.6), nearness, labelled)
    told = fit(same)
    np.testing.assert_allclose(told.probabilities(np.full((1, 2), 0.6)), [[0.75, 0.5]], atol=0.01)
    honest = replace(same, scores=told.probabilities(same.scores))
    assert reliability(honest).error < 0.01 and np.isfinite(told.expected_oks(honest.scores)).all()


def planted(seed, shift, images=150, people=4):
    """Scores that are too sure by `shift`: outcomes, and the photograph of each person."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, (images * people, 3))
    right = rng.random(scores.shape) < np.clip(scores - shift, 0, 1)
    return made(scores, right, rng.random(scores.shape) < 0.8), np.repeat(np.arange(images), people)


def test_the_interval_of_the_error_is_that_of_photographs_drawn_again():
    found, image = planted(0, 0.02)
    weights = bootstrap.resamples(150, 40, 0)
    for joint in (None, 1):
        values = []
        for w in weights:
            rows = np.repeat(np.arange(600), np.repeat(w, 4))
            again = Outcomes(rows, found.scores[rows], found.nearness[rows], found.labelled[rows])
            values.append(reliability(again, joint=joint).error)
        low, high = bootstrap.interval(np.array(values))
        added = np.mean(values) - reliability(found, joint=joint).error
        assert added > 0
        got = error_interval(found, image, weights, joint=joint)
        assert got == pytest.approx((max(0, low - 2 * added), high - added))


def test_the_interval_holds_the_error_and_mostly_the_planted_one():
    inside = 0
    for seed in range(100):
        found, image = planted(seed, 0.1)
        got = error_interval(found, image, bootstrap.resamples(150, 200, seed))
        assert got is not None and got[0] <= reliability(found).error <= got[1]
        inside += got[0] <= 0.095 <= got[1]  # below a score of 0.1 nothing is right: 0.1 - 0.1 ** 2 / 2
    assert inside >= 90


def test_joints_of_few_people_have_no_interval():
    labelled = np.ones((30, 3), bool)
    labelled[19:, 1] = labelled[:, 2] = False
    found = made(np.full((30, 3), 0.5), np.arange(90).reshape(30, 3) % 2, labelled)
    weights = bootstrap.resamples(30, 20, 0)
    got = joint_error_intervals(found, np.arange(30), weights)
    assert got.keys() == {0, 1} and got[1] == "few" and isinstance(got[0], tuple)
    nobody = made(np.full((3, 1), 0.5), np.zeros((3, 1)), np.zeros((3, 1), bool))
    assert error_interval(nobody, np.arange(3), weights) is None
