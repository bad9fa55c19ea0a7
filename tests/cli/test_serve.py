"""`sandglass serve`: it starts, says where, warns when others can reach it, and goes quietly."""

import importlib.util
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

PIXEL = b"BM" + bytes.fromhex("3a0000000000000036000000280000000100000001000000010018000000000004000000") + bytes(20)


def test_serves_a_trained_model_until_it_is_interrupted(command, model) -> None:
    process = command("serve", model, "--port", 0, "--runtime", "torch", "--device", "cpu")
    address = process.stdout.readline().split()[0]
    assert address.startswith("http://127.0.0.1:")
    with httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/health").json()["status"] == "ok"
        answer = client.post("/predict", files={"file": ("a.bmp", PIXEL)})
        assert (answer.status_code, answer.json()["width"]) == (200, 1)
        facts = client.get("/model").json()
        assert (facts["name"], facts["runtime"]) == ("model", "torch on cpu")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


def test_wide_open_server_is_warned_of(call, model, monkeypatch) -> None:
    served = []
    monkeypatch.setattr(
        "sandglass.web.server.serve", lambda *_: SimpleNamespace(run=lambda sockets: served.append(sockets))
    )
    status, told, errors = call("serve", model, "--port", 0, "--host", "0.0.0.0", "--device", "cpu")
    assert status == 0 and served and told.startswith("http://0.0.0.0:")
    assert errors.startswith("warning: everybody who can reach 0.0.0.0 ") and errors.count("\n") == 1


def test_missing_or_broken_model(refused, tmp_path: Path) -> None:
    assert "no such" in refused("serve", tmp_path / "none.safetensors", "--port", 0)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nonsense")
    assert str(broken) in refused("serve", broken, "--port", 0)


def test_port_in_use(refused, model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "in use" in refused("serve", model, "--port", other.getsockname()[1])


@pytest.mark.parametrize("words", [("--port", 70_000), ("--host", "no such host"), ("--host", "192.0.2.1")])
def test_no_such_place(refused, model, words) -> None:
    assert "--port" in refused("serve", model, *words)


def test_without_fastapi(refused, model, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "fastapi" else find(name))
    assert "pip install 'sandglass[serve]'" in refused("serve", model, "--port", 0)
