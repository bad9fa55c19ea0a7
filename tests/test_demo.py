"""The demo, with few people and seconds: what it leaves, that it can be repeated, and that it spares other folders."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sandglass import demo as module
from sandglass.core.errors import BadInput
from sandglass.demo import CONTENT, demo
from sandglass.models.checkpoint import read_spec
from sandglass.recipes import figures, resized
from sandglass.training.state import NEWEST_FILE


def run(out: Path, people: int = 24, seed: int = 5) -> str:
    console = Console(file=io.StringIO(), width=200)
    scores, page = demo(out, minutes=0.04, people=people, seed=seed, console=console)
    assert page == out / "report.html" and scores.protocol == "coco-gt"
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def small():
    """The demo's own code on a network and crops that take a second."""
    tiny = resized(figures(), size=(64, 64), channels=8, batch=4)
    tiny = replace(tiny, evaluations=2, threads=1, workers=1, schedule=replace(tiny.schedule, warmup=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HELD_OUT", 6)
        patch.setattr(module, "figures", lambda: tiny)
        yield


@pytest.fixture(scope="module")
def made(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "deep" / "demo"
    run(out)
    return out


def test_everything_is_left_in_one_folder(made: Path) -> None:
    assert {path.name for path in made.iterdir()} <= CONTENT
    absent = {"tensorboard", NEWEST_FILE}  # where it is not installed; and what is there for a moment only
    assert CONTENT - {path.name for path in made.iterdir()} <= absent
    scores = json.loads((made / "scores.json").read_text())
    assert scores["protocol"] == "coco-gt" and scores["people"] >= 6
    assert {"AP", "AP50", "AP75", "APM", "APL", "AR", "PCK@0.2"} <= scores.keys()
    assert (made / "scores.csv").read_text().startswith("protocol,figure,value,low,high\n")
    assert len(json.loads((made / "predictions.json").read_text())) == scores["people"]
    rows = [json.loads(line) for line in (made / "metrics.jsonl").read_text().splitlines()]
    assert any("loss" in row for row in rows) and "AP" in rows[-1]
    assert read_spec(made / "model.safetensors").summary["recipe"] == "figures"


def test_pictures_show_curves_heatmaps_and_people(made: Path) -> None:
    names = {path.name for path in (made / "pictures").iterdir()}
    assert "curves.png" in names
    assert sum("person" in name or "one" in name for name in names) >= 3, "heatmaps of every stack"
    assert sum(name.startswith("photo-") for name in names) >= 2
    assert all(path.stat().st_size > 1000 for path in (made / "pictures").iterdir())
    page = (made / "report.html").read_text()
    assert "sandglass demo --out" in page and page.count("data:image/jpeg") >= 5


def test_nobody_is_both_learnt_from_and_scored(made: Path) -> None:
    photos = [{path.read_bytes() for path in (made / "data" / split).iterdir()} for split in ("train", "val")]
    assert all(photos) and not photos[0] & photos[1]


def test_a_second_call_makes_it_anew(made: Path) -> None:
    drawn = {path: path.stat().st_mtime_ns for path in (made / "data").rglob("*.jpg")}
    (made / "pictures" / "photo-of-before.jpg").write_text("")
    run(made)
    assert {path: path.stat().st_mtime_ns for path in (made / "data").rglob("*.jpg")} == drawn, "the drawings are kept"
    assert not (made / "pictures" / "photo-of-before.jpg").exists()
    rows = [json.loads(line) for line in (made / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == sorted(set(steps)), "no row of the first call is left"


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_demo_without_time_is_refused_before_anything_is_drawn(small: None, minutes: float, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    with pytest.raises(
        BadInput, match=r"^a demo cannot train for .* minutes; give a positive number, as in --minutes 7$"
    ):
        demo(out, minutes=minutes, people=24, seed=5, console=Console(file=io.StringIO()))
    assert not out.exists()


@pytest.mark.parametrize(
    "inside", [["thesis.tex"], ["config.json", "state.safetensors", "metrics.jsonl"], ["data/mine.csv", "notes.md"]]
)
def test_a_folder_with_other_content_is_refused_and_left_as_it_is(
    small: None, inside: list[str], tmp_path: Path
) -> None:
    for name in inside:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(BadInput, match="which no demo made; choose another --out"):
        run(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        inside
    )
    assert all((tmp_path / name).read_text() == "mine" for name in inside)


def test_the_users_own_photographs_are_not_drawn_over(small: None, tmp_path: Path) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "me.jpg").write_text("mine")
    with pytest.raises(BadInput, match="holds something that was not drawn here"):
        run(tmp_path)
    assert (tmp_path / "data" / "train" / "me.jpg").read_text() == "mine"


def test_a_file_in_the_way_is_told(small: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="cannot be written"):
        run(tmp_path / "file")
