"""Drawn people: the same everywhere, labelled where they are drawn, as varied as promised. Image pixels, +0.5."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.drawing.annotator import Figure, annotate
from sandglass.data.drawing.body import draw_build, draw_posture, joints, place_bones, turn
from sandglass.data.drawing.canvas import FINE, PARTS, Canvas, View
from sandglass.data.drawing.flesh import clothe
from sandglass.data.drawing.looks import draw_look
from sandglass.data.drawing.mesh import Part
from sandglass.data.figures import ENOUGH, VERSION, draw_picture, write_figures

K = len(COCO17)
JOINT = {name: k for k, name in enumerate(COCO17.joints)}


@pytest.fixture(scope="module")
def pictures():
    return [draw_picture(7, index) for index in range(60)]


def upright(yaw, seed=3, shift=(0.0, 0.0)):
    """A person with straight limbs, arms held off the body, on plain grey: the figure and the canvas."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))
    build, posture, look = draw_build(rng), draw_posture(rng), draw_look(rng)
    posture = replace(posture, seated=False, spine=np.zeros(3), head=np.zeros(3), root=np.zeros(2))
    posture = replace(posture, arms=np.array([[0, 60, 0, 0]] * 2, float), legs=np.array([[0, 14, 0, 0, 0]] * 2, float))
    cut, head = replace(look.cut, skirt=0.0), replace(look.head, hat="none", glasses=False, hairdo="short", fringe=0.0)
    look = replace(look, cut=cut, head=head, held="nothing", rucksack=False)
    bones = place_bones(build, posture)
    mesh = clothe(build, bones, look, seated=False, detail=2)
    view = View(turn(y=yaw), 6.0, 300.0, (200 + shift[0], 170 + shift[1]))
    figure = Figure(mesh, view, joints(build, bones), bones, np.array([-0.7, -0.6, 0.7, 0.6]))
    canvas = Canvas(np.full((380, 400, 3), 128, np.uint8))
    canvas.faces(mesh, view, np.array([0.0, 0.0, 1.0]), 0)
    return figure, canvas


def centre_of(tags, *parts):
    """The centroid of parts, in pixels."""
    rows, columns = np.nonzero(np.isin(tags, parts))
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / FINE


def labels_of(figure, canvas, slot=0, seed=0):
    tags = canvas.tags()
    drawn = int(((tags > slot * PARTS) & (tags < (slot + 1) * PARTS)).sum())
    return annotate(np.random.default_rng(seed), tags, slot, figure, drawn)


# The same picture, always.


