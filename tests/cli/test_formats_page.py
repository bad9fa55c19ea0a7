"""What docs/ promises is what is written."""

import json
import re
from collections.abc import Callable
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text("utf-8")


def section(heading: str) -> str:
    """What stands below a heading."""
    return TEXT.partition(f"\n## {heading}")[2].partition("\n## ")[0].partition("\n")[2]


def fields(text: str) -> set[str]:
    return set(re.findall(r"`([A-Za-z0-9_@.]+)`", text))


def test_fields_of_predictions(tiny_coco: Path, model: Path, tmp_path: Path, call: Callable[..., tuple]) -> None:
    photo = next((tiny_coco / "val").iterdir())
    formats = ("--format", "coco", "csv")
    assert call("predict", model, photo, "--out", tmp_path, *formats, "--device", "cpu", "--runtime", "torch")[0] == 0
    (row,) = json.loads((tmp_path / "predictions.json").read_text())
    told = set(re.findall(r"^\| `(\w+)` \|", section("predictions.json"), re.MULTILINE))
    assert set(row) == told
    heads = (tmp_path / "predictions.csv").read_text().splitlines()[0].split(",")
    assert set(heads[:7]) <= fields(section("predictions.json"))


def test_fields_of_scores_and_of_the_journal(tiny_coco: Path, tmp_path: Path, call: Callable[..., tuple]) -> None:
    small = ("--size", 64, 64, "--channels", 8, "--batch", 4, "--threads", 1, "--workers", 1, "--device", "cpu")
    words = ("train", "swift", "--data", f"{tiny_coco}@train", "--val", f"{tiny_coco}@val", "--out", tmp_path / "run")
    assert call(*words, "--steps", 10, *small)[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    training = next(row for row in rows if "loss" in row)
    assert fields(section("metrics.jsonl").partition("After an evaluation")[0]) <= set(training)
    model = tmp_path / "run" / "model.safetensors"
    out = tmp_path / "scored"
    flags = ("--protocol", "coco-gt", "--out", out, "--device", "cpu", "--runtime", "torch")
    assert call("evaluate", model, "--data", f"{tiny_coco}@val", *flags)[0] == 0
    assert fields(section("scores.json")) - {"report.json", "scores.json"} <= set(
        json.loads((out / "scores.json").read_text())
    )
