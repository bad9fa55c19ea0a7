"""The ten figures: by hand, perfect, empty, hopeless, and equal to pycocotools on real labels."""

import contextlib
import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sandglass.core.skeleton import Skeleton
from sandglass.metrics.average_precision import FIGURES, against, average_precision, ground_truth

HAND = Skeleton("hand", ("a", "b", "c", "d"), (), (0, 1, 2, 3), (0.03, 0.05, 0.2, 0.11))
POINTS = np.array([[10.0, 10.0], [20.0, 40.0], [30.0, 20.0], [60.0, 60.0]])


def referee(people, found):
    """pycocotools' ten figures for the same arrays, written as COCO writes them."""
    truth: Any = COCO()
    boxes = np.concatenate([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], 1)
    truth.dataset = {
        "images": [{"id": int(i)} for i in people.image_ids],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": int(people.image_ids[people.image[i]]),
                "category_id": 1,
                "keypoints": flat(people.keypoints[i], people.visibility[i]),
                "num_keypoints": int(people.labelled[i]),
                "bbox": boxes[i].tolist(),
                "area": float(people.areas[i]),
                "iscrowd": int(people.crowd[i]),
            }
            for i in range(len(people))
        ],
    }
    results = [
        {"image_id": int(i), "category_id": 1, "keypoints": flat(k, np.ones(len(k))), "score": float(s)}
        for i, k, s in zip(found.image_ids, found.keypoints, found.score, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        scorer = COCOeval(truth, truth.loadRes(results), "keypoints")
        scorer.params.kpt_oks_sigmas = np.array(people.skeleton.sigmas)
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return dict(zip(FIGURES, scorer.stats, strict=True))


def flat(points, third):
    return np.concatenate([points - 0.5, np.asarray(third, float)[:, None]], 1).ravel().tolist()


def figures(people, found):
    return dict(average_precision(people, found, people.image_ids).figures)


def test_equal_to_pycocotools_on_val2017(val2017, coco_people, simulate):
    people = coco_people(val2017)
    found = simulate(people, seed=0)
    assert figures(people, found) == pytest.approx(referee(people, found), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocotools_with_crowds_and_unlabelled_people(coco_val, coco_people, simulate, seed):
    people = coco_people(coco_val)
    assert people.crowd.any() and (people.labelled == 0).any()
    found = simulate(people, seed, everybody=True)
    assert figures(people, found) == pytest.approx(referee(people, found), abs=1e-9)


def test_equal_to_pycocotools_with_another_skeleton(make_people, simulate):
    rng = np.random.default_rng(5)
    points = POINTS + rng.uniform(0, 500, (200, 1, 2))
    people = make_people(
        points,
        skeleton=HAND,
        image=rng.integers(0, 60, 200),
        image_ids=np.arange(60)[::-1] + 7,  # not in order
        visibility=rng.integers(0, 3, (200, 4)),
        areas=rng.uniform(500, 20_000, 200),
        ids=np.arange(200),  # 0 among them, which the referee's own matching cannot hold
    )
    found = simulate(people, seed=1)
    answer = figures(people, found)
    assert answer == pytest.approx(referee(people, found), abs=1e-9)
    other = replace(HAND, sigmas=(0.2,) * 4)
    assert figures(replace(people, skeleton=other), found)["AP"] > answer["AP"] + 0.05


def test_the_truth_can_be_used_again(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    images = people.image_ids[::2]
    truth = ground_truth(people, images)
    for seed in (0, 1, 0):
        found = simulate(people, seed)
        again, once = against(truth, found), average_precision(people, found, images)
        assert again.figures == once.figures and again.people == once.people
        assert (again.image_ids == once.image_ids).all() and (again.rows == once.rows).all()


def test_by_hand(make_people, answer):
    people = make_people([POINTS, POINTS + 300], skeleton=HAND, image=[0, 0])
    found = answer(people).select(np.array([0, 0, 1]))
    wrong = found.keypoints + np.array([0, 5000, 0])[:, None, None]
    found = replace(found, keypoints=wrong, score=np.array([0.9, 0.8, 0.7]))
    # Hit, miss, hit: precision 1 up to recall 0.5 (51 of COCO's 101 points), 2/3 above it.
    expected = (51 + 50 * 2 / 3) / 101
    answer_ = figures(people, found)
    assert answer_["AP"] == pytest.approx(expected, abs=1e-12)
    assert answer_["AR"] == pytest.approx(1, abs=1e-12)


def test_one_threshold_at_a_time(make_people, answer):
    people = make_people(POINTS[None], skeleton=HAND, areas=[5000.0])
    # All joints off so that OKS = 0.72: right at 0.50, 0.55 ... 0.70, wrong from 0.75.
    off = np.sqrt(-np.log(0.72) * 2 * 5000) * 2 * np.array(HAND.sigmas)
    found = answer(people, shift=np.stack([off, np.zeros(4)], -1))
    got = figures(people, found)
    assert (got["AP50"], got["AP75"]) == (pytest.approx(1), 0)
    assert got["AP"] == pytest.approx(0.5)


def test_truth_is_perfect_on_real_labels(coco_val, coco_people, answer):
    people = coco_people(coco_val)
    scorable = people.select((people.labelled > 0) & ~people.crowd)
    got = figures(people, answer(scorable))
    # COCO's rule for sizes: where a small person stands close before a large one, the small one's answer is given
    # to the large person first. So even the truth falls a little short there; the referee says the same.
    assert got.pop("APL") == pytest.approx(referee(people, answer(scorable))["APL"], abs=1e-9)
    assert set(got.values()) == {1.0}


def test_nothing_and_nonsense_are_zero(coco_val, coco_people, answer):
    people = coco_people(coco_val)
    scorable = people.select((people.labelled > 0) & ~people.crowd)
    assert figures(people, answer(scorable).select(np.arange(0))) == dict.fromkeys(FIGURES, 0.0)
    assert figures(people, answer(scorable, shift=(1e5, 1e5))) == dict.fromkeys(FIGURES, 0.0)


def test_what_cannot_be_scored_is_nan_with_its_reason(make_people, answer):
    people = make_people(POINTS[None], skeleton=HAND, areas=[50_000.0])
    got = average_precision(people, answer(people), people.image_ids)
    assert {name for name, value in got.figures.items() if math.isnan(value)} == {"APM", "ARM"}
    assert len(got.reasons) == 1 and "medium" in got.reasons[0]
    nobody = replace(people, visibility=np.zeros((1, 4), np.uint8))
    got = average_precision(nobody, answer(nobody), people.image_ids)
    assert all(math.isnan(value) for value in got.figures.values())
    assert len(got.reasons) == 1 and got.people == 0
    got = average_precision(people, answer(people), np.zeros(0, np.int64))
    assert all(math.isnan(value) for value in got.figures.values())


def test_only_the_photographs_asked_for_count(make_people, answer):
    people = make_people([POINTS, POINTS], skeleton=HAND)
    found = answer(people, shift=np.array([[[0.0, 0.0]], [[900.0, 0.0]]]))
    assert average_precision(people, found, people.image_ids[:1]).figures["AR"] == 1
    assert average_precision(people, found, people.image_ids).figures["AR"] == pytest.approx(0.5)
    assert average_precision(people, found, people.image_ids[1:]).matches.prediction.tolist() == [1]


def test_crowds_excuse_what_is_found_on_them(make_people, answer):
    people = make_people([POINTS, POINTS + 300], skeleton=HAND, image=[0, 0], crowd=[False, True])
    found = replace(answer(people), score=np.array([0.5, 0.9]))
    assert figures(people, found)["AP"] == pytest.approx(1)
    assert figures(replace(people, crowd=np.zeros(2, bool)), found.select(np.array([0])))["AR"] == pytest.approx(0.5)


def test_the_twenty_first_detection_does_not_count(make_people, answer):
    people = make_people(POINTS[None], skeleton=HAND)
    far = [*[5000.0] * 20, 0.0]
    found = answer(people).select(np.zeros(21, np.int64))
    found = replace(found, keypoints=found.keypoints + np.array(far)[:, None, None], score=np.linspace(0.9, 0.1, 21))
    assert figures(people, found)["AR"] == 0
    assert figures(people, found.select(np.arange(1, 21)))["AR"] == 1


def test_matches_say_what_became_of_each_prediction(make_people, answer):
    people = make_people([POINTS, POINTS + 300, POINTS], skeleton=HAND, image=[0, 0, 1], crowd=[False, True, False])
    found = answer(people).select(np.array([2, 2, 1, 0]))
    shift = np.array([0, 5000, 0, 0])[:, None, None]
    found = replace(found, keypoints=found.keypoints + shift, score=np.array([0.1, 0.2, 0.3, 0.4]))
    got = average_precision(people, found, people.image_ids).matches
    assert got.prediction.tolist() == [3, 2, 1, 0]
    assert got.image.tolist() == [0, 0, 1, 1]
    assert got.found[0].tolist() == [[True, True, False, True]] * 10
    assert got.excused[0].tolist() == [[False, True, False, False]] * 10
    assert got.people.tolist() == [[1, 1], [1, 1], [0, 0]]


def test_the_truth_as_written_is_what_coco_holds(make_people, answer):
    """Half a pixel: the file's index 10 is our 10.5, and goes back as 10."""
    people = make_people(POINTS[None] + 0.5, skeleton=HAND)
    scorer = average_precision(people, answer(people), people.image_ids).scorer
    [label] = json.loads(json.dumps(scorer.coco_gt.dataset["annotations"]))
    assert np.array(label["keypoints"]).reshape(4, 3)[:, :2].tolist() == POINTS.tolist()
