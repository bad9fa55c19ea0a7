"""Scores by protocol: who is asked and scored, the keys that stay, the notes, and every refusal."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.evaluation.scores import HEADLINE, PROTOCOLS, people_to_predict, score
from sandglass.metrics import bootstrap

KEYS = [
    "protocol", "source", "skeleton", "fingerprint",
    "AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL", "PCK@0.2",
    "PCK@0.1", "PCK@0.5", "AUC", "EPE", "NEPE",
    "people", "images", "per_joint", "joints", "parts", "joint_intervals", "part_intervals", "curve",
    "intervals", "notes",
]  # fmt: skip
BODY = np.array([[x, y] for x in (20.0, 60.0) for y in range(10, 170, 20)] + [[40.0, 5.0]])


def three(make_people, **columns):
    """Two photographs: a whole person and one with 3 joints on the first, a small box with 6 on the second."""
    visibility = np.full((3, 17), 2)
    visibility[1, 3:] = 0
    visibility[2, 6:] = 0
    boxes = [[0, 0, 80, 180], [300, 0, 380, 180], [0, 0, 30, 30]]
    defaults = {"visibility": visibility, "boxes": boxes, "areas": [8000.0, 8000.0, 700.0]}
    return make_people(
        np.stack([BODY, BODY + np.array([300, 0]), BODY]), image=[0, 0, 1], ids=[11, 12, 13], **defaults | columns
    )


def test_intervals_over_few_photographs_are_none_or_warned_of(make_people, answer):
    people = three(make_people)
    assert any("come of 2 photographs" in note for note in score(people, answer(people), "coco-gt", intervals=9).notes)
    alone = people.select(np.array([0, 1]))
    got = score(alone, answer(alone), "coco-gt", intervals=9)
    assert got.intervals == {} and "no intervals: all people are on one photograph" in got.notes
    assert not any("interval" in note for note in score(people, answer(people), "coco-gt", intervals=0).notes)


def test_scores_that_rank_nothing_are_told(make_people, answer):
    people = three(make_people)
    found = answer(people)
    same = score(people, replace(found, score=np.full(3, 0.5)), "coco-gt", intervals=0)
    assert same.figures["AP"] == 1
    [told] = [note for note in same.notes if "same score" in note]
    assert told.startswith("AP depends on the order of the predictions: 3 of 3 have the same score")
    assert not any("same score" in note for note in score(people, found, "coco-gt", intervals=0).notes)


def test_each_protocol_asks_for_its_people(make_people):
    people = three(make_people)
    assert people_to_predict(people, "coco-gt").ids.tolist() == [11, 12, 13]
    assert people_to_predict(people, "seed").ids.tolist() == [11]
    crowd = three(make_people, crowd=[True, False, False])
    assert people_to_predict(crowd, "coco-gt").ids.tolist() == [12, 13]
    with pytest.raises(BadInput, match="nobody to predict"):
        people_to_predict(crowd, "seed")
    with pytest.raises(BadInput, match="detected boxes"):
        people_to_predict(people, "coco-det")
    with pytest.raises(BadInput, match="coco-gt, coco-det, seed"):
        people_to_predict(people, "coco")
    assert len({p.description for p in PROTOCOLS.values()}) == 3


def test_the_seeds_protocol_scores_against_everybody_on_its_photographs(make_people, answer):
    people = three(make_people)
    asked = people_to_predict(people, "seed")
    got = score(people, answer(asked), "seed", intervals=0)
    assert (got.people, got.images) == (1, 1)
    assert got.figures["AR"] == 0.5  # 12 was never asked for, but is to be found; 13 is elsewhere
    assert got.figures["PCK@0.2"] == 1
    assert score(people, answer(people), "coco-gt", intervals=0).figures["AP"] == 1


def test_people_to_be_excused_are_in_coco_gt(coco_val, coco_people, answer):
    people = coco_people(coco_val)
    found = answer(people_to_predict(people, "coco-gt"))
    got = score(people, found, "coco-gt", intervals=20)
    assert got.figures["AP"] == 1 and got.figures["PCK@0.1"] == 1
    assert got.people == len(found) == int(((people.labelled > 0) & ~people.crowd).sum())


def test_an_answer_on_an_unlabelled_neighbour_is_excused(make_people, answer):
    points = BODY + np.array([[[0, 0]], [[300, 0]], [[600, 0]]])
    visibility = np.full((3, 17), 2)
    visibility[2] = 0
    people = make_people(points, image=[0, 0, 0], visibility=visibility)
    found = answer(people_to_predict(people, "coco-gt"))
    astray = replace(found, keypoints=points[[2, 1]], score=np.array([0.9, 0.1]))
    # Half is found with precision 1; the better scored one missed its person but is no false alarm.
    assert score(people, astray, "coco-gt", intervals=0).figures["AP"] == pytest.approx(51 / 101)
    alone = people.select(np.array([0, 1]))
    assert score(alone, astray, "coco-gt", intervals=0).figures["AP"] == pytest.approx(51 / 2 / 101)


def test_detections_are_scored_on_every_photograph(make_people, answer):
    people = make_people([BODY, BODY], image_ids=[5, 6, 7], ids=[1, 2])
    found = replace(answer(people), people=np.full(2, -1))
    perfect = score(people, found, "coco-det", intervals=10)
    assert perfect.figures["AP"] == 1 and perfect.images == 3 and perfect.people == 2
    ghost = replace(found, image_ids=np.array([5, 7]), score=np.array([0.5, 0.9]))
    got = score(people, ghost, "coco-det", intervals=0)
    assert got.figures["AR"] == 0.5 and got.figures["AP"] == pytest.approx(51 * 0.5 / 101)
    assert got.figures["PCK@0.2"] == 0.5


def test_the_keys_stay_and_the_values_are_json(make_people, answer):
    people = three(make_people)
    got = score(people, answer(people), "coco-gt", intervals=20).to_dict()
    assert list(got) == KEYS
    assert set(HEADLINE) < set(KEYS)
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert list(got["per_joint"]) == list(COCO17.joints)
    assert got["APL"] is None and "APL" not in got["intervals"]
    assert any("APL" in note for note in got["notes"])
    assert got["intervals"]["AP"] == pytest.approx([1, 1])
    assert got["intervals"]["PCK@0.1"] == [1, 1]
    assert got["joints"].keys() == got["parts"].keys() == {"PCK@0.2", "AUC", "EPE", "NEPE"}
    assert got["joints"]["PCK@0.2"] == got["per_joint"]
    assert got["parts"]["PCK@0.2"]["large"] is None  # nobody here is
    assert list(got["curve"]) == ["thresholds", "torso", "box"]  # nobody has a head size
    assert {len(values) for values in got["curve"].values()} == {51}


def test_distances_are_told_with_what_they_leave_out(make_people, answer):
    people = three(make_people)
    got = score(people, answer(people, shift=(3, 4)).select(np.array([0, 1])), "coco-gt", intervals=0)
    assert got.figures["EPE"] == pytest.approx(5)
    assert got.parts["EPE"]["small"] is None and got.parts["EPE"]["medium"] == pytest.approx(5)
    assert "joints of people who were not found, left out of EPE and NEPE: 6" in got.notes
    curve = got.to_dict()["curve"]
    assert got.figures["AUC"] == pytest.approx(np.trapezoid(curve["torso"], curve["thresholds"]) / 0.5, abs=0.01)
    assert curve["torso"][20] == pytest.approx(got.figures["PCK@0.2"], abs=1e-6)


def test_the_fingerprint_is_of_the_labels_alone(make_people, answer):
    people = three(make_people)
    same = score(people, answer(people), "coco-gt", intervals=0).fingerprint
    assert score(replace(people, source="moved"), answer(people, (9, 9)), "coco-gt", intervals=0).fingerprint == same
    moved = replace(people, keypoints=people.keypoints + 1e-3)
    assert score(moved, answer(people), "coco-gt", intervals=0).fingerprint != same


def test_nothing_labelled_is_told_not_scored(make_people, answer):
    people = three(make_people, visibility=np.zeros((3, 17)))
    for protocol in ("coco-gt", "coco-det"):
        got = score(people, answer(people).select(np.arange(0)), protocol).to_dict()
        assert {got[name] for name in HEADLINE} == {None}
        assert any("nobody" in note for note in got["notes"])
        assert json.dumps(got, allow_nan=False)


def test_no_predictions_are_zero_and_told(make_people, answer):
    people = three(make_people)
    none = answer(people).select(np.arange(0))
    got = score(people, none, "coco-gt", intervals=10)
    assert {got.figures[name] for name in ("AP", "AR", "PCK@0.2")} == {0.0}
    assert "people without a prediction, counted as missed: 3 of 3" in got.notes
    assert "no predictions: all are missed" in score(people, none, "coco-det", intervals=0).notes


def test_a_hopeless_zero_is_explained(make_people, answer):
    people = three(make_people)
    got = score(people, answer(people, shift=(15, 0)), "coco-gt", intervals=0)
    [why] = [note for note in got.notes if note.startswith("AP is 0")]
    assert got.figures["AP"] == 0 and "none of 3 predictions" in why and "(the best has 0." in why
    assert not any(note.startswith("AP is 0") for note in score(people, answer(people), "coco-gt", intervals=0).notes)
    none = score(people, answer(people).select(np.arange(0)), "coco-gt", intervals=0)
    assert not any(note.startswith("AP is 0") for note in none.notes)  # that all are missed is said already


def test_missing_and_unasked_answers_are_counted(make_people, answer):
    people = three(make_people)
    got = score(people, answer(people).select(np.array([1])), "seed", intervals=0)
    assert "predictions left out, for people whom the protocol does not ask for: 1" in got.notes
    assert "people without a prediction, counted as missed: 1 of 1" in got.notes
    assert got.figures["PCK@0.2"] == 0


def test_the_lengths_that_were_used_are_told(make_people, answer):
    people = three(make_people)
    [note] = [n for n in score(people, answer(people), "coco-gt", intervals=0).notes if n.startswith("PCK")]
    assert all(f"{part} (1)" in note for part in ("torso, left shoulder to right hip", "x 3.7", "of the box x 0.37"))


def test_head_sizes_add_pckh(make_people, answer):
    people = three(make_people, head_sizes=[20.0, np.nan, np.nan])
    got = score(people, answer(people), "coco-gt", intervals=10)
    assert got.figures["PCKh@0.5"] == 1 and got.intervals["PCKh@0.5"] == (1, 1)
    assert got.parts["PCKh@0.5"]["left"] == 1 and "head segment" in got.curve
    assert "PCKh@0.5" not in score(three(make_people), answer(people), "coco-gt", intervals=0).figures


def test_too_many_detections_and_boxes_outside_are_told(make_people, answer):
    people = make_people(BODY[None])
    found = replace(answer(people), people=np.array([-1])).select(np.zeros(23, np.int64))
    outside = np.tile([[0.0, 0.0, 50.0, 50.0]], (23, 1))
    outside[:2] = [[-50, 0, -10, 40], [60, 60, 60, 90]]
    notes = score(people, replace(found, boxes=outside), "coco-det", intervals=0).notes
    assert "predictions of boxes that are flat or outside their photograph: 2" in notes
    assert "predictions beyond the 20 best of their photograph, without weight in AP: 3" in notes


@pytest.mark.parametrize(
    ("changes", "protocol", "message"),
    [
        ({"image_ids": np.array([100, 100, 77])}, "coco-gt", "image id 77"),
        ({"people": np.array([11, 12, 99])}, "coco-gt", "annotation id 99"),
        ({"people": np.array([11, 11, 13])}, "coco-gt", "person 11 is predicted 2 times"),
        ({"image_ids": np.array([100, 101, 101])}, "coco-gt", "person 12 says image id 101, but they are on 100"),
        ({"people": np.array([11, 12, -1])}, "seed", "use coco-det"),
        ({}, "coco-det", "use coco-gt"),
        ({"score": np.array([0.5, 1.2, 0.1])}, "coco-gt", "1.2, image id 100"),
        ({"score": np.array([0.5, 0.5, np.nan])}, "coco-gt", "outside 0..1"),
        ({"scores": np.full((3, 17), -0.1)}, "coco-gt", "3 predictions have scores outside"),
        ({"keypoints": np.full((3, 17, 2), np.nan)}, "coco-gt", "no numbers"),
        ({"boxes": np.full((3, 4), np.inf)}, "coco-gt", "no numbers"),
        ({"keypoints": np.zeros((3, 16, 2))}, "coco-gt", "16 joints"),
        ({"skeleton": Skeleton("five", tuple("abcde"), (), tuple(range(5)), (0.1,) * 5)}, "coco-gt", "five"),
        ({}, "leaderboard", "choose one of"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(make_people, answer, changes, protocol, message):
    people = three(make_people)
    with pytest.raises(BadInput, match=message) as refusal:
        score(people, replace(answer(people), **changes), protocol)
    assert "\n" not in str(refusal.value)


def test_the_same_seed_gives_the_same_intervals_around_the_figures(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    found = simulate(people, seed=0)
    got = score(people, found, "coco-det", intervals=300)
    assert score(people, found, "coco-det", intervals=300).intervals == got.intervals
    assert score(people, found, "coco-det", intervals=300, seed=1).intervals != got.intervals
    assert score(people, found, "coco-det", intervals=0).intervals == {}
    for name, (low, high) in got.intervals.items():
        value = got.figures[name]
        assert value is not None and low < value < high, name
        assert high - low < (10 if name == "EPE" else 0.2), name  # pixels, or shares


def test_written_and_shown(make_people, answer, tmp_path):
    people = three(make_people)
    shift = np.zeros((17, 2))
    shift[COCO17.joints.index("left_eye")] = 500
    got = score(people, answer(people, shift=shift), "coco-gt", intervals=10)
    got.write(tmp_path / "new")
    assert json.loads((tmp_path / "new/scores.json").read_text()) == got.to_dict()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "new/scores.csv").read_text())))
    by_name = {row["figure"]: row for row in rows}
    assert float(by_name["AP"]["value"]) == got.figures["AP"]
    assert by_name["APL"]["value"] == "" and by_name["PCK@0.2 left_eye"]["value"] == "0.0"
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        got.write(tmp_path / "file")

    out = io.StringIO()
    Console(file=out, width=120).print(got.table())
    [eye] = [line for line in out.getvalue().splitlines() if " eye " in line]
    assert eye.split()[-3:] == ["eye", "0.000", "1.000"]
    assert "made, coco-gt: 3 people, 2 images" in out.getvalue()


def test_the_table_names_joints_of_any_skeleton(make_people, answer):
    odd = Skeleton("odd", ("tip", "l_paw", "r_paw", "one", "two"), (), (0, 2, 1, 4, 3), (0.1,) * 5)
    people = make_people(BODY[None, :5], skeleton=odd)
    out = io.StringIO()
    Console(file=out, width=120).print(score(people, answer(people), "coco-gt", intervals=0).table())
    assert all(name in out.getvalue() for name in (" tip ", " paw ", " one / two "))


def test_joints_and_parts_have_the_interval_of_their_own_figure(coco_val, coco_people, simulate, monkeypatch):
    """Over resamples that hold every photograph once, an interval is its figure; few people have none."""
    people = coco_people(coco_val)
    ears = people.visibility.copy()
    ears[np.flatnonzero(ears[:, 3] > 0)[19:], 3] = 0  # 19 left ears
    ears[np.flatnonzero(ears[:, 4] > 0)[20:], 4] = 0  # 20 right ones
    people = replace(people, visibility=ears)
    monkeypatch.setattr(bootstrap, "resamples", lambda images, count, seed: np.ones((count, images), np.uint16))
    got = score(people, simulate(people, 0), "coco-det", intervals=3)
    assert {name: pair[0] for name, pair in got.intervals.items()} == pytest.approx(dict(got.figures))
    for values, margins in ((got.joints, got.joint_intervals), (got.parts, got.part_intervals)):
        assert values.keys() == margins.keys() == {"PCK@0.2", "AUC", "EPE", "NEPE"}
        for name, of in margins.items():
            for part, value in values[name].items():
                if value is None:
                    assert part not in of
                elif name in ("PCK@0.2", "AUC") and part != "left_ear":
                    assert of[part] == (pytest.approx(value), pytest.approx(value)), (name, part)
    assert got.joint_intervals["PCK@0.2"]["left_ear"] == "few" and got.joint_intervals["EPE"]["right_ear"] == "few"
    assert got.to_dict()["joint_intervals"]["PCK@0.2"]["left_ear"] == "few"
    lines = {line.split(",")[1]: line.split(",")[3:] for line in got.to_csv().splitlines()}
    assert lines["PCK@0.2 left_ear"] == ["", ""] and float(lines["PCK@0.2 nose"][0]) == got.joints["PCK@0.2"]["nose"]
    assert score(people, simulate(people, 0), "coco-det", intervals=0).joint_intervals == {}


def test_joints_and_parts_are_drawn_with_the_photograph_that_they_are_on(coco_val, coco_people, simulate, monkeypatch):
    people = coco_people(coco_val)
    found = simulate(people, 0, everybody=True)
    ids = np.unique(people.image_ids)
    busy = int(np.bincount(np.searchsorted(ids, people.image_ids[people.image])).argmax())
    monkeypatch.setattr(bootstrap, "resamples", lambda images, count, seed: np.eye(images, dtype=np.uint16)[[busy] * 2])
    got = score(people, found, "coco-det", intervals=2)
    here = people.select(people.image_ids[people.image] == ids[busy])
    alone = score(here, found.select(found.image_ids == ids[busy]), "coco-det", intervals=0)
    for margins, values in ((got.joint_intervals, alone.joints), (got.part_intervals, alone.parts)):
        for name, of in margins.items():
            for part, ends in of.items():
                if ends != "few":
                    assert ends == (pytest.approx(values[name][part]), pytest.approx(values[name][part])), (name, part)
    assert len([ends for ends in got.joint_intervals["PCK@0.2"].values() if ends != "few"]) > 10
