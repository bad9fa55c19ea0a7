"""What the server lets in: bounds on every request, who may ask, and the headers of every answer."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from PIL import Image as Pillow
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sandglass.core.bombs import is_bomb

KINDS = ("JPEG", "PNG", "WEBP", "BMP")  # by content, whatever the file is called; other decoders are never reached
HEAD_SECONDS = 30.0  # for the head of a request to arrive
IDLE_SECONDS = 30  # longer than clients keep a connection: who closes first risks no answer
DRAIN_BYTES, DRAIN_SECONDS, DRAIN_PAUSE = 2**26, 20.0, 1.0  # of the body of a refused request, to be dropped
CONNECTIONS = 1000  # at once; beyond it uvicorn answers 503 by itself

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much one request may ask for, and how many may wait."""

    upload_bytes: int = 20 * 2**20  # of the whole body
    field_bytes: int = 64 * 2**10  # of a field that is no file
    pixels: int = 25_000_000  # that the header claims, before anything is decoded
    people: int = 64  # boxes in one photograph
    seats: int = 32  # requests that are read, wait or are looked at; the next is told to come again
    upload_seconds: float = 30.0  # for the whole body to arrive
    answer_seconds: float = 30.0  # from then on


def check_photo(data: bytes, bounds: Bounds) -> None:
    """Refuse what is no photograph by its content, or claims more pixels than are allowed. Raises HTTPException."""
    if is_bomb(data):
        raise HTTPException(422, "the photograph takes hours to open; save it anew")
    try:
        with Pillow.open(BytesIO(data), formats=KINDS) as header:
            w, h = header.size
    except Pillow.DecompressionBombError:
        w = h = 2**16
    except Exception:  # Pillow's readers raise whatever a mangled header makes them raise
        raise HTTPException(415, "this is no whole JPEG, PNG, WebP or BMP picture; save it as one of these") from None
    if w * h > bounds.pixels:
        raise HTTPException(413, f"the photograph has more than {bounds.pixels / 1e6:g} megapixels; make it smaller")


def loopback(address: str) -> bool:
    """Whether an IP address can be reached from this machine only."""
    return ip_address(address.partition("%")[0]).is_loopback


class Guard:
    """An ASGI application behind a door: its answers get the security headers, strangers get none.

    `hosts` are the names that the server may be called by (against DNS rebinding), None for any. Other web
    sites may not ask at all, neither may pages that a browser opens from them in the background.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = _Body(receive)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.drain()
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if (why := self.refusal(Headers(scope=scope), scope["method"])) is not None:
            return await JSONResponse({"error": why}, 403)(scope, body.read, dressed)
        return await self.app(scope, body.read, dressed)

    def refusal(self, headers: Headers, method: str) -> str | None:
        """Why a request may not come in, or None."""
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return "this server answers to its own address only; open it as the command line printed it"
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if method != "GET" and (foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")):
            return "other web sites may not use this server"
        return None


class _Body:
    """The body of a request, and what is left of it when the answer is known.

    A connection that is closed with unread bytes in it is reset, and the client would never see the answer.
    """

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.more = True

    async def read(self) -> Message:
        message = await self.receive()
        self.more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Drop what still arrives, within bounds."""
        dropped = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while self.more and dropped < DRAIN_BYTES:
                    async with asyncio.timeout(DRAIN_PAUSE):
                        dropped += len((await self.read()).get("body", b""))


def _name(host: str) -> str:
    """A Host header without its port; an IPv6 address without its brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Impatient(H11Protocol):
    """uvicorn's HTTP/1.1, but whoever does not get the head of a request across in time is disconnected."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._look_again, None)

    def _look_again(self, seen: RequestResponseCycle | None) -> None:
        now: Any = self.cycle
        if self.transport.is_closing():
            return
        if now is seen and (now is None or now.response_complete):
            self.timeout_keep_alive_handler()
        else:
            self.loop.call_later(HEAD_SECONDS, self._look_again, now)
