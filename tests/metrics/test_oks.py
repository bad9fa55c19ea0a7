"""OKS against COCO's formula by hand and against pycocotools; matching and suppression by planted cases."""

import contextlib
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sandglass.core import geometry
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.metrics import oks

THREE = Skeleton("three", ("a", "b", "c"), (), (0, 1, 2), (0.1, 0.05, 0.2))
POINTS = np.array([[[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]]])


def one(make_people, **columns):
    return make_people(POINTS, skeleton=THREE, areas=[10_000.0], boxes=[[0.0, 0.0, 100.0, 100.0]], **columns)


def test_by_hand(make_people, answer):
    people = one(make_people)
    found = answer(people, shift=[[10.0, 0.0], [0.0, 10.0], [0.0, 0.0]])
    # e = d^2 / ((2 sigma)^2 * area * 2): 100 / (0.04 * 20,000) and 100 / (0.01 * 20,000)
    expected = (np.exp(-0.125) + np.exp(-0.5) + 1) / 3
    assert oks.matched(people, found, np.array([0])) == pytest.approx(expected, abs=1e-12)
    assert oks.between(people, found) == pytest.approx(np.array([[expected]]), abs=1e-12)


def test_an_unlabelled_joint_is_out_and_a_joint_at_zero_is_in(make_people, answer):
    people = one(make_people, visibility=[[2, 1, 0]])
    far = answer(people, shift=[[0.0, 0.0], [0.0, 0.0], [500.0, 500.0]])
    assert oks.matched(people, far, np.array([0])) == 1
    zero = make_people(np.zeros((1, 3, 2)), skeleton=THREE, areas=[10_000.0])
    assert oks.matched(zero, answer(zero, shift=[[900.0, 900.0]]), np.array([0])) < 1e-9
    assert oks.matched(zero, answer(zero), np.array([0])) == 1


def test_nobody_matched_is_zero(make_people, answer):
    people = one(make_people)
    assert oks.matched(people, answer(people), np.array([-1])) == 0
    assert oks.matched(people, answer(people).select(np.arange(0)), np.array([-1])) == 0


