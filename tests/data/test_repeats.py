"""Sigmas from repeated labels: the annotators' noise comes back, people are told apart, and too few say nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import DEFAULT_SIGMA, Skeleton
from sandglass.data.repeats import ENOUGH, estimate

SKELETON = Skeleton.from_dict({"joints": ["nose", "left_eye", "right_eye"]})
NOISE = np.array([0.05, 0.02, 0.02])  # the expected distance of a label from its place, in units of sqrt(area)


def labelled_again(make_people: Any, people: int, times: int, seed: int = 0) -> Any:
    """Every person `times` times, with normal noise of NOISE in the plane: half of the variance on each axis."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(100, 900, (people, 1, 1, 2)) + rng.uniform(-60, 60, (people, 1, 3, 2))
    areas = rng.uniform(2000, 20000, people).repeat(times)
    noise = rng.normal(0, 1, (people, times, 3, 2)) * (NOISE / np.sqrt(2))[:, None]
    points = (places + noise * np.sqrt(areas.reshape(people, times, 1, 1))).reshape(-1, 3, 2)
    boxes = np.concatenate([places.min((1, 2)) - 60, places.max((1, 2)) + 60], axis=1).repeat(times, 0)
    return make_people(points, skeleton=SKELETON, image=np.arange(people).repeat(times), areas=areas, boxes=boxes)


@pytest.mark.parametrize("times", [2, 5])
def test_the_noise_comes_back(make_people: Any, times: int) -> None:
    found = estimate([labelled_again(make_people, 4000, times)])
    assert found.people == 4000
    np.testing.assert_allclose(found.sigmas, NOISE, rtol=0.02)  # 4,000 degrees of freedom: 1.1 % is one deviation
    np.testing.assert_array_equal(found.freedom, np.array([1, 2, 2]) * 4000 * (times - 1))
    assert found.sigmas[1] == found.sigmas[2]  # twins are one estimate


def test_annotators_may_have_files_of_their_own(make_people: Any) -> None:
    together = labelled_again(make_people, 100, 2)
    rows = np.arange(200)
    apart = [together.select(rows[0::2]), together.select(rows[1::2])]
    np.testing.assert_allclose(estimate(apart).sigmas, estimate([together]).sigmas, rtol=1e-12)


def test_neighbours_and_crowds_are_not_the_same_person(make_people: Any) -> None:
    people = labelled_again(make_people, 60, 2)
    moved = people.boxes.copy()
    moved[1::2] += 5000
    with pytest.raises(BadInput, match="nobody is labelled more than once"):
        estimate([replace(people, boxes=moved)])
    with pytest.raises(BadInput, match="nobody"):
        estimate([replace(people, crowd=np.ones(120, bool))])
    with pytest.raises(BadInput, match="different joints"):
        estimate([people, make_people(np.zeros((1, 17, 2)))])


def test_too_few_labels_say_nothing(make_people: Any) -> None:
    people = labelled_again(make_people, ENOUGH, 2)
    visibility = people.visibility.copy()
    visibility[0, 0] = 0  # one nose less
    found = estimate([replace(people, visibility=visibility)])
    assert np.isnan(found.sigmas[0]) and found.freedom[0] == ENOUGH - 1 and np.isfinite(found.sigmas[1:]).all()
    assert found.measured.sigmas[0] == DEFAULT_SIGMA and found.measured.joints == SKELETON.joints
