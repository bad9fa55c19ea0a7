"""A file behind HTTP, read by ranges, with kept connections and retries. Positions are bytes from its start."""

import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from sandglass import __version__
from sandglass.core.errors import BadInput
from sandglass.data.fetch.connect import Route, connect

T = TypeVar("T")

BLOCK = 256 * 2**10
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
BUSY = frozenset({408, 429, 500, 502, 503, 504})  # worth another try, the request being right
AGAIN = "run the same command again later: it goes on where it stopped"


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How a server is treated, and how long it is waited for."""

    attempts: int = 8  # that bring less than a BLOCK together, before it is given up
    patience: float = 30.0  # seconds for a connection, and for each BLOCK: 9 kB/s is the slowest
    first_wait: float = 1.0  # seconds before the second attempt; doubled each time, with jitter
    longest_wait: float = 300.0  # the most that is waited, also when the server asks for more
    wait: Callable[[float], object] | None = None  # in place of sleeping


class Changed(Exception):
    """The file at the address is no longer the one that was begun with."""


class _Failed(Exception):
    """An attempt that is worth repeating. after: seconds that the server asks for."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class HttpFile:
    """A file behind HTTP. Each thread keeps a connection of its own. Raises BadInput when it cannot be had at all.

    A read that breaks off goes on where it stopped, if the file is still the same (If-Range, size). Where the
    server does not answer ranges, a read begins at the file's start and drops what was not asked for.
    """

    def __init__(self, url: str, manners: Manners | None = None) -> None:
        self.name, self._manners = url, manners or Manners()
        self._own = threading.local()  # .routes: of the thread, by server
        self._all: set[HTTPConnection] = set()
        self._stopped = threading.Event()
        self.size, failures = -1, 0
        while True:
            try:
                self.size, self.ranges, self.validator = self._look()
                break
            except _Failed as error:
                failures += 1
                self._back_off(error, failures)

    def _look(self) -> tuple[int, bool, str]:
        """Size, whether ranges are answered, validator."""
        with self._answer({"Range": "bytes=0-0"}) as response:
            span, headers = _span(response), response.headers
            if span:
                response.read1(1)  # read to its end, the connection is kept
            size = span[1] if span else _length(response)
            weak = headers.get("ETag", "W/").startswith("W/")
            validator = headers.get("Last-Modified", "") if weak else headers["ETag"]
        if size < 0:
            raise BadInput(f"{self.name}: the server does not say how large the file is; use another mirror")
        return size, span is not None, validator

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes start <= i < stop, in blocks. Raises BadInput when the server fails too often, and Changed."""
        failures = gained = 0
        while start < stop:
            try:
                for block in self._attempt(start, stop):
                    start, gained = start + len(block), gained + len(block)
                    yield block
            except _Failed as error:
                failures += 1
                if gained >= BLOCK:
                    failures, gained = 1, 0
                self._back_off(error, failures)

    def close(self) -> None:
        """End every read that is under way in another thread: it raises CancelledError."""
        self._stopped.set()
        for connection in list(self._all):
            with suppress(OSError, AttributeError):  # its thread may be closing it at this moment
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _attempt(self, start: int, stop: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-{stop - 1}"} if self.ranges else {}
        if self.ranges and self.validator:
            headers["If-Range"] = self.validator
        with self._answer(headers) as response:
            span = _span(response)
            at, size = span or (0, _length(response))
            if (span is not None) != self.ranges or size != self.size:
                raise Changed(self.name)
            if at > start:
                raise BadInput(f"{self.name}: the server answers other bytes than it was asked for; use a mirror")
            began, came = time.monotonic(), 0
            while at < stop:
                block = response.read1(BLOCK)
                if not block:
                    raise _Failed(f"the connection ended at byte {at:,}")
                useful = block[max(start - at, 0) : stop - at]
                at, came = at + len(block), came + len(block)
                if useful:
                    yield useful
                if came >= BLOCK:
                    began, came = time.monotonic(), 0
                elif time.monotonic() - began > self._manners.patience:
                    raise _Failed(f"too slow: {came:,} bytes in {self._manners.patience:g} s")

    @contextmanager
    def _answer(self, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        """What the server answers, redirects followed; the connection is kept if it was read to its end."""
        url, route = self.name, None
        try:
            for _ in range(MAX_REDIRECTS + 1):
                route, response = self._ask(url, headers)
                if response.status not in REDIRECTS:
                    break
                self._drop(route)
                url = self._next(url, response.headers.get("Location", ""))
            else:
                raise BadInput(f"{self.name}: redirected more than {MAX_REDIRECTS} times; give another address")
            self._check(response)
            yield response
            if response.length == 0:
                response.close()  # the connection stays open
                route = None
        except ssl.SSLCertVerificationError as error:
            why = f"the certificate of the server is not trusted ({error})"
            raise BadInput(f"{url}: {why}; set SSL_CERT_FILE if it is your own") from None
        except (OSError, HTTPException) as error:
            if isinstance(error, socket.gaierror) and self.size < 0:  # most likely there is no network at all
                raise BadInput(
                    f"{url}: no such server ({error.strerror}); check the network, or give a mirror"
                ) from None
            raise _Failed(str(error) or type(error).__name__) from None
        finally:
            if route:
                self._drop(route)

    def _ask(self, url: str, headers: Mapping[str, str]) -> tuple[Route, HTTPResponse]:
        if self._stopped.is_set():
            raise CancelledError
        parts = _parts(url)
        routes: dict[tuple[str, str], Route] = self._own.__dict__.setdefault("routes", {})
        key = parts.scheme, parts.netloc
        if key not in routes:
            routes[key] = connect(parts, self._manners.patience)
            self._all.add(routes[key].connection)
        route = routes[key]
        target = route.prefix + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        own = {"User-Agent": f"sandglass/{__version__}", "Accept-Encoding": "identity"}
        try:
            route.connection.request("GET", target, headers=own | route.headers | dict(headers))
            return route, route.connection.getresponse()
        except BaseException:
            self._drop(route)
            raise

    def _drop(self, route: Route) -> None:
        route.connection.close()
        self._all.discard(route.connection)
        routes = self._own.routes
        for key in [key for key, kept in routes.items() if kept is route]:
            del routes[key]

    def _next(self, url: str, place: str) -> str:
        """Where a redirect leads. Never to a file of this machine, never from https to http. Raises BadInput."""
        try:
            there = _parts(urljoin(url, place))
            safe = there.scheme == "https" or (there.scheme == "http" and urlsplit(url).scheme == "http")
        except ValueError:
            safe = False
        if not place or not safe:
            raise BadInput(f"{url}: redirected to {ascii(place)[:80]}, which is not followed; give another address")
        return there.geturl()

    def _check(self, response: HTTPResponse) -> None:
        if response.status in BUSY:
            raise _Failed(f"{response.status} {response.reason}", _seconds(response.headers.get("Retry-After", "")))
        if response.status not in (200, 206):
            why = f"the server answers {response.status} {ascii(response.reason)[1:60]}"
            raise BadInput(f"{self.name}: {why}; check the address, or give a mirror")

    def _back_off(self, error: _Failed, failures: int) -> None:
        """Wait before another attempt. Raises BadInput when there were enough."""
        manners = self._manners
        if self._stopped.is_set():
            raise CancelledError
        if failures >= manners.attempts:
            raise BadInput(f"{self.name}: {failures} attempts failed, the last: {error}; {AGAIN}")
        if error.after > manners.longest_wait:
            raise BadInput(f"{self.name}: the server asks for a pause of {error.after:.0f} s ({error}); {AGAIN}")
        seconds = min(manners.first_wait * 2 ** (failures - 1), manners.longest_wait) * random.uniform(0.5, 1.0)
        (manners.wait or self._stopped.wait)(max(seconds, error.after))


def _parts(url: str) -> SplitResult:
    """An address, taken apart. Raises BadInput where it names no server."""
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0 and re.fullmatch("[!-~]+", url):  # no spaces, no control characters
            return parts
    except ValueError:
        pass
    raise BadInput(f"{ascii(url)[:200]}: not the address of a file; correct it")


def _length(response: HTTPResponse) -> int:
    """Bytes that a whole answer has; -1 where that is not said."""
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,15}", text, re.ASCII) else -1


def _span(response: HTTPResponse) -> tuple[int, int] | None:
    """The first byte that a partial answer holds, and the size of the whole file; None if the answer is the whole."""
    if response.status != 206:
        return None
    match = re.fullmatch(r"bytes (\d{1,15})-\d+/(\d{1,15})", response.headers.get("Content-Range", ""))
    if not match:
        raise HTTPException("a partial answer that does not say which part")
    return int(match[1]), int(match[2])


def _seconds(text: str) -> float:
    """What Retry-After asks for: seconds, or until a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
