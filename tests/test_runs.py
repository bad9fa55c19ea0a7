"""The scripts of runs/: each does its work end to end on drawn people, and the model card is what they wrote."""

import hashlib
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sandglass.core.config import altered
from sandglass.core.errors import BadInput
from sandglass.core.image import read_image
from sandglass.data.figures import write_figures
from sandglass.data.sets import read_set
from sandglass.draw.plot import to_svg
from sandglass.inference.exported import read_exported
from sandglass.models.checkpoint import read_spec
from sandglass.models.shipped import DEFAULT_MODEL, SHIPPED
from sandglass.recipes import find_recipe
from sandglass.training.config import RunConfig

REPOSITORY = Path(__file__).resolve().parent.parent
RUNS = REPOSITORY / "runs"
CARD = (REPOSITORY / "MODEL_CARD.md").read_text("utf-8")
MODELS = {name: json.loads(weights.with_suffix(".json").read_text("utf-8")) for name, weights in SHIPPED.items()}
FACTS = MODELS[DEFAULT_MODEL]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PYTHON": sys.executable,
    "SANDGLASS": f"{sys.executable} -m sandglass",
    "TORCHRUN": f"{sys.executable} -m torch.distributed.run",
}


def run(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, as users start it; it must go well."""
    line = [str(word) for word in words]
    done = subprocess.run(line, capture_output=True, text=True, env=ENVIRONMENT | variables, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def script(name: str) -> ModuleType:
    """One of them as a module."""
    spec = importlib.util.spec_from_file_location(name, RUNS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def card() -> ModuleType:
    return script("card")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people by the names of the real sets: coco@train, coco@val, and the latter again as the others."""
    folder = tmp_path_factory.mktemp("people")
    write_figures(folder / "coco", "train", 12, seed=1, workers=1)
    write_figures(folder / "coco", "val", 4, seed=2, workers=1)
    for name, split in (("lsp", "test"), ("mpii", "val")):
        (folder / name / "annotations").mkdir(parents=True)
        labels = folder / "coco" / "annotations" / "person_keypoints_val.json"
        shutil.copy(labels, folder / name / "annotations" / f"person_keypoints_{split}.json")
        shutil.copytree(folder / "coco" / "val", folder / name / split)
    return folder


# The model card


@pytest.mark.parametrize("name", SHIPPED)
def test_the_figures_are_of_the_weights_that_ship(name: str) -> None:
    assert MODELS[name]["sha256"] == hashlib.sha256(SHIPPED[name].read_bytes()).hexdigest()
    assert MODELS[name]["bytes"] == SHIPPED[name].stat().st_size


def test_the_card_tells_the_figures_that_ship(card: ModuleType) -> None:
    assert card.render(CARD, MODELS) == CARD, "run: runs/ship.py --render"


def test_the_card_is_told_by_hand_only_where_no_figure_of_the_model_is_named(card: ModuleType) -> None:
    by_hand = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", CARD, flags=re.DOTALL)
    assert not re.search(r"AP \**0\.\d|PCK\S* 0\.\d", by_hand)


@pytest.mark.parametrize("name", SHIPPED)
def test_another_figure_makes_another_card(card: ModuleType, name: str) -> None:
    models = json.loads(json.dumps(MODELS))
    models[name]["sets"]["coco@val"]["figures"]["AP"]["value"] = 0.987
    assert "0.987" in card.render(CARD, models) and "0.987" not in CARD


def test_a_card_tells_of_one_model_or_of_several(card: ModuleType) -> None:
    for name, write in card.BLOCKS.items():
        if name != "stages":  # of models with several stacks alone
            assert "no-2" in write({"no-1": FACTS, "no-2": FACTS}) and "no-2" not in write({"no-1": FACTS}), name
    stack = {"stack": 2, "figures": {"AP": 0.5, "PCK@0.2": 0.7}, "intervals": {"AP": [0.4, 0.6], "PCK@0.2": [0.6, 0.8]}}
    stack |= {"inversions": 0.01, "entropy": 1.0, "gmac": 0.2, "milliseconds": 9.0}
    short = MODELS["swift-s"]
    told = card.stages({"one": short, "other": short | {"ledger": {"stages": [stack]}}})
    assert "| `other` | 2 | 0.500 (0.400 … 0.600) |" in told and "`one`" not in told


@pytest.mark.parametrize("damage", ["<!-- /cost -->", "<!-- cost -->"])
def test_a_card_without_a_block_is_refused(card: ModuleType, damage: str) -> None:
    with pytest.raises(BadInput, match="cost"):
        card.render(CARD.replace(damage, ""), MODELS)


# The bench


BENCH = """
[common]
train = ["coco@train"]
score = ["coco@val"]

[[entry]]
name = "tiny"
recipe = "swift"
set = ["model.codec.size=[64, 64]", "model.options.channels=8", "model.options.depth=1", "batch=4"]

[[entry]]
name = "tiny, from tiny"
recipe = "swift"
set = ["model.codec.size=[64, 64]", "model.options.channels=8", "model.options.depth=1", "batch=2"]
start = "tiny"
"""


@pytest.fixture(scope="module")
def benched(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bench of two tiny entries."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "bench.toml").write_text(BENCH, "utf-8")
    run(*bench(people, folder), "--images", 8)
    return folder / "out"


def bench(people: Path, folder: Path) -> list[object]:
    words = [sys.executable, RUNS / "bench.py", people, folder / "out", "--listing", folder / "bench.toml"]
    return [*words, "--device", "cpu", "--threads", 1]


def test_the_bench_trains_scores_compares_and_keeps_what_is_finished(people: Path, benched: Path) -> None:
    out = benched
    first, second = json.loads((out / "bench.json").read_text("utf-8"))
    assert (first["entry"], second["entry"]) == ("tiny", "tiny, from tiny")
    assert first["images"] == second["images"] == 8, "in steps of 4 and of 2"
    assert first["people"] >= 12 and first["gmac"] > 0
    taught = read_spec(out / "tiny" / "seed0" / "last.safetensors").summary["train"]
    assert taught == ["coco@train"], "the sets of the pack, not the pack"
    assert not first["more"] and second["more"]["coco@val"].keys() >= {"difference", "low", "high", "real"}
    assert len(list((out / "packs").iterdir())) == 1, "both cut alike"
    config = json.loads((out / "tiny-from-tiny" / "seed0" / "config.json").read_text("utf-8"))
    assert config["init"].endswith("tiny/seed0/last.safetensors")
    table = (out / "bench.md").read_text("utf-8")
    assert table.count("\n") == 2 + 2
    (out / "bench.md").unlink()
    assert "$ sandglass" not in run(*bench(people, out.parent), "--table").stdout
    assert (out / "bench.md").read_text("utf-8") == table


@pytest.mark.parametrize(("listing", "least"), [("bench.toml", 20), ("bench_now.toml", 10)])
def test_every_entry_of_a_listing_is_a_run_that_can_be(listing: str, least: int) -> None:
    module = script("bench")
    entries = module.read_entries(tomllib.loads((RUNS / listing).read_text("utf-8")))
    assert len({module.slug(entry.name) for entry in entries}) == len(entries) > least
    for i, entry in enumerate(entries):
        assert isinstance(altered(find_recipe(entry.recipe), entry.set), RunConfig)
        assert not entry.start or entry.start in [before.name for before in entries[:i]]


# The pictures


def row(entry: str, value: float, **changed: object) -> dict[str, object]:
    scores = {name: {"value": value, "low": value - 0.02, "high": value + 0.02} for name in ("coco@val", "lsp@test")}
    more = {
        name: {"difference": value - 0.3, "low": value - 0.31, "high": value - 0.29, "real": True} for name in scores
    }
    base = {"entry": entry, "seed": 0, "drawn": False, "share": 1.0, "people": 16000, "images": 12000, "gmac": 0.1}
    return (
        base
        | {"network": {"stacks": 1}, "scores": scores, "more": more if entry != "ours" or changed.get("seed") else {}}
        | changed
    )


ROWS = [
    row("ours", 0.3),
    row("ours, half", 0.2, share=0.5, people=8000),
    row("ours, a quarter", 0.1, share=0.25, people=4000),
    row("ours, two stacks", 0.4, network={"stacks": 2}, gmac=0.2),
    row("plain", 0.1, network={"stacks": 3}, gmac=0.3),
    row("ours", 0.31, seed=1),
]


def test_the_learning_curve_is_a_line_over_doublings() -> None:
    figures = script("figures")
    points = figures.curve_points(ROWS)
    assert [point["people"] for point in points] == [4000, 8000, 16000]
    found = figures.trend(points, "coco@val")
    assert found["a doubling"][0] == pytest.approx(0.1) and found["real"]
    assert found["all of COCO"][0] == pytest.approx(0.3 + 0.1 * math.log2(figures.ALL_OF_COCO / 16000))
    low, high = found["a doubling"][1:]
    assert (high - low) / 2 == pytest.approx(0.02 / math.sqrt(2))  # of three points one doubling apart: sum of x² is 2
    assert figures.trend(points[:2], "coco@val") is None


def test_the_first_steps_are_shown_under_what_empty_maps_would_cost(benched: Path) -> None:
    figures = script("figures")
    spec = find_recipe("swift").model
    spec = replace(spec, codec=replace(spec.codec, sigmas=(1.5,)))
    cells, gauss = 32 * 32, np.exp(-0.5 * ((np.arange(32) - 15.5) / 1.5) ** 2)
    p = gauss / gauss.sum()
    assert figures.plateau(spec) == pytest.approx(math.log(cells) + 2 * (p * np.log(p)).sum(), abs=1e-4)
    rows = figures.journal(benched / "tiny" / "seed0")
    assert rows and to_svg(figures.first_steps(rows, spec), "picture").startswith("<svg")


def test_the_pictures_show_every_run() -> None:
    figures = script("figures")
    assert [one["entry"] for one in figures.networks(ROWS)] == ["ours", "ours, two stacks", "plain"]
    speed = {name: {"fast": {"ms": 3.0}, "slow": {"ms": 4.0}} for name in ("ours", "ours, two stacks", "plain")}
    for figure in (figures.ideas(ROWS), figures.learning_curve(ROWS), figures.frontier(figures.networks(ROWS), speed)):
        assert to_svg(figure, "picture").startswith("<svg")
    told = to_svg(figures.ideas(ROWS), "ideas")
    assert all(name in told for name in ("two stacks", "plain", "ours with seed 1")) and "a quarter" not in told


# Shipping


def test_runs_ship_with_their_card_and_could_be_trained_again(
    card: ModuleType, people: Path, benched: Path, tmp_path: Path
) -> None:
    weights, page = tmp_path / "swift-s.safetensors", tmp_path / "card.md"
    page.write_text(CARD, "utf-8")
    runs = [benched / "tiny" / "seed0", benched / "tiny-from-tiny" / "seed0"]
    facts = weights.with_suffix(".json")
    facts.write_text(json.dumps({"speed": FACTS["speed"]}), "utf-8")
    ship = [sys.executable, RUNS / "ship.py", people, *runs, "--weights", weights, "--card", page, "--threads", 1]
    run(*ship, "--repeats", 0, "--padding", 1.1, "--smooth", 1)
    told = json.loads(facts.read_text("utf-8"))
    assert told["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest() and told["speed"] == FACTS["speed"]
    assert page.read_text("utf-8") == card.render(CARD, {"swift-s": told}) != CARD
    run(*[word for word in ship if word not in runs], "--repeats", 0)  # measured once more: the same, in every file
    assert json.loads(facts.read_text("utf-8")) == told
    described = read_exported(weights.with_suffix(".onnx")).facts
    assert described["checkpoint"] == told["sha256"]
    spec, last = read_spec(weights), read_spec(runs[-1] / "model.safetensors").summary
    assert spec.summary["licence"] == described["licence"] == "MIT"
    assert spec.summary["data_fingerprint"] == described["data_fingerprint"] == last["data_fingerprint"] != ""
    taken = {"protocol": "coco-gt", "data": "coco@val", "flip": "yes"}
    assert spec.summary["scores_of"] == json.loads(described["scores_of"]) == taken
    assert (spec.padding, spec.codec.smooth) == (1.1, 1)
    assert spec.summary["images"] == 16 and spec.summary["train"] == ["coco@train"]
    first, second = spec.summary["stages"]
    assert (first["steps"], second["steps"]) == (2, 4) and "batch=4" in first["settings"]
    one, two = script("again").commands(spec.summary["stages"], people, tmp_path, "cpu")
    assert f"{people}/coco@train" in one and "--init" not in one
    assert two[two.index("--init") + 1] == one[one.index("--out") + 1] + "/model.safetensors"
    again = altered(find_recipe(two[1]), two[two.index("--set") + 1 :])
    assert (again.batch, again.model.options) == (2, spec.options)


def test_photographs_that_are_nearly_learnt_from_are_found(people: Path, tmp_path: Path) -> None:
    """One of the set to score on, darker and encoded anew, is planted in the set to learn from."""
    import cv2

    folder = shutil.copytree(people, tmp_path / "people")
    near = script("leaks").near_teaching
    assert near(folder, ("coco@val",)) == {"coco@val": []}
    held = read_set(f"{folder}/coco@val")
    teaching = read_set(f"{folder}/coco@train")
    photo = read_image(held.image_paths[0])
    size = tuple(int(side) for side in teaching.image_sizes[0])
    cv2.imwrite(str(teaching.image_paths[0]), cv2.resize((photo[..., ::-1] * 0.8).astype("uint8"), size))
    assert near(folder, ("coco@val",)) == {"coco@val": [int(held.image_ids[0])]}


def test_choices_after_training_are_compared(people: Path) -> None:
    done = run(sys.executable, RUNS / "test_time.py", people, "--threads", 1, "--only", "argmax")
    found = json.loads(done.stdout.splitlines()[-1])
    assert [one["choice"] for one in found["choices"]] == ["decoder argmax"]
    assert found["choices"][0]["PCK@0.2 on lsp@test"].keys() >= {"difference", "low", "high", "real"}


# All of COCO


def test_all_of_coco_in_its_quick_mode(tmp_path: Path) -> None:
    words = ["bash", RUNS / "coco_full.sh", tmp_path]
    run(*words, QUICK="1")
    table = (tmp_path / "frontier.csv").read_text("utf-8").splitlines()
    assert table[0] == "model,parameters,gmac,AP,low,high" and table[1].startswith("quick,") and len(table) == 2
    left = {path.name for path in (tmp_path / "quick").iterdir()}
    assert left >= {"model.safetensors", "model.onnx", "model.onnx.json", "report.html", "scores.json", "metrics.jsonl"}
    before = (tmp_path / "quick" / "model.safetensors").stat().st_mtime_ns
    assert "training" not in run(*words, QUICK="1").stdout, "what is finished is kept"
    assert (tmp_path / "quick" / "model.safetensors").stat().st_mtime_ns == before
