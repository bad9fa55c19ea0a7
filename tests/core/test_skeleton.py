"""Skeletons: mirrors are inferred from names and undo themselves; what does not fit together is refused."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, DEFAULT_SIGMA, MAX_JOINTS, Skeleton, infer_mirror, one_sided, words


def test_coco_is_coco():
    assert len(COCO17) == 17 and COCO17.joints[0] == "nose" and COCO17.joints[16] == "right_ankle"
    assert COCO17.mirror == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert len(COCO17.edges) == 19 and len({frozenset(edge) for edge in COCO17.edges}) == 19
    for a, b in COCO17.edges:  # the mirror of an edge is an edge
        twin = {COCO17.mirror[a], COCO17.mirror[b]}
        assert twin in [set(edge) for edge in COCO17.edges] and twin, (a, b)
    for k, twin in enumerate(COCO17.mirror):
        assert COCO17.sigmas[k] == COCO17.sigmas[twin]
    assert {COCO17.joints[j] for j in COCO17.upper} == {
        j for j in COCO17.joints if not j.endswith(("hip", "knee", "ankle"))
    }
    assert COCO17.find("left_hip") == 11 and COCO17.find("tail") is None


def test_the_referees_constants():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(COCO17.sigmas, Params("keypoints").kpt_oks_sigmas)


def test_sides_come_from_names_then_from_the_order():
    assert [COCO17.side(j) for j in (0, 5, 6)] == ["middle", "left", "right"]
    odd = Skeleton.from_dict({"joints": ["R_Hand", "L_Hand", "a", "b"], "mirror": [1, 0, 3, 2]})
    assert [odd.side(j) for j in range(4)] == ["right", "left", "left", "right"]
    assert odd.pairs == ((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"), ("l-eye", "r-eye"), ("LeftEye", "RightEye"), ("eye.L", "eye.R"), ("L eye", "R eye"),
        ("links_oog", "rechts_oog"), ("œil gauche", "œil droite"), ("izquierdo ojo", "derecho ojo"), ("LEFT", "RIGHT"),
        ("pied_gauche", "pied_droit"), ("mano izquierda", "mano derecha"), ("linkes Auge", "rechtes Auge"),
        ("occhioSinistro", "occhioDestro"), ("vänster_öga", "höger_öga"), ("L1", "R1"), ("LHip", "RHip"),
        ("hipL", "hipR"), ("lefteye", "righteye"), ("eyeleft", "eyeright"), ("lhip", "rhip"),
        ("shoulderl", "shoulderr"), ("left shoulder", "right shoulder"), ("left_eye", "R_eye"),
    ],
)  # fmt: skip
def test_twins_are_found_by_name(left, right):
    assert infer_mirror(["nose", right, left]) == (0, 2, 1)


def test_sides_are_told_however_they_are_written():
    for right, left in (("rhip", "lhip"), ("righteye", "lefteye"), ("RHip", "LHip"), ("pied droit", "pied gauche")):
        pair = Skeleton.from_dict({"joints": ["nose", right, left]})
        assert [pair.side(j) for j in range(3)] == ["middle", "right", "left"], right
    assert words("LeftEye2_tip") == ("left", "eye", "2", "tip") and words("DIPJoint") == ("dip", "joint")


def test_a_joint_without_a_twin_is_its_own():
    assert infer_mirror(["left_eye", "nose", "ball", "cleft", "bright"]) == (0, 1, 2, 3, 4)
    assert infer_mirror(["tail", "ear", "lip", "shoulder"]) == (0, 1, 2, 3)


def test_a_name_that_reads_as_two_joints_gets_no_twin_and_is_reported():
    """Two left eyes: either might be the right one's twin, so neither is."""
    odd = Skeleton.from_dict({"joints": ["left_eye", "LeftEye", "right_eye", "right_ear", "left_foot", "right_foot"]})
    assert odd.mirror == (0, 1, 2, 3, 5, 4)
    assert one_sided(odd) == ("left_eye", "LeftEye", "right_eye", "right_ear")
    assert one_sided(COCO17) == ()


