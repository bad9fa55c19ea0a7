"""Data sets, models and photographs may come from anywhere: what they hold stays data, from door to door."""

import json
import shutil
import struct
import zlib
from html.parser import HTMLParser

import pytest

NAMES = [
    "<img src=x onerror=alert(1)>.png",
    "\"'><script>alert(2)<!--.png",
    "below&lt;/[red]\x1b]0;owned\x07[/].png",
]
DEEP = "[" * 200_000


class Elements(HTMLParser):
    """Every element of a page with its attributes, and every text outside of scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] not in ("script", "style"):
            self.texts.append(data)


def rename(folder, names):
    """Give the photographs of train other names, on the disk and in the labels."""
    path = folder / "annotations/person_keypoints_train.json"
    data = json.loads(path.read_text())
    for image, name in zip(data["images"], names, strict=True):
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "train" / image["file_name"]).rename(folder / "train" / name)
        image["file_name"] = name
    path.write_text(json.dumps(data))


def test_names_stay_text_on_the_page_and_in_the_terminal(call, model, folder, tmp_path):
    evil = folder.rename(tmp_path / "set[red]\x1b[31m<b>")
    rename(evil, NAMES)
    out = tmp_path / "out"
    status, told, errors = call("evaluate", model, "--data", f"{evil}@train", "--out", out)
    assert status == 0 and "\x1b]" not in told + errors and "\x1b[31m<b>" not in told + errors
    page = Elements((out / "report.html").read_text())
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), attributes
        assert attributes.get("src", "data:").startswith("data:") and tag not in ("iframe", "object", "base")
        assert attributes.get("href", "#").startswith(("#", "data:,"))
    assert any(NAMES[0] in text for text in page.texts)
    written = {path.parent for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(evil)}
    assert written == {out, out / "pictures"}


def test_a_message_cannot_steer_the_terminal(refused, model, folder, tmp_path):
    rename(folder, NAMES)
    photo = folder / "train" / NAMES[2]
    photo.write_bytes(photo.read_bytes()[:200])
    message = refused("evaluate", model, "--data", f"{folder}@train", "--out", tmp_path / "out")
    assert "\x1b" not in message and "\x07" not in message and r"\x1b]0;owned\x07" in message


def test_where_it_was_written_is_told_as_it_is_called(call, tmp_path):
    out = tmp_path / "[/red][link=x]"
    status, told, _ = call("data", "draw", "--out", out, "--people", "1", "--val-people", "1")
    assert status == 0 and (out / "train").is_dir()
    assert "[/red][link=x]" in told.replace("\n", "")


def test_no_link_shows_what_lies_outside(refused, model, folder, tmp_path):
    """The picture would be on the page, and the page may be passed on."""
    secret = shutil.copytree(folder / "train", tmp_path / "private")
    words = ("evaluate", model, "--data", f"{folder}@train", "--out", tmp_path / "out")
    photo = folder / "train" / "000002.png"
    photo.unlink()
    photo.symlink_to(secret / "000002.png")
    assert "000002.png: a link that leaves its folder" in refused(*words)
    photo.unlink()
    photo.symlink_to("000001.png")  # within the folder it may
    (folder / "train" / "below").symlink_to(secret)
    path = folder / "annotations/person_keypoints_train.json"
    path.write_text(path.read_text().replace("000003.png", "below/000003.png"))
    assert "below: a link that leaves" in refused(*words)


def test_a_picture_that_claims_to_be_gigantic_is_refused_unopened(refused, model, folder, tmp_path):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )
    (folder / "val" / "000101.png").write_bytes(bomb)
    assert "000101.png" in refused("evaluate", model, "--data", f"{folder}@val", "--out", tmp_path / "out")
    assert "000101.png" in refused("predict", model, folder / "val" / "000101.png", "--out", tmp_path / "out")


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 100_000, "1" * 100_000, '{"images": ' + DEEP])
def test_json_of_absurd_depth_or_length_is_one_line_at_every_door(refused, model, folder, tmp_path, text):
    out = tmp_path / "out"
    (tmp_path / "boxes.json").write_text(text)
    assert "boxes.json" in refused("predict", model, folder / "val", "--out", out, "--boxes", tmp_path / "boxes.json")
    coco_det = ("--protocol", "coco-det", "--boxes", tmp_path / "boxes.json")
    assert "boxes.json" in refused("evaluate", model, "--data", f"{folder}@val", "--out", out, *coco_det)
    (folder / "annotations/person_keypoints_val.json").write_text(text)
    assert "person_keypoints_val.json" in refused("ceiling", "--data", f"{folder}@val")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text(text)
    assert "config.json" in refused("train", "--resume", tmp_path / "run", "--steps", "2")
    (tmp_path / "sets.toml").write_text("set = " + text)
    assert "sets.toml" in refused("train", "swift", "--data", tmp_path / "sets.toml", "--out", out, "--steps", "2")
    assert not out.exists()
