"""Intervals: weights of one give the scorer's figures, weights of two give those of doubled photographs."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from sandglass.core.skeleton import Skeleton
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import FIGURES, against, average_precision, ground_truth
from sandglass.metrics.pck import (
    area_terms,
    area_under_curve,
    distance_terms,
    end_point_error,
    errors,
    joint_masks,
    part_masks,
    pck,
    pck_terms,
)

DOT = Skeleton("dot", ("a", "b"), (), (0, 1), (0.1, 0.1))


def score(people, found):
    return average_precision(people, found, people.image_ids)


def test_every_photograph_once_gives_the_scorers_figures(val2017, coco_people, simulate):
    scored = score((people := coco_people(val2017)), simulate(people, seed=2))
    once = np.ones((3, len(scored.image_ids)), np.uint16)
    samples = bootstrap.average_precision_samples(scored.matches, once)
    assert set(samples) == set(FIGURES)
    for name, value in scored.figures.items():
        np.testing.assert_allclose(samples[name], value, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kept", [1, 3], ids=["one score", "three scores"])
def test_ties_are_ranked_as_the_scorer_ranks_them(coco_val, coco_people, simulate, kept):
    people = coco_people(coco_val)
    found = simulate(people, seed=4)
    scored = score(people, replace(found, score=np.floor(found.score * kept) / kept + 0.1))
    samples = bootstrap.average_precision_samples(scored.matches, np.ones((1, len(scored.image_ids)), np.uint16))
    assert {name: values[0] for name, values in samples.items()} == pytest.approx(dict(scored.figures), abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_photograph_counted_twice_is_one_that_is_there_twice(coco_val, coco_people, simulate, seed):
    people = coco_people(coco_val)
    found = simulate(people, seed, everybody=True)
    scored = score(people, found)
    weights = bootstrap.resamples(len(scored.image_ids), 4, seed)
    samples = bootstrap.average_precision_samples(scored.matches, weights)
    for b in range(len(weights)):
        copies = dict(zip(scored.image_ids.tolist(), weights[b].tolist(), strict=True))
        expected = score(*drawn_again(people, found, copies)).figures
        assert {name: values[b] for name, values in samples.items()} == pytest.approx(dict(expected), abs=1e-9)


def drawn_again(people, found, copies):
    """The data set that holds each photograph as often as `copies` says, under new ids."""
    parts, answers, images, row = [], [], [], 0
    for image_id, count in copies.items():
        here = people.select(people.image_ids[people.image] == image_id)
        mine = found.select(found.image_ids == image_id)
        for _ in range(count):
            parts.append((here, row))
            answers.append(replace(mine, image_ids=np.full(len(mine), row + 1)))
            images.append(row + 1)
            row += 1
    names = ("boxes", "keypoints", "visibility", "areas", "crowd", "head_sizes")
    n = sum(len(part) for part, _ in parts)
    table = replace(
        people,
        image_ids=np.array(images),
        image_paths=people.image_paths[:1] * row,
        image_sizes=np.repeat(people.image_sizes[:1], row, 0),
        image=np.concatenate([np.full(len(part), r) for part, r in parts]),
        ids=np.arange(n) + 1,
        **{name: np.concatenate([getattr(part, name) for part, _ in parts]) for name in names},
    )
    names = ("image_ids", "keypoints", "scores", "present", "boxes", "score", "people")
    joined = {name: np.concatenate([getattr(part, name) for part in answers]) for name in names}
    return table, replace(found, **joined)


def test_resamples_draw_as_many_as_there_are_and_follow_the_seed():
    weights = bootstrap.resamples(50, 200, seed=3)
    assert weights.shape == (200, 50)
    assert (weights.sum(1) == 50).all()
    assert abs(weights.mean(0) - 1).max() < 0.4
    assert (weights == bootstrap.resamples(50, 200, seed=3)).all()
    assert (weights != bootstrap.resamples(50, 200, seed=4)).any()
    assert bootstrap.resamples(0, 5, 0).shape == (5, 0)


def test_the_spread_of_recall_is_the_analytic_one(coco_val, coco_people, simulate):
    """AR50 is a ratio of sums over photographs, whose standard error is known (delta method)."""
    scored = score((people := coco_people(coco_val)), simulate(people, seed=0))
    m = scored.matches
    samples = bootstrap.average_precision_samples(m, bootstrap.resamples(len(scored.image_ids), 2000, 0))
    hits = np.bincount(m.image, m.found[0, 0] & ~m.excused[0, 0], len(scored.image_ids))
    there = m.people[0]
    residual = hits - scored.figures["AR50"] * there
    error = np.sqrt((residual**2).sum()) / there.sum()
    assert samples["AR50"].std() == pytest.approx(error, rel=0.05)


def pictures(make_people, answer, seed, images=60, right=0.7):
    """Two people a photograph, each found with a given probability: the PCK is known beforehand."""
    rng = np.random.default_rng(seed)
    points = (
        np.tile([[[10.0, 10.0], [50.0, 50.0]]], (2 * images, 1, 1)) + 300 * (np.arange(2 * images) % 2)[:, None, None]
    )
    people = make_people(points, skeleton=DOT, image=np.arange(2 * images) // 2)
    shift = np.where(rng.random(2 * images) < right, 0, 2000)[:, None, None]
    return people, replace(answer(people, shift=shift), score=rng.random(2 * images))


def test_intervals_cover_the_truth(make_people, answer):
    inside = 0
    for seed in range(400):
        people, found = pictures(make_people, answer, seed)
        weights = bootstrap.resamples(60, 300, seed)
        low, high = bootstrap.interval(bootstrap.pck_samples(errors(people, found, "box"), people.image, weights, 0.2))
        inside += low <= 0.7 <= high
    assert 363 <= inside <= 393  # 380 expected, standard deviation 4.4; percentile intervals are a little narrow


def test_pck_with_weights(make_people, answer):
    people, found = pictures(make_people, answer, 0)
    measured = errors(people, found, "box")
    once = np.ones((1, 60), np.uint16)
    assert bootstrap.pck_samples(measured, people.image, once, 0.2)[0] == pytest.approx(pck(measured, 0.2).value)
    weights = bootstrap.resamples(60, 5, 1)
    rows = [np.repeat(np.arange(120), np.repeat(w, 2)) for w in weights]
    expected = [pck(measured.select(r), 0.2).value for r in rows]
    np.testing.assert_allclose(bootstrap.pck_samples(measured, people.image, weights, 0.2), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("terms", "slowly"),
    [
        (area_terms, area_under_curve),
        (distance_terms, end_point_error),
        (partial(distance_terms, relative=True), partial(end_point_error, relative=True)),
    ],
)
def test_other_means_with_weights(terms, slowly, make_people, answer):
    people, found = pictures(make_people, answer, 0)
    found = found.select(np.arange(len(found)) % 7 != 0)  # some people were not found: no distance, no part of EPE
    measured = errors(people, found, "box")
    weights = bootstrap.resamples(60, 5, 1)
    rows = [np.repeat(np.arange(120), np.repeat(w, 2)) for w in weights]
    expected = [slowly(measured.select(r)).value for r in rows]
    got = bootstrap.mean_samples(terms(measured), people.image, weights)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_resamples_without_people_are_left_out(make_people, answer):
    people = make_people([[[9, 9], [14, 14]]], skeleton=DOT, image=[0], image_ids=[1, 2])
    scored = score(people, answer(people))
    samples = bootstrap.average_precision_samples(scored.matches, np.array([[0, 2], [1, 1]], np.uint16))
    assert np.isnan(samples["AP"][0])
    assert samples["AP"][1] == pytest.approx(1)
    assert np.isnan(samples["APL"]).all()
    assert bootstrap.interval(samples["AP"]) == pytest.approx((1, 1))
    assert np.isnan(bootstrap.interval(samples["APL"])).all()


def test_paired_sees_a_planted_gain_and_none_where_there_is_none(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    worse = simulate(people, seed=0)
    better = replace(worse, keypoints=worse.keypoints + 0.0)
    some = np.arange(len(better)) % 10 == 0
    [truth] = np.nonzero(some)
    nearest = {tuple(b): k for b, k in zip(people.boxes, people.keypoints, strict=True)}
    better.keypoints[truth] = [nearest[tuple(box)] for box in better.boxes[truth]]
    weights = bootstrap.resamples(len(people.image_ids), 500, 0)
    a, b = score(people, worse), score(people, better)
    samples_a, samples_b = (bootstrap.average_precision_samples(s.matches, weights) for s in (a, b))
    gain = {name: b.figures[name] - a.figures[name] for name in ("AP", "AR")}
    compared = bootstrap.paired(samples_a, samples_b, gain)["AP"]
    assert compared.real and compared.low > 0 and compared.share == 1
    assert compared.low < compared.value < compared.high
    apart = bootstrap.interval(samples_a["AP"])
    assert compared.high - compared.low < apart[1] - apart[0]  # pairing takes the photographs' difficulty out
    same = bootstrap.paired(samples_a, samples_a, {"AP": 0.0})["AP"]
    assert (same.low, same.high, same.share, same.real) == (0, 0, 0.5, False)
    assert not bootstrap.paired({"AP": np.full(3, np.nan)}, {"AP": np.ones(3)}, {"AP": np.nan})["AP"].real


def test_parts_are_the_means_of_their_photographs_drawn_again(make_people, answer):
    people, found = pictures(make_people, answer, 3)
    people = replace(people, visibility=np.where(np.arange(120)[:, None] % 5, 2, [[1, 0]]).astype(np.uint8))
    measured = errors(people, found, "box")
    masks = joint_masks(DOT) | part_masks(measured)
    weights = bootstrap.resamples(60, 5, 1)
    got = bootstrap.group_samples(pck_terms(measured, 0.2), masks, people.image, weights)
    rows = [np.repeat(np.arange(120), np.repeat(w, 2)) for w in weights]
    slowly = [pck(measured.select(r), 0.2) for r in rows]
    for name in masks:
        expected = [{**one.per_joint, **one.parts}[name] for one in slowly]
        np.testing.assert_allclose(got[name], expected, atol=1e-12, err_msg=name)
    assert np.isfinite(got["hidden"]).all() and np.isnan(got["large"]).all()


def test_groups_of_fewer_than_twenty_people_have_no_interval(make_people, answer):
    people, found = pictures(make_people, answer, 0)
    rows = np.arange(120)[:, None]
    masks = {"19": rows < 19, "20": rows < 20, "none": rows < 0}
    got = bootstrap.group_intervals(
        pck_terms(errors(people, found, "box"), 0.2), masks, people.image, bootstrap.resamples(60, 50, 0)
    )
    assert got["19"] == "few" and "none" not in got
    assert isinstance(got["20"], tuple) and 0 < got["20"][0] < got["20"][1]


def test_some_figures_alone_are_those_of_all(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    found, weights = simulate(people, seed=0), bootstrap.resamples(len(people.image_ids), 7, 0)
    whole = bootstrap.average_precision_samples(score(people, found).matches, weights)
    one = against(ground_truth(people, people.image_ids), found, areas=1)
    assert one.figures == {
        name: score(people, found).figures[name] for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")
    }
    some = bootstrap.average_precision_samples(one.matches, weights, ("AP", "AR75"))
    assert list(some) == ["AP", "AR75"]
    assert all((some[name] == whole[name]).all() for name in some)


def test_some_photographs_keep_their_draws():
    draws = bootstrap.draw(np.array([7, 3, 9]), 4)
    assert draws.image_ids.tolist() == [3, 7, 9] and draws.column(np.array([9, 3])).tolist() == [2, 0]
    assert (draws.among(np.array([3, 9])).weights == draws.weights[:, [0, 2]]).all()
    assert (draws.floats == draws.weights).all() and (draws.weights == bootstrap.resamples(3, 4, 0)).all()
