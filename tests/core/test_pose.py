"""People and predictions as arrays: rows stay together, whatever is chosen."""

import numpy as np
import pytest

RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def people(make_people):
    visibility = RNG.integers(0, 3, (5, 17))
    points = RNG.uniform(0, 100, (5, 17, 2))
    return make_people(
        points, image=[2, 0, 0, 1, 2], image_ids=[7, 8, 9], visibility=visibility, areas=[1, 2, 3, 4, 5],
        crowd=[False, True, False, False, False],
    )  # fmt: skip


def test_iterating_gives_whole_persons_in_order(people):
    assert len(people) == 5 and [p.id for p in people] == [1, 2, 3, 4, 5]
    assert [p.image_id for p in people] == [9, 7, 7, 8, 9]
    last = people[4]
    assert last.image_path == people.image_paths[2] and last.image_size == (1000, 1000)
    assert (last.area, last.crowd, people[1].crowd) == (5.0, False, True) and np.isnan(last.head_size)
    np.testing.assert_array_equal(last.keypoints, people.keypoints[4])
    np.testing.assert_array_equal(people.labelled, [(p.visibility > 0).sum() for p in people])


@pytest.mark.parametrize("chosen", [np.array([True, False, True, False, True]), np.array([4, 0, 2]), np.array([], int)])
def test_a_choice_keeps_rows_together_and_the_images_whole(people, chosen):
    some = people.select(chosen)
    rows = np.arange(5)[chosen]
    assert some.ids.tolist() == (rows + 1).tolist() and some.image_ids.tolist() == [7, 8, 9]
    for person, row in zip(some, rows, strict=True):
        assert (person.id, person.image_id, person.area) == (row + 1, people[row].image_id, row + 1.0)
        np.testing.assert_array_equal(person.keypoints, people.keypoints[row])
        np.testing.assert_array_equal(person.box, people.boxes[row])
        np.testing.assert_array_equal(person.visibility, people.visibility[row])


def test_columns_of_different_lengths_are_our_own_mistake(people):
    from dataclasses import replace

    for name in ("boxes", "areas", "crowd", "head_sizes", "keypoints", "visibility"):
        with pytest.raises(AssertionError):
            replace(people, **{name: getattr(people, name)[1:]})


def test_predictions_are_chosen_alike(people, answer):
    found = answer(people).select(np.array([3, 1]))
    assert len(found) == 2 and found.people.tolist() == [4, 2] and found.image_ids.tolist() == [8, 7]
    np.testing.assert_array_equal(found.keypoints, people.keypoints[[3, 1]])
