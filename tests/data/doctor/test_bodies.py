"""Planted impossibilities are all found, and little else."""

from dataclasses import replace

import numpy as np

from sandglass.core.pose import People, Predictions
from sandglass.data.doctor.bodies import alike, check_limbs, check_outside, check_twice
from sandglass.metrics.oks import matched


def joined(people: People, more: People) -> People:
    names = ("image", "ids", "boxes", "keypoints", "visibility", "areas", "crowd", "head_sizes")
    return replace(people, **{name: np.concatenate([getattr(people, name), getattr(more, name)]) for name in names})


def test_people_labelled_twice_are_found(drawn: People) -> None:
    rng = np.random.default_rng(0)
    some = drawn.select((drawn.labelled >= 6) & (rng.random(len(drawn)) < 0.1))
    shaken = some.keypoints + rng.normal(0, 0.01, some.keypoints.shape) * np.sqrt(some.areas)[:, None, None]
    copies = replace(some, ids=some.ids + 100_000, keypoints=shaken)
    found = {finding.id for finding in check_twice(joined(drawn, copies))}
    assert check_twice(drawn) == []
    assert found == set(copies.ids.tolist())  # precision and recall are 1


def test_alikeness_is_oks(drawn: People) -> None:
    people = drawn.select(drawn.labelled == 17)
    found = replace(people, keypoints=people.keypoints + 3.0, ids=people.ids + 1000)
    n = np.arange(len(people))
    scores = np.ones((len(people), 17))
    answers = Predictions(
        skeleton=people.skeleton, image_ids=people.image_ids[people.image], keypoints=found.keypoints, scores=scores,
        present=scores > 0, boxes=people.boxes, score=np.ones(len(people)), people=people.ids,
    )  # fmt: skip
    np.testing.assert_allclose(alike(joined(people, found), n, n + len(people)), matched(people, answers, n))


def test_joints_outside_are_found(drawn: People) -> None:
    people = drawn.select((drawn.visibility[:, 0] > 0) & (drawn.labelled > 4))
    assert not [f for f in check_outside(people) if f.kind == "outside photo"]
    keypoints, boxes = people.keypoints.copy(), people.boxes.copy()
    keypoints[3, 0] = (-8.0, 10.0)
    boxes[5, :2] = boxes[5, 2:] - 0.3 * (boxes[5, 2:] - boxes[5, :2])
    found = check_outside(replace(people, keypoints=keypoints, boxes=boxes))
    ids = {kind: [f.id for f in found if f.kind == kind] for kind in ("outside photo", "outside box")}
    assert ids["outside photo"] == [people.ids[3]]
    assert people.ids[5] in ids["outside box"] and len(ids["outside box"]) <= 2


def test_limbs_that_cannot_be_are_found(drawn: People) -> None:
    people = drawn.select(drawn.labelled >= 12)
    rows = np.arange(0, len(people), 20)
    keypoints = people.keypoints.copy()
    wrist, elbow = 9, 7
    rows = rows[(people.visibility[rows][:, [wrist, elbow]] > 0).all(1)]
    size = np.linalg.norm(np.ptp(people.keypoints, axis=1), axis=-1)
    keypoints[rows, wrist] = keypoints[rows, elbow] + np.array([1.5, 0.0]) * size[rows, None]
    found = {f.id for f in check_limbs(replace(people, keypoints=keypoints))}
    planted = set(people.ids[rows].tolist())
    assert len(rows) >= 4 and len(found & planted) >= 0.9 * len(planted)
    assert len(found - planted) <= 0.02 * len(people)
