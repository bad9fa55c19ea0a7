"""`sandglass calibrate` from the command line: the same network with honest scores, and what is refused."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import read_spec


def test_the_new_checkpoint_is_the_same_network_calibrated(tiny_coco, model, call, tmp_path):
    out = tmp_path / "new" / "calibrated.safetensors"
    words = ("--data", f"{tiny_coco}@val", "--out", out, "--threshold", 0.3, "--device", "cpu")
    status, told, errors = call("calibrate", model, *words)
    assert status == 0, errors
    assert "calibration error" in told and "a joint is present from a probability of 0.3 on" in told
    before, after = load_file(model), load_file(out)
    assert before.keys() == after.keys() and all((before[name] == after[name]).all() for name in before)
    old, new = read_spec(model), read_spec(out)
    assert old.calibration is None and new.calibration is not None
    assert len(new.calibration) == 17 and new.codec.threshold == 0.3
    assert new.summary["steps"] == old.summary["steps"] and "seed 0, flip on" in new.summary["calibrated"]
    photo = np.full((100, 80, 3), 90, np.uint8)
    [raw], [honest] = (Predictor.load(path, device="cpu")(photo, [[0, 0, 80, 100]]) for path in (model, out))
    np.testing.assert_array_equal(raw.keypoints, honest.keypoints)
    np.testing.assert_allclose(honest.scores, new.calibration.probabilities(raw.scores))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threshold", 1.5), "threshold 1.5 in 0..1"),
        (("--data", "nowhere"), "names no split"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_bad_words_are_refused_before_any_work(tiny_coco, model, refused, tmp_path, words, message):
    out = tmp_path / "calibrated.safetensors"
    data = () if "--data" in words else ("--data", f"{tiny_coco}@val")
    assert message in refused("calibrate", model, "--out", out, *data, *words)
    assert not out.exists()