def test_same_seed_and_index_same_picture():
    one, two = draw_picture(3, 14), draw_picture(3, 14)
    for name in ("image", "keypoints", "visibility", "boxes", "areas"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    others = [draw_picture(3, 15), draw_picture(4, 14)]
    assert all(other.image.tobytes() != one.image.tobytes() for other in others)


def test_global_randomness_is_neither_used_nor_touched():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # type: ignore[index]
    draw_picture(3, 14)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002  # type: ignore[index]


def fingerprint(picture):
    """The mean grey of 4 x 4 blocks, and the first person's joints."""
    h, w = (n // 4 * 4 for n in picture.image.shape[:2])
    return picture.image[:h, :w].astype(float).reshape(4, h // 4, 4, w // 4, 3).mean((1, 3, 4))


def test_drawings_have_not_changed():
    """When this fails on purpose: bump VERSION and pin the new figures."""
    assert VERSION == 1
    picture = draw_picture(0, 0)
    np.testing.assert_allclose(fingerprint(picture), PINNED, atol=2.0)
    np.testing.assert_allclose(picture.keypoints[0, PINNED_JOINT], PINNED_POINT, atol=0.02)


PINNED = [
    [139.9, 147.5, 149.5, 149.3],
    [142.6, 157.8, 163.4, 131.1],
    [149.8, 220.7, 139.1, 115.8],
    [134.0, 225.7, 125.2, 106.0],
]
PINNED_JOINT = JOINT["left_hip"]
PINNED_POINT = (242.05, 108.78)


# Labels lie where the drawing shows the joint.


@pytest.mark.parametrize("shift", [(0, 0), (0.25, 0.5), (0.6, 0.35)])
def test_a_drawn_eye_lies_on_its_label(shift):
    figure, canvas = upright(0, shift=shift)
    keypoints, _ = figure.view.project(figure.joints)
    for side in ("left", "right"):
        drawn = centre_of(canvas.tags(), Part[f"{side.upper()}_EYE"])
        np.testing.assert_allclose(drawn, keypoints[JOINT[f"{side}_eye"]], atol=0.25)
    both = (centre_of(canvas.tags(), Part.LEFT_EYE) + centre_of(canvas.tags(), Part.RIGHT_EYE)) / 2
    np.testing.assert_allclose(both, keypoints[[JOINT["left_eye"], JOINT["right_eye"]]].mean(0), atol=0.1)


@pytest.mark.parametrize("yaw", [0, 180])
@pytest.mark.parametrize("shift", [(0, 0), (0.3, 0.7)])
def test_limbs_are_drawn_symmetric_about_their_joints(yaw, shift):
    """Along the row of a knee or ankle the middle of the limb is the label; half a pixel would show."""
    figure, canvas = upright(yaw, shift=shift)
    keypoints, _ = figure.view.project(figure.joints)
    tags = canvas.tags()
    for side in ("left", "right"):
        for name, parts in (("knee", ("_THIGH", "_SHIN")), ("elbow", ("_UPPER_ARM", "_FOREARM"))):
            x, y = keypoints[JOINT[f"{side}_{name}"]]
            mine = np.isin(tags, [Part[side.upper() + part] for part in parts])
            slope = _slope(figure, keypoints, side, name)
            middle = _middle_across(mine, np.array([x, y]), slope)
            assert abs(middle) < 0.15, (side, name, middle)


def _slope(figure, keypoints, side, name):
    """The unit vector across the limb."""
    end = {"knee": ("hip", "ankle"), "elbow": ("shoulder", "wrist")}[name]
    along = keypoints[JOINT[f"{side}_{end[1]}"]] - keypoints[JOINT[f"{side}_{end[0]}"]]
    along /= np.linalg.norm(along)
    return np.array([-along[1], along[0]])


def _middle_across(mask, point, across):
    """Where the mask's middle lies on a line through `point`, in pixels from it: averaged along 3 px of limb."""
    along = np.array([across[1], -across[0]])
    t, u = np.linspace(-30, 30, 2401), np.linspace(-1.5, 1.5, 31)
    spots = point + t[:, None, None] * across + u[:, None] * along
    spots = np.floor(spots * FINE).astype(int)
    return float((t[:, None] * mask[spots[..., 1], spots[..., 0]]).sum() / mask[spots[..., 1], spots[..., 0]].sum())


def test_shapes_are_drawn_where_they_are_asked_for():
    """The centroid of a small oval, over many sub-pixel shifts: no bias, and never half a pixel off."""
    rng = np.random.default_rng(0)
    angle = np.arange(12) * np.pi / 6
    oval = np.column_stack([3.2 * np.cos(angle), 2.6 * np.sin(angle)])
    y, x = np.mgrid[:20, :20] + 0.5
    errors = []
    for _ in range(200):
        centre = 10 + rng.uniform(-0.5, 0.5, 2)
        canvas = Canvas(np.zeros((20, 20, 3), np.uint8))
        canvas.polygon(oval + centre, (200.0, 200.0, 200.0))
        weight = canvas.photo()[..., 0] / canvas.photo()[..., 0].sum(dtype=float)
        errors.append(np.array([(x * weight).sum(), (y * weight).sum()]) - centre)
    assert np.abs(np.mean(errors, 0)).max() < 0.04 and np.abs(errors).max() < 0.25


def test_the_persons_own_left_is_on_the_right_of_a_front_view():
    front, _ = upright(0)[0].view.project(upright(0)[0].joints)
    back, _ = upright(180)[0].view.project(upright(180)[0].joints)
    for left, right in COCO17.pairs:
        assert front[left, 0] > front[right, 0] and back[left, 0] < back[right, 0]


# Visibility follows the written rule.


def test_all_is_seen_from_the_front():
    keypoints, visibility, _, _ = labels_of(*upright(0))
    assert (visibility == 2).all(), dict(zip(COCO17.joints, visibility.tolist(), strict=True))
    assert np.isfinite(keypoints).all()


def test_the_face_is_not_seen_from_behind():
    seen = np.stack([labels_of(*upright(180), seed=seed)[1] for seed in range(30)])
    face = [JOINT[name] for name in ("nose", "left_eye", "right_eye")]
    assert (seen[:, face] < 2).all()
    assert 0 < (seen[:, face] == 1).mean() < 0.3
    body = [k for k, name in enumerate(COCO17.joints) if k not in face and not name.endswith("ear")]
    assert (seen[:, body] == 2).all()


def test_the_far_side_of_a_profile_is_hidden_but_mostly_labelled():
    seen = np.stack([labels_of(*upright(90), seed=seed)[1] for seed in range(40)])  # the left side is turned away
    near, far = ([JOINT[f"{side}_{name}"] for name in ("shoulder", "hip")] for side in ("right", "left"))
    assert (seen[:, near] == 2).all()
    assert (seen[:, far] < 2).all() and 0.6 < (seen[:, far] == 1).mean() < 1
    assert (seen[:, JOINT["right_eye"]] == 2).all() and (seen[:, JOINT["left_eye"]] < 2).all()


def test_what_is_covered_is_never_visible_and_the_deeply_hidden_is_not_labelled():
    figure, canvas = upright(0)
    whole = canvas.tags()
    drawn = int(((whole > 0) & (whole < PARTS)).sum())
    canvas.polygon(np.array([[0, 190], [400, 190], [400, 380], [0, 380]]), (9.0, 9.0, 9.0), 254)
    rows = [annotate(np.random.default_rng(seed), canvas.tags(), 0, figure, drawn) for seed in range(30)]
    visibility = np.stack([row[1] for row in rows])
    keypoints, _ = figure.view.project(figure.joints)
    below = keypoints[:, 1] > 190
    assert below.any() and (visibility[:, below] < 2).all()
    ankles = [JOINT["left_ankle"], JOINT["right_ankle"]]
    assert (visibility[:, ankles] == 0).all(), "an ankle far outside what is seen cannot be guessed"
    assert (visibility[:, JOINT["nose"]] == 2).all()
    assert rows[0][2][3] <= 190.5 and rows[0][3] < drawn / FINE**2


def test_outside_the_photo_is_unlabelled(pictures):
    for picture in pictures:
        h, w = picture.image.shape[:2]
        labelled = picture.visibility > 0
        points = picture.keypoints[labelled]
        assert (points >= 0).all() and (points < (w, h)).all()
        assert (picture.keypoints[~labelled] == 0).all()


# A data set as varied as it promises.


def test_shapes_boxes_and_areas(pictures):
    for picture in pictures:
        h, w = picture.image.shape[:2]
        people = len(picture.boxes)
        assert picture.image.dtype == np.uint8 and picture.image.shape == (h, w, 3)
        assert picture.keypoints.shape == (people, K, 2) and picture.visibility.shape == (people, K)
        assert set(np.unique(picture.visibility)) <= {0, 1, 2}
        low, high = picture.boxes[:, :2], picture.boxes[:, 2:]
        assert (low >= 0).all() and (high <= (w, h)).all() and (high > low).all()
        assert (picture.areas > 0).all() and (picture.areas <= (high - low).prod(1)).all()
        inside = (picture.keypoints >= low[:, None] - 1) & (picture.keypoints <= high[:, None] + 1)
        assert inside.all(2)[picture.visibility == 2].all(), "what is seen lies in the box"


def test_the_box_is_tight_about_the_silhouette():
    figure, canvas = upright(30)
    _, _, box, area = labels_of(figure, canvas)
    tags = canvas.tags()
    rows, columns = np.nonzero((tags > 0) & (tags < PARTS))
    np.testing.assert_allclose(box, [columns.min() / 2, rows.min() / 2, (columns.max() + 1) / 2, (rows.max() + 1) / 2])
    assert area == len(rows) / 4


def test_one_to_four_people_of_many_sizes(pictures):
    counts = np.bincount([len(picture.boxes) for picture in pictures], minlength=5)
    assert len(counts) == 5 and counts[0] == 0 and (counts[1:] > 0).all()
    tall = np.concatenate([p.boxes[:, 3] - p.boxes[:, 1] for p in pictures])
    assert np.percentile(tall, 10) < 100 and np.percentile(tall, 90) > 200


def test_left_and_right_are_told_apart_only_by_looking(pictures):
    """Neither side of the picture, nor its colour, gives a side away: left is left about half of the time."""
    keypoints = np.concatenate([p.keypoints for p in pictures])
    visibility = np.concatenate([p.visibility for p in pictures])
    for name in ("wrist", "shoulder", "ankle"):
        left, right = JOINT[f"left_{name}"], JOINT[f"right_{name}"]
        both = (visibility[:, left] > 0) & (visibility[:, right] > 0)
        share = (keypoints[both, left, 0] < keypoints[both, right, 0]).mean()
        assert 0.25 < share < 0.65, (name, share)
    backs = (visibility[:, JOINT["nose"]] == 0) & (visibility[:, JOINT["left_shoulder"]] == 2)
    assert 0.1 < backs.mean() < 0.6
    assert all((visibility == v).mean() > 0.05 for v in (0, 1, 2))


def test_both_sides_wear_the_same():
    """The mean colour of a left limb equals that of the right one, in the light that comes from the camera."""
    for seed in range(6):
        _, canvas = upright(0, seed=seed)
        tags, colours = canvas.tags(), canvas.pixels[..., :3].astype(float)
        for part in ("UPPER_ARM", "FOREARM", "THIGH", "SHIN", "FOOT"):
            left, right = (colours[tags == Part[f"{side}_{part}"]].mean(0) for side in ("LEFT", "RIGHT"))
            np.testing.assert_allclose(left, right, atol=6)


# On disk.


def test_the_coco_file_is_read_by_pycocotools(tmp_path):
    coco_tools = pytest.importorskip("pycocotools.coco")
    heard = []
    total = write_figures(tmp_path, "val", 12, seed=1, on_progress=heard.append)
    coco = coco_tools.COCO(str(tmp_path / "annotations" / "person_keypoints_val.json"))
    rows = coco.loadAnns(coco.getAnnIds())
    assert total == heard[-1] == sum(row["num_keypoints"] >= ENOUGH for row in rows) >= 12
    assert len({row["id"] for row in rows}) == len(rows)
    category = coco.loadCats([1])[0]
    assert category["keypoints"] == list(COCO17.joints) and np.min(category["skeleton"]) == 1
    names = [image["file_name"] for image in coco.loadImgs(coco.getImgIds())]
    assert names == sorted(path.name for path in (tmp_path / "val").iterdir()) and names[0] == "000000.jpg"
    for row in rows:
        assert len(row["keypoints"]) == 3 * K and sum(v > 0 for v in row["keypoints"][2::3]) == row["num_keypoints"]


def test_written_keypoints_are_cocos(tmp_path):
    write_figures(tmp_path, "val", 1, seed=1)
    data = json.loads((tmp_path / "annotations" / "person_keypoints_val.json").read_text())
    picture = draw_picture(1, zlib.crc32(b"val") << 32)
    rows = [row for row in data["annotations"] if row["image_id"] == 1]
    written = np.array([row["keypoints"] for row in rows]).reshape(-1, K, 3)
    seen = picture.visibility > 0
    np.testing.assert_array_equal(written[..., 2], picture.visibility)
    np.testing.assert_allclose(written[seen][:, :2], picture.keypoints[seen] - 0.5, atol=0.0051)
    x, y, w, h = np.array([row["bbox"] for row in rows]).T
    np.testing.assert_allclose(np.stack([x, y, x + w, y + h], 1), picture.boxes)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_workers_do_not_change_a_byte(tmp_path):
    write_figures(tmp_path / "alone", "train", 12, seed=5, workers=1)
    write_figures(tmp_path / "together", "train", 12, seed=5, workers=2)
    assert files_of(tmp_path / "alone") == files_of(tmp_path / "together")


def test_a_longer_set_begins_like_a_shorter_one_and_splits_differ(tmp_path):
    write_figures(tmp_path / "a", "train", 3, seed=5)
    write_figures(tmp_path / "b", "train", 8, seed=5)
    write_figures(tmp_path / "b", "val", 3, seed=5)
    short, long = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert all(long[name] == data for name, data in short.items() if name.endswith(".jpg"))
    assert long["train/000000.jpg"] != long["val/000000.jpg"]


def test_a_second_call_draws_nothing_and_another_seed_draws_anew(tmp_path):
    first = write_figures(tmp_path, "val", 6, seed=1)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert write_figures(tmp_path, "val", 6, seed=1) == first
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "val" / "000000.jpg").unlink()
    write_figures(tmp_path, "val", 6, seed=1)
    assert (tmp_path / "val" / "000000.jpg").exists()
    write_figures(tmp_path, "val", 2, seed=2)
    data = json.loads((tmp_path / "annotations" / "person_keypoints_val.json").read_text())
    assert data["info"]["seed"] == 2
    assert len(data["images"]) == len(list((tmp_path / "val").iterdir()))


def test_pictures_of_others_are_never_replaced(tmp_path):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(BadInput, match="not drawn here"):
        write_figures(tmp_path, "val", 2, seed=2)
    assert (tmp_path / "val" / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(("people", "seed"), [(0, 1), (5, -1), (5, 2**64)])
def test_impossible_wishes_are_refused(tmp_path, people, seed):
    with pytest.raises(BadInput, match="cannot draw"):
        write_figures(tmp_path, "val", people, seed=seed)


@pytest.mark.parametrize("split", ["", "../val", "a/b", ".hidden"])
def test_a_split_is_a_plain_word(tmp_path, split):
    with pytest.raises(BadInput, match="no name for a split"):
        write_figures(tmp_path, split, 2, seed=1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="file"):
        write_figures(tmp_path / "file", "val", 2, seed=1)