def test_pycocotools_agrees_also_on_people_without_labelled_joints(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    assert (people.labelled == 0).any()
    found = simulate(people, seed=3, everybody=True)
    referee = _referee(coco_val, found)
    checked = 0
    for image_id in people.image_ids:
        here = people.select(people.image_ids[people.image] == image_id)
        mine = found.select(found.image_ids == image_id)
        mine = mine.select(np.argsort(-mine.score, kind="stable")[:20])
        theirs = referee.ious[int(image_id), 1]
        if len(here) and len(mine):
            np.testing.assert_allclose(oks.between(here, mine), theirs, atol=1e-9)
            checked += len(here) * len(mine)
    assert checked > 1000


def _referee(data, found):
    points = np.concatenate([found.keypoints - 0.5, np.ones((*found.scores.shape, 1))], -1).reshape(len(found), -1)
    results = [
        {"image_id": int(i), "category_id": 1, "keypoints": k.tolist(), "score": float(s)}
        for i, k, s in zip(found.image_ids, points, found.score, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = json.loads(json.dumps(data))
        truth.createIndex()
        referee = COCOeval(truth, truth.loadRes(results), "keypoints")
        referee.evaluate()
    return referee


def test_a_prediction_in_a_labelled_box_is_that_persons_however_bad(make_people, answer):
    points = np.stack([POINTS[0], POINTS[0] + 200])
    people = make_people(points, skeleton=THREE, image=[0, 0], ids=[7, 5])
    swapped = answer(people)
    swapped = replace(swapped, keypoints=swapped.keypoints[::-1])
    assert oks.match(people, swapped).tolist() == [0, 1]
    assert oks.match(people, replace(swapped, people=np.array([5, 99]))).tolist() == [-1, 0]


def test_detections_are_given_to_the_most_similar_pair_first_and_once(make_people, answer):
    points = np.stack([POINTS[0], POINTS[0] + 6, POINTS[0]])
    people = make_people(points, skeleton=THREE, image=[0, 0, 1], areas=[10_000.0] * 3)
    detected = replace(
        answer(people),
        keypoints=np.stack([POINTS[0] + 4, POINTS[0] + 5, POINTS[0] + 6, POINTS[0] + 1e6]),
        image_ids=np.array([*people.image_ids[[0, 0, 0, 1]]]),
        people=np.full(4, -1),
        **{
            name: np.repeat(getattr(answer(people), name)[:1], 4, 0) for name in ("scores", "present", "boxes", "score")
        },
    )
    # The third is exactly the second person; the first is nearest to what is left of them; a similarity of 0 is none.
    assert oks.match(people, detected).tolist() == [0, 2, -1]


def test_nobody_to_match(make_people, answer):
    people = one(make_people)
    assert oks.match(people, answer(people).select(np.arange(0))).tolist() == [-1]
    assert oks.match(people.select(np.arange(0)), answer(people)).shape == (0,)


def test_nms_keeps_the_best_of_each_and_never_looks_across_photographs(make_people, answer):
    points = np.stack([POINTS[0], POINTS[0] + 0.5, POINTS[0] + 200, POINTS[0]])
    people = make_people(points, skeleton=THREE, image=[0, 0, 0, 1], boxes=[[0.0, 0.0, 100.0, 100.0]] * 4)
    found = replace(answer(people), score=np.array([0.5, 0.9, 0.1, 0.3]))
    assert oks.nms(found).tolist() == [False, True, True, True]
    assert oks.nms(found, threshold=1.0).all()
    assert oks.nms(found.select(np.arange(0))).shape == (0,)


def test_nms_is_the_greedy_loop(make_people, answer, monkeypatch):
    """Against one photograph, one pose after the other, however the work is cut into pieces."""
    rng = np.random.default_rng(0)
    spots = rng.uniform(0, 30, (60, 1, 2)).round(-1)  # often the same
    photographs, scores = np.sort(rng.integers(5, size=60)), rng.uniform(size=60)
    people = make_people(
        POINTS + spots + rng.normal(0, 1.5, (60, 3, 2)), skeleton=THREE, image=photographs,
        boxes=rng.uniform(0, 40, (60, 4)) + np.array([0, 0, 60, 60]),
    )  # fmt: skip
    poses = replace(answer(people), score=scores)
    kept: list[int] = []
    for i in np.argsort(-scores):
        others = [j for j in kept if photographs[j] == photographs[i]]
        if all(alike(poses, i, j) <= oks.NMS_THRESHOLD for j in others):
            kept.append(int(i))
    assert 10 < len(kept) < 50
    for rows_at_once in (1, 7, 1000):
        monkeypatch.setattr(oks, "_NMS_ROWS", rows_at_once)
        assert np.flatnonzero(oks.nms(poses)).tolist() == sorted(kept)


def alike(poses, i, j):
    area = (geometry.area(poses.boxes[i]) + geometry.area(poses.boxes[j])) / 2
    squared = ((poses.keypoints[i] - poses.keypoints[j]) ** 2).sum(-1)
    return np.exp(-squared / (8 * area * np.square(poses.skeleton.sigmas))).mean()


def test_nms_compares_only_with_poses_that_were_kept(make_people, answer):
    # 1 falls to 0; 2 is like 1 but not like 0, so it stays.
    shifts = np.array([0.0, 5.0, 10.0])
    people = make_people(
        POINTS + shifts[:, None, None], skeleton=THREE, image=[0] * 3, boxes=[[0.0, 0.0, 99.0, 99.0]] * 3
    )
    found = replace(answer(people), score=np.array([0.9, 0.8, 0.7]))
    near, far = oks.between(replace(people, areas=np.full(3, 99.0 * 99)), found)[0, 1:]
    assert far < near
    assert oks.nms(found, threshold=(near + far) / 2).tolist() == [True, False, True]


def test_coco_sigmas_are_the_officials():
    referee = COCOeval(iouType="keypoints").params.kpt_oks_sigmas
    np.testing.assert_allclose(COCO17.sigmas, referee, atol=1e-12)
