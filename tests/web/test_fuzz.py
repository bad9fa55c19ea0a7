"""Whatever comes from outside, spoilt in thousands of ways: the API never answers 500, the readers only refuse.

`SANDGLASS_FUZZ=10000 pytest tests/web/test_fuzz.py --timeout 7200` feeds that many inputs, other ones every time.
"""

import json
import os
import socket
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandglass.core.errors import BadInput
from sandglass.core.image import decode_image
from sandglass.core.skeleton import COCO17
from sandglass.data.coco import read_coco_file
from sandglass.data.results import read_boxes, read_photo_boxes, read_results
from sandglass.models.checkpoint import load_checkpoint, save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build

INPUTS = int(os.environ.get("SANDGLASS_FUZZ", "500"))
TARGETS = 8
WEIRD = (None, True, -1, 0, 1.5, 1e308, 10**30, float("nan"), float("inf"), "", "x", "../../x", "\ud800", [], {}, [[]])
WORDS = (b"\xff", b"\0", b"\xff\xd9", b"\xff\xda", b"IEND", b"\r\n--x", b"\r\n\r\n", b'"', b"{", b"[[", b"-1", b"1e999")

fuzz = settings(
    max_examples=max(1, INPUTS // TARGETS),
    deadline=None,
    derandomize="SANDGLASS_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def spoilt(draw: Callable[..., Any], originals: list[bytes]) -> bytes:
    """One of the originals after up to six changes: bytes replaced, cut, inserted, repeated."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        a, b = sorted(draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
        change = draw(st.integers(0, 4))
        if change == 0:
            data[a : a + 1] = draw(st.binary(min_size=1, max_size=1))
        elif change == 1:
            del data[a : min(b, a + 64)]
        elif change == 2:
            data[a:a] = draw(st.sampled_from(WORDS))
        elif change == 3:
            data[a:a] = data[a : min(b, a + 256)]
        else:
            del data[b:]
    return bytes(data)


@st.composite
def spoilt_json(draw: Callable[..., Any], original: Any) -> bytes:
    """The original with up to three of its values replaced by what nobody expects, or taken away."""
    value = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 3))):
        place = value
        while isinstance(place, list | dict) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[key], list | dict) or not place[key] or draw(st.booleans()):
                if draw(st.integers(0, 4)):
                    place[key] = deepcopy(draw(st.sampled_from(WEIRD)))
                else:
                    del place[key]
                break
            place = place[key]
    return json.dumps(value).encode()


def answered(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or "\n" not in answer.json()["error"]


def refusal(read: Callable[[], Any]) -> str:
    """Why a reader refuses its file; nothing where it takes it."""
    try:
        read()
    except BadInput as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def pictures(picture) -> list[bytes]:
    return [picture((64, 48), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP")]


@fuzz
@given(st.data())
def test_spoilt_photographs(client, ask, pictures, data) -> None:
    answered(ask(client, data.draw(spoilt(pictures)), data.draw(st.sampled_from(["/predict", "/heatmaps"]))))


@pytest.fixture(scope="module")
def form(client: httpx.Client, pictures) -> httpx.Request:
    head = {"content-type": "multipart/form-data; boundary=x"}
    photo = {"file": ("a", pictures[0])}
    request = client.build_request("POST", "/predict", files=photo, data={"boxes": "[[0,0,9,9]]"}, headers=head)
    request.read()
    return request


@fuzz
@given(st.data())
def test_spoilt_forms(client: httpx.Client, form: httpx.Request, data) -> None:
    kind = {"content-type": form.headers["content-type"]}
    answered(client.post("/predict", content=data.draw(spoilt([form.content])), headers=kind))


@fuzz
@given(st.data())
def test_spoilt_fields(client, ask, pictures, data) -> None:
    boxes = spoilt_json([[0, 0, 9, 9], [5, 5, 40, 40]]) | spoilt([b"[[0,0,9,9]]"])
    fields = st.fixed_dictionaries({"boxes": boxes}, optional={"flip": st.text(), "threshold": st.text()})
    answered(ask(client, pictures[0], **data.draw(fields)))


@fuzz
@given(st.data())
def test_spoilt_requests(client: httpx.Client, form: httpx.Request, data) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in form.headers.items())
    whole = f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + form.content
    example = b"GET /examples/26.png HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as connection:
        connection.sendall(data.draw(spoilt([whole, example])))
        connection.shutdown(socket.SHUT_WR)
        try:
            start = connection.recv(12)
        except ConnectionResetError:
            start = b""
    assert start == b"" or (start.startswith(b"HTTP/1.1 ") and start[9:10] in b"1234"), start


@fuzz
@given(st.data())
def test_spoilt_pictures_on_disk(pictures, data) -> None:
    changed = data.draw(spoilt(pictures))
    assert "\n" not in refusal(lambda: decode_image(changed, "a.png"))


@fuzz
@given(st.data())
def test_spoilt_annotations(tiny_coco: Path, file: Path, data) -> None:
    original = json.loads((tiny_coco / "annotations/person_keypoints_train.json").read_text())
    file.write_bytes(data.draw(spoilt_json(original) | spoilt([json.dumps(original).encode()])))
    assert "\n" not in refusal(lambda: read_coco_file(file, tiny_coco / "train", "fuzz"))


@fuzz
@given(st.data())
def test_spoilt_results(file: Path, data) -> None:
    row = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [1, 2, 30, 40], "file_name": "1.jpg"}
    poses = [row | {"keypoints": [1.0, 2.0, 0.5] * 17, "box": [1, 2, 30, 40], "present": [1] * 17}, row]
    by_name = {"1.jpg": [[1, 2, 30, 40]], "2.jpg": []}
    file.write_bytes(data.draw(spoilt_json(poses) | spoilt_json(by_name) | spoilt([json.dumps(poses).encode()])))
    for read in (
        partial(read_results, skeleton=COCO17),
        partial(read_boxes, image_ids=np.array([1])),
        read_photo_boxes,
    ):
        assert "\n" not in refusal(partial(read, file))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A place for what a reader shall read."""
    return tmp_path_factory.mktemp("fuzz") / "file.json"


@pytest.fixture(scope="module")
def checkpoint(file: Path) -> bytes:
    codec = CodecConfig(size=(32, 32), stride=4)
    small = {"stacks": 1, "channels": 8, "depth": 2}
    spec = ModelSpec(network="hourglass", options=small, codec=codec, skeleton=COCO17)
    save_checkpoint(file, build(spec), spec, {})
    return file.read_bytes()


@fuzz
@given(st.data())
def test_spoilt_checkpoints(checkpoint: bytes, file: Path, data) -> None:
    """Only the description is spoilt: among the weights any byte is a number."""
    length = 8 + int.from_bytes(checkpoint[:8], "little")
    head = data.draw(spoilt([checkpoint[:length]]))
    if data.draw(st.booleans()):  # its length tells the truth again, so that it is read
        head = max(0, len(head) - 8).to_bytes(8, "little") + head[8:]
    file.write_bytes(head + checkpoint[length:])
    assert "\n" not in refusal(lambda: load_checkpoint(file))
