"""A file behind HTTP: whatever the server does, the bytes are right or the error is one clear line."""

import random
import threading
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from sandglass.core.errors import BadInput
from sandglass.data.fetch.http import BLOCK, Changed, HttpFile, Manners
from sandglass.data.fetch.source import LocalFile, open_source

BODY = random.Random(7).randbytes(3 * BLOCK + 1234)


@pytest.fixture
def file(mirror, manners):
    """Opens the one file of the mirror."""
    mirror.files["/f"] = BODY
    return lambda path="/f": HttpFile(mirror.address + path, manners)


def everything(source):
    return b"".join(source.read(0, source.size))


def test_ranges_are_what_was_asked_for_and_the_connection_is_kept(file, mirror):
    source = file()
    assert (source.size, source.ranges, source.validator) == (len(BODY), True, '"1"')
    for start, stop in ((0, 1), (0, len(BODY)), (5, 5), (1000, 2000), (len(BODY) - 1, len(BODY))):
        assert b"".join(source.read(start, stop)) == BODY[start:stop]
    assert mirror.connections == 1
    assert mirror.sent == 1 + 1 + len(BODY) + 1000 + 1  # the probe, then exactly what was asked for


def test_a_dropped_connection_is_gone_on_with(file, mirror, fault, waits):
    mirror.misbehave = lambda number, path, start: fault(drop_after=100_000) if 0 < number < 8 else None
    assert everything(file()) == BODY
    assert [wanted for _, wanted in mirror.asked[1:4]] == [f"bytes={i}-{len(BODY) - 1}" for i in (0, 100_000, 200_000)]
    assert mirror.sent == len(BODY) + 1
    assert len(waits) == 7


def test_a_server_that_brings_nothing_is_given_up(file, mirror, fault, waits):
    source = file()
    mirror.misbehave = lambda number, path, start: fault(drop_after=10)
    with pytest.raises(BadInput, match=r"4 attempts failed, the last: the connection ended .* goes on where"):
        everything(source)
    assert len(waits) == 3
    for i, seconds in enumerate(waits):
        assert 0.5 * 2**i <= seconds <= 2**i


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for(file, mirror, fault, waits, status):
    mirror.misbehave = lambda number, path, start: fault(status, {"Retry-After": "17"}) if number in (0, 2) else None
    assert everything(file()) == BODY
    assert waits == [17, 17]
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    mirror.misbehave = lambda number, path, start: fault(status, {"Retry-After": later}) if number == 4 else None
    assert b"".join(file().read(0, 9)) == BODY[:9]
    assert 50 < waits[2] <= 60


def test_a_server_that_asks_for_an_hour_is_not_waited_for(file, mirror, fault, waits):
    mirror.misbehave = lambda number, path, start: fault(429, {"Retry-After": "3600"})
    with pytest.raises(BadInput, match=r"asks for a pause of 3600 s \(429 Too Many Requests\); run the same command"):
        file()
    assert waits == []


@pytest.mark.parametrize("text", ["soon", "-5", "", "Thu, 99 Foo 2017", "9" * 400])
def test_a_pause_that_makes_no_sense_is_none_or_too_long(file, mirror, fault, waits, text):
    mirror.misbehave = lambda number, path, start: fault(503, {"Retry-After": text}) if number == 0 else None
    if text.isdecimal():
        with pytest.raises(BadInput, match="asks for a pause"):
            file()
    else:
        file()
        assert len(waits) == 1 and waits[0] <= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416])
