"""Photographs and boxes -> poses: the same by every way in, in image pixels, in the order that was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sandglass.core.calibration import Calibration
from sandglass.core.errors import BadInput
from sandglass.core.image import read_image, write_image
from sandglass.core.skeleton import COCO17
from sandglass.data.coco import read_coco
from sandglass.inference.ahead import AHEAD
from sandglass.inference.predictor import Predictor, check_boxes
from sandglass.inference.ranking import person_score
from sandglass.models.codec import Codec, CodecConfig
from sandglass.models.spec import ModelSpec

PHOTO = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)
BOXES = np.array([[10.0, 5, 60, 80], [50, 20, 110, 88], [0, 0, 120, 90], [30.5, 30.25, 45, 66]])


def close(a, b):
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    np.testing.assert_array_equal(a.present, b.present)
    np.testing.assert_allclose(a.box, b.box, atol=1e-9)
    assert a.score == pytest.approx(b.score, abs=1e-5)


def test_three_lines_are_enough(checkpoint, tmp_path):
    write_image(tmp_path / "photo.png", PHOTO)
    model = Predictor.load(checkpoint)
    poses = model(tmp_path / "photo.png")
    assert len(poses) == 1 and poses[0].keypoints.shape == (17, 2) and 0 <= poses[0].score <= 1


def test_every_way_in_gives_the_same(predictor, tmp_path):
    path = tmp_path / "photo.png"
    write_image(path, PHOTO)
    want = predictor(PHOTO, BOXES)
    for image in (path, str(path), np.asfortranarray(PHOTO), PHOTO[..., ::-1].copy()[..., ::-1]):
        for boxes in (BOXES, BOXES.tolist(), tuple(map(tuple, BOXES))):
            for a, b in zip(predictor(image, boxes), want, strict=True):
                close(a, b)
    for a, b in zip(predictor([path, PHOTO]), [predictor(PHOTO)] * 2, strict=True):
        close(a[0], b[0])
    assert predictor([]) == []


def test_batches_change_nothing_and_the_order_of_boxes_is_kept(checkpoint):
    whole = Predictor.load(checkpoint, device="cpu")(PHOTO, BOXES)
    for batch in (1, 3):
        some = Predictor.load(checkpoint, device="cpu", batch=batch)
        for a, b in zip(some(PHOTO, BOXES), whole, strict=True):
            close(a, b)
    backwards = Predictor.load(checkpoint, device="cpu")(PHOTO, BOXES[::-1])
    for a, b, box in zip(backwards[::-1], whole, BOXES, strict=True):
        close(a, b)
        np.testing.assert_array_equal(a.box, box)
    assert Predictor.load(checkpoint, device="cpu")(PHOTO, []) == []
    assert Predictor.load(checkpoint, device="cpu")(PHOTO, np.zeros((0, 4))) == []


def test_a_mirrored_photograph_gives_the_mirrored_poses(predictor):
    """x' = W - x through reading, cutting, network, flip averaging, decoding, and back."""
    boxes = BOXES * [-1, 1, -1, 1] + [120, 0, 120, 0]
    mirrored = predictor(np.ascontiguousarray(PHOTO[:, ::-1]), boxes[:, [2, 1, 0, 3]])
    for a, b in zip(mirrored, predictor(PHOTO, BOXES), strict=True):
        turned = a.keypoints[list(COCO17.mirror)] * [-1, 1] + [120, 0]
        # Grey levels round differently in a mirror; half a pixel of the crop would be 0.6 and more.
        np.testing.assert_allclose(turned, b.keypoints, atol=0.15)
        np.testing.assert_allclose(a.scores[list(COCO17.mirror)], b.scores, atol=5e-3)


def test_a_shifted_photograph_gives_the_shifted_poses(predictor):
    wide = np.zeros((130, 180, 3), np.uint8)
    wide[17:107, 31:151] = PHOTO
    inner = BOXES[[0, 1, 3]]
    for a, b in zip(predictor(wide, inner + np.array([31, 17, 31, 17])), predictor(PHOTO, inner), strict=True):
        np.testing.assert_allclose(a.keypoints - [31, 17], b.keypoints, atol=0.02)


def test_the_threshold_decides_who_is_present_not_where(checkpoint):
    base, low, high = (Predictor.load(checkpoint, device="cpu", threshold=t) for t in (None, 0.0, 1.0))
    assert base.spec.codec.threshold == 0.3
    for a, b, c in zip(base(PHOTO, BOXES), low(PHOTO, BOXES), high(PHOTO, BOXES), strict=True):
        np.testing.assert_array_equal(a.present, a.scores >= 0.3)
        assert b.present.all() and (c.present == (c.scores >= 1)).all()
        np.testing.assert_array_equal(a.keypoints, c.keypoints)
        assert a.score == b.score == c.score == pytest.approx((a.scores**2).sum() / a.scores.sum())
    with pytest.raises(BadInput, match="threshold"):
        Predictor.load(checkpoint, threshold=7.0)


