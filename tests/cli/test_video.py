"""`sandglass video`, as a user calls it; and the detector and the formats of `sandglass predict`."""

import json

import cv2
import numpy as np
import pytest

from sandglass.core.image import write_image
from sandglass.inference import detectors

PHOTO = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.fixture
def film(tmp_path, write_film):
    return write_film(tmp_path / "in.mp4", [PHOTO] * 6)


def test_a_video_becomes_a_video_and_lines(call, film, model, tmp_path, backend):
    words = [film, tmp_path / "out.mp4", "--model", model, "--out-json", tmp_path / "poses.jsonl", "--threshold", 0]
    status, told, errors = call("video", *words)
    assert (status, errors) == (0, "")
    assert "1 person in 6 frames" in told and "out.mp4" in told and "poses.jsonl" in told
    assert "jitter (mean acceleration of joints, body sizes/s²):" in told and "after" in told
    rows = [json.loads(row) for row in (tmp_path / "poses.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(6))
    assert ("sound is not kept without PyAV: pip install av" in told) == (backend == "OpenCV")
    assert {person["id"] for row in rows for person in row["people"]} == {1}


def test_lines_alone_need_no_video_out_and_boxes_come_from_a_file(call, film, model, tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps({str(i): [[2, 2, 40, 60], [50, 2, 40, 60]] for i in range(6)}))
    words = [film, "--model", model, "--out-json", tmp_path / "p.jsonl", "--boxes", tmp_path / "boxes.json"]
    status, told, _ = call("video", *words, "--threshold", 0, "--no-smooth")
    assert status == 0 and "not smoothed" in told and "sound" not in told
    row = json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])
    assert [person["box"] for person in row["people"]] == [[2, 2, 40, 60], [50, 2, 40, 60]]


def test_a_webcam_that_is_missing_and_wrong_words_are_refused(refused, film, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: type("No", (), {"isOpened": bool, "release": bool})())
    assert "webcam 0 gives no picture" in refused("video", "--webcam", 0, "--out-json", tmp_path / "p.jsonl")
    assert "nothing to write" in refused("video", film)
    assert "give the video to read and the one to write" in refused("video")
    assert "give --boxes or --detector, not both" in refused("video", film, "--boxes", film, "--detector", film)
    assert "with --webcam" in refused("video", film, tmp_path / "o.mp4", "--seconds", 3)
    assert "no such video" in refused("video", tmp_path / "none.mp4", tmp_path / "o.mp4")
    assert "no such detector" in refused("video", film, tmp_path / "o.mp4", "--detector", tmp_path / "no.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_opencv_says_nothing_of_its_own(command, film, model, tmp_path, monkeypatch):
    """In a process of its own: FFmpeg is told to be quiet when it is first used."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "av.py").write_text("raise ImportError")
    data = film.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(200))
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    for name in ("cut.mkv", "cut.mp4"):
        process = command("video", tmp_path / name, tmp_path / "out.mp4")
        told, errors = process.communicate(timeout=120)
        assert (process.returncode, told) == (2, "") and errors.count("\n") == 1 and f"{name}: cannot be read" in errors
    process = command("video", film, tmp_path / "out.webm", "--model", model)
    told, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "") and told.startswith("sound is not kept")


def test_a_video_that_was_cut_off_is_told(call, write_film, model, tmp_path, backend):
    whole = write_film(tmp_path / "whole.mkv", [PHOTO] * 90).read_bytes()
    (tmp_path / "in.mkv").write_bytes(whole[: len(whole) // 3])
    status, told, _ = call("video", tmp_path / "in.mkv", "--model", model, "--out-json", tmp_path / "p.jsonl")
    assert status == 0 and "in.mkv: announces 3 s of video and ends after" in told


def test_predict_writes_the_formats_and_pictures_that_are_asked_for(call, model, tmp_path):
    write_image(tmp_path / "a.png", PHOTO)
    status, _, errors = call(
        "predict", model, tmp_path / "a.png", "--out", tmp_path / "out", "--format", "jsonl", "csv", "--picture", "webp"
    )
    assert (status, errors) == (0, "")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.webp", "predictions.csv", "predictions.jsonl"]


def test_predict_looks_where_a_detector_found_people_and_keeps_each_once(call, model, tmp_path, monkeypatch):
    boxes = np.array([[2.0, 2, 40, 60], [2.0, 2, 40, 60], [50, 2, 90, 60]])
    monkeypatch.setattr(detectors.Yolox, "load", lambda path: lambda photo: (boxes, np.ones(3)))
    write_image(tmp_path / "a.png", PHOTO)
    status, *_ = call("predict", model, tmp_path / "a.png", "--out", tmp_path / "out", "--detector", "any.onnx")
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert status == 0 and [row["box"] for row in rows] == [[2, 2, 38, 58], [50, 2, 40, 58]]
