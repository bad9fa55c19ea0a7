"""A mirror of COCO on this machine: small archives behind a server that can be told to misbehave."""

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from sandglass.core.skeleton import COCO17
from sandglass.data.fetch.http import Manners


@dataclass
class Fault:
    """What goes wrong with one answer."""

    status: int = 0  # in place of the file
    headers: Mapping[str, str] = field(default_factory=dict)
    drop_after: int | None = None  # bytes of the body, then the connection is cut
    pause_after: int | None = None  # bytes of the body, then nothing until the test ends


class Server(ThreadingHTTPServer):
    """Connections that break off are what it is for."""

    daemon_threads, block_on_close = True, False

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


Misbehave = Callable[[int, str, int], Fault | None]  # number of the request, path, first byte


class Mirror:
    """Files by path. asked: every request as (path, its Range). sent: bytes of files that left the server."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.ranges = True
        self.misbehave: Misbehave = lambda number, path, start: None
        self.cut: Callable[[], bool] = lambda: False  # asked all the time: whether to break the connection off
        self.asked: list[tuple[str, str]] = []
        self.sent = 0
        self.connections = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"mirror": self}))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=lambda: self.server.serve_forever(0.01), daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection to a mirror."""

    mirror: Mirror
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.mirror.connections += 1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        mirror = self.mirror
        wanted = self.headers.get("Range", "")
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        path = re.sub(r"^http://[^/]+", "", self.path)  # a proxy is asked for the whole address
        with mirror.lock:
            number = len(mirror.asked)
            mirror.asked.append((path, wanted))
        fault = mirror.misbehave(number, path, int(match[1]) if match else 0) or Fault()
        body = mirror.files.get(path)
        if fault.status or body is None:
            self._head(fault.status or 404, fault.headers, 0)
            return
        etag = mirror.etags.get(path, '"1"')
        if match and mirror.ranges and self.headers.get("If-Range", etag) == etag:
            start, stop = int(match[1]), min(int(match[2]) + 1, len(body))
            span = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}", "ETag": etag}
            self._body(206, span, body[start:stop], fault)
        else:
            self._body(200, {"ETag": etag}, body, fault)

    def _head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault) -> None:
        self._head(status, headers, len(body))
        limit = fault.drop_after if fault.drop_after is not None else fault.pause_after
        part = body if limit is None else body[:limit]
        for at in range(0, len(part), 16384):
            block = part[at : at + 16384]
            with self.mirror.lock:
                self.mirror.sent += len(block)
            try:
                self.wfile.write(block)
            except OSError:
                self.close_connection = True
            if self.close_connection or self.mirror.cut():
                self.close_connection = True
                return
        if fault.pause_after is not None:
            self.mirror.over.wait(20)
        if limit is not None:
            self.close_connection = True


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A server without files."""
    server = Mirror()
    yield server
    server.close()


@pytest.fixture
def fault() -> type[Fault]:
    return Fault


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `manners` was told to wait."""
    return []


@pytest.fixture
def manners(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Manners:
    """Nobody waits, and no proxy of this machine is in the way."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Manners(attempts=4, patience=5.0, wait=waits.append)


def _photo(i: int) -> bytes:
    rng = np.random.default_rng(i)
    return rng.bytes(int(rng.integers(2_000, 60_000)))


def _labels(names: Mapping[int, str], shown: Callable[[int], int]) -> dict[str, Any]:
    """A COCO file: `shown(i)` usable people in image i, and in every third one somebody with two joints."""
    rows = []
    for i in names:
        for joints in [17] * shown(i) + [2] * (i % 3 == 0):
            points = [x for j in range(17) for x in ((10 + j, 20 + j, 2) if j < joints else (0, 0, 0))]
            row = {"id": 1000 + len(rows), "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": joints}
            outline = [[float(x) for x in range(40)]]
            rows.append(row | {"keypoints": points, "bbox": [5, 5, 60, 80], "area": 2500.0, "segmentation": outline})
    images = [{"id": i, "file_name": name, "width": 100, "height": 100, "license": 3} for i, name in names.items()]
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": [[1, 2]]}
    return {"info": {"year": 2017}, "images": images, "annotations": rows, "categories": [category]}


@dataclass(frozen=True)
class StandIn:
    """A small COCO. photos: by split and name; labels: by split; usable: names that the split's filter keeps."""

    photos: dict[str, dict[str, bytes]]
    labels: dict[str, dict[str, Any]]
    usable: dict[str, set[str]]

    def archives(self) -> dict[str, bytes]:
        """What the official server has, by path."""
        annotations = {f"annotations/person_keypoints_{s}.json": json.dumps(d).encode() for s, d in self.labels.items()}
        annotations |= {"annotations/captions_train2017.json": b"[]" * 50_000}
        found = {"/annotations/annotations_trainval2017.zip": packed(annotations, zipfile.ZIP_DEFLATED)}
        for split, photos in self.photos.items():
            found[f"/zips/{split}.zip"] = packed({f"{split}/{name}": data for name, data in photos.items()})
        return found


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive, with a folder as its first entry as the official ones have it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        archive.writestr(f"{next(iter(files)).partition('/')[0]}/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.fixture(scope="session")
def pack() -> Callable[..., bytes]:
    return packed


@pytest.fixture(scope="session")
def stand_in() -> StandIn:
    """60 photographs to train on, more than half of them with usable people, and 20 to score on."""
    numbers = {"train2017": range(1, 61), "val2017": range(101, 121)}
    names = {split: {i: f"{i:012d}.jpg" for i in these} for split, these in numbers.items()}
    shown = {"train2017": lambda i: i % 2 + i % 7 // 6, "val2017": lambda i: i % 2}
    photos = {split: {name: _photo(i) for i, name in table.items()} for split, table in names.items()}
    labels = {split: _labels(table, shown[split]) for split, table in names.items()}
    usable = {
        "train2017": {name for i, name in names["train2017"].items() if shown["train2017"](i)},
        "val2017": {name for i, name in names["val2017"].items() if shown["val2017"](i) or i % 3 == 0},
    }
    return StandIn(photos, labels, usable)


@pytest.fixture
def coco(mirror: Mirror, stand_in: StandIn) -> Mirror:
    """A mirror that has the small COCO."""
    mirror.files = stand_in.archives()
    return mirror
