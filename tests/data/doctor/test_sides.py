"""Swapped sides are found at a stated precision and recall; nobody is accused where nothing can be known."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from sandglass.core.pose import People
from sandglass.data.doctor.finding import Finding
from sandglass.data.doctor.sides import agreement, check_sides, judge, learn
from sandglass.data.sets import read_set


def planted(people: People, swap, share: float) -> tuple[list[Finding], set[int]]:  # type: ignore[no-untyped-def]
    """Findings about people of whom a share was swapped; those who were suspicious before are left out."""
    whole = people.select(people.labelled >= 8)
    before = [finding.id or 0 for finding in check_sides(whole)]
    clean = whole.select(~np.isin(whole.ids, before))
    rows = np.flatnonzero(np.random.default_rng(0).random(len(clean)) < share)
    spoilt, ids = swap(clean, rows)
    return check_sides(spoilt, 0.8), ids


def precision_and_recall(findings: list[Finding], ids: set[int]) -> tuple[float, float]:
    hits = len({finding.id for finding in findings} & ids)
    return hits / len(findings), hits / len(ids)


def test_swaps_among_drawn_people_are_found(drawn: People, swap) -> None:  # type: ignore[no-untyped-def]
    precision, recall = precision_and_recall(*planted(drawn, swap, 0.1))
    assert precision >= 0.9 and recall >= 0.4


def test_swaps_among_real_people_are_found(people_folder: Path, swap) -> None:  # type: ignore[no-untyped-def]
    precision, recall = precision_and_recall(*planted(read_set(f"{people_folder}/coco@train"), swap, 0.05))
    assert precision >= 0.95 and recall >= 0.6


def test_few_drawn_people_are_accused_wrongly(drawn: People) -> None:
    """They do cross their legs, and all their labels are right."""
    assert len(check_sides(drawn, 0.9)) <= 0.03 * len(drawn)


def test_the_cure_is_the_exchange_that_was_planted(people_folder: Path) -> None:
    people = read_set(f"{people_folder}/coco@train")
    sides = learn(people)
    assert sides is not None
    exchanged, sure = judge(people, sides)
    again = people.keypoints.copy()
    visibility = people.visibility.copy()
    for i, p in np.argwhere(exchanged & (sure[:, None] > 0.5)):
        a, b = people.skeleton.pairs[p]
        again[i, [a, b]], visibility[i, [a, b]] = again[i, [b, a]], visibility[i, [b, a]]
    cured = replace(people, keypoints=again, visibility=visibility)
    assert not (judge(cured, sides)[1] > 0.5).any()  # cured once is cured for good


def test_judging_agrees_with_trying_every_exchange(drawn: People, swap) -> None:  # type: ignore[no-untyped-def]
    spoilt, _ = swap(drawn, np.arange(0, len(drawn), 3))
    sides = learn(spoilt)
    assert sides is not None
    exchanged, _ = judge(spoilt, sides)
    evidence = agreement(spoilt) * sides.weights / 2
    every = np.array([(1, *rest) for rest in product((1, -1), repeat=evidence.shape[1] - 1)])
    best = np.einsum("npq,sp,sq->ns", evidence, every, every).max(1)
    signs = np.where(exchanged, -1.0, 1.0)
    found = np.einsum("npq,np,nq->n", evidence, signs, signs)
    assert (found <= best + 1e-9).all()
    assert np.mean(found < best - 1e-6) <= 0.02


def test_a_mirror_or_a_turn_changes_nothing(drawn: People) -> None:
    turned = replace(drawn, keypoints=drawn.keypoints[..., ::-1] * (3.0, -3.0) + 17)
    np.testing.assert_allclose(agreement(turned), agreement(drawn), atol=1e-9)


def test_a_pair_named_wrongly_in_the_whole_set_is_told_once(drawn: People) -> None:
    order = list(range(17))
    order[13], order[14] = 14, 13
    wrong = replace(drawn, keypoints=drawn.keypoints[:, order], visibility=drawn.visibility[:, order])
    told = [finding for finding in check_sides(wrong) if finding.kind == "sides"]
    assert len(told) == 1 and "left_knee and right_knee" in told[0].what
    assert not [finding for finding in check_sides(drawn) if finding.kind == "sides"]


def test_few_people_are_not_judged(drawn: People) -> None:
    assert check_sides(drawn.select(np.arange(50))) == []
