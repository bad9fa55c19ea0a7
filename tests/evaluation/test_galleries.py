"""Galleries of mistakes: each kind that was planted is shown, on whom it was planted, and no other."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17
from sandglass.evaluation import galleries as module
from sandglass.evaluation.galleries import galleries
from sandglass.evaluation.pictures import album
from sandglass.metrics.judgement import Verdict


@pytest.fixture(scope="module")
def someone(drawn_people):
    """The most of each photograph, who are alone then."""
    known = drawn_people.select(drawn_people.labelled >= 5)
    return known.select(np.unique(known.image, return_index=True)[1])


@pytest.fixture
def detected(someone, answer):
    """The truth, as if it had been found in a detector's boxes."""
    found = answer(someone)
    return replace(found, people=np.full(len(found), -1))


@pytest.fixture
def drawn(monkeypatch):
    """The tiles of every picture, in place of the picture: (row of the photograph, tile)."""
    monkeypatch.setattr(module, "_picture", lambda book, kind, what, tiles: (what, tiles) if tiles else None)


def both(a, b):
    columns = ("image_ids", "keypoints", "scores", "present", "boxes", "score", "people")
    return replace(a, **{name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in columns})


def kinds(someone, predictions):
    return set(galleries(album(someone, someone, predictions)))


def test_the_truth_has_no_gallery(someone, detected, answer):
    assert kinds(someone, detected) == set() == kinds(someone, answer(someone))


def test_joints_on_the_wrong_side_and_nowhere(someone, answer):
    found = answer(someone)
    mirrored = replace(found, keypoints=found.keypoints[:, list(COCO17.mirror)])
    assert "inversion" in kinds(someone, mirrored)
    far = galleries(album(someone, someone, replace(found, keypoints=found.keypoints + 4000.0)))
    assert set(far) == {"miss"} and far["miss"][0].startswith("miss: near nothing of these (100.0% of")
    assert far["miss"][1].shape[1] > 1000 and far["miss"][1].std() > 20


def test_somebody_found_twice(someone, detected, drawn):
    """The second prediction is worse; where it ranks above, that is a scoring error too."""
    worse = replace(detected, keypoints=detected.keypoints + 2.0, score=detected.score / 4).select([3])
    found = galleries(album(someone, someone, both(detected, worse)))
    assert set(found) == {"duplicate"} and found["duplicate"][0].startswith(f"{1 / (len(detected) + 1):.1%} of predict")
    [(image, again), (_, counted), (_, truth)] = found["duplicate"][1]  # type: ignore[misc]
    assert image == someone.image[3] and again.caption.startswith("once too often\nscore")
    np.testing.assert_array_equal(again.poses[0][0], worse.keypoints[0])
    np.testing.assert_array_equal(counted.poses[0][0], detected.keypoints[3])
    np.testing.assert_array_equal(truth.poses[0][0], someone.keypoints[3])

    above = replace(worse, score=np.ones(1))
    found = galleries(album(someone, someone, both(detected, above)))
    assert set(found) == {"duplicate", "scoring"}
    [(_, first), (_, better), (_, _)] = found["scoring"][1]  # type: ignore[misc]
    np.testing.assert_array_equal(first.poses[0][0], worse.keypoints[0])
    np.testing.assert_array_equal(better.poses[0][0], detected.keypoints[3])


def test_nobody_found_and_somebody_lost(someone, detected, drawn):
    stray = replace(detected, keypoints=detected.keypoints + 4000.0, score=detected.score / 2).select([0, 1])
    book = album(someone, someone, both(detected.select(np.arange(len(detected)) != 5), stray))
    assert (book.judged.verdicts == Verdict.BACKGROUND).sum() == 2
    found = galleries(book)
    assert set(found) == {"background", "unfound"}
    (image, alarm), (_, others) = found["background"][1][:2]  # type: ignore[misc]
    assert image == someone.image[0] and alarm.caption == f"nearest person: OKS 0.00\nscore {stray.score[0]:.2f}"
    assert len(others.poses) == 1  # who is labelled on that photograph
    [(image, said), (_, truth)] = found["unfound"][1]  # type: ignore[misc]
    assert image == someone.image[5] and said.caption == "no prediction on the photograph" and not said.poses
    np.testing.assert_array_equal(truth.poses[0][0], someone.keypoints[5])


def test_whole_pictures_of_whole_people(someone, detected):
    stray = replace(detected, keypoints=detected.keypoints + 4000.0, score=detected.score / 2).select([0, 1])
    twice = replace(detected, keypoints=detected.keypoints + 2.0).select([3, 4])
    found = galleries(album(someone, someone, both(both(detected.select(np.arange(9)), stray), twice)))
    assert {"duplicate", "background", "unfound"} <= set(found)
    for caption, image in found.values():
        assert image.dtype == np.uint8 and image.shape[1] <= 8 + 6 * (320 + 8) and image.std() > 5, caption


def test_photographs_of_which_nobody_was_asked_for_show_nobody_lost(someone, answer):
    few = someone.select(np.arange(4))
    assert galleries(album(someone, few, answer(few))) == {}


def test_in_labelled_boxes_nothing_is_found_twice_or_on_nobody(someone, answer):
    found = answer(someone)
    rng = np.random.default_rng(0)
    wild = replace(found, keypoints=found.keypoints + rng.normal(0, 60, found.keypoints.shape))
    assert kinds(someone, wild).isdisjoint({"duplicate", "background", "unfound"})


def test_photographs_that_are_not_here_are_passed_over(someone, detected):
    gone = replace(someone, image_paths=tuple(path.with_name("gone.png") for path in someone.image_paths))
    stray = replace(detected, keypoints=detected.keypoints + 4000.0)
    assert galleries(album(gone, gone, stray)) == {}
