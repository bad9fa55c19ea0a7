"""From photographs to figures: a network that knows the answer scores 1, and every half pixel that is lost shows."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.coco import read_coco
from sandglass.evaluation.evaluate import evaluate
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

SPEC = ModelSpec(network="hourglass", options={}, codec=CodecConfig(size=(128, 128), sigmas=(1.5,)), skeleton=COCO17)


def average_precision(predictor, people, **options):
    scores, _ = evaluate(predictor, people, intervals=0, **options)
    value = scores.figures["AP"]
    assert value is not None
    return value


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", ["heatmap", "distribution"])
def test_a_network_that_knows_scores_one(drawn_people, oracle, kind, flip):
    spec = replace(SPEC, codec=replace(SPEC.codec, kind=kind))
    scores, predictions = evaluate(oracle(drawn_people, spec, flip=flip), drawn_people, intervals=0)
    assert scores.figures["AP"] == scores.figures["AR"] == scores.figures["PCK@0.2"] == 1
    assert (scores.protocol, scores.people) == ("coco-gt", len(predictions)) and len(predictions) == len(drawn_people)


def test_half_a_cell_shows(drawn_people, oracle):
    assert average_precision(oracle(drawn_people, SPEC, shift=2.0, flip=False), drawn_people) < 0.9


def test_a_swapped_pair_shows_also_when_it_only_blurs_the_flip_average(drawn_people, oracle):
    model = oracle(drawn_people, SPEC)
    model.runtime.mirror = torch.arange(17)  # the mirrored picture's left is taken for left
    assert average_precision(model, drawn_people) < 0.75
    model = oracle(drawn_people, SPEC)
    pair = torch.tensor(COCO17.mirror)
    pair[[7, 8]] = torch.tensor([7, 8])  # one pair alone: the elbows
    model.runtime.mirror = pair
    assert average_precision(model, drawn_people) < 0.97


def test_a_mirror_that_forgets_the_last_column_shows(drawn_people, oracle):
    """The old shift of one cell before averaging, which pixel centres at +0.5 make wrong."""
    model = oracle(drawn_people, SPEC)
    whole = model.runtime

    class Shifted:
        name = "shifted"

        def __call__(self, crops, flip):
            plain, both = whole(crops, False), whole(crops, True)
            return (plain + (2 * both - plain).roll(1, -1)) / 2

    model.runtime = Shifted()
    found = model.predict(drawn_people)
    labelled = drawn_people.visibility > 0
    assert np.median((found.keypoints - drawn_people.keypoints)[labelled][:, 0]) > 0.5
    assert average_precision(model, drawn_people) < 0.999


def test_the_seeds_protocol_asks_fewer(drawn_people, oracle):
    some = drawn_people.visibility.copy()
    some[0, 4:] = 0
    people = replace(drawn_people, visibility=some)
    scores, predictions = evaluate(oracle(people, SPEC), people, "seed", intervals=0)
    assert len(predictions) == scores.people == (people.labelled >= 5).sum() < len(people)


def test_a_photograph_is_counted_once_and_intervals_are_there(drawn_people, oracle):
    heard = []
    scores, _ = evaluate(
        oracle(drawn_people, SPEC), drawn_people, intervals=20, on_progress=lambda *done: heard.append(done)
    )
    assert heard[-1] == (len(drawn_people),) * 2
    assert scores.intervals["AP"] == (1, 1) and scores.images == len(np.unique(drawn_people.image))


# Detected boxes.


def detections(people, path, score=0.5, repeat=1, **first):
    rows = []
    for person in people:
        x1, y1, x2, y2 = person.box.tolist()
        row = {"image_id": person.image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        rows += [row] * repeat
    rows[0] = rows[0] | first
    path.write_text(json.dumps(rows))
    return path


def test_detected_boxes_are_scored_on_every_photograph(drawn_people, oracle, tmp_path):
    model = oracle(drawn_people, SPEC)
    boxes = detections(drawn_people, tmp_path / "boxes.json")
    scores, predictions = evaluate(model, drawn_people, "coco-det", boxes=boxes, intervals=0)
    assert scores.protocol == "coco-det" and (predictions.people == -1).all()
    assert scores.figures["AR"] is not None and scores.figures["AR"] > 0.9
    assert predictions.score.max() <= 0.5  # the box's score times the joints'


def test_poses_that_are_alike_count_once(drawn_people, oracle, tmp_path):
    model = oracle(drawn_people, SPEC)
    once, _ = evaluate(model, drawn_people, "coco-det", boxes=detections(drawn_people, tmp_path / "a.json"))
    path = detections(drawn_people, tmp_path / "b.json", repeat=3)
    thrice, predictions = evaluate(model, drawn_people, "coco-det", boxes=path)
    assert thrice.figures == once.figures and len(predictions) <= len(drawn_people)


def test_detections_of_other_things_and_photographs_are_left_out_and_counted(drawn_people, oracle, tmp_path):
    model = oracle(drawn_people, SPEC)
    path = detections(drawn_people, tmp_path / "boxes.json")
    straight, _ = evaluate(model, drawn_people, "coco-det", boxes=path, intervals=0)
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([*rows, rows[0] | {"image_id": 10**6}, rows[0] | {"category_id": 3}]))
    got, _ = evaluate(model, drawn_people, "coco-det", boxes=path, intervals=0)
    assert got.figures == straight.figures
    assert got.notes[-1] == "detections left out, of other photographs or of other things than people: 2"
    assert not any("left out, of other" in note for note in straight.notes)
    assert f"boxes looked into: {len(rows)} of boxes.json" in got.notes


def test_detections_without_a_score_are_told(drawn_people, oracle, tmp_path):
    path = detections(drawn_people, tmp_path / "boxes.json")
    rows = json.loads(path.read_text())
    path.write_text(
        json.dumps([{k: v for k, v in row.items() if k != "score"} if i < 3 else row for i, row in enumerate(rows)])
    )
    got, _ = evaluate(oracle(drawn_people, SPEC), drawn_people, "coco-det", boxes=path, intervals=0)
    assert got.notes[-1] == "detections without a score, taken as 1: 3"
    assert not any(
        "without a score" in note for note in evaluate(oracle(drawn_people, SPEC), drawn_people, intervals=0)[0].notes
    )


def test_boxes_outside_their_photograph_are_scored_and_counted(drawn_people, oracle, tmp_path):
    model = oracle(drawn_people, SPEC)
    path = detections(drawn_people, tmp_path / "boxes.json", bbox=[-500, -500, 40, 40])
    got, predictions = evaluate(model, drawn_people, "coco-det", boxes=path, intervals=0)
    assert np.isfinite(predictions.keypoints).all()
    assert "predictions of boxes that are flat or outside their photograph: 1" in got.notes


def test_boxes_are_of_the_images_they_name_whatever_the_order(drawn_people, oracle, tmp_path):
    model = oracle(drawn_people, SPEC)
    path = detections(drawn_people, tmp_path / "boxes.json")
    straight, _ = evaluate(model, drawn_people, "coco-det", boxes=path)
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(rows[::-1]))
    turned = np.arange(len(drawn_people.image_ids))[::-1]
    people = replace(
        drawn_people,
        image_ids=drawn_people.image_ids[::-1],
        image_paths=drawn_people.image_paths[::-1],
        image_sizes=drawn_people.image_sizes[::-1],
        image=turned[drawn_people.image],
    )
    assert evaluate(model, people, "coco-det", boxes=path)[0].figures == straight.figures


# Refusals.


def test_what_does_not_fit_is_refused_in_one_line(drawn_people, oracle, tmp_path):
    model = oracle(drawn_people, SPEC)
    boxes = detections(drawn_people, tmp_path / "boxes.json")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps([{"image_id": 10**6, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1}]))
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    wild = detections(drawn_people, tmp_path / "wild.json", score=0.5)
    wild.write_text(wild.read_text().replace('"score": 0.5', '"score": 1.5', 1))
    broken = tmp_path / "broken.json"
    broken.write_text(boxes.read_text().replace('"bbox": [', '"bbox": [NaN, ', 1))
    for protocol, file, message in (
        ("coco-det", empty, r"empty\.json: holds no detections at all"),
        ("coco-det", wild, r"wild\.json: entry 0 has `score` 1\.5; scores lie in 0\.\.1"),
        ("coco-det", broken, r"broken\.json: entry 0"),
        ("coco", None, "no protocol is called 'coco'; choose one of coco-gt"),
        ("coco-det", None, "give a detection file with --boxes"),
        ("coco-gt", boxes, "drop --boxes"),
        ("coco-det", tmp_path / "none.json", r"none\.json: cannot be read"),
        ("coco-det", elsewhere, "none of its 1 entries"),
    ):
        with pytest.raises(BadInput, match=message) as caught:
            evaluate(model, drawn_people, protocol, boxes=file)
        assert "\n" not in str(caught.value)


def test_a_model_of_another_skeleton_is_refused(drawn_people, oracle):
    model = oracle(drawn_people, SPEC)
    hand = Skeleton.from_dict({"name": "hand", "joints": ["wrist", "thumb"]})
    model.spec = replace(SPEC, skeleton=hand)
    with pytest.raises(BadInput, match=r"the model finds the 2 joints of 'hand', but .*@val has the 17 of 'coco17'"):
        evaluate(model, drawn_people)


def test_nobody_to_predict_is_refused(drawn_people, oracle):
    model = oracle(drawn_people, SPEC)
    unlabelled = replace(drawn_people, visibility=np.zeros_like(drawn_people.visibility))
    with pytest.raises(BadInput, match="nobody to predict"):
        evaluate(model, unlabelled)
    with pytest.raises(BadInput, match="nobody to predict"):
        evaluate(model, drawn_people.select(np.zeros(0, int)))


def test_a_missing_photograph_is_named(tiny_coco, drawn_people, oracle):
    people = read_coco(tiny_coco, "val")
    lost = replace(people, image_paths=tuple(path.with_name(f"lost-{path.name}") for path in people.image_paths))
    with pytest.raises(BadInput, match=r"lost-000101\.png: cannot be read"):
        evaluate(oracle(drawn_people, SPEC), lost)
