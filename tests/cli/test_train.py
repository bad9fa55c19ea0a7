"""`sandglass train`: the flags that fit a run to its machine."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


def test_flags_of_the_machine_are_kept_and_may_change_on_resume(tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "run"
    small = ("--size", 64, 64, "--channels", 8, "--batch", 4, "--threads", 1, "--workers", 1, "--device", "cpu")
    flags = ("--accumulate", 2, "--precision", "fp32", "--compile", "off")
    assert call("train", "swift", "--data", f"{tiny_coco}@train", "--out", out, "--steps", 1, *small, *flags)[0] == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["accumulate"], config["precision"], config["compile"]) == (2, "fp32", "off")
    assert call("train", "--resume", out, "--steps", 2, "--threads", 1, "--accumulate", 1)[0] == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["accumulate"], config["precision"], config["batch"]) == (1, "fp32", 4)


def test_the_machine_is_refused_what_it_cannot_do(tiny_coco: Path, tmp_path: Path, refused: Refused) -> None:
    words = (
        "train",
        "swift",
        "--data",
        f"{tiny_coco}@train",
        "--out",
        tmp_path / "run",
        "--steps",
        1,
        "--device",
        "cpu",
    )
    assert "give --batch on a CPU" in refused(*words, "--batch", 0)
    assert "a multiple of accumulate 3" in refused(*words, "--batch", 4, "--accumulate", 3)
    assert not (tmp_path / "run").exists()


def test_a_model_to_start_from(tiny_coco: Path, model: Path, tmp_path: Path, call: Call, refused: Refused) -> None:
    out, data = tmp_path / "run", f"{tiny_coco}@train"
    words = ("train", "swift", "--data", data, "--steps", 1, "--init", model)
    small = ("--size", 64, 64, "--batch", 4, "--threads", 1, "--workers", 1, "--device", "cpu")
    status, output, _ = call(*words, "--out", out, "--channels", 8, *small)
    assert status == 0 and f"starting from {model}: " in output.replace("\n", "")
    assert json.loads((out / "config.json").read_text())["init"] == str(model)
    status, output, _ = call("train", "--resume", out, "--steps", 2, "--threads", 1)
    assert status == 0 and "starting from" not in output
    assert "leave them out" in refused("train", "--resume", out, "--init", model, "--steps", 3)
    assert "choose its --stacks and --channels" in refused(
        *words, "--out", tmp_path / "other", "--channels", 16, *small
    )
    assert not (tmp_path / "other").exists()


def test_a_run_goes_on_from_any_folder(
    tiny_coco: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was named from one folder is found from another."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set").symlink_to(tiny_coco)
    small = ("--size", 64, 64, "--channels", 8, "--batch", 4, "--threads", 1, "--workers", 1, "--device", "cpu")
    monkeypatch.chdir(tmp_path)
    words = ("train", "swift", "--data", "set@train:2", "--val", "set@val", "--out", "run", "--steps", 1)
    assert call(*words, *small)[0] == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("train", "--resume", "../run", "--steps", 2, "--threads", 1)[0] == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["train"], config["val"]) == ([f"{tmp_path}/set@train:2"], f"{tmp_path}/set@val")
