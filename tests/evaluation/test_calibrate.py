"""Calibrating a model: on one half, tested on the other; the shipped file predicts with it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.evaluation.calibrate import calibrate, trial_table
from sandglass.evaluation.ledger import Recorder
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

SPEC = ModelSpec(
    network="hourglass", options={"stacks": 1}, codec=CodecConfig(size=(64, 64), sigmas=(1.5,)), skeleton=COCO17
)


class Boasting:
    """A predictor that is right as often as the square of what it says; its runtime is the fixture `answer`.

    Of two stacks the first says the same with less right: as often as the fourth power.
    """

    def __init__(self, runtime: Any, spec: ModelSpec = SPEC, *, flip: bool = True, batch: int = 32):
        self.runtime, self.spec, self.flip, self.batch = runtime, spec, flip, batch

    def predict_boxes(self, people, images, boxes, ids, on_progress, watch):
        assert self.spec.calibration is None and (ids == people.ids).all()
        rng = np.random.default_rng(0)
        said = rng.uniform(0.05, 0.95, people.visibility.shape)
        right = rng.random(said.shape) < said**2
        exact = self.runtime(people)
        points = exact.keypoints + np.where(right, 0, 5000)[..., None]
        if isinstance(watch, Recorder) and self.spec.stacks == 2:
            worse = np.where(right & (rng.random(said.shape) < said**2), 0.0, 5000.0)[..., None]
            crop_from_image = geometry.invert(geometry.image_from_crop(boxes, self.spec.codec.size, self.spec.padding))
            watch.points[0] = geometry.apply(crop_from_image, exact.keypoints + worse)
            watch.scores[0] = said
        return replace(exact, keypoints=points, scores=said, score=said.mean(1))


def boaster(answer: Any, spec: ModelSpec = SPEC) -> Any:
    return Boasting(answer, spec)


@pytest.fixture
def people(make_people):
    points = np.tile(np.arange(17.0)[:, None] * 90 + np.array([[100.0, 100.0]]), (400, 1, 1))
    return make_people(points, image=np.arange(400) // 2)


@pytest.fixture(autouse=True)
def boasting(monkeypatch):
    monkeypatch.setattr("sandglass.evaluation.calibrate.Predictor", Boasting)


def test_the_error_falls_on_people_who_were_not_seen(people, answer):
    trials = calibrate(boaster(answer), people)
    for trial in trials:
        assert trial.fitted == trial.tested == 200
        assert trial.last.before.reliability.error == pytest.approx(0.1825, abs=0.03)  # mean of p - p^2
        assert trial.last.after.reliability.error < 0.03
        assert trial.last.before.reliability.count.sum() == 200 * 17
    assert trials[0].last.calibration != trials[1].last.calibration
    cells = [list(column.cells) for column in trial_table(trials, people).columns]
    assert cells[0] == [*COCO17.joints, "all joints", "AP"]
    assert cells[1][-2] == f"{trials[0].last.before.reliability.error:.3f}"


def test_the_halves_share_no_photograph_and_follow_the_seed(people, answer):
    first = calibrate(boaster(answer), people, seed=1)
    assert calibrate(boaster(answer), people, seed=1)[0].stacks[0].calibration == first[0].last.calibration
    assert calibrate(boaster(answer), people, seed=2)[0].last.calibration != first[0].last.calibration
    counts = [trial.fitted + trial.tested for trial in first]
    assert counts == [len(people)] * 2  # two people stand on each photograph, and always fall on one side
    uneven = people.select(np.arange(400) != 0)
    assert {trial.fitted for trial in calibrate(boaster(answer), uneven)} == {199, 200}


def test_an_older_calibration_is_set_aside(people, answer):
    [first, _] = calibrate(boaster(answer), people)
    again = boaster(answer, first.spec(SPEC))
    assert calibrate(again, people)[0].last.calibration == first.last.calibration


def test_every_stack_has_a_calibration_of_its_own(people, answer):
    """The first stack is right as often as the fourth power of what it says, the second as often as the square."""
    spec = replace(SPEC, options={"stacks": 2}, codec=replace(SPEC.codec, sigmas=(1.5, 1.5)))
    trials = calibrate(boaster(answer, spec), people)
    for trial in trials:
        assert [stack.before.reliability.error for stack in trial.stacks] == pytest.approx([0.305, 0.1825], abs=0.04)
        assert all(stack.after.reliability.error < 0.04 for stack in trial.stacks)
    whole = trials[0].spec(spec)
    scores = np.full((1, 17), 0.8)
    for n, power in ((1, 4), (2, 2)):
        told = whole.calibration_after(n)
        assert told is not None and told.probabilities(scores).mean() == pytest.approx(0.8**power, abs=0.06)
    cells = [list(column.cells) for column in trial_table(trials, people).columns]
    assert cells[0][-3:] == ["all joints, stack 1", "all joints, last stack", "AP"]
    assert cells[2][-3] == f"{trials[0].stacks[0].after.reliability.error:.3f}"


def test_what_cannot_be_split_or_does_not_fit_is_refused(people, answer):
    one = people.select(people.image == 0)
    with pytest.raises(BadInput, match="all labelled people are on one photograph"):
        calibrate(boaster(answer), one)
    with pytest.raises(BadInput, match="nobody to predict"):
        calibrate(boaster(answer), people.select(np.zeros(0, int)))
    hand = Skeleton.from_dict({"name": "hand", "joints": ["wrist"]})
    with pytest.raises(BadInput, match="the model finds the 1 joints of 'hand'"):
        calibrate(boaster(answer, replace(SPEC, skeleton=hand)), people)
