"""Verification finds what was planted: a shift of half a pixel, joints that moved, scores that fell."""

import numpy as np
import pytest

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.evaluation.parity import BOUNDS, parity
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

SPEC = ModelSpec(
    network="hourglass", options={}, codec=CodecConfig(size=(128, 128), sigmas=(1.5,), threshold=0.2), skeleton=COCO17
)


@pytest.fixture(scope="module")
def both(drawn_people, oracle):
    """A predictor that knows, and the graph that would be its export; `change` spoils what it says."""
    predictor = oracle(drawn_people, SPEC, flip=False)

    def export(change=lambda keypoints, scores, scale: None):
        def run(inputs):
            photo, boxes = inputs
            assert boxes.dtype == np.float32
            poses = predictor(photo, boxes.astype(np.float64))
            keypoints = np.array([pose.keypoints for pose in poses])
            scores = np.array([pose.scores for pose in poses])
            scale = geometry.scale_of(geometry.image_from_crop(boxes, (128, 128), SPEC.padding))[:, None]
            change(keypoints, scores, scale)
            return [keypoints, scores, scores >= 0.2, np.array([pose.score for pose in poses])]

        return run

    return predictor, export


def test_the_same_is_the_same(both, drawn_people):
    predictor, export = both
    heard = []
    found = parity(predictor, export(), drawn_people, lambda *done: heard.append(done))
    assert found.max_pixels < 1e-6 and found.max_score == 0 and found.moved == 0 and found.lost_ap == 0
    assert found.people == heard[-1][0] == heard[-1][1] and found.ap is not None and found.ap > 0.9
    found.check(BOUNDS["fp32"])
    assert found.to_dict()["lost_ap"] == 0 and found.to_dict()["protocol"] == "coco-gt"


def test_half_a_pixel_is_found(both, drawn_people):
    predictor, export = both

    def shift(keypoints, scores, scale):
        keypoints[..., 0] += 0.5 * scale

    found = parity(predictor, export(shift), drawn_people)
    assert found.mean_pixels == pytest.approx(0.5, abs=1e-5) and found.max_pixels == pytest.approx(0.5, abs=1e-5)
    assert found.mean_photo_pixels != pytest.approx(0.5) and found.moved == 0
    with pytest.raises(BadInput, match=r"mean difference in crop pixels 0\.5 > 0\.1; .*nothing was written") as caught:
        found.check(BOUNDS["fp32"])
    assert "\n" not in str(caught.value)


def test_joints_that_moved_are_counted(both, drawn_people):
    predictor, export = both

    def lose(keypoints, scores, scale):
        keypoints[:, 3] += 40 * scale

    found = parity(predictor, export(lose), drawn_people)
    assert 0 < found.moved < 0.2 and found.lost_ap >= 0
    with pytest.raises(BadInput, match="share of moved joints"):
        found.check(BOUNDS["fp32"])


def test_no_number_is_no_pass(both, drawn_people):
    predictor, export = both
    found = parity(predictor, export(), drawn_people)
    from dataclasses import replace

    with pytest.raises(BadInput, match="nan"):
        replace(found, mean_pixels=float("nan")).check(BOUNDS["int8"])
