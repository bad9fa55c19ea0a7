"""`sandglass compare` from the command line: folders, checkpoints, both, and what is not comparable."""

import json

import pytest

from sandglass.data.coco import read_coco
from sandglass.data.results import write_results
from sandglass.evaluation.evaluate import evaluate
from sandglass.inference.predictor import Predictor


@pytest.fixture(scope="module")
def evaluated(tiny_coco, model, tmp_path_factory):
    """What `sandglass evaluate` leaves for machines, by coco-gt and by seed."""
    predictor, people = Predictor.load(model, device="cpu"), read_coco(tiny_coco, "val")
    folders = {}
    for protocol in ("coco-gt", "seed"):
        out = folders[protocol] = tmp_path_factory.mktemp("compare") / protocol
        scores, predictions = evaluate(predictor, people, protocol, intervals=0)
        scores.write(out)
        write_results(out / "predictions.json", predictions)
    return folders


@pytest.fixture(autouse=True)
def beside_the_set(tiny_coco, monkeypatch):
    """scores.json names the set as folder@split; here it is found."""
    monkeypatch.chdir(tiny_coco.parent)


def test_two_folders(evaluated, call, tmp_path):
    folder = evaluated["coco-gt"]
    out = tmp_path / "new" / "compare.json"
    status, told, errors = call("compare", folder, folder, "--out", out, "--resamples", 100)
    assert status == 0, errors
    assert told.count("no real difference") == 3
    assert json.loads(out.read_text())["figures"]["AP"]["real"] is False


def test_a_checkpoint_and_its_own_evaluation_are_equal(evaluated, model, tiny_coco, call, tmp_path):
    out = tmp_path / "compare.json"
    words = ("--data", f"{tiny_coco}@val", "--out", out, "--resamples", 100, "--device", "cpu")
    status, _, errors = call("compare", model, evaluated["coco-gt"], *words)
    assert status == 0, errors
    assert json.loads(out.read_text())["figures"]["PCK@0.2"]["difference"] == pytest.approx(0, abs=1e-9)


def test_labels_that_are_not_here_are_asked_for(evaluated, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = refused("compare", evaluated["coco-gt"], evaluated["coco-gt"])
    assert "@val', which is not here; name it with --data" in told


def test_what_cannot_be_compared_is_refused_in_one_line(evaluated, model, tiny_coco, refused, tmp_path):
    gt, seed = evaluated["coco-gt"], evaluated["seed"]
    assert "compare one protocol" in refused("compare", gt, seed)
    assert "nowhere: neither the folder of an evaluation nor a checkpoint" in refused("compare", "nowhere", gt)
    assert "name it with --data" in refused("compare", model, model)
    assert "other labels than those of" in refused("compare", gt, gt, "--data", f"{tiny_coco}@train")
    assert "scores.json: cannot be read" in refused("compare", gt, tmp_path)
    assert "no such checkpoint" in refused("compare", gt, tmp_path / "none.safetensors")
    assert "between 100 and 100000" in refused("compare", gt, gt, "--resamples", 3)
    (tmp_path / "file").touch()
    assert "cannot be written" in refused("compare", gt, gt, "--out", tmp_path / "file" / "compare.json")


def test_predictions_that_were_spoilt_are_refused(evaluated, refused, tmp_path):
    for spoil, message in (
        (lambda rows: rows[0].update(keypoints=rows[0]["keypoints"][:-3]), "48 entries where 51 numbers"),
        (lambda rows: rows[0].update(score=1.5), "rescale"),
        (lambda rows: rows[0].update(image_id=7), "photographs that"),
        (lambda rows: rows[0]["keypoints"].__setitem__(0, float("nan")), "finite numbers"),
    ):
        rows = json.loads((evaluated["coco-gt"] / "predictions.json").read_text())
        spoil(rows)
        (tmp_path / "predictions.json").write_text(json.dumps(rows))
        (tmp_path / "scores.json").write_bytes((evaluated["coco-gt"] / "scores.json").read_bytes())
        assert message in refused("compare", evaluated["coco-gt"], tmp_path)