def test_a_persons_score_is_that_of_the_joints_that_the_network_sees():
    scores = np.array([[0.2, 0.6, 1.0], [0.4, 0.4, 0.4], [0.0, 0.9, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(person_score(scores), [1.4 / 1.8, 0.4, 0.9, 0])


@pytest.mark.parametrize("shape", [(90, 120), (1, 1), (3, 400), (400, 3), (1, 50)])
def test_the_whole_photograph_of_any_shape(predictor, shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    (pose,) = predictor(photo)
    assert np.isfinite(pose.keypoints).all() and (pose.box[2:] > pose.box[:2]).all()
    assert (pose.box >= 0).all() and (pose.box[2:] <= [shape[1], shape[0]]).all()


SPEC = ModelSpec(network="hourglass", options={}, codec=CodecConfig(size=(128, 128)), skeleton=COCO17)


class ColourSeer:
    """Joint k is the centre of what is red, green or blue, by k % 3; it remembers how many crops it was shown."""

    name = "colours"

    def __init__(self):
        self.shown = 0

    def __call__(self, crops, flip):
        self.shown += len(crops)
        light = np.where(crops > 100, crops, 0).astype(np.float64)
        rows, columns = np.mgrid[: crops.shape[1], : crops.shape[2]] + 0.5
        mass = light.sum((1, 2))
        x, y = ((light * at[None, ..., None]).sum((1, 2)) / mass for at in (columns, rows))
        points = torch.from_numpy(np.stack([x, y], -1)[:, np.arange(17) % 3])
        return Codec(SPEC.codec).encode(points, torch.ones(points.shape[:2]))[0]


@pytest.mark.parametrize("size", [(700, 300), (300, 700), (150, 150)])
def test_the_whole_photograph_is_looked_at_twice(size):
    """First all of it, then a box around what was found, with a margin of 15 % and a pixel, within the photograph."""
    w, h = size
    places = np.array([[0.55, 0.4], [0.75, 0.7], [0.65, 0.5]]) * size
    x, y = np.arange(w) + 0.5, np.arange(h)[:, None] + 0.5
    discs = [np.hypot(x - px, y - py) < min(size) / 20 for px, py in places]
    seer = ColourSeer()
    (pose,) = Predictor(seer, SPEC)(np.stack(discs, -1).astype(np.uint8) * 255)
    assert seer.shown == 2
    np.testing.assert_allclose(pose.keypoints, places[np.arange(17) % 3], atol=0.5)
    low, high = places.min(0), places.max(0)
    room = 0.15 * (high - low).max() + 1
    want = np.concatenate([np.maximum(low - room, 0), np.minimum(high + room, size)])
    np.testing.assert_allclose(pose.box, want, atol=3)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", ["heatmap", "distribution"])
def test_a_network_that_knows_gives_every_joint_to_a_hundredth_of_a_pixel(drawn_people, oracle, kind, flip):
    """The half pixels of reading, cutting, mirroring, decoding and mapping back cancel: nothing is left over."""
    spec = replace(SPEC, codec=replace(SPEC.codec, kind=kind, sigmas=(1.5,)))
    found = oracle(drawn_people, spec, flip=flip).predict(drawn_people)
    labelled = drawn_people.visibility > 0
    assert np.abs(found.keypoints - drawn_people.keypoints)[labelled].max() < 0.01
    assert found.people.tolist() == drawn_people.ids.tolist()


# Data sets.


def test_rows_are_the_people_in_their_order(predictor, tiny_coco):
    """Though photographs are visited one after the other, each once, in batches that run across them."""
    people = read_coco(tiny_coco, "train")
    people = people.select(np.array([4, 0, 6, 2, 5, 1, 3]))
    assert (np.diff(people.image) < 0).any()
    for batch in (2, 32):
        model = Predictor(predictor.runtime, predictor.spec, batch=batch)
        heard: list[tuple[int, int]] = []
        found = model.predict(people, lambda *done, heard=heard: heard.append(done))
        assert found.people.tolist() == people.ids.tolist()
        assert found.image_ids.tolist() == people.image_ids[people.image].tolist()
        assert heard[-1] == (7, 7) and [d for d, _ in heard] == sorted(d for d, _ in heard)
        for i, person in enumerate(people):
            (alone,) = predictor(person.image_path, [person.box])
            np.testing.assert_allclose(found.keypoints[i], alone.keypoints, atol=1e-3)
            np.testing.assert_allclose(found.scores[i], alone.scores, atol=1e-5)
            np.testing.assert_array_equal(found.present[i], alone.present)
            assert found.score[i] == pytest.approx(alone.score, abs=1e-5)


def test_each_photograph_is_read_once_and_few_ahead(predictor, tiny_coco, monkeypatch):
    from sandglass.data import photos

    people = read_coco(tiny_coco, "train")
    many = replace(
        people.select(np.zeros(60, int)),
        image=np.arange(60) % 30,
        image_ids=np.arange(30),
        image_paths=people.image_paths[:1] * 30,
        image_sizes=np.tile(people.image_sizes[:1], (30, 1)),
    )
    reads, looked = [], []
    read = photos.read_bytes

    def counted(path):
        reads.append(len(looked))
        return read(path)

    monkeypatch.setattr(photos, "read_bytes", counted)
    Predictor(predictor.runtime, predictor.spec, batch=2).predict(many, lambda done, _: looked.append(done))
    assert len(reads) == 30
    assert all(i - seen <= AHEAD + 1 for i, seen in enumerate(reads))


def test_detected_boxes_are_nobodys(predictor, tiny_coco):
    people = read_coco(tiny_coco, "val")
    found = predictor.predict_boxes(people, np.array([1, 0, 1]), people.boxes[[1, 0, 2]])
    assert found.people.tolist() == [-1] * 3 and found.image_ids.tolist() == [102, 101, 102]
    np.testing.assert_allclose(found.keypoints, predictor.predict(people).keypoints[[1, 0, 2]], atol=1e-3)
    nothing = predictor.predict_boxes(people, np.zeros(0, int), np.zeros((0, 4)))
    assert len(nothing) == 0 and nothing.keypoints.shape == (0, 17, 2)


def test_an_unreadable_photograph_of_a_data_set_is_named(predictor, tiny_coco):
    people = read_coco(tiny_coco, "val")
    lost = replace(people, image_paths=(people.image_paths[0], Path("nowhere/000102.png")))
    with pytest.raises(BadInput, match=r"nowhere.000102\.png: cannot be read"):
        predictor.predict(lost)


# Bad input.


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], "each of four numbers"),
        ([1, 2, 30, 40], "each of four numbers"),
        ([[1, 2], [30, 40]], "each of four numbers"),
        ([[[1, 2, 30, 40]]], "each of four numbers"),
        ([[1, 2, 30, "x"]], "each of four numbers"),
        ([[1, 2, 30, None]], "box 0 .* no number|each of four numbers"),
        (5, "each of four numbers"),
        ([[1, 2, 30, 40], [1, 2]], "each of four numbers"),
        ([[1, 2, 30, 40], [5, 5, 5, 9]], r"box 1 \[5.0, 5.0, 5.0, 9.0\] is empty"),
        ([[30, 2, 1, 40]], "box 0 .*x1 < x2"),
        ([[1, 2, float("nan"), 40]], "box 0 .* no number"),
        ([[1, 2, float("inf"), 40]], "box 0 .* no number"),
        ([[-1e200, -1e200, 1e200, 1e200]], "box 0"),
        ([[200, 2, 300, 40]], "box 0 .* lies outside the photograph of 120x90 pixels"),
        ([[2, -50, 30, 0]], "lies outside"),
    ],
)
def test_bad_boxes_are_refused_in_one_line(predictor, boxes, message):
    with pytest.raises(BadInput, match=f"boxes: .*{message}|boxes: {message}") as caught:
        predictor(PHOTO, boxes)
    assert "\n" not in str(caught.value)


