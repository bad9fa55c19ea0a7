"""Two sets of predictions on the same photographs: a planted gain is real, luck is not; other labels are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.evaluation.compare import (
    COMPARED,
    Evaluated,
    check_labels,
    check_same,
    compare,
    labels_of,
    read_evaluation,
    skeleton_of,
)
from sandglass.evaluation.protocols import fingerprint
from sandglass.evaluation.publish import Record
from sandglass.evaluation.scores import score


@pytest.fixture(scope="module")
def people(coco_val, coco_people):
    everybody = coco_people(coco_val)
    return everybody.select(everybody.image < 120)


@pytest.fixture(scope="module")
def worse(people, simulate):
    return simulate(people, seed=0)


@pytest.fixture(scope="module")
def better(people, worse):
    """The same, but every tenth prediction is exact."""
    true = {tuple(box): points for box, points in zip(people.boxes, people.keypoints, strict=True)}
    points = worse.keypoints.copy()
    points[::10] = [true[tuple(box)] for box in worse.boxes[::10]]
    return replace(worse, keypoints=points)


def test_a_planted_gain_is_real_and_its_sign_is_right(people, worse, better):
    got = compare(people, worse, better, "coco-det", names=("old", "new"), resamples=400)
    for name in COMPARED:
        found = got.differences[name]
        assert found.real and 0 < found.low < found.value < found.high
        assert got.verdict(name) == f"{name}: new is better than old, and the difference is real"
    turned = compare(people, better, worse, "coco-det", names=("new", "old"), resamples=400)
    assert turned.verdict("AP") == "AP: new is better than old, and the difference is real"
    assert turned.differences["AP"].low == pytest.approx(-got.differences["AP"].high)


def test_the_figures_are_those_of_evaluate(people, worse, better):
    got = compare(people, worse, better, "coco-det", resamples=100)
    for row, found in enumerate((worse, better)):
        scores = score(people, found, "coco-det", intervals=0)
        assert {name: got.values[name][row] for name in COMPARED} == {name: scores.figures[name] for name in COMPARED}
        assert (got.people, got.images, got.fingerprint) == (scores.people, scores.images, scores.fingerprint)


def test_luck_is_not_real(people, worse):
    same = compare(people, worse, worse, "coco-det", resamples=100)
    assert {found.value for found in same.differences.values()} == {0.0}
    assert not any(found.real for found in same.differences.values())
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 2, (2, *worse.keypoints.shape))
    one, other = (replace(worse, keypoints=worse.keypoints + some) for some in noise)
    got = compare(people, one, other, "coco-det", resamples=300)
    assert got.verdict("PCK@0.2") == "PCK@0.2: no real difference" and got.differences["PCK@0.2"].value != 0


def test_the_file_and_the_table_say_it_plainly(people, worse, better):
    got = compare(people, worse, better, "coco-det", names=("a/run", "b/run"), resamples=100)
    plain = json.loads(got.to_json())
    assert list(plain) == [
        "a", "b", "protocol", "source", "fingerprint", "people", "images", "resamples", "figures", "notes",
    ]  # fmt: skip
    assert (plain["a"], plain["b"]) == ("a/run", "b/run")
    assert set(plain["figures"]["AP"]) == {"a", "b", "difference", "low", "high", "share", "real", "verdict"}
    assert list(got.table().columns[-1].cells) == ["real: B is better"] * 3


def test_nothing_labelled_is_nothing_to_compare(people, worse):
    nobody = replace(people, visibility=np.zeros_like(people.visibility))
    with pytest.raises(BadInput, match="nobody has a labelled joint"):
        compare(nobody, worse, worse, "coco-det", resamples=100)


def test_one_photograph_tells_nothing_of_others(make_people, answer):
    alone = make_people(np.random.default_rng(0).uniform(0, 200, (2, 17, 2)), image=[0, 0])
    with pytest.raises(BadInput, match="all labelled people are on one photograph"):
        compare(alone, answer(alone), answer(alone, (5, 5)), "coco-gt", resamples=100)


def written(folder, **changes):
    folder.mkdir(exist_ok=True)
    says = {"protocol": "coco-gt", "source": "set@val", "fingerprint": "0123456789ab"} | changes
    (folder / "scores.json").write_text(json.dumps(says))
    return read_evaluation(folder)


def test_only_the_same_labels_by_the_same_protocol_are_compared(tmp_path, people):
    a = written(tmp_path / "a")
    assert a == Evaluated(tmp_path / "a", "coco-gt", "set@val", "0123456789ab")
    check_same(a, written(tmp_path / "b", source="elsewhere/set@val"))  # the labels count, not where they lie
    with pytest.raises(BadInput, match=r"'coco-gt'.*'seed'; compare one protocol"):
        check_same(a, written(tmp_path / "b", protocol="seed"))
    with pytest.raises(BadInput, match="whose photographs or labels differ"):
        check_same(a, written(tmp_path / "b", fingerprint="ba9876543210"))
    with pytest.raises(BadInput, match="was scored on other labels than those of made"):
        check_labels(a, people)
    check_labels(written(tmp_path / "b", fingerprint=fingerprint(people)), people)


def test_the_labels_are_looked_for_where_the_evaluation_names_them(tmp_path):
    a = written(tmp_path / "a", source="nowhere/set@val")
    with pytest.raises(BadInput, match="'nowhere/set@val', which is not here; name it with --data"):
        labels_of([a])
    Record(data=f"{tmp_path}@val").save(a.folder)
    assert labels_of([a]) == f"{tmp_path}@val"
    with pytest.raises(BadInput, match="two checkpoints need a data set"):
        labels_of([])


def test_the_skeleton_is_the_one_that_an_evaluation_was_told(tmp_path):
    a, b = written(tmp_path / "a"), written(tmp_path / "b")
    assert skeleton_of([]) == skeleton_of([a, b]) == ""
    Record().save(a.folder)
    Record(skeleton="hand.toml").save(b.folder)
    assert skeleton_of([a, b]) == "hand.toml"


@pytest.mark.parametrize("text", ["[]", '{"protocol": "coco-gt"}', '{"protocol": 1, "source": "", "fingerprint": ""}'])
def test_a_folder_that_says_too_little_is_refused(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(BadInput, match=r"scores\.json: names no protocol"):
        read_evaluation(tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_evaluation(tmp_path / "nothing")
