"""A model's word against the labels, with answers made of arrays."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.image import read_image
from sandglass.core.pose import People, Predictions
from sandglass.data.doctor.finding import Finding
from sandglass.data.sets import read_set
from sandglass.draw.sheets import place
from sandglass.evaluation.labels import TILE, both_ways, judge, merged, write_gallery
from sandglass.metrics.oks import matched


@pytest.fixture
def people(tiny_coco) -> People:  # type: ignore[no-untyped-def]
    everybody = read_set(f"{tiny_coco}@train")
    return everybody.select(everybody.labelled == 17)


def answers(people: People, order: list[int] | None = None) -> Predictions:
    scores = np.full((len(people), 17), 0.9)
    keypoints = people.keypoints[:, order or range(17)]
    return Predictions(
        skeleton=people.skeleton, image_ids=people.image_ids[people.image], keypoints=keypoints,
        scores=scores, present=scores > 0, boxes=people.boxes, score=scores.mean(1), people=people.ids,
    )  # fmt: skip


def test_who_agrees_with_the_model_has_no_finding(people: People) -> None:
    assert judge(people, answers(people)) == []


def test_exchanged_sides_are_a_swap_of_every_pair(people: People) -> None:
    mirrored = answers(people, list(people.skeleton.mirror))
    found = judge(people, mirrored)
    assert {finding.id for finding in found} == set(people.ids.tolist())
    assert {finding.kind for finding in found} == {"swap"}
    assert found[0].exchange == tuple(a for a, _ in people.skeleton.pairs) and found[0].sure > 0.8


def test_both_ways_is_oks_of_the_joints_with_a_twin(people: People) -> None:
    found = answers(people)
    found = replace(found, keypoints=found.keypoints + 2.5)
    visibility = people.visibility * (np.array(people.skeleton.mirror) != np.arange(17))
    sided = replace(people, visibility=visibility.astype(np.uint8))
    np.testing.assert_allclose(both_ways(people, found)[0], matched(sided, found, np.arange(len(people))))


def test_a_sure_model_elsewhere_is_a_doubt_and_an_unsure_one_is_none(people: People) -> None:
    far = replace(answers(people), keypoints=people.keypoints + 500)
    found = judge(people, far)
    assert {f.kind for f in found} == {"doubtful"} and found[0].sure == pytest.approx(0.9)
    assert judge(people, replace(far, scores=far.scores / 3)) == []


def test_two_witnesses_of_one_swap_are_surer_than_one() -> None:
    one = Finding(kind="swap", source="a", id=1, sure=0.8, what="geometry")
    two = replace(one, sure=0.6, what="model")
    other = replace(one, kind="limb")
    found = merged([one, other, two, replace(two, id=2)])
    assert sorted((f.kind, f.id, round(f.sure, 2)) for f in found) == [
        ("limb", 1, 0.8),
        ("swap", 1, 0.92),
        ("swap", 2, 0.6),
    ]
    assert next(f for f in found if f.id == 1 and f.kind == "swap").what == "geometry"


def test_the_gallery_passes_over_what_cannot_be_shown(people: People, tmp_path) -> None:  # type: ignore[no-untyped-def]
    findings = [Finding(kind="limb", source=people.source, id=int(id), what="") for id in people.ids]
    findings.append(Finding(kind="photo", source=people.source, photo="x", what=""))
    assert write_gallery(tmp_path / "gallery.png", [people], findings) == len(people)
    gone = replace(people, image_paths=tuple(tmp_path / path.name for path in people.image_paths))
    assert write_gallery(tmp_path / "none.png", [gone], findings) == 0
    assert not (tmp_path / "none.png").exists()


def test_the_gallery_shows_photographs_that_are_alike_side_by_side(people: People, tmp_path) -> None:  # type: ignore[no-untyped-def]
    one, other, gone = str(people.image_paths[0]), str(people.image_paths[1]), str(tmp_path / "gone.png")
    findings = [Finding(kind="leak", source=people.source, photo=one, like=like, what="") for like in (other, gone)]
    assert write_gallery(tmp_path / "gallery.png", [people], findings) == 1
    tile = read_image(tmp_path / "gallery.png")[8 : 8 + TILE, 8 : 8 + TILE]
    half = TILE // 2
    for path, part in ((other, tile[:, :half]), (one, tile[:, half:])):
        np.testing.assert_array_equal(part, place(read_image(path), (half, TILE)))