def test_boxes_may_reach_beyond_the_photograph():
    box = [[-20.0, -30, 500, 400]]
    np.testing.assert_array_equal(check_boxes(box, (120, 90), "boxes"), box)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PHOTO.astype(np.float32), "not float32"),
        (PHOTO[..., 0], r"not uint8 \(90, 120\)"),
        (np.zeros((5, 5, 4), np.uint8), r"not uint8 \(5, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), "is empty"),
        (None, "not NoneType"),
        ("nowhere.jpg", r"nowhere\.jpg: cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_bad_photographs_are_refused_in_one_line(predictor, image, message):
    with pytest.raises(BadInput, match=message):
        predictor(image)
    with pytest.raises(BadInput, match=message):
        predictor([PHOTO, image])


def test_bad_models_and_devices_are_refused(checkpoint, tmp_path):
    with pytest.raises(BadInput, match="no such checkpoint"):
        Predictor.load(tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match="device 'abacus' is not here"):
        Predictor.load(checkpoint, device="abacus")


def test_a_calibrated_model_says_probabilities_and_expected_oks(predictor, tiny_coco):
    rng = np.random.default_rng(0)
    lines = [tuple(zip(rng.uniform(0.2, 2, 17), rng.normal(0, 1, 17), strict=True)) for _ in range(3)]
    calibration = Calibration(right=lines[0], nearness=lines[1], labelled=lines[2])
    codec = replace(predictor.spec.codec, threshold=0.5)
    honest = Predictor(predictor.runtime, replace(predictor.spec, codec=codec, calibration=calibration))
    people = read_coco(tiny_coco, "val")
    before, after = predictor.predict(people), honest.predict(people)
    np.testing.assert_array_equal(after.keypoints, before.keypoints)
    np.testing.assert_allclose(after.scores, calibration.probabilities(before.scores))
    np.testing.assert_array_equal(after.present, after.scores >= 0.5)  # the threshold is a probability
    np.testing.assert_allclose(after.score, calibration.expected_oks(after.scores))
    photo = read_image(people.image_paths[people.image[0]])
    [pose] = honest(photo, people.boxes[:1])
    np.testing.assert_allclose(pose.scores, after.scores[0], atol=1e-6)
    assert pose.score == pytest.approx(after.score[0], abs=1e-6)
