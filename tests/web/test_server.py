"""The server around the questions: pages, examples, schema, its own mistakes, and where it listens."""

import json
from typing import Any

import httpx
import pytest

from sandglass.core.errors import BadInput
from sandglass.web import examples
from sandglass.web.bounds import Bounds
from sandglass.web.server import listen


def test_health(client) -> None:
    assert client.get("/health").json() == {"status": "ok", "waiting": 0, "seats": 32}


def test_examples_are_drawn_people_with_boxes_inside(client, ask) -> None:
    listed = client.get("/examples").json()
    assert len(listed) == len(examples.PICTURES)
    for one in listed[:2]:
        picture = client.get("/" + one["url"])
        assert picture.headers["content-type"] == "image/png"
        answer = ask(client, picture.content, boxes=json.dumps(one["boxes"])).json()
        assert (answer["width"], answer["height"]) == (one["width"], one["height"])
        assert len(answer["poses"]) == len(one["boxes"])


def test_schema_tells_the_truth(client, picture, ask) -> None:
    schema = client.get("/openapi.json").json()
    answer = ask(client, picture(), boxes="[[0,0,80,80]]").json()
    parts = schema["components"]["schemas"]
    assert set(parts["PredictAnswer"]["properties"]) == set(answer)
    assert set(parts["PoseAnswer"]["properties"]) == set(answer["poses"][0])
    form = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", "boxes", "threshold", "flip"} and form["required"] == ["file"]
    assert {"/predict", "/heatmaps", "/model", "/health", "/examples"} <= set(schema["paths"])


def test_unknown_paths_and_verbs(client, line) -> None:
    line(client.get("/nothing"), 404)
    line(client.get("/predict"), 405)
    line(client.get("/examples/../../etc/passwd"), 404)
    line(client.get("/examples/%2e%2e%2fpage.css"), 404)
    line(client.get("/docs"), 404)


def test_our_own_mistake_is_told_without_details(looker, running, picture, monkeypatch, ask, line) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(looker, "poses", broken)
    with running(looker, Bounds()) as address, httpx.Client(base_url=address) as client:
        answer = ask(client, picture())
        assert "secret" not in line(answer, 500)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_are_whole_and_name_no_other_host(client) -> None:
    for path in ("/", "/api", "/page.css", "/page.js", "/paint.js", "/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text
        assert "style=" not in text and "onclick=" not in text


def test_port_in_use() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(BadInput, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000)])
def test_address_that_is_not_ours(host: str, port: int) -> None:
    with pytest.raises(BadInput, match="--port"):
        listen(host, port)