def test_the_mirror_may_be_given_as_pairs_and_sigmas_by_joint():
    paws = {"joints": ["tail", "a", "b", "left_ear", "right_ear"], "mirror": [["a", "b"]], "sigmas": {"b": 0.05}}
    mouse = Skeleton.from_dict(paws)
    assert mouse.mirror == (0, 2, 1, 3, 4)
    assert mouse.sigmas == (DEFAULT_SIGMA, DEFAULT_SIGMA, 0.05, DEFAULT_SIGMA, DEFAULT_SIGMA)
    assert Skeleton.from_dict(paws | {"mirror": []}).mirror == (0, 1, 2, 3, 4)


@given(st.lists(st.text("lrLRefightb_- 01", min_size=1, max_size=9), min_size=1, max_size=12, unique=True))
def test_mirroring_twice_is_the_identity_whatever_the_names(names):
    mirror = infer_mirror(names)
    assert [mirror[m] for m in mirror] == list(range(len(names)))
    Skeleton.from_dict({"joints": names})


def test_a_few_lines_of_toml_are_enough():
    text = """
    name = "hand"
    joints = ["wrist", "left_tip", "right_tip"]
    edges = [["wrist", "left_tip"], [0, 2]]
    upper = ["wrist", 1]
    """
    hand = Skeleton.from_dict(tomllib.loads(text))
    assert hand.edges == ((0, 1), (0, 2)) and hand.mirror == (0, 2, 1) and hand.upper == (0, 1)
    assert hand.sigmas == (DEFAULT_SIGMA,) * 3


def test_json_gives_it_back():
    assert Skeleton.from_dict(json.loads(json.dumps(COCO17.to_dict()))) == COCO17


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": []}, "has 0 joints"),
        ({"joints": [str(i) for i in range(MAX_JOINTS + 1)]}, "1025 joints; give between 1 and 1024"),
        ({"joints": ["a", "b", "a"]}, r"names \['a'\] more than once"),
        ({"joints": 5}, "not a skeleton"),
        ({"joints": None}, "not a skeleton"),
        ({"edges": [[0, 3]]}, r"an edge outside its joints 0\.\.2"),
        ({"edges": [[-1, 0]]}, "an edge outside"),
        ({"edges": [["a", "tail"]]}, "'tail' that is not among its joints"),
        ({"edges": [[0, 1, 2]]}, "not a skeleton"),
        ({"edges": 7}, "not a skeleton"),
        ({"mirror": [1, 2, 0]}, "mirroring twice"),
        ({"mirror": [0, 1]}, "mirroring twice"),
        ({"mirror": [0, 1, 3]}, "mirroring twice"),
        ({"mirror": ["x", 1, 2]}, "not a skeleton"),
        ({"mirror": [["a", "x"]]}, "'x' that is not among its joints"),
        ({"mirror": [["a", "b"], ["b", "c"]]}, "has a twin already"),
        ({"mirror": [[0, 7]]}, "no joint or has a twin"),
        ({"mirror": [["a", "b", "c"]]}, "not a skeleton"),
        ({"sigmas": {"x": 0.1}}, "'x' that is not among its joints"),
        ({"sigmas": {"a": "wide"}}, "not a skeleton"),
        ({"sigmas": [0.1, 0.1]}, "needs 3 positive OKS sigmas"),
        ({"sigmas": [0.1, 0.1, 0]}, "positive OKS sigmas"),
        ({"sigmas": [0.1, 0.1, float("nan")]}, "positive OKS sigmas"),
        ({"upper": [3]}, "`upper` names a joint outside"),
        ({"upper": ["tail"]}, "'tail' that is not among"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes, message):
    with pytest.raises(BadInput, match=message) as caught:
        Skeleton.from_dict({"joints": ["a", "b", "c"]} | changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [{}, [], "joints", None, 5])
def test_what_is_no_skeleton_is_refused(data):
    with pytest.raises(BadInput, match="not a skeleton"):
        Skeleton.from_dict(data)


def test_a_constant_is_checked_too():
    with pytest.raises(BadInput, match="'coco17': mirroring twice"):
        replace(COCO17, mirror=(*range(16), 15))
