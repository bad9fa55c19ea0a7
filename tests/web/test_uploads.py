"""The form of a request: what is wrong with it is told in one line, and it is read in memory, in time."""

import json
from typing import Any

import httpx
import pytest

from sandglass.web.bounds import Bounds

HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"boxes": "[[1,2,3]]"}, "boxes"),
        ({"boxes": "nonsense"}, "boxes"),
        ({"boxes": "[[0,0,0,0]]"}, "box 0"),
        ({"boxes": "[[10,10,5,20]]"}, "box 0"),
        ({"boxes": "[[500,500,600,600]]"}, "outside"),
        ({"boxes": "[[NaN,0,10,10]]"}, "box"),
        ({"boxes": "[[0,0,1e999,10]]"}, "box"),
        ({"boxes": json.dumps([[0, 0, 9, 9]] * 65)}, "64"),
        ({"boxes": "[" * 5000}, "boxes"),
        ({"threshold": "2"}, "threshold"),
        ({"threshold": "nan"}, "threshold"),
        ({"flip": "perhaps"}, "flip"),
        ({"treshold": "0.5"}, "treshold"),
    ],
)
def test_wrong_fields(client, picture, fields: dict[str, str], word: str, ask, line) -> None:
    assert word in line(ask(client, picture(), **fields), 422)


def test_wrong_box_for_heatmaps(client, picture, ask, line) -> None:
    assert "box" in line(ask(client, picture(), "/heatmaps", box="[5,5,5,5]"), 422)


def test_form_without_photograph(client, line) -> None:
    assert "photograph" in line(client.post("/predict", files={"other": b"x"}), 422)
    assert "photograph" in line(client.post("/predict", files={"file": (None, b"x")}), 422)


def test_no_form(client, line) -> None:
    line(client.post("/predict", json={"file": "x"}), 415)
    line(client.post("/predict"), 415)


def test_empty_file(client, ask, line) -> None:
    assert "empty" in line(ask(client, b""), 422)


def test_broken_form(client, line) -> None:
    head = {"content-type": "multipart/form-data; boundary=x"}
    line(client.post("/predict", content=b"--y\r\nnonsense", headers=head), 400)
    line(client.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"}), 400)


def test_too_many_parts(client, picture, line) -> None:
    line(client.post("/predict", files=[("file", ("a", picture())), ("file", ("b", picture()))]), 400)
    line(client.post("/predict", files={"file": ("a", picture())}, data={f"f{i}": "" for i in range(9)}), 400)
    line(client.post("/predict", files={"file": ("a", picture())}, data={"boxes": "1" * 70_000}), 400)


def test_too_many_bytes_claimed_or_sent(client, ask, line) -> None:
    assert "20 MiB" in line(ask(client, b"x" * (21 * 2**20)), 413)
    head = {"content-type": "multipart/form-data; boundary=x"}
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    chunks = (start if i == 0 else b"x" * 2**20 for i in range(22))
    assert "20 MiB" in line(client.post("/predict", content=chunks, headers=head), 413)


def test_photograph_that_does_not_arrive(looker, running, talk) -> None:
    with running(looker, Bounds(upload_seconds=0.3)) as address:
        answer = talk(address, HEAD + b"Content-Length: 1000\r\n\r\n", b"--x\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ") and b"did not arrive" in answer
        assert httpx.get(f"{address}/health").json()["waiting"] == 0


def test_claimed_size_is_refused_before_the_body(address: str, talk) -> None:
    answer = talk(address, HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    answer = talk(address, HEAD + b"Content-Length: 30000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_nothing_is_written(client, picture, monkeypatch, tmp_path, ask) -> None:
    """Not even a temporary file, for a photograph that Starlette would put into one."""
    import tempfile

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    data = picture((1600, 1200), "BMP")
    assert len(data) > 5 * 2**20
    assert ask(client, data).status_code == 200
