"""Ground truth through encode, decode and score: what is lost there is lost for every network."""

from dataclasses import replace

import numpy as np
import pytest

from sandglass.data.coco import read_coco
from sandglass.evaluation.ceiling import ceiling, ceiling_table, round_trip
from sandglass.models.codec import DECODERS, Codec, CodecConfig


@pytest.mark.parametrize("kind", ["heatmap", "distribution"])
@pytest.mark.parametrize("size", [(256, 256), (192, 256), (128, 128)])
def test_drawn_people_come_back_whole(drawn_people, kind, size):
    found = ceiling(drawn_people, CodecConfig(size=size, kind=kind))
    assert found.codec.figures["AP"] == 1 and found.error < 1e-3


def test_real_people_come_back_whole(people_folder):
    """With the crops and codec that both recipes may use; joints outside their crop are counted apart."""
    people = read_coco(people_folder / "coco", "val")
    found = ceiling(people, CodecConfig(size=(128, 128), sigmas=(1.5,)))
    assert (found.codec.figures["AP"] or 0) >= 0.999 and found.error < 1e-3
    assert 0 < found.outside < 0.02
    assert 0.95 < (found.crop.figures["AP"] or 0) <= (found.codec.figures["AP"] or 0)


def test_coarse_decoders_lose_what_they_must(drawn_people):
    size = (64, 64)
    values = {}
    for decoder in DECODERS:
        values[decoder] = ceiling(drawn_people, CodecConfig(size=size, decoder=decoder))
    assert 0.2 < values["quarter"].error < values["argmax"].error < 2.0
    assert values["dark"].error < 1e-3 and values["upscale"].error < values["quarter"].error
    precision = {name: found.codec.figures["AP"] or 0 for name, found in values.items()}
    assert precision["argmax"] < precision["quarter"] < precision["dark"] == 1


def test_joints_outside_are_told_and_cost_only_the_crop(drawn_people):
    """Two joints of one person, moved out of the crop."""
    points = drawn_people.keypoints.copy()
    joints = np.flatnonzero(drawn_people.visibility[0])[:2]
    points[0, joints] += 5000
    people = replace(drawn_people, keypoints=points)
    found = ceiling(people, CodecConfig(size=(64, 64)))
    assert found.outside == pytest.approx(2 / drawn_people.labelled.sum())
    assert found.codec.figures["AP"] == 1 and (found.crop.figures["AP"] or 0) < 1 and found.error < 1e-3
    back = round_trip(people, Codec(CodecConfig(size=(64, 64))))
    assert not back.scores[0, joints].any() and not back.present[0, joints].any()


def test_somebody_wholly_outside_their_crop_is_left_to_the_crop(drawn_people):
    points = drawn_people.keypoints.copy()
    points[0] += 5000
    found = ceiling(replace(drawn_people, keypoints=points), CodecConfig(size=(64, 64)))
    assert found.codec.people == len(drawn_people) - 1 and found.crop.people == len(drawn_people)
    assert found.codec.figures["AP"] == 1


def test_a_tighter_crop_leaves_more_outside(drawn_people):
    config = CodecConfig(size=(64, 64))
    shares = [ceiling(drawn_people, config, padding).outside for padding in (0.6, 0.8, 1.25)]
    assert shares[0] > shares[1] > shares[2]
    title = str(ceiling_table(drawn_people, (64, 64), 1.0, 0.6).title)
    assert "0.6 x the box" in title


def test_the_table_has_a_line_a_decoder(tiny_coco):
    table = ceiling_table(read_coco(tiny_coco, "val"), (64, 64), 1.0)
    assert "tiny0@val" in str(table.title) or "@val" in str(table.title)
    assert list(table.columns[0].cells) == list(DECODERS) and len(table.columns) == 5
