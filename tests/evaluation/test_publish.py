"""What an evaluation leaves behind: every file that others rely on, pictures that can be opened, one page alone."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.calibration import Calibration
from sandglass.core.errors import BadInput
from sandglass.core.image import read_image
from sandglass.core.skeleton import COCO17
from sandglass.data.results import read_results
from sandglass.evaluation.evaluate import evaluate
from sandglass.evaluation.galleries import galleries
from sandglass.evaluation.ledger import survey
from sandglass.evaluation.pictures import album, as_poses, overlays, sheets
from sandglass.evaluation.publish import Record, digest, illustrate, model_facts, publish
from sandglass.inference.predictor import Predictor
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

SPEC = ModelSpec(
    network="hourglass",
    options={"stacks": 2, "channels": 8, "depth": 3},
    codec=CodecConfig(size=(96, 128), sigmas=(2.0, 1.0)),
    skeleton=COCO17,
    summary={"steps": 1234, "train": ["a@train", "b@train"], "people": 5, "secret": "x"},
)
JOURNAL = "".join(
    json.dumps({"step": s, "loss": 1 / (s + 1), "lr": 1e-3, "val": {"AP": s / 20, "PCK@0.2": s / 10}}) + "\n"
    for s in range(10)
)


@pytest.fixture(scope="module")
def model(drawn_people, oracle):
    one = replace(SPEC, options={**SPEC.options, "stacks": 1}, codec=replace(SPEC.codec, sigmas=(1.0,)))
    return oracle(drawn_people, one)


@pytest.fixture(scope="module")
def published(drawn_people, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("published") / "deep"
    journal = out.parent / "metrics.jsonl"
    journal.write_text(JOURNAL)
    scores, predictions, ledger = survey(model, drawn_people, intervals=20)
    record = Record(command="sandglass evaluate <b>", facts={"a": "z"}, journal=str(journal))
    page = publish(out, model, drawn_people, scores, predictions, record=record, ledger=ledger)
    return out, page, scores, predictions


def test_every_file_is_there(published):
    out, page, _, _ = published
    assert page == out / "report.html"
    names = {p.name for p in out.iterdir()}
    assert names == {
        "scores.json", "scores.csv", "predictions.json", "evaluation.json", "pictures",
        "report.html", "report.json", "report.md",
    }  # fmt: skip
    pictures = sorted(p.name for p in (out / "pictures").iterdir())
    assert "curves.png" in pictures and sum(name.startswith("photo-") for name in pictures) == 12
    assert sum(name[:2].isdigit() for name in pictures) == 5  # nothing is mistaken
    for name in pictures:
        image = read_image(out / "pictures" / name)
        assert min(image.shape[:2]) > 100 and image.std() > 5, name


def test_the_scores_are_those_that_were_given(published):
    out, _, scores, _ = published
    found = json.loads((out / "scores.json").read_text())
    assert found == json.loads(json.dumps(scores.to_dict()))
    for key in ("protocol", "AP", "AP50", "AP75", "APM", "APL", "AR", "PCK@0.2", "people"):
        assert key in found
    assert found["AP"] == 1 and found["protocol"] == "coco-gt"


def test_the_predictions_can_be_read_and_scored_again(published, drawn_people):
    from sandglass.evaluation.scores import score

    out, _, scores, predictions = published
    again = read_results(out / "predictions.json", COCO17)
    assert again.people.tolist() == predictions.people.tolist()
    assert score(drawn_people, again, "coco-gt", intervals=0).figures == pytest.approx(dict(scores.figures), abs=1e-3)


def test_the_page_stands_alone(published):
    _, page, _, _ = published
    text = page.read_text()
    assert len(text) < 8_000_000
    for link in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text):
        assert link.startswith(("data:", "#")), link
    assert "sandglass evaluate &lt;b&gt;" in text and "<b>;" not in text
    assert "1,234" in text and "secret" not in text and "<svg" in text


def test_pictures_are_made_for_detections_too(drawn_people, model, tmp_path):
    boxes = tmp_path / "boxes.json"
    rows = [
        {"image_id": p.image_id, "category_id": 1, "score": 0.9,
         "bbox": [*p.box[:2].tolist(), *(p.box[2:] - p.box[:2]).tolist()]}
        for p in drawn_people
    ]  # fmt: skip
    boxes.write_text(json.dumps(rows))
    scores, predictions = evaluate(model, drawn_people, "coco-det", boxes=boxes, intervals=0)
    record = Record(protocol="coco-det")
    page = publish(tmp_path / "out", model, drawn_people, scores, predictions, record=record)
    assert page.exists() and not (tmp_path / "out" / "pictures" / "curves.png").exists()
    assert len(list((tmp_path / "out" / "pictures").glob("photo-*.jpg"))) > 5


def test_without_answers_there_are_no_pictures_and_no_traceback(drawn_people, model):
    _, predictions = evaluate(model, drawn_people, intervals=0)
    nothing = predictions.select(predictions.people < 0)
    book = album(drawn_people, drawn_people, nothing)
    assert sheets(model, book) == [] and galleries(book).keys() <= {"unfound"} and overlays(model, book) == []
    assert as_poses(nothing) == []


def test_one_person_is_enough_for_every_sheet(drawn_people, model):
    one = drawn_people.select(drawn_people.labelled >= 5).select([0])
    found = sheets(model, album(drawn_people, one, model.predict(one)))
    assert [caption.split(":")[0].split(" (")[0] for caption, _ in found[:3]] == [
        "the median person", "a good one", "a bad one"
    ]  # fmt: skip


def test_the_sheets_tell_how_alike_the_answer_is(published, drawn_people, model):
    _, _, _, predictions = published
    captions = [caption for caption, _ in sheets(model, album(drawn_people, drawn_people, predictions))]
    assert all("OKS 1.00" in caption for caption in captions[:3])


def test_poses_are_the_rows(published):
    _, _, _, predictions = published
    poses = as_poses(predictions)
    assert len(poses) == len(predictions)
    for i in (0, len(poses) - 1):
        assert (poses[i].keypoints == predictions.keypoints[i]).all() and poses[i].score == predictions.score[i]


def test_a_model_in_words():
    facts = model_facts(SPEC)
    assert facts["network"] == "hourglass: stacks 2, channels 8, depth 3"
    assert facts["crop"] == "96 x 128 pixels (width x height), 1.25 x the box"
    assert facts["codec"] == "heatmap, sigma 2, 1 cells, decoder dark"
    assert facts["skeleton"] == "coco17, 17 joints"
    assert facts["training: steps"] == "1,234" and facts["training: train"] == "a@train, b@train"
    assert "training: secret" not in facts


def test_a_folder_that_cannot_be_written_and_a_journal_that_is_none_are_refused(
    published, drawn_people, model, tmp_path
):
    _, _, scores, predictions = published
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        publish(tmp_path / "file" / "out", model, drawn_people, scores, predictions, record=Record())
    record = Record(journal=str(tmp_path / "none.jsonl"))
    with pytest.raises(BadInput, match=r"none\.jsonl"):
        publish(tmp_path / "out", model, drawn_people, scores, predictions, record=record)


def test_photographs_of_one_name_keep_a_file_each(drawn_people, model, tmp_path):
    """Two folders of a data set may both hold 1.png."""
    scores, predictions = evaluate(model, drawn_people, intervals=0)
    paths = []
    for i, path in enumerate(drawn_people.image_paths):
        (tmp_path / str(i)).mkdir()
        paths.append(tmp_path / str(i) / f"1{path.suffix}")
        shutil.copy(path, paths[-1])
    same = replace(drawn_people, image_paths=tuple(paths))
    publish(tmp_path / "out", model, same, scores, predictions, record=Record())
    assert len(list((tmp_path / "out" / "pictures").glob("photo-*"))) == min(12, len(np.unique(predictions.image_ids)))


def test_labels_without_photographs_have_figures_but_no_pictures(drawn_people, model, tmp_path):
    scores, predictions = evaluate(model, drawn_people, intervals=0)
    gone = replace(drawn_people, image_paths=tuple(path.with_name("gone.png") for path in drawn_people.image_paths))
    page = publish(tmp_path / "out", model, gone, scores, predictions, record=Record())
    assert 'id="mistakes"' in page.read_text() and 'id="pictures"' not in page.read_text()
    some = replace(gone, image_paths=(drawn_people.image_paths[0], *gone.image_paths[1:]))
    book = album(some, some, predictions)
    assert book.here.any() and set(some.image[book.here]) == {0}
    assert [name for name, _ in overlays(model, book)] == [drawn_people.image_paths[0].name]


def test_pictures_of_the_model_before_are_gone(published, drawn_people, model, answer, tmp_path):
    """First everything is wrong, then nothing: no gallery of mistakes is left, and no curves of no journal."""
    out, _, scores, predictions = published
    wrong = replace(predictions, keypoints=predictions.keypoints[:, list(COCO17.mirror)])
    record = replace(Record.load(out), command="")
    publish(tmp_path / "out", model, drawn_people, scores, wrong, record=record)
    first = {p.name for p in (tmp_path / "out" / "pictures").iterdir()}
    assert any("inversion" in name for name in first) and "curves.png" in first
    publish(tmp_path / "out", model, drawn_people, scores, predictions, record=replace(record, journal=""))
    second = {p.name for p in (tmp_path / "out" / "pictures").iterdir()}
    assert second == {p.name for p in (out / "pictures").iterdir()} - {"curves.png"} and second < first
    assert set(json.loads((tmp_path / "out" / "report.json").read_text())["pictures"]) == second


@pytest.mark.parametrize("kind", ["heatmap", "distribution"])
def test_the_number_and_the_ring_on_a_heatmap_are_explained(kind, drawn_people, oracle):
    spec = replace(SPEC, options={**SPEC.options, "stacks": 1}, codec=replace(SPEC.codec, sigmas=(1.0,), kind=kind))
    model = oracle(drawn_people, spec)
    captions = [caption for caption, _ in sheets(model, album(drawn_people, drawn_people, model.predict(drawn_people)))]
    assert all(caption.endswith("The ring is where the truth lies.") for caption in captions[:3])
    assert all(("far below the joint's score" in caption) == (kind == "distribution") for caption in captions[:3])


def test_whether_the_model_is_calibrated_is_kept(published, drawn_people, model, tmp_path):
    out, _, scores, predictions = published
    assert json.loads((out / "report.json").read_text())["calibration"]["calibrated"] is False
    plain = ((1.0, 0.0),) * 17
    honest = replace(model.spec, calibration=Calibration(right=plain, nearness=plain, labelled=plain))
    fitted = Predictor(model.runtime, honest)
    publish(tmp_path / "out", fitted, drawn_people, scores, predictions, record=Record())
    assert Record.load(tmp_path / "out").calibrated
    told = json.loads((tmp_path / "out" / "report.json").read_text())["calibration"]
    assert told["calibrated"] is True and len(told["interval"]) == 2 and told["joint_intervals"]["nose"]
    page = illustrate(
        tmp_path / "again", None, drawn_people, scores.to_dict(), predictions, record=Record.load(tmp_path / "out")
    )
    assert json.loads((page.parent / "report.json").read_text())["calibration"]["calibrated"] is True


def test_the_digest_is_of_all_that_a_model_is_made_of(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    assert digest(tmp_path / "a.safetensors") == hashlib.sha256(b"abc").hexdigest()
    (tmp_path / "b.xml").write_bytes(b"abc")
    (tmp_path / "b.bin").write_bytes(b"def")
    assert digest(tmp_path / "b.xml") == hashlib.sha256(b"abcdef").hexdigest()
    assert digest(tmp_path / "none.onnx") == ""


def test_the_record_can_be_read_again(published, tmp_path):
    out, *_ = published
    record = Record.load(out)
    assert record.command == "sandglass evaluate <b>" and record.facts["a"] == "z" and "network" in record.facts
    (tmp_path / "evaluation.json").write_text('{"model": 3}')
    with pytest.raises(BadInput, match=r"evaluation\.json: Record\.model"):
        Record.load(tmp_path)
    (tmp_path / "evaluation.json").write_text("no")
    with pytest.raises(BadInput, match=r"evaluation\.json"):
        Record.load(tmp_path)
