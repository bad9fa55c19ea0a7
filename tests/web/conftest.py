"""Shared by tests of the server: a network that always sees the same person, and a running server before it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image as Pillow

from sandglass.core.skeleton import COCO17
from sandglass.inference.predictor import Predictor
from sandglass.models.codec import Codec, CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.web.bounds import Bounds
from sandglass.web.looker import Looker
from sandglass.web.server import listen, serve

STACKS = 3
PADDING = 1.25
# A person seen from behind, in a box of 1 x 1: its left is on the picture's left.
STANDING = np.array([
    [0.50, 0.09], [0.46, 0.06], [0.54, 0.06], [0.41, 0.09], [0.59, 0.09],
    [0.32, 0.24], [0.68, 0.24], [0.20, 0.40], [0.84, 0.16], [0.14, 0.55], [0.92, 0.04],
    [0.40, 0.54], [0.60, 0.54], [0.37, 0.75], [0.64, 0.75], [0.35, 0.95], [0.66, 0.94],
])  # fmt: skip
SCORES = np.linspace(0.95, 0.15, 17)  # of the joints, in their order


class Still:
    """A runtime to which every crop shows the same person: in the box, joint k where `places[k]` (0..1) is.

    Its first stack takes left for right; each stack is finer than the one before.
    """

    name = "still on nothing"

    def __init__(self, spec: ModelSpec, places: Any) -> None:
        inner = (np.asarray(places) - 0.5) / PADDING + 0.5
        points = torch.tensor(inner * spec.codec.size).float()
        both = torch.stack([points[list(COCO17.mirror)], points, points])
        codec, weight = Codec(spec.codec), torch.ones(1, 17)
        maps = [codec.encode(stack[None], weight, STACKS)[0][:, s] for s, stack in enumerate(both)]
        self.answer = torch.stack(maps, 1) * torch.tensor(SCORES).float().view(1, 1, -1, 1, 1)
        self.look: Callable[[], None] = lambda: None

    def __call__(self, crops: Any, flip: bool) -> torch.Tensor:
        self.look()
        return self.answer.repeat(len(crops), 1, 1, 1, 1)


@pytest.fixture(scope="session")
def standing() -> Any:
    """Where the network sees the joints of everybody: (K, 2) in 0..1 of the box."""
    return STANDING


@pytest.fixture(scope="session")
def runtime(standing: Any) -> Still:
    return Still(_spec(), standing)


def _spec() -> ModelSpec:
    codec = CodecConfig(size=(128, 128), stride=4, sigmas=(3.0, 2.0, 1.5), threshold=0.2)
    summary = {"recipe": "still", "steps": 3, "val": "/secret/folder@val", "scores": {"AP": 0.5}}
    return ModelSpec(network="hourglass", options={}, codec=codec, skeleton=COCO17, padding=PADDING, summary=summary)


@pytest.fixture(scope="session")
def looker(runtime: Still) -> Looker:
    return Looker(Predictor(runtime, _spec()), "still", Bounds())


@contextmanager
def _running(looker: Looker, bounds: Bounds) -> Iterator[str]:
    with listen("127.0.0.1", 0) as listener:
        own = copy(looker)
        own.bounds = bounds
        server = serve(own, listener)
        thread = threading.Thread(target=_run, args=(server, listener))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


def _run(server: uvicorn.Server, listener: Any) -> None:
    server.run(sockets=[listener])


@pytest.fixture(scope="session")
def running() -> Any:
    """`with running(looker, Bounds(...)) as address:` a server of its own."""
    return _running


@pytest.fixture(scope="session")
def address(looker: Looker) -> Iterator[str]:
    """A server with the usual bounds."""
    with _running(looker, Bounds()) as address:
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def _picture(size: tuple[int, int] = (200, 160), kind: str = "PNG", **options: Any) -> bytes:
    w, h = size
    pixels = np.add.outer(np.arange(h), np.arange(w))[..., None] * [1, 2, 3] % 256
    out = BytesIO()
    Pillow.fromarray(pixels.astype(np.uint8)).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def picture() -> Any:
    """`picture((w, h), "JPEG")`: an encoded picture."""
    return _picture


def _ask(client: httpx.Client, data: bytes, path: str = "/predict", **fields: str) -> httpx.Response:
    return client.post(path, files={"file": ("a.png", data)}, data=fields)


@pytest.fixture(scope="session")
def ask() -> Any:
    """`ask(client, data, "/predict", boxes="[[...]]")`: a photograph and fields, as a form."""
    return _ask


def _line(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    text = answer.json()["error"]
    assert text and "\n" not in text and len(text) < 400
    assert "Traceback" not in text and "site-packages" not in text and "/src/" not in text
    return text


@pytest.fixture(scope="session")
def line() -> Any:
    """`line(answer, 422)`: the one line of a refusal with this status, which gives no path and no traceback away."""
    return _line


def _talk(address: str, *parts: bytes) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.fixture(scope="session")
def talk() -> Any:
    """`talk(address, b"GET / ...")`: what a connection answers to raw bytes, until it is closed."""
    return _talk
