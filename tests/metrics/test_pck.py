"""PCK by hand: lengths, masks, both axes, sides; curve and area; people who were not found."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.metrics.pck import (
    TORSO_PER_BOX,
    TORSO_PER_FACE,
    TORSO_PER_HEAD,
    area_under_curve,
    curve,
    end_point_error,
    errors,
    pck,
    torso_lengths,
)

J = {name: k for k, name in enumerate(COCO17.joints)}


def body(**places):
    """Joints of one person, far apart; left shoulder to right hip is 60 by 80, so 100 pixels."""
    points = np.arange(34, dtype=float).reshape(17, 2) * 10 + 300
    points[J["left_shoulder"]], points[J["right_hip"]] = (160, 100), (100, 180)
    points[J["right_shoulder"]], points[J["left_hip"]] = (110, 100), (110, 150)
    for name, place in places.items():
        points[J[name]] = place
    return points


def moved(**shifts):
    shift = np.zeros((17, 2))
    for name, value in shifts.items():
        shift[J[name]] = value
    return shift


def test_by_hand(make_people, answer):
    people = make_people([body()])
    shift = moved(nose=(19.9, 0), left_eye=(0, 20), right_eye=(0, 20.1), left_knee=(12, 16.1), right_knee=(-12, 16))
    got = pck(errors(people, answer(people, shift=shift)), 0.2)
    assert got.value == pytest.approx(15 / 17)
    wrong = {name for name, value in got.per_joint.items() if value == 0}
    assert wrong == {"right_eye", "left_knee"}  # y counts, and the way is straight
    assert [got.parts[side] for side in ("left", "right", "middle")] == pytest.approx([7 / 8, 7 / 8, 1])
    assert got.joints == 17
    assert pck(errors(people, answer(people, shift=shift)), 0.21).value == 1


def test_unlabelled_joints_are_out_of_both_parts(make_people, answer):
    visibility = np.full((1, 17), 2)
    visibility[0, [J["nose"], J["left_eye"]]] = 0
    visibility[0, J["left_knee"]] = 1
    people = make_people([body()], visibility=visibility)
    shift = moved(nose=(900, 0), left_knee=(900, 0), right_eye=(900, 0))
    got = pck(errors(people, answer(people, shift=shift)))
    assert got.joints == 15
    assert got.value == pytest.approx(13 / 15)
    assert np.isnan(got.per_joint["nose"]) and np.isnan(got.per_joint["left_eye"])
    assert np.isnan(got.parts["middle"])
    assert (got.parts["hidden"], got.parts["visible"]) == (0, pytest.approx(13 / 14))


def test_a_joint_at_zero_is_not_missing(make_people, answer):
    people = make_people([body(nose=(0, 0))])
    got = pck(errors(people, answer(people, shift=moved(nose=(50, 0)))))
    assert got.per_joint["nose"] == 0 and got.joints == 17


def test_absent_joints_are_judged_by_their_best_guess(make_people, answer):
    people = make_people([body()])
    absent = replace(answer(people), present=np.zeros((1, 17), bool))
    assert pck(errors(people, absent)).value == 1


def unlabelled(*names):
    visibility = np.full((1, 17), 2)
    visibility[0, [J[name] for name in names]] = 0
    return visibility


@pytest.mark.parametrize(
    ("hidden", "head", "kind", "length"),
    [
        ((), np.nan, "torso", 100),
        (("left_shoulder",), 30, "torso, other diagonal", 50),
        (("left_shoulder", "left_hip"), 30, "head", 30 * TORSO_PER_HEAD),
        (("left_shoulder", "left_hip"), np.nan, "face", 50 * TORSO_PER_FACE),
        (("left_shoulder", "left_hip", "left_ear"), np.nan, "face", 40 * TORSO_PER_FACE),
        (("left_shoulder", "left_hip", "left_ear", "right_ear"), np.nan, "box", 200 * TORSO_PER_BOX),
        (("left_shoulder", "left_hip", "left_ear", "right_ear"), 0.0, "box", 200 * TORSO_PER_BOX),
    ],
)
def test_the_length_is_the_first_that_is_known(make_people, hidden, head, kind, length):
    points = body(left_ear=(50, 50), right_ear=(0, 50), nose=(0, 10))
    boxes = [[0, 0, 120, 200]]
    people = make_people([points], visibility=unlabelled(*hidden), head_sizes=[head], boxes=boxes)
    got = torso_lengths(people)
    if kind == "face" and "left_ear" not in hidden:
        length = np.hypot(50, 40) * TORSO_PER_FACE  # ear to nose is longer than ear to ear here
    assert got.kind.tolist() == [kind]
    assert got.pixels == pytest.approx([length])
    assert got.counts() == {kind: 1}


def test_a_person_without_any_length_is_not_counted(make_people, answer):
    points = np.full((1, 17, 2), 50.0)  # both ends of the torso in one place is no length either
    people = make_people(points, boxes=[[50, 50, 50, 50]])
    measured = errors(people, answer(people))
    assert measured.lengths.counts() == {"none": 1}
    got = pck(measured)
    assert got.joints == 0 and np.isnan(got.value)
    assert np.isnan(area_under_curve(measured).value) and np.isnan(curve(measured, np.array([0.1]))).all()


def test_a_skeleton_without_shoulders_is_measured_by_its_box(make_people, answer):
    mouse = Skeleton("mouse", ("snout", "tail"), (), (0, 1), (0.1, 0.1))
    people = make_people([[[10, 10], [110, 20]]], skeleton=mouse, boxes=[[0, 0, 100, 50]])
    tolerance = 0.2 * TORSO_PER_BOX * 100
    shift = [[0, tolerance - 0.01], [0, tolerance + 0.01]]
    assert pck(errors(people, answer(people, shift=shift))).per_joint == {"snout": 1, "tail": 0}
    assert pck(errors(people, answer(people, shift=[[20, 0], [20.1, 0]]), "box")).per_joint == {"snout": 1, "tail": 0}


def test_pckh_counts_people_with_a_head_size(make_people, answer):
    people = make_people([body(), body()], head_sizes=[40, np.nan])
    got = pck(errors(people, answer(people, shift=moved(nose=(20, 0), left_eye=(20.1, 0))), "head"), 0.5)
    assert got.joints == 17
    assert (got.per_joint["nose"], got.per_joint["left_eye"]) == (1, 0)


def test_the_head_segment_is_the_data_sets_or_from_head_to_neck(make_people, answer):
    torso = Skeleton("bust", ("head_top", "upper_neck", "left_hand"), (), (0, 1, 2), (0.1,) * 3)
    points = np.array([[[50.0, 10.0], [50.0, 60.0], [90.0, 90.0]]] * 2)
    people = make_people(points, skeleton=torso, head_sizes=[48.0, np.nan])
    found = errors(people, answer(people, shift=np.array([[0, 0], [0, 0], [0, 25.0]])), "head segment")
    assert found.lengths.pixels.tolist() == [80.0, 50.0]  # 48 / 0.6: MPII's normaliser is 0.6 of the segment
    assert found.lengths.counts() == {"head": 1, "head to neck": 1}
    assert pck(found, 0.5).per_joint == {"head_top": 1, "upper_neck": 1, "left_hand": 1}
    assert pck(found, 0.4).per_joint == {"head_top": 1, "upper_neck": 1, "left_hand": 0.5}
    assert pck(errors(people, answer(people)), 0.1).joints == 6
    assert errors(make_people([body()]), answer(make_people([body()])), "head segment").lengths.counts() == {"none": 1}


def test_every_figure_is_told_by_joint_side_visibility_and_size(make_people, answer):
    visibility = np.full((3, 17), 2)
    visibility[1:, J["left_knee"]] = 1
    people = make_people([body()] * 3, visibility=visibility, areas=[32.0**2 - 1, 32.0**2, 96.0**2 + 1])
    shifts = np.stack([moved(left_knee=(0, d)) for d in (10.0, 20.0, 60.0)])  # a torso is 100 pixels long
    measured = errors(people, answer(people, shift=shifts))
    share, area, far = pck(measured, 0.2), area_under_curve(measured, 0.5), end_point_error(measured)
    near = end_point_error(measured, relative=True)
    expected = {  # the mean error of its joints in pixels, their PCK, and the part of the area they lose
        "left": (90 / 24, 23 / 24, (0.2 + 0.4 + 1) / 24),
        "right": (0, 1, 0),
        "middle": (0, 1, 0),
        "visible": (10 / 49, 1, 0.2 / 49),
        "hidden": (40, 1 / 2, 0.7),
        "small": (10 / 17, 1, 0.2 / 17),
        "medium": (20 / 17, 1, 0.4 / 17),
        "large": (60 / 17, 16 / 17, 1 / 17),
    }
    for part, (pixels, right, lost) in expected.items():
        got = (far.parts[part], near.parts[part], share.parts[part], area.parts[part])
        assert got == pytest.approx((pixels, pixels / 100, right, 1 - lost)), part
    assert share.parts.keys() == expected.keys()
    assert far.per_joint["left_knee"] == pytest.approx(30) and far.per_joint["right_knee"] == 0
    assert area.value == pytest.approx(1 - 1.6 / 51)


def test_people_who_were_not_found_are_wrong_but_have_no_distance(make_people, answer):
    people = make_people([body(), body()])
    measured = errors(people, answer(people, shift=(3, 4)).select(np.array([0])))
    assert pck(measured).value == 0.5
    assert curve(measured, np.array([0.04, 0.05, 100.0])).tolist() == [0, 0.5, 0.5]
    far = end_point_error(measured)
    assert (far.value, far.per_joint["nose"], far.joints) == (pytest.approx(5), pytest.approx(5), 17)
    assert end_point_error(measured, relative=True).value == pytest.approx(0.05)
    nobody = end_point_error(errors(people, answer(people).select(np.arange(0))))
    assert np.isnan(nobody.value) and nobody.joints == 0


def test_detections_answer_for_the_most_similar_person(make_people, answer):
    people = make_people([body(), body() + 200], image=[0, 0])
    found = answer(people)
    detected = replace(found, keypoints=found.keypoints[::-1], people=np.array([-1, -1]))
    assert pck(errors(people, detected)).value == 1
    assert pck(errors(people, replace(found, keypoints=found.keypoints[::-1]))).value == 0


def test_the_area_is_that_under_the_curve(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    people = people.select(people.labelled > 0)
    measured = errors(people, simulate(people, seed=0))
    grid = np.linspace(0, 0.5, 20_001)
    values = curve(measured, grid)
    assert (np.diff(values) >= 0).all()
    assert area_under_curve(measured, 0.5).value == pytest.approx(values.mean(), abs=1e-4)
    for threshold in (0.05, 0.2):
        assert pck(measured, threshold).value == pytest.approx(float(curve(measured, np.array([threshold]))[0]))


def test_pooled_value_is_the_weighted_mean_of_its_parts(coco_val, coco_people, simulate):
    people = coco_people(coco_val)
    people = people.select(people.labelled > 0)
    measured = errors(people, simulate(people, seed=1))
    got = pck(measured)
    counts = measured.counted().sum(0)
    assert sum(got.per_joint[name] * n for name, n in zip(COCO17.joints, counts, strict=True)) == pytest.approx(
        got.value * got.joints
    )
    halves = [measured.select(people.areas > 96**2), measured.select(people.areas <= 96**2)]
    assert sum(pck(half).value * pck(half).joints for half in halves) == pytest.approx(got.value * got.joints)
