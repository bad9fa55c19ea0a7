"""The one thread that looks: who finds no seat is told when to come again, who waits too long is told so."""

import threading

import httpx

from sandglass.web.bounds import Bounds


def test_full_server_recovers(looker, runtime, running, picture, monkeypatch, ask, line) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        looking.set()
        go_on.wait(20)

    with running(looker, Bounds(seats=1)) as address, httpx.Client(base_url=address, timeout=30) as client:
        monkeypatch.setattr(runtime, "look", wait)
        first: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: first.append(httpx.post(f"{address}/predict", files={"file": ("a", picture())}, timeout=30))
        )
        thread.start()
        assert looking.wait(20)
        busy = ask(client, picture())
        assert "busy" in line(busy, 503) and int(busy.headers["retry-after"]) >= 1
        assert client.get("/health").json()["waiting"] == 1  # the event loop stays free
        go_on.set()
        thread.join(20)
        assert first[0].status_code == 200
        assert ask(client, picture()).status_code == 200


def test_answer_that_takes_too_long(looker, runtime, running, picture, monkeypatch, ask, line) -> None:
    go_on = threading.Event()
    with running(looker, Bounds(answer_seconds=0.2)) as address, httpx.Client(base_url=address) as client:
        monkeypatch.setattr(runtime, "look", lambda: go_on.wait(20))
        line(ask(client, picture()), 504)
        go_on.set()
