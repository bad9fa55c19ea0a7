"""`sandglass doctor`: one table, status 0 where nothing fails and 1 where something does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandglass.evaluation import environment


def test_a_sound_machine_a_model_and_a_set(
    call: Callable[..., Any], tiny_coco: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "LEAST_MEMORY", 0.0)
    monkeypatch.setattr(environment, "LEAST_DISK", 0.0)
    status, told, _ = call("doctor", "--data", f"{tiny_coco}@train", "--model", model)
    assert status == 0, told
    assert "7 people" in told and "shipped model" in told and "torch" in told


def test_what_fails_is_told_with_its_cure(call: Callable[..., Any], tiny_coco: Path, tmp_path: Path) -> None:
    status, told, _ = call("doctor", "--data", f"{tiny_coco}@none", "--model", tmp_path / "none.safetensors")
    failed = [line for line in told.splitlines() if line.split()[:1] == ["fail"]]
    assert status == 1 and len(failed) == 2
