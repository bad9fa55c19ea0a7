"""Photographs on disk -> overlays and a results file on disk; what cannot be used is told, the rest is done."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.image import read_image, write_image
from sandglass.core.skeleton import COCO17
from sandglass.data.results import read_results
from sandglass.draw.people import draw_poses
from sandglass.inference import folder
from sandglass.inference.folder import find_photos, image_ids, overlay_names, predict_photos

PHOTO = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("b.png", "a.JPG", "deep/a.png"):
        write_image(folder / name, PHOTO)
    (folder / "notes.txt").write_text("no photograph")
    return folder


def test_folders_stand_for_their_photographs_sorted(photos):
    assert [p.name for p in find_photos([photos])] == ["a.JPG", "b.png"]  # not what lies deeper
    assert [p.name for p in find_photos([photos / "b.png", photos / "deep"])] == ["b.png", "a.png"]
    with pytest.raises(BadInput, match=r"missing\.jpg: no such photograph or folder; check the path"):
        find_photos([photos, photos / "missing.jpg"])
    (photos / "empty").mkdir()
    with pytest.raises(BadInput, match="empty: no photographs in this folder; they end in"):
        find_photos([photos / "empty"])
    with pytest.raises(BadInput, match="no photographs are named"):
        find_photos([])


def test_overlays_never_share_a_name(photos):
    paths = [photos / "a.JPG", photos / "b.png", photos / "deep/a.png", photos / "a-2.jpg", photos / "more/a.png"]
    assert overlay_names(paths) == ["a.jpg", "b.jpg", "a-2.jpg", "a-2-2.jpg", "a-3.jpg"]


def test_image_ids_are_cocos_where_all_names_spell_one(tmp_path):
    def named(*names):
        return image_ids([tmp_path / name for name in names])

    assert named("000000000139.jpg", "7.png") == [139, 7]
    assert named("7.jpg", "x.png", "9.png") == [1, 2, 3]
    assert named("7.jpg", "007.png") == [1, 2]  # one number, two photographs
    assert named("9" * 30 + ".jpg") == [1] and named("-3.jpg") == [1] and named("³.jpg") == [1]


def test_one_overlay_a_photograph_and_one_results_file(predictor, photos, tmp_path):
    out, heard = tmp_path / "out" / "deep", []
    paths = find_photos([photos, photos / "deep"])
    people, refused = predict_photos(predictor, paths, out, on_progress=lambda *done: heard.append(done))
    assert (people, refused, heard[-1]) == (3, [], (3, 3))
    assert sorted(p.name for p in out.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg", "predictions.json"]
    for name in ("a.jpg", "b.jpg", "a-2.jpg"):
        h, w = read_image(out / name).shape[:2]
        assert w * 90 == h * 120  # the photograph, or larger, so that its lines can be seen
    found = read_results(out / "predictions.json", COCO17)
    assert found.image_ids.tolist() == [1, 2, 3] and found.people.tolist() == [-1] * 3
    for i, path in enumerate(paths):
        (pose,) = predictor(path)
        np.testing.assert_allclose(found.keypoints[i], pose.keypoints, atol=2e-3)
        np.testing.assert_allclose(found.scores[i], pose.scores, atol=1e-5)
        np.testing.assert_array_equal(found.present[i], pose.present)
        np.testing.assert_allclose(found.boxes[i], pose.box, atol=2e-3)
    rows = json.loads((out / "predictions.json").read_text())
    assert [row["file_name"] for row in rows] == ["a.JPG", "b.png", "a.png"]
    assert all(row["category_id"] == 1 and len(row["keypoints"]) == 51 for row in rows)


def test_ellipses_of_doubt_are_drawn_where_they_are_asked_for(predictor, photos, tmp_path):
    pictures = []
    for doubt in (False, True):
        output = folder.Output(picture="png", doubt=doubt)
        predict_photos(predictor, [photos / "b.png"], tmp_path / str(doubt), output=output)
        pictures.append(read_image(tmp_path / str(doubt) / "b.png").astype(int))
    (pose,) = predictor(photos / "b.png")
    plain = draw_poses(PHOTO, [replace(pose, spread=None)], COCO17)
    assert (pictures[0] == plain).all() and (pictures[1] != plain).any()


def test_boxes_come_from_a_file_and_the_rest_is_taken_whole(predictor, photos, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"b.png": [[10, 5, 50, 75], [50, 20, 60, 68]], "other.png": [[0, 0, 5, 5]]}))
    people, refused = predict_photos(predictor, find_photos([photos]), tmp_path / "out", boxes)
    assert (people, refused) == (3, [])
    found = read_results(tmp_path / "out" / "predictions.json", COCO17)
    assert found.image_ids.tolist() == [1, 2, 2]
    np.testing.assert_allclose(found.boxes[1:], [[10, 5, 60, 80], [50, 20, 110, 88]])
    (alone, _) = predictor(photos / "b.png", [[10, 5, 60, 80], [50, 20, 110, 88]])
    np.testing.assert_allclose(found.keypoints[1], alone.keypoints, atol=2e-3)


@pytest.mark.parametrize(("group", "pixels"), [(1, 10**9), (2, 10**9), (16, 1), (16, 10**9)])
def test_photographs_are_looked_at_in_groups_and_none_is_lost(predictor, tmp_path, monkeypatch, group, pixels):
    """Whatever the bounds of a group; each photograph keeps its own poses, and refused ones move the bar too."""
    monkeypatch.setattr(folder, "GROUP", group)
    monkeypatch.setattr(folder, "GROUP_PIXELS", pixels)
    rng = np.random.default_rng(1)
    for i in range(7):
        write_image(tmp_path / "in" / f"{i}.png", rng.integers(0, 256, (40 + 9 * i, 60, 3), np.uint8))
    (tmp_path / "in" / "3.png").write_bytes(b"no picture")
    paths, heard = find_photos([tmp_path / "in"]), []
    people, refused = predict_photos(predictor, paths, tmp_path, on_progress=lambda *done: heard.append(done))
    assert people == 6 and len(refused) == 1 and "3.png" in refused[0]
    assert heard == sorted(heard) and heard[-1] == (7, 7)
    assert len(list(tmp_path.glob("*.jpg"))) == 6
    found = read_results(tmp_path / "predictions.json", COCO17)
    assert found.image_ids.tolist() == [0, 1, 2, 4, 5, 6]
    for i, name in enumerate(found.image_ids):
        (alone,) = predictor(tmp_path / "in" / f"{name}.png")
        np.testing.assert_allclose(found.keypoints[i], alone.keypoints, atol=2e-3)


def test_what_cannot_be_used_is_told_and_the_rest_is_done(predictor, photos, tmp_path):
    (photos / "c.jpg").write_bytes(b"")
    (photos / "d.png").write_bytes((photos / "b.png").read_bytes()[:999])
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"b.png": [[500, 5, 50, 75]]}))
    people, refused = predict_photos(predictor, find_photos([photos]), tmp_path / "out", boxes)
    assert people == 1 and len(refused) == 3 and not any("\n" in line for line in refused)
    assert "boxes.json: b.png: box 0" in refused[0] and "outside the photograph of 120x90" in refused[0]
    assert "c.jpg: the file is empty" in refused[1] and "d.png: " in refused[2]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.jpg", "predictions.json"]
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(
        BadInput, match=r"^none of the 2 photographs could be used; the first: .*c\.jpg: the file is empty"
    ):
        predict_photos(predictor, [photos / "c.jpg", photos / "d.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_overlay_never_replaces_a_photograph(predictor, tmp_path):
    write_image(tmp_path / "a.jpg", PHOTO)
    write_image(tmp_path / "b.png", PHOTO)
    before = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(
        BadInput, match=r"a\.jpg: the overlay would replace the photograph; choose another output folder"
    ):
        predict_photos(predictor, find_photos([tmp_path]), tmp_path)
    assert (tmp_path / "a.jpg").read_bytes() == before
    predict_photos(predictor, [tmp_path / "b.png"], tmp_path)  # b.jpg is free
    assert (tmp_path / "b.jpg").exists() and (tmp_path / "b.png").exists()


def test_a_folder_that_cannot_be_written_is_said_at_once(predictor, photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        predict_photos(predictor, find_photos([photos]), tmp_path / "file" / "out")
    with pytest.raises(BadInput, match=r"none\.json"):
        predict_photos(predictor, find_photos([photos]), tmp_path / "out", tmp_path / "none.json")
