"""What the server lets in: pictures by their content, its own names and its own page, and nobody who dawdles."""

import asyncio
import struct

import httpx
import pytest

from sandglass.web import bounds as door
from sandglass.web.bounds import Bounds
from sandglass.web.server import LOCAL_NAMES, build_app


def png_header(w: int, h: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50_000, 50_000), (6_000, 6_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(client, size: tuple[int, int], ask, line) -> None:
    assert "25 megapixels" in line(ask(client, png_header(*size)), 413)


def test_bomb_of_allowed_size_is_refused_or_empty(client, ask) -> None:
    assert ask(client, png_header(4_000, 4_000)).status_code in (200, 422)


@pytest.mark.parametrize(
    "data",
    [b"hello", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a" * 9],
)
def test_other_content_is_refused_whatever_it_is_called(client, data: bytes, ask, line) -> None:
    assert "no whole JPEG, PNG, WebP or BMP" in line(ask(client, data), 415)


def test_other_formats_are_refused_by_content(client, picture, ask, line) -> None:
    line(ask(client, picture(kind="TIFF")), 415)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost@evil.example:80"])
def test_other_names_are_refused(client, host: str, line) -> None:
    line(client.get("/", headers={"host": host}), 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "localhost."])
def test_own_names_are_answered(client, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://["}, {"sec-fetch-site": "cross-site"}],
)
def test_other_sites_may_not_ask(client, picture, headers: dict[str, str], line) -> None:
    line(client.post("/predict", files={"file": ("a.png", picture())}, headers=headers), 403)


def test_own_page_may_ask(client, address: str, picture) -> None:
    headers = {"origin": address, "sec-fetch-site": "same-origin"}
    answer = client.post("/predict", files={"file": ("a.png", picture())}, headers=headers)
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


def test_wide_server_answers_to_any_name(looker) -> None:
    async def get() -> int:
        transport = httpx.ASGITransport(build_app(looker, None))
        async with httpx.AsyncClient(transport=transport, base_url="http://my.machine") as client:
            return (await client.get("/health")).status_code

    assert asyncio.run(get()) == 200


def test_every_answer_has_the_security_headers(client) -> None:
    for path in ("/", "/page.js", "/health", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        for name, value in door.HEADERS.items():
            assert headers[name] == value
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def test_head_that_does_not_arrive(looker, running, monkeypatch, talk) -> None:
    monkeypatch.setattr(door, "HEAD_SECONDS", 0.2)
    with running(looker, Bounds()) as address:
        assert talk(address, b"POST /predict HTTP/1.1\r\nHo") == b""
        assert talk(address) == b""


def test_nonsense_instead_of_http(address: str, talk) -> None:
    assert talk(address, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_loopback() -> None:
    assert all(door.loopback(name) for name in LOCAL_NAMES - {"localhost"})
    assert not door.loopback("0.0.0.0") and not door.loopback("192.168.1.4") and not door.loopback("fe80::1%eth0")


def test_body_of_a_refused_request_is_not_awaited_for_ever(looker, running, monkeypatch, talk) -> None:
    monkeypatch.setattr(door, "DRAIN_PAUSE", 0.2)
    head = b"POST /predict HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n"
    with running(looker, Bounds()) as address:
        assert talk(address, head, b"x").startswith(b"HTTP/1.1 403 ")
