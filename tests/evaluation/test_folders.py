"""The report of a folder: an evaluation as it was scored, a run scored first, a run without data by its curves."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.sets import read_set
from sandglass.evaluation import folders
from sandglass.evaluation.folders import describe, journal_of, make_report, shorter
from sandglass.evaluation.ledger import survey
from sandglass.evaluation.publish import Record, publish
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build

SPEC = ModelSpec(
    network="hourglass",
    options={"stacks": 2, "channels": 8, "depth": 2},
    codec=CodecConfig(size=(64, 64)),
    skeleton=COCO17,
)


@pytest.fixture(scope="module")
def run(tiny_coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves, as far as reports look at it."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    folder.mkdir()
    torch.manual_seed(0)
    save_checkpoint(folder / "model.safetensors", build(SPEC), SPEC, {"steps": 9, "scores": {"AP": 0.25}})
    rows = [{"step": s, "loss": 1.0 / s} for s in range(1, 9)] + [{"step": 9, "AP": 0.25}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "config.json").write_text(json.dumps({"val": f"{tiny_coco}@val"}))
    return folder


@pytest.fixture(scope="module")
def evaluated(run: Path, tiny_coco: Path) -> Path:
    """What `evaluate` leaves, beside the run."""
    out, model = run.parent / "evaluated", run / "model.safetensors"
    predictor, people = Predictor.load(model, device="cpu", flip=False, stacks=1), read_set(f"{tiny_coco}@val")
    scores, predictions, ledger = survey(predictor, people, intervals=10)
    record = describe(model, f"{tiny_coco}@val", "coco-gt", "sandglass evaluate ...", flip=False, stacks=1)
    publish(out, predictor, people, scores, predictions, record=record, ledger=ledger)
    return out


def told(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def test_an_evaluation_is_shown_again_as_it_was_scored(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "survey", None)  # nothing is scored again
    make_report([evaluated], tmp_path / "again")
    before, after = told(evaluated), told(tmp_path / "again")
    rounded = ("calibration", "mistakes")  # taken again, from predictions.json
    assert {k: v for k, v in before.items() if k not in rounded} == {k: v for k, v in after.items() if k not in rounded}
    assert before["calibration"]["error"] == pytest.approx(after["calibration"]["error"], abs=1e-3)
    assert before["mistakes"]["shares"] == pytest.approx(after["mistakes"]["shares"], abs=1e-3)
    assert "model.safetensors" in Record.load(evaluated).model and before["training"]["this run"]["steps"] == 9
    pictures = {p.name: p.read_bytes() for p in (evaluated / "pictures").iterdir()}
    assert {p.name for p in (tmp_path / "again" / "pictures").iterdir()} == pictures.keys()
    heat = next(name for name in pictures if name.startswith("01-"))
    assert (tmp_path / "again" / "pictures" / heat).read_bytes() == pictures[heat]  # one stack, no flip, as then


def test_without_its_model_or_journal_an_evaluation_still_has_a_page(evaluated, tmp_path):
    moved = shutil.copytree(evaluated, tmp_path / "moved")
    record = json.loads((moved / "evaluation.json").read_text())
    record |= {"model": str(tmp_path / "gone"), "journal": str(tmp_path / "gone.jsonl")}
    (moved / "evaluation.json").write_text(json.dumps(record))
    page = make_report([moved], moved)
    assert page == moved / "report.html" and told(moved)["training"] == {}
    assert told(moved)["scores"] == told(evaluated)["scores"] and told(moved)["ledger"] == told(evaluated)["ledger"]


def test_a_run_is_scored_on_what_it_was_validated_on(run, tiny_coco, tmp_path):
    seen = []
    page = make_report([run], tmp_path / "out", device="cpu", on_progress=lambda *a: seen.append(a))
    assert page.is_file() and seen[-1] == (3, 3)
    found = told(tmp_path / "out")
    assert found["title"] == "first" and found["scores"]["people"] == 3 and len(found["ledger"]["stages"]) == 2
    assert found["ledger"]["stages"][0]["milliseconds"] > 0
    assert found["command"] == f"sandglass report {run}"
    other = make_report([run], tmp_path / "train", data=f"{tiny_coco}@train", device="cpu")
    assert told(other.parent)["scores"]["people"] == 6 and "--data" in told(other.parent)["command"]


def test_further_runs_are_drawn_beside_it(run, evaluated, tmp_path):
    second = shutil.copytree(run, tmp_path / "first")  # of the same name
    third = shutil.copytree(run, tmp_path / "third")
    make_report([evaluated, run, second, third], tmp_path / "out")
    assert list(told(tmp_path / "out")["training"]) == ["this run", str(run), str(second), "third"]
    assert journal_of(evaluated) == run / "metrics.jsonl"


def test_a_run_without_data_is_shown_by_its_curves(run, tmp_path):
    alone = shutil.copytree(run, tmp_path / "alone")
    (alone / "config.json").unlink()
    make_report([alone], alone)
    found = told(alone)
    assert found["scores"] == {"AP": 0.25} and found["training"]["this run"]["steps"] == 9
    assert not (alone / "predictions.json").exists()


def test_an_exported_file_has_no_shorter_one(run):
    predictor = Predictor.load(run / "model.safetensors", device="cpu", flip=False)
    cut = shorter(run / "model.safetensors", predictor)
    assert cut is not None and cut(1).spec.stacks == 1 and not cut(1).flip
    assert shorter(Path("model.onnx"), predictor) is None


def test_folders_that_cannot_be_shown_are_one_line(run, evaluated, tiny_coco, tmp_path):
    with pytest.raises(BadInput, match=r"neither a run .* nor an evaluation"):
        make_report([tmp_path], tmp_path / "out")
    with pytest.raises(BadInput, match=r"no metrics\.jsonl here"):
        make_report([run, tmp_path], tmp_path / "out")
    with pytest.raises(BadInput, match="cannot be written"):
        make_report([run], run / "model.safetensors" / "out")
    broken = shutil.copytree(evaluated, tmp_path / "broken")
    (broken / "scores.json").write_text("[]")
    with pytest.raises(BadInput, match=r"scores\.json: names no protocol"):
        make_report([broken], tmp_path / "out")
    with pytest.raises(BadInput, match=r"was scored on other labels than those of .*@train.* name the same set"):
        make_report([evaluated], tmp_path / "out", data=f"{tiny_coco}@train")
    assert not (tmp_path / "out").exists()


def retrained(folder: Path, seed: int) -> None:
    """Another model, as a run leaves it that was gone on with."""
    torch.manual_seed(seed)
    save_checkpoint(folder / "model.safetensors", build(SPEC), SPEC, {"steps": 9 + seed})


def heard(folder: Path, out: Path, **given) -> list[str]:
    said: list[str] = []
    make_report([folder], out, device="cpu", say=said.append, **given)
    return said


def test_a_run_with_another_model_is_scored_anew(run, tiny_coco, tmp_path):
    mine = shutil.copytree(run, tmp_path / "mine")
    assert heard(mine, mine) == []
    first = told(mine)
    assert len(Record.load(mine).sha256) == 64 and heard(mine, mine) == []  # the same model: as it was scored
    assert told(mine)["ledger"] == first["ledger"]
    retrained(mine, 1)
    [line] = heard(mine, mine)
    assert line.startswith(f"{mine} is scored anew: model.safetensors is another")
    second = told(mine)
    assert second["facts"]["training: steps"] == "10" and second["scores"]["EPE"] != first["scores"]["EPE"]
    fresh = shutil.copytree(mine, tmp_path / "fresh")
    (fresh / "evaluation.json").unlink()
    heard(fresh, tmp_path / "out")
    assert told(tmp_path / "out")["scores"] == second["scores"]
    assert heard(mine, mine) == []


def test_a_run_is_scored_anew_as_it_was_looked_at(run, tiny_coco, tmp_path):
    """By its protocol, its boxes, its cut, its flip; and an older record, which knows no model, is none."""
    mine, boxes = shutil.copytree(run, tmp_path / "mine"), tmp_path / "boxes.json"
    people = read_set(f"{tiny_coco}@val")
    rows = [{"image_id": p.image_id, "bbox": [*p.box[:2], *(p.box[2:] - p.box[:2])], "score": 0.5} for p in people]
    boxes.write_text(json.dumps(rows))
    model, given = mine / "model.safetensors", {"flip": False, "stacks": 1, "boxes": str(boxes)}
    predictor = Predictor.load(model, device="cpu", flip=False, stacks=1)
    scores, predictions, ledger = survey(predictor, people, "coco-det", boxes=boxes, intervals=2)
    record = describe(model, f"{tiny_coco}@val", "coco-det", "", **given)
    publish(mine, predictor, people, scores, predictions, record=record, ledger=ledger)
    path = mine / "evaluation.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "sha256"}))
    [line] = heard(mine, mine)
    assert "was not kept" in line
    again = Record.load(mine)
    assert {name: getattr(again, name) for name in given} == given and again.protocol == "coco-det"
    assert "boxes looked into: 3 of boxes.json" in told(mine)["scores"]["notes"]
    assert len(told(mine)["ledger"]["stages"]) == 1


def test_a_run_that_is_asked_about_other_people_is_scored_on_them(run, tiny_coco, tmp_path):
    mine = shutil.copytree(run, tmp_path / "mine")
    heard(mine, mine)
    [line] = heard(mine, mine, data=f"{tiny_coco}@train")
    assert "of other labels" in line and told(mine)["scores"]["people"] == 6
    assert Record.load(mine).data.endswith("@train") and heard(mine, mine) == []


def test_scores_are_not_shown_with_people_of_another_set_that_has_the_same_ids(evaluated, tiny_coco, tmp_path):
    other = shutil.copytree(tiny_coco, tmp_path / "other")
    labels = other / "annotations" / "person_keypoints_val.json"
    data = json.loads(labels.read_text())
    data["annotations"][0]["keypoints"][0] += 3
    labels.write_text(json.dumps(data))
    with pytest.raises(BadInput, match="was scored on other labels than those of other@val") as refusal:
        heard(evaluated, tmp_path / "out", data=f"{other}@val")
    assert "name the same set with --data, or evaluate again" in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_another_model_than_the_scored_one_is_warned_of_and_draws_nothing(run, evaluated, tiny_coco, tmp_path):
    mine, scored = shutil.copytree(run, tmp_path / "mine"), shutil.copytree(evaluated, tmp_path / "scored")
    record = json.loads((scored / "evaluation.json").read_text())
    record["model"] = str(mine / "model.safetensors")
    (scored / "evaluation.json").write_text(json.dumps(record))
    assert heard(scored, scored) == []
    assert any(name.startswith("01-the-median") for name in told(scored)["pictures"])
    retrained(mine, 2)
    [line] = heard(scored, scored)
    assert line.startswith(f"warning: {mine / 'model.safetensors'} is another model than the one that was scored")
    assert told(scored)["scores"] == told(evaluated)["scores"]
    assert not any("median" in name for name in told(scored)["pictures"])


def test_an_evaluation_of_another_file_in_a_runs_folder_is_kept(run, tiny_coco, tmp_path):
    """Of a calibrated model beside the run's own, which is trained further."""
    mine = shutil.copytree(run, tmp_path / "mine")
    shutil.copy(mine / "model.safetensors", mine / "honest.safetensors")
    predictor, people = Predictor.load(mine / "honest.safetensors", device="cpu"), read_set(f"{tiny_coco}@val")
    scores, predictions, ledger = survey(predictor, people, intervals=2)
    record = describe(mine / "honest.safetensors", f"{tiny_coco}@val", "coco-gt", "")
    publish(mine, predictor, people, scores, predictions, record=record, ledger=ledger)
    retrained(mine, 3)
    assert heard(mine, mine) == [] and told(mine)["scores"]["EPE"] == scores.figures["EPE"]


def test_a_run_that_was_moved_has_its_heatmaps_and_curves(run, tmp_path):
    mine = shutil.copytree(run, tmp_path / "mine")
    heard(mine, mine)
    moved = mine.rename(tmp_path / "moved")
    assert heard(moved, moved) == []
    assert told(moved)["training"]["this run"]["steps"] == 9 and told(moved)["pictures"][0].startswith("01-the-median")