def test_a_refusal_is_not_asked_again(file, mirror, fault, status):
    mirror.misbehave = lambda number, path, start: fault(status)
    with pytest.raises(BadInput, match=rf"/f: the server answers {status} .*; check the address, or give a mirror"):
        file()
    assert len(mirror.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_followed(file, mirror, fault, status):
    def move(number, path, start):
        return fault(status, {"Location": "/f"}) if path == "/old" else None

    mirror.misbehave = move
    assert everything(file("/old")) == BODY


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://x/f", "data:,x", "", "javascript:1", "http://", "//"])
def test_redirects_to_other_places_are_refused(file, mirror, fault, place):
    mirror.misbehave = lambda number, path, start: fault(302, {"Location": place})
    with pytest.raises(BadInput, match="redirected"):
        file()


def test_circles_end(file, mirror, fault):
    mirror.misbehave = lambda number, path, start: fault(302, {"Location": "/f"})
    with pytest.raises(BadInput, match="redirected more than 5 times"):
        file()


def test_a_silent_server_and_a_trickle_are_left_and_tried_again(file, mirror, fault, waits, manners):
    mirror.files["/f"] = BODY
    source = HttpFile(mirror.address + "/f", Manners(attempts=4, patience=0.1, wait=waits.append))
    mirror.misbehave = lambda number, path, start: fault(pause_after=1000) if number == 1 else None
    assert everything(source) == BODY
    assert len(waits) == 1


def test_bytes_that_come_one_by_one_are_too_slow(mirror, manners, waits, monkeypatch):
    """Each arrives in time, so that no socket ever complains."""
    mirror.files["/f"] = BODY
    clock = iter(range(10_000))
    monkeypatch.setattr("sandglass.data.fetch.http.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr("http.client.HTTPResponse.read1", lambda self, n: self.fp.read(1))
    source = HttpFile(mirror.address + "/f", Manners(attempts=3, patience=10.0, wait=waits.append))
    with pytest.raises(BadInput, match=r"3 attempts failed, the last: too slow: 11 bytes in 10 s"):
        everything(source)


def test_a_file_that_changes_is_not_stitched_together(file, mirror):
    source = file()
    blocks = source.read(0, len(BODY))
    next(blocks)
    blocks.close()
    mirror.etags["/f"], mirror.files["/f"] = '"2"', bytes(len(BODY))
    with pytest.raises(Changed):
        list(source.read(1000, 2000))


def test_a_file_that_grows_is_noticed_without_an_etag(file, mirror):
    mirror.etags["/f"] = "W/weak"
    source = file()
    assert source.validator == ""
    mirror.files["/f"] = BODY + b"more"
    with pytest.raises(Changed):
        list(source.read(1000, 2000))


def test_a_server_without_ranges_begins_at_the_start_again(file, mirror, fault, waits):
    mirror.ranges = False
    source = file()
    assert not source.ranges and source.size == len(BODY)
    mirror.misbehave = lambda number, path, start: fault(drop_after=300_000) if number == 1 else None
    assert everything(source) == BODY
    assert b"".join(source.read(1000, 2000)) == BODY[1000:2000]


def test_a_certificate_that_nobody_signed_is_refused(mirror, manners, monkeypatch):
    import ssl

    def shake(self):
        raise ssl.SSLCertVerificationError("self-signed certificate")

    monkeypatch.setattr("http.client.HTTPSConnection.connect", shake)
    with pytest.raises(BadInput, match=r"the certificate of the server is not trusted .*SSL_CERT_FILE"):
        HttpFile("https://127.0.0.1/f", manners)


def test_tls_is_verified(manners):
    import ssl
    from urllib.parse import urlsplit

    from sandglass.data.fetch.connect import connect

    context = connect(urlsplit("https://example.org/f"), 1).connection._context  # type: ignore[attr-defined]
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname


def test_proxies_of_the_environment_are_used(mirror, manners, waits, monkeypatch):
    """The mirror stands in for a proxy: it is asked for an address on a machine that does not exist."""
    mirror.files["/f"] = BODY
    monkeypatch.setenv("http_proxy", mirror.address.replace("http://", "http://me:se%40cret@"))
    monkeypatch.delenv("no_proxy", raising=False)
    assert everything(HttpFile("http://images.example.invalid/f", manners)) == BODY
    monkeypatch.setenv("no_proxy", "example.invalid")
    with pytest.raises(BadInput, match=r"no such server .*; check the network, or give a mirror"):
        HttpFile("http://images.example.invalid/f", manners)
    assert waits == []
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(BadInput, match=r"proxy socks5://127\.0\.0\.1 is not supported"):
        HttpFile("http://images.example.invalid/f", manners)


def test_an_https_proxy_is_asked_for_a_tunnel(monkeypatch):
    from urllib.parse import urlsplit

    from sandglass.data.fetch.connect import connect

    monkeypatch.setenv("https_proxy", "http://me:pw@proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    connection = connect(urlsplit("https://example.org/f"), 1).connection
    assert (connection.host, connection.port) == ("proxy.invalid", 3128)
    assert connection._tunnel_host == "example.org"  # type: ignore[attr-defined]
    assert connection._tunnel_headers["Proxy-Authorization"] == "Basic bWU6cHc="  # type: ignore[attr-defined]


def test_closing_ends_a_read_in_another_thread(file, mirror, fault):
    source = file()
    mirror.misbehave = lambda number, path, start: fault(pause_after=1000)
    begun, ended = threading.Event(), []

    def read():
        try:
            for _ in source.read(0, len(BODY)):
                begun.set()
        except CancelledError:
            ended.append(True)

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(5)
    source.close()
    thread.join(5)
    assert ended == [True]


def test_a_server_that_is_not_there(manners, waits):
    with pytest.raises(BadInput, match=r"http://127\.0\.0\.1:9/f: 4 attempts failed, .* refused"):
        HttpFile("http://127.0.0.1:9/f", manners)
    assert len(waits) == 3


def test_a_file_on_this_machine(tmp_path, manners):
    path = tmp_path / "a b.zip"
    path.write_bytes(BODY)
    for address in (str(path), path.as_uri()):
        source = open_source(address, manners)
        assert isinstance(source, LocalFile) and source.size == len(BODY)
        assert everything(source) == BODY and b"".join(source.read(7, 9)) == BODY[7:9]
    with pytest.raises(BadInput, match="ends at byte"):
        list(source.read(0, len(BODY) + 1))
    for bad in (str(tmp_path), str(tmp_path / "none"), "ftp://x/y", "gopher://x"):
        with pytest.raises(BadInput):
            open_source(bad, manners)


@pytest.mark.parametrize(
    "address", ["http://", "http:///f", "http://a:b/f", "http://[::1/f", "http://x y/f", "http://h/ f"]
)
def test_what_is_no_address_is_refused_at_once(address, manners, waits):
    with pytest.raises(BadInput, match="not the address of a file; correct it"):
        HttpFile(address, manners)
    assert waits == []


@pytest.mark.parametrize("length", ["many", "-5", "", "9" * 40])
def test_a_server_that_does_not_say_how_large_the_file_is(file, mirror, fault, length):
    mirror.misbehave = lambda number, path, start: fault(200, {"Content-Length": length})
    with pytest.raises(BadInput, match="does not say how large the file is"):
        file()


@pytest.mark.parametrize("span", ["bytes 9-20/787666", "bytes */787666", "lines 0-5/9", "", "bytes 0-5/*"])
def test_other_bytes_than_asked_for_are_not_taken(file, mirror, fault, span):
    source = file()
    mirror.misbehave = lambda number, path, start: fault(206, {"Content-Range": span, "ETag": '"1"'})
    with pytest.raises(BadInput, match=r"other bytes than it was asked for|does not say which part"):
        list(source.read(5, 15))
