"""Two hundred requests at once: each is answered, none is lost, also when bad ones come between."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

CROWD = 200
BOXES = {"boxes": "[[10, 10, 90, 120], [20, 20, 150, 150]]"}


@pytest.fixture
def written(client: httpx.Client, picture) -> Any:
    """`written(files=..., data=...)`: a request to /predict as the bytes that go over the line."""

    def write(**request: Any) -> bytes:
        built = client.build_request("POST", "/predict", **request)
        built.headers["connection"] = "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in built.headers.items())
        return f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + built.read()

    return write


async def ask_once(address: str, request: bytes) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def ask_until_answered(address: str, request: bytes) -> bytes:
    """Come again while the server is busy."""
    while (answer := await ask_once(address, request)).startswith(b"HTTP/1.1 503 "):
        assert b"\r\nretry-after: 1\r\n" in answer
        await asyncio.sleep(0.2)
    return answer


async def all_at_once(questions: Iterable[Any]) -> list[bytes]:
    return await asyncio.gather(*questions)


def statuses(answers: list[bytes]) -> list[int]:
    return [int(answer[9:12]) for answer in answers]


def test_crowd_is_answered_or_told_to_come_again(address: str, written, picture) -> None:
    request = written(files={"file": ("a.png", picture())}, data=BOXES)
    answers = asyncio.run(all_at_once(ask_once(address, request) for _ in range(CROWD)))
    assert set(statuses(answers)) <= {200, 503} and statuses(answers).count(200) >= 32  # as many as there are seats


def test_who_comes_again_is_answered_among_bad_requests(address: str, client, written, picture) -> None:
    data = picture()
    photo = {"file": ("a.png", data)}
    broken = {"content": b"--y\r\nnonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}}
    bad = [
        (415, written(files={"file": ("a.png", b"nonsense")})),
        (422, written(files={"file": ("a.png", data[:-20])})),
        (422, written(files=photo, data={"boxes": "[[0,0,0,0]]"})),
        (400, written(**broken)),
        (415, written(json={})),
        (413, written(files={"file": ("a.png", b"x" * (21 * 2**20))})),
    ]
    requests = [(200, written(files=photo, data=BOXES))] * CROWD
    requests[::10] = bad * 3 + bad[:2]
    answers = asyncio.run(all_at_once(ask_until_answered(address, request) for _, request in requests))
    assert statuses(answers) == [status for status, _ in requests]
    good = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers if answer[9:12] == b"200"]
    assert all(one["poses"] == good[0]["poses"] and len(one["poses"]) == 2 for one in good)
    assert client.get("/health").json()["waiting"] == 0


def test_who_goes_away_leaves_no_seat_taken(address: str, client, written, picture, ask) -> None:
    request = written(files={"file": ("a.png", picture())})

    async def leave() -> None:
        host, port = address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request[: len(request) // 2])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    asyncio.run(all_at_once(leave() for _ in range(40)))
    while client.get("/health").json()["waiting"]:
        pass
    assert ask(client, picture()).status_code == 200
