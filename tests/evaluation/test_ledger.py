"""The ledger says what each stack alone would have said: against cut networks, planted answers, real early exits."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from sandglass.core import geometry
from sandglass.core.calibration import Calibration
from sandglass.core.skeleton import COCO17
from sandglass.evaluation.evaluate import evaluate
from sandglass.evaluation.ledger import entropy, stops, survey
from sandglass.inference.exits import Exit
from sandglass.inference.predictor import Predictor
from sandglass.metrics import bootstrap
from sandglass.metrics.oks import nearness
from sandglass.models.checkpoint import load_checkpoint, save_checkpoint
from sandglass.models.codec import Codec, CodecConfig
from sandglass.models.spec import ModelSpec

SPEC = ModelSpec(
    network="hourglass",
    options={"stacks": 2, "channels": 8, "depth": 2},
    codec=CodecConfig(size=(64, 64), sigmas=(1.5,), threshold=0.2),
    skeleton=COCO17,
)
ONE = replace(SPEC, options={**SPEC.options, "stacks": 1})
MIRROR = list(COCO17.mirror)


class Scripted:
    """A runtime that gives out prepared maps (N, S, K, h, w), in the order in which it is asked."""

    name = "a script"

    def __init__(self, maps):
        self.maps, self.done = maps, 0

    def __call__(self, crops, flip):
        some = (self.done + np.arange(len(crops))) % len(self.maps)
        self.done += len(crops)
        return self.maps[some]


def scripted(people, stages, spec=SPEC) -> Any:
    """A predictor whose stack s paints the crop points `stages[s]` (N, K, 2) of people, who are looked at in order."""
    order = np.argsort(people.image, kind="stable")
    codec = Codec(spec.codec)
    maps = [codec.encode(points[order], torch.ones(len(people), 17))[0][:, 0] for points in stages]
    return Predictor(Scripted(torch.stack(maps, 1)), spec, batch=5)


def crop_points(people, spec=SPEC):
    crop_from_image = geometry.invert(geometry.image_from_crop(people.boxes, spec.codec.size, spec.padding))
    return torch.from_numpy(geometry.apply(crop_from_image, people.keypoints)).float()


@pytest.fixture(scope="module")
def someone(drawn_people):
    return drawn_people.select(drawn_people.labelled > 0)


@pytest.fixture(scope="module")
def planted(someone):
    """The first stack takes left for right, the second sees it rightly."""
    truth = crop_points(someone)
    return survey(scripted(someone, [truth[:, MIRROR], truth]), someone, intervals=20)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, loud_network):
    """Three stacks with loud random answers."""
    spec = replace(SPEC, options={**SPEC.options, "stacks": 3})
    path = tmp_path_factory.mktemp("ledger") / "model.safetensors"
    save_checkpoint(path, loud_network(spec), spec, {})
    return path


def test_a_doubt_that_the_second_stack_settles_stands_in_the_ledger(planted, someone):
    scores, _, ledger = planted
    first, second = ledger.stages
    assert second.figures["PCK@0.2"] == 1 and second.inversions == 0
    assert second.figures["AP"] == scores.figures["AP"] > 0.99
    assert second.calibration_error is not None and first.calibration_error > 2 * second.calibration_error
    assert first.figures["AP"] < 0.5 * second.figures["AP"]
    assert first.joints["nose"]["inversions"] == 0

    own = nearness(someone.keypoints[:, MIRROR], someone.keypoints, someone.areas, COCO17.sigmas)
    labelled = someone.visibility > 0
    clear = labelled & labelled[:, MIRROR] & (own < 0.5) & (np.arange(17) != MIRROR)
    for k, name in enumerate(COCO17.joints):
        assert first.joints[name]["inversions"] == pytest.approx(clear[:, k].sum() / labelled[:, k].sum(), abs=0.01)
    assert first.inversions == pytest.approx(clear.sum() / labelled.sum(), abs=0.01) and first.inversions > 0.3


def test_costs_add_up_stack_by_stack(planted):
    first, second = planted[2].stages
    assert 0 < first.gmac < second.gmac and 0 < first.parameters < second.parameters
    assert first.milliseconds is None and second.milliseconds > 0


def test_the_entropy_is_that_of_labelled_joints(someone):
    """Sharp maps for labelled joints, level ones for the others: the doubt about the latter is not told."""
    truth = crop_points(someone)
    predictor = scripted(someone, [truth, truth])
    order = np.argsort(someone.image, kind="stable")
    unlabelled = torch.from_numpy(someone.visibility[order] == 0)
    assert unlabelled.any()
    predictor.runtime.maps[unlabelled[:, None].expand(-1, 2, -1)] = 1.0
    sharp = survey(scripted(someone, [truth, truth]), someone, intervals=0)[2].stages[0]
    assert survey(predictor, someone, intervals=0)[2].stages[0].entropy == pytest.approx(sharp.entropy, abs=0.03)


def test_entropy_of_maps_that_one_can_compute():
    maps = torch.zeros(4, 6, 8)
    maps[0, 2, 3] = 0.7  # one cell
    maps[1] = 0.01  # no idea
    maps[2, 0, :4] = 1.0  # four alike; what is negative counts as nothing
    maps[2, 5] = -3.0
    found = entropy(maps)  # the last is empty: no idea either
    torch.testing.assert_close(found, torch.tensor([0.0, math.log(48), math.log(4), math.log(48)]))


def test_every_stack_is_what_the_network_cut_there_is_worth(checkpoint, drawn_people):
    def load(stacks=None):
        return Predictor.load(checkpoint, device="cpu", runtime="torch", stacks=stacks)

    scores, predictions, ledger = survey(load(), drawn_people, intervals=10, shorter=load)
    for stage in ledger.stages:
        alone, _ = evaluate(load(stage.stack), drawn_people, intervals=10)
        for name in ("AP", "PCK@0.2"):
            assert stage.figures[name] == pytest.approx(alone.figures[name], abs=1e-6)
            assert stage.intervals.get(name) == pytest.approx(alone.intervals.get(name), abs=1e-6)
        per_joint = {name: told["PCK@0.2"] for name, told in stage.joints.items()}
        assert per_joint == pytest.approx(dict(alone.per_joint), abs=1e-6)
        assert stage.milliseconds and stage.milliseconds > 0
    again, same = evaluate(load(), drawn_people, intervals=10)
    assert scores.figures == again.figures and np.array_equal(predictions.keypoints, same.keypoints)


def calibrated(checkpoint, folder):
    """The same network, each of whose three stacks means another thing by its scores."""
    network, spec = load_checkpoint(checkpoint)
    same = ((1.0, 0.0),) * 17
    lines = [((0.5 + n / 4, n / 2 - 1.0),) * 17 for n in range(3)]
    *earlier, last = (Calibration(right=line, nearness=line, labelled=same) for line in lines)
    path = folder / "calibrated.safetensors"
    save_checkpoint(path, network, replace(spec, calibration=last, earlier=tuple(earlier)), {})
    return path


def test_a_calibrated_stack_is_what_its_own_cut_is_worth(checkpoint, drawn_people, tmp_path):
    path = calibrated(checkpoint, tmp_path)
    ledger = survey(Predictor.load(path, device="cpu", runtime="torch"), drawn_people, intervals=0)[2]
    for stage in ledger.stages[:2]:
        cut = Predictor.load(path, device="cpu", runtime="torch", stacks=stage.stack)
        assert cut.spec.calibration is not None and len(cut.spec.earlier) == stage.stack - 1
        alone = survey(cut, drawn_people, intervals=0)[2].stages[-1]
        assert stage.figures["AP"] == pytest.approx(alone.figures["AP"], abs=1e-6)
        assert stage.calibration_error == pytest.approx(alone.calibration_error, abs=1e-6)


@pytest.mark.parametrize("honest", [False, True], ids=["as it is", "calibrated"])
def test_the_curve_is_what_a_predictor_that_stops_early_does(checkpoint, drawn_people, honest, tmp_path):
    checkpoint = calibrated(checkpoint, tmp_path) if honest else checkpoint
    _, _, ledger = survey(Predictor.load(checkpoint, device="cpu", runtime="torch"), drawn_people, intervals=0)
    assert {point.rule for point in ledger.exits} == {"score", "still"}
    costs = [stage.gmac for stage in ledger.stages]
    for point in (ledger.exits[0], ledger.exits[4], ledger.exits[-1]):
        early = Exit(score=point.bound) if point.rule == "score" else Exit(still=point.bound)
        predictor = Predictor.load(checkpoint, device="cpu", early=early)
        taken = []
        locate = predictor._locate
        predictor._locate = lambda *a, f=locate, t=taken: (t.append(f(*a)), t[-1])[1]  # type: ignore[method-assign]
        scores, _ = evaluate(predictor, drawn_people, intervals=0)
        stacks = np.concatenate([found.stacks for found in taken])
        assert scores.figures["AP"] == pytest.approx(point.AP, abs=1e-6)
        assert stacks.mean() == pytest.approx(point.stacks)
        assert np.array(costs)[stacks - 1].mean() == pytest.approx(point.gmac)


def test_the_first_sure_stack_counts():
    scores = np.array([[[0.1], [0.9], [0.9]], [[0.9], [0.1], [0.1]], [[0.1], [0.1], [0.9]]])  # (S, P, K)
    present = np.ones(scores.shape, bool)
    points = np.zeros((*scores.shape, 2))
    assert stops(Exit(score=0.5), scores, present, points).tolist() == [2, 1, 1]
    points[1, 0], points[2, 1] = 7.0, 7.0
    assert stops(Exit(still=1.0), scores, present, points).tolist() == [3, 2, 2]


def test_one_stack_is_one_row_and_no_curve(someone):
    spec = replace(SPEC, options={**SPEC.options, "stacks": 1})
    _, _, ledger = survey(scripted(someone, [crop_points(someone)], spec), someone, intervals=0)
    assert len(ledger.stages) == 1 and ledger.exits == ()


def test_detected_boxes_are_ranked_and_thinned_for_every_stack(someone, tmp_path):
    truth, boxes = crop_points(someone), tmp_path / "boxes.json"
    rows = [
        {"image_id": p.image_id, "category_id": 1, "score": 0.9, "bbox": [*p.box[:2], *(p.box[2:] - p.box[:2])]}
        for p in someone
    ]
    boxes.write_text(json.dumps(rows))
    predictor = scripted(someone, [truth[:, MIRROR], truth])
    scores, predictions, ledger = survey(predictor, someone, "coco-det", boxes=boxes, intervals=0)
    assert (predictions.people == -1).all() and predictions.score.max() <= 0.9
    first, second = (stage.figures["AP"] or 0.0 for stage in ledger.stages)
    assert second == scores.figures["AP"] and second > 0.9 > 2 * first


def test_the_ledger_is_json_and_a_table(planted):
    ledger = planted[2]
    told = json.loads(json.dumps(ledger.to_dict(), allow_nan=False))
    assert told["protocol"] == "coco-gt" and [stage["stack"] for stage in told["stages"]] == [1, 2]
    assert told["stages"][0]["intervals"].keys() == {"AP", "PCK@0.2", "inversions", "entropy", "calibration_error"}
    assert told["stages"][0]["joint_intervals"].keys() == set(COCO17.joints)
    assert told["exits"] and all(len(point["interval"]) == 2 for point in told["exits"])
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(ledger.table())
    assert "the flip test takes two" in " ".join(console.export_text().split())


def test_the_intervals_of_a_stack_are_taken_of_its_figures(someone, monkeypatch, tmp_path):
    """Over resamples that hold every photograph once, they are the figures; for joints of few people there are none."""
    monkeypatch.setattr(bootstrap, "resamples", lambda images, count, seed: np.ones((count, images), np.uint16))
    truth, boxes = crop_points(someone), tmp_path / "boxes.json"
    monkeypatch.setattr(bootstrap, "FEW_PEOPLE", 3)
    rare = someone.visibility.copy()
    rare[2:, 0] = 0
    rare[:, 3] = 0
    people = replace(someone, visibility=rare)
    rows = [{"image_id": p.image_id, "bbox": [*p.box[:2], *(p.box[2:] - p.box[:2])]} for p in people]
    boxes.write_text(json.dumps(rows))
    for protocol, file in (("coco-gt", None), ("coco-det", boxes)):
        ledger = survey(scripted(people, [truth[:, MIRROR], truth]), people, protocol, boxes=file, intervals=2)[2]
        for stage in ledger.stages:
            whole = {"inversions": stage.inversions, "entropy": stage.entropy}
            for name, value in (whole | {"calibration_error": stage.calibration_error} | dict(stage.figures)).items():
                assert stage.intervals[name] == (pytest.approx(value), pytest.approx(value)), (protocol, name)
            for joint, of in stage.joint_intervals.items():
                for name, ends in of.items():
                    value = stage.joints[joint][name]
                    assert ends == "few" or ends == (pytest.approx(value), pytest.approx(value)), (joint, name)
            assert {stage.joint_intervals["nose"].get(name, "few") for name in ("inversions", "PCK@0.2")} == {"few"}
            assert stage.joint_intervals["left_hip"].keys() == {"PCK@0.2", "inversions", "entropy"}
            assert "inversions" not in stage.joint_intervals["left_ear"]  # nobody's
        assert len(ledger.exits) > 2
        for point in ledger.exits:
            assert point.interval == (pytest.approx(point.AP), pytest.approx(point.AP)), protocol


def test_inversions_and_doubts_are_drawn_with_their_photograph(someone, monkeypatch):
    """One photograph over and over has the inversions and the doubt of the people on it."""
    counts = np.bincount(someone.image)
    busy = int(counts.argmax())
    assert counts[busy] > 1
    here = someone.image == busy
    points = crop_points(someone)
    said = torch.where(torch.from_numpy(here)[:, None, None], points[:, MIRROR], points)  # wrong on that one alone
    column = int(np.searchsorted(np.unique(someone.image_ids[someone.image]), someone.image_ids[busy]))
    monkeypatch.setattr(bootstrap, "resamples", lambda images, n, seed: np.eye(images, dtype=np.uint16)[[column] * n])
    monkeypatch.setattr(bootstrap, "FEW_PEOPLE", 1)
    [stage] = survey(scripted(someone, [said], ONE), someone, intervals=2)[2].stages
    alone = someone.select(here)
    [wanted] = survey(scripted(alone, [said[here]], ONE), alone, intervals=0)[2].stages
    assert stage.inversions is not None and wanted.inversions and stage.inversions < 0.5 * wanted.inversions
    for name, value in (("inversions", wanted.inversions), ("entropy", wanted.entropy)):
        assert stage.intervals[name] == (pytest.approx(value), pytest.approx(value))
    assert stage.joint_intervals["left_hip"]["entropy"][0] == pytest.approx(wanted.joints["left_hip"]["entropy"])
