"""The command line: files that other tools rely on, and one line with status 2 for whatever cannot be used."""

import importlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass import cli
from sandglass.core.skeleton import Skeleton
from sandglass.models.checkpoint import read_spec, save_checkpoint
from sandglass.models.shipped import DEFAULT_MODEL, SHIPPED
from sandglass.models.zoo import build
from sandglass.recipes import resized, swift
from sandglass.training.config import RunConfig

SMALL = ["--size", "64", "64", "--channels", "8", "--batch", "4", "--threads", "1", "--workers", "1", "--device", "cpu"]
Call = Callable[..., tuple[int, str, str]]
Command = Callable[..., subprocess.Popen[str]]
Refused = Callable[..., str]


def spoil(folder: Path, split: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite the annotations of a split."""
    path = folder / "annotations" / f"person_keypoints_{split}.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


# ---------------------------------------------------------------- help and usage


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "one verb a command"),
        (["--help"], "data draw"),
        (["demo"], "--minutes"),
        (["train"], "--resume"),
        (["evaluate"], "--protocol"),
        (["predict"], "--boxes"),
        (["models"], "WIDTH HEIGHT"),
        (["ceiling"], "FOLDER@SPLIT"),
        (["data"], "draw"),
        (["data", "draw"], "--val-people"),
    ],
)
def test_every_command_helps(words: list[str], says: str, call: Call) -> None:
    status, out, errors = call(*words, "--help")
    assert status == 0 and says in out and not errors


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_overview_says_what_each_verb_says(verb: str) -> None:
    module, summary = cli.VERBS[verb]
    run = importlib.import_module(f"sandglass.cli.{module}").run
    assert (run.__doc__ or "").splitlines()[0] == summary


@pytest.mark.parametrize("words", [["--help"], ["data", "-h"], ["--version"], []])
def test_the_overview_waits_for_no_heavy_import(words: list[str]) -> None:
    heavy = "{'torch', 'cv2', 'matplotlib', 'hotcoco', 'numpy', 'tyro', 'rich'}"
    code = (
        f"import sys\nsys.argv = ['sandglass', *{words!r}]\nfrom sandglass.cli import main\n"
        f"main()\nsys.exit(', '.join(sorted({heavy} & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("data draw" in done.stdout + done.stderr) or words == ["--version"]


def test_python_m_is_the_same_command() -> None:
    for words, status in ((["--version"], 0), (["no-such-verb"], 2)):
        one, other = (
            subprocess.run([sys.executable, *how, *words], capture_output=True, text=True, check=False)
            for how in (["-m", "sandglass"], ["-c", "import sys; from sandglass.cli import main; sys.exit(main())"])
        )
        assert one.returncode == other.returncode == status
        assert (one.stdout, one.stderr) == (other.stdout, other.stderr) != ("", "")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_waits_for_no_torch(verb: str) -> None:
    code = (
        f"import sys\nsys.argv = ['sandglass', *{verb.split()!r}, '--help']\nfrom sandglass.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'cv2', 'matplotlib', 'hotcoco'} & sys.modules.keys()\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "swift", "--epochs", "3"], "unrecognized options: --epochs, 3"),
        (["train", "swift", "--steps", "many"], "error parsing --steps: invalid literal for int() with base 10: 'ma"),
        (["evaluate"], "missing: --data FOLDER@SPLIT, --out PATH"),
        (["evaluate", "--dat", "x", "--out", "o"], "missing: --data FOLDER@SPLIT; unrecognized options: --dat, x"),
        (["models", "--size", "256"], "missing value for argument '--size'. Expected 2 values"),
        (["demo", "--people"], "missing value for argument '--people'. Expected 1 values"),
        (["demo", "--poeple", "3"], "unrecognized options: --poeple, 3; perhaps you meant: --people INT"),
        (["predict", "a", "--format", "x"], "invalid choice 'x' for argument '--format'. Expected one of ('coco', 'js"),
        (["data stats", "--" + 50 * "word-"], "unrecognized options: --" + 50 * "word-"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_usage_errors_are_one_line_and_have_status_2(
    words: list[str], says: str, encoding: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On terminals of any width, and such that know no lines of boxes."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    monkeypatch.setattr("tyro._fmtlib._FORCE_ANSI", encoding == "utf-8")
    verb = words[0]
    status, _, errors = call(*verb.split(), *words[1:])
    assert status == 2 and errors.startswith(f"sandglass {verb}: {says}"), errors
    assert errors.endswith(f"; see sandglass {verb} --help\n") and errors.count("\n") == 1


def test_words_that_name_no_command_have_status_2(call: Call, refused: Refused) -> None:
    assert "'paint' is no command of sandglass; known are demo, train" in refused("paint")
    status, out, errors = call()
    assert status == 2 and not out and "one verb a command" in errors


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["--data", "a", "--data", "b"], ["--data", "a", "b"]),
        (["--data=a", "x", "--data=b"], ["--data", "a", "b", "x"]),
        (["r", "--data", "a", "b", "--seed", "3", "--data", "c", "--out", "o"],
         ["r", "--data", "a", "b", "c", "--seed", "3", "--out", "o"]),
        (["--data", "a=b@c", "--database", "d"], ["--data", "a=b@c", "--database", "d"]),
        (["train", "swift"], ["train", "swift"]),
    ],
)  # fmt: skip
def test_repeated_flags_are_gathered(words: list[str], whole: list[str]) -> None:
    assert cli.gather(words, "--data") == whole


# ---------------------------------------------------------------- what commands leave behind


def test_train_leaves_the_promised_files(run_folder: Path, tiny_coco: Path) -> None:
    promised = {"model.safetensors", "last.safetensors", "metrics.jsonl", "config.json", "state.safetensors"}
    assert promised <= {path.name for path in run_folder.iterdir()}
    rows = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if "loss" in row]
    assert {"step", "loss", "lr", "images_per_second"} <= trained[0].keys()
    assert trained[-1]["step"] == 12 and any("AP" in row and "PCK@0.2" in row for row in rows)
    config = json.loads((run_folder / "config.json").read_text())
    assert (config["seed"], config["schedule"]["steps"], config["batch"]) == (3, 12, 4)
    assert config["train"] == [f"{tiny_coco}@train"] and config["model"]["options"]["channels"] == 8


def test_evaluate_leaves_scores_and_predictions(model: Path, tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "deep" / "scores"
    words = ("evaluate", model, "--data", f"{tiny_coco}@val", "--protocol", "coco-gt", "--out", out, "--device", "cpu")
    status, text, errors = call(*words)
    assert status == 0 and not errors and "PCK@0.2" in text
    scores = json.loads((out / "scores.json").read_text())
    assert scores["protocol"] == "coco-gt" and scores["people"] == 3
    assert {"AP", "AP50", "AP75", "APM", "APL", "AR", "PCK@0.2"} <= scores.keys()
    rows = json.loads((out / "predictions.json").read_text())
    assert [row["image_id"] for row in rows] == [101, 102, 102]
    assert all(len(row["keypoints"]) == 51 and row["category_id"] == 1 and 0 <= row["score"] <= 1 for row in rows)
    assert (out / "report.html").stat().st_size > 10_000 and any((out / "pictures").iterdir())


def test_predict_leaves_poses_and_an_overlay_a_photo(model: Path, tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    photos = sorted((tiny_coco / "val").iterdir())
    shutil.copy(photos[0], tmp_path / "aside.png")
    status, text, errors = call("predict", model, tmp_path / "aside.png", tiny_coco / "val", "--out", tmp_path / "out")
    assert status == 0 and not errors and "3 people in 3 photographs, by torch" in text
    assert f"wrote {tmp_path / 'out'}: predictions.json and 3 pictures\n" in text
    assert (
        "joints that score less than 0.2 (--threshold)" in text
        and "--boxes names them and --detector finds them" in text
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"predictions.json", "aside.jpg", *(f"{photo.stem}.jpg" for photo in photos)}
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row["file_name"] for row in rows] == ["aside.png", *(photo.name for photo in photos)]


def test_predict_is_a_verb_and_a_photograph(
    tiny_coco: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(next((tiny_coco / "val").iterdir()), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    status, text, errors = call("predict", "photo.jpg")
    assert status == 0 and not errors and "1 person in 1 photograph, by" in text
    assert "wrote out: predictions.json and 1 picture\n" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.json", "photo.jpg"}


def test_evaluate_takes_the_model_that_ships(tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    status, _, errors = call("evaluate", "--data", f"{tiny_coco}@val", "--out", tmp_path, "--no-flip")
    assert status == 0 and not errors
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert Path(record["model"]) == SHIPPED[DEFAULT_MODEL].resolve()
    assert record["command"].startswith(f"sandglass evaluate {DEFAULT_MODEL} --data ")


def test_predict_looks_into_boxes_of_a_file(model: Path, tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(
        json.dumps([{"image_id": 102, "bbox": [15, 25, 80, 160]}, {"image_id": 102, "bbox": [1, 2, 30, 40]}])
    )
    words = ("predict", model, tiny_coco / "val", "--out", tmp_path / "out", "--boxes", boxes, "--threshold", 0.5)
    assert call(*words, "--no-flip")[0] == 0
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row["image_id"] for row in rows] == [101, 102, 102]
    assert [row["box"] for row in rows[1:]] == [[15, 25, 80, 160], [1, 2, 30, 40]]
    for row in rows:
        scores = np.array(row["keypoints"]).reshape(-1, 3)[:, 2]
        assert [bool(p) for p in row["present"]] == [score >= 0.5 for score in scores]


def test_models_and_ceiling_print_tables(tiny_coco: Path, call: Call) -> None:
    status, text, _ = call("models", "--size", 64, 64, "--channels", 8, "--depth", 2, "--joints", 5)
    rows = [line.split("│")[1].strip() for line in text.splitlines() if line.count("│") == 4]
    assert status == 0 and rows == ["1", "2", "4", "8"]
    status, text, _ = call("ceiling", "--data", f"{tiny_coco}@train", "--size", 64, 64, "--padding", 1.1)
    assert status == 0 and "dark" in text and "argmax" in text and "1.1 x the box" in text


def test_data_draw_writes_the_coco_layout_that_train_reads(tmp_path: Path, call: Call) -> None:
    status, text, _ = call("data", "draw", "--out", tmp_path / "d", "--people", 6, "--val-people", 2, "--seed", 4)
    assert status == 0 and "6 to learn from, 2 others to score" in text
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"annotations", "train", "val"}
    words = ("train", "swift", "--data", f"{tmp_path / 'd'}@train", "--out", tmp_path / "run", "--steps", 1, *SMALL)
    assert call(*words)[0] == 0


def test_data_draw_goes_on_with_its_own_set_and_replaces_no_other(
    folder: Path, tmp_path: Path, call: Call, refused: Refused
) -> None:
    drawn = tmp_path / "d"
    words = ("data", "draw", "--out", drawn, "--people", 6, "--val-people", 2)
    assert call(*words)[0] == 0
    before = {path: path.read_bytes() for path in drawn.rglob("*") if path.is_file()}
    for other in (["--people", 3], ["--seed", 1], ["--val-people", 1]):
        split = "val" if "--val-people" in other else "train"
        line = refused(*words, *other)
        assert f"{drawn}: already holds another '{split}'; choose another --out, or remove the folder first" in line
    assert {path: path.read_bytes() for path in drawn.rglob("*") if path.is_file()} == before
    (drawn / "annotations" / "person_keypoints_val.json").unlink()
    shutil.rmtree(drawn / "val")  # as if it had been interrupted
    assert call(*words)[0] == 0
    assert {path: path.read_bytes() for path in drawn.rglob("*") if path.is_file()} == before
    assert "already holds another 'train'" in refused("data", "draw", "--out", folder, "--people", 2)


@pytest.mark.parametrize("form", ["repeated", "listed", "toml"])
def test_several_sets_can_be_named_in_three_ways(form: str, tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    shutil.copytree(tiny_coco, tmp_path / "b")
    sets = [f"{tiny_coco}@train", f"{tmp_path / 'b'}@val:2"]
    listing = tmp_path / "sets.toml"
    tables = ((tiny_coco, "train", 1), ("b", "val", 2))
    listing.write_text("".join(f'[[set]]\npath = "{p}"\nsplit = "{s}"\nweight = {w}\n' for p, s, w in tables))
    words = {
        "repeated": ["--data", sets[0], "--data", sets[1]],
        "listed": ["--data", *sets],
        "toml": ["--data", listing],
    }
    status, text, errors = call("train", "swift", *words[form], "--out", tmp_path / "run", "--steps", 1, *SMALL)
    assert status == 0, errors
    assert read_spec(tmp_path / "run" / "model.safetensors").summary["people"] == 5 + 3
    assert f"{5 + 2 * 3} examples an epoch" in text


def test_any_field_of_a_recipe_can_be_set(tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    words = ("train", "swift", "--data", f"{tiny_coco}@train", "--out", tmp_path / "run", "--steps", 1, *SMALL)
    settings = ("--set", "loss.name=mse", "model.codec.kind=heatmap", "--set", "model.options.blocks=2")
    status, _, errors = call(*words, *settings)
    assert status == 0, errors
    config = RunConfig.load(tmp_path / "run")
    assert (config.loss.name, config.model.codec.kind, config.model.options["blocks"]) == ("mse", "heatmap", 2)


# ---------------------------------------------------------------- going on


def test_resume_moves_the_end_and_the_rate(run_folder: Path, tmp_path: Path, call: Call) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    words = ("train", "--resume", run, "--steps", 14, "--lr", 1e-5, "--threads", 1, "--workers", 1, "--device", "cpu")
    status, text, errors = call(*words)
    assert status == 0 and "from step 12" in text, errors
    assert read_spec(run / "last.safetensors").summary["steps"] == 14
    assert "the learning rate rises" not in text  # another peak, a hundredth of the old one
    status, text, errors = call(*words[:4], 40, *words[7:])
    assert status == 0 and "the learning rate rises from 1.5e-08 to 9.8e-07, and falls from there" in text, errors
    config = RunConfig.load(run)
    assert (config.schedule.steps, config.optimiser.lr, config.seed) == (40, 1e-5, 3)


@pytest.mark.parametrize(
    "words", [["swift"], ["--data", "x@train"], ["--val", "x@val"], ["--out", "o"], ["--seed", "4"], ["--batch", "8"],
              ["--size", "64", "64"], ["--stacks", "2"], ["--channels", "8"], ["--set", "batch=4"]]
)  # fmt: skip
def test_resume_refuses_what_it_would_not_heed(words: list[str], run_folder: Path, refused: Refused) -> None:
    assert "leave them out" in refused("train", *words, "--resume", run_folder)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_end_with_the_customary_status(
    number: int, status: int, tiny_coco: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "run"
    process = command("train", "swift", "--data", f"{tiny_coco}@train", "--out", out, "--steps", 100_000, *SMALL)
    deadline = time.monotonic() + 100
    while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").stat().st_size:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == status and not errors
    assert f"go on with: sandglass train --resume {out}" in " ".join(text.split())
    before = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert not list(out.glob(".*")), "nothing half-written"
    config = RunConfig.load(out)
    from sandglass.training.train import train

    train(replace(config, schedule=config.schedule.until(before[-1] + 2, 0)), out, resume=True)
    after = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert after[: len(before)] == before and after[-1] == before[-1] + 2
    assert (out / "model.safetensors").exists()


# ---------------------------------------------------------------- bad input


def first(data: dict[str, Any]) -> dict[str, Any]:
    return data["annotations"][0]


BAD_LABELS: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "nobody left": (lambda d: [a.update(keypoints=[0] * 51) for a in d["annotations"]], ["no people left of 7"]),
    "not 3K": (lambda d: first(d).update(keypoints=[1, 2, 2]), ["annotation 1:", "`keypoints` has 3 entries", "51"]),
    "NaN box": (lambda d: first(d).update(bbox=[1, 2, float("nan"), 9]), ["annotation 1 has `bbox`", "finite"]),
    "negative box": (lambda d: first(d).update(bbox=[1, 2, -5, 9]), ["annotation 1 has the box", "positive"]),
    "box outside": (lambda d: first(d).update(bbox=[900, 2, 5, 9]), ["annotation 1", "wholly outside its photograph"]),
    "twice": (lambda d: d["annotations"].append(first(d)), ["annotation id 1 occurs more than once"]),
    "no such image": (lambda d: first(d).update(image_id=77), ["annotation 1 is in image 77", "not among `images`"]),
    "no keypoints": (lambda d: d["categories"][0].pop("keypoints"), ["no category has `keypoints`"]),
    "no images": (lambda d: d.pop("images"), ["has no list `images`"]),
    "escape": (lambda d: d["images"][0].update(file_name="../x.png"), ["`file_name`", "inside"]),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels_stop_a_training_before_it_writes(name: str, folder: Path, tmp_path: Path, refused: Refused) -> None:
    change, says = BAD_LABELS[name]
    spoil(folder, "train", change)
    line = refused("train", "swift", "--data", f"{folder}@train", "--out", tmp_path / "run", "--steps", 2, *SMALL)
    assert all(part in line for part in says), line
    assert ("person_keypoints_train.json" in line) or ("set@train" in line), "the file is named"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "{", "not json", "[1, 2]", '{"images": 3}'])
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_annotations_that_are_no_json(
    text: str, verb: str, model: Path, folder: Path, tmp_path: Path, refused: Refused
) -> None:
    (folder / "annotations" / "person_keypoints_val.json").write_text(text)
    out = tmp_path / "out"
    words = ["train", "swift", "--steps", 2, *SMALL] if verb == "train" else ["evaluate", model]
    assert "person_keypoints_val.json" in refused(*words, "--data", f"{folder}@val", "--out", out)
    assert not out.exists()


def test_train_usage_that_cannot_be(tiny_coco: Path, tmp_path: Path, refused: Refused) -> None:
    data, out = f"{tiny_coco}@train", tmp_path / "run"
    cases: dict[str, list[object]] = {
        "a run needs a recipe, --data and --out": ["swift", "--steps", 2],
        "recipe 'modern' is not known; choose one of classic, swift, figures": ["modern", "--data", data, "--out", out],
        "a run needs an end": ["swift", "--data", data, "--out", out],
        "names no split: write FOLDER@SPLIT[:WEIGHT]; its splits are: train, val":
            ["swift", "--data", tiny_coco, "--out", out, "--steps", 2],
        "the splits of": ["swift", "--data", f"{tiny_coco}@test", "--out", out, "--steps", 2],
        "the weight 'x' is not a number": ["swift", "--data", f"{data}:x", "--out", out, "--steps", 2],
        "is named twice": ["swift", "--data", data, "--data", data, "--out", out, "--steps", 2],
        "must be divisible by": ["swift", "--data", data, "--out", out, "--steps", 2, "--size", 100, 64],
        "multiples of 4 in": ["swift", "--data", data, "--out", out, "--steps", 2, "--size", 63, 64],
        "positive learning rate": ["swift", "--data", data, "--out", out, "--steps", 2, "--lr", -1],
        "batch 1 must be at least 2": ["swift", "--data", data, "--out", out, "--steps", 2, "--batch", 1],
        "takes no negative numbers": ["swift", "--data", data, "--out", out, "--steps", -2],
        "multiple of 4, at least 8": ["swift", "--data", data, "--out", out, "--steps", 2, "--channels", 9],
        "seed -1 must lie in": ["swift", "--data", data, "--out", out, "--steps", 2, "--seed", -1],
        "LossConfig has no field ['colour']":
            ["swift", "--data", data, "--out", out, "--steps", 2, "--set", "loss.colour=red"],
        "device 'tpu' is not here": ["swift", "--data", data, "--out", out, "--steps", 2, "--device", "tpu"],
        "config.json: not found": ["--resume", tmp_path / "nowhere"],
    }  # fmt: skip
    for says, words in cases.items():
        assert says in refused("train", *words)
    assert not out.exists() and not (tmp_path / "nowhere").exists()


def test_sizes_of_models_that_do_not_halve(refused: Refused) -> None:
    assert "must be divisible by 64 (stem 4 x hourglass 16); try 256 x 192" in refused("models", "--size", 250, 192)


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "demo", "data draw"])
def test_an_output_folder_that_cannot_be_written(
    verb: str, model: Path, tiny_coco: Path, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "out"
    words = {
        "train": ["train", "swift", "--data", f"{tiny_coco}@train", "--steps", 2, *SMALL],
        "evaluate": ["evaluate", model, "--data", f"{tiny_coco}@val"],
        "predict": ["predict", model, tiny_coco / "val"],
        "demo": ["demo"],
        "data draw": ["data", "draw", "--people", 2],
    }[verb]
    line = refused(*words, "--out", out)
    assert "cannot be written" in line and str(out) in line and "choose another" in line
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("spoilt", ["missing", "truncated", "empty"])
def test_evaluate_refuses_a_set_with_a_bad_photograph(
    spoilt: str, model: Path, folder: Path, tmp_path: Path, refused: Refused
) -> None:
    spoil_photo(folder / "val" / "000102.png", spoilt)
    line = refused("evaluate", model, "--data", f"{folder}@val", "--out", tmp_path / "out", "--device", "cpu")
    assert "000102.png" in line
    assert not (tmp_path / "out").exists()


def spoil_photo(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if how == "empty" else 3000])


@pytest.mark.parametrize("spoilt", ["truncated", "empty", "text"])
def test_predict_does_the_others_and_tells_the_bad_one(
    spoilt: str, model: Path, folder: Path, tmp_path: Path, refused: Refused
) -> None:
    photo = folder / "val" / "000101.png"
    photo.write_text("no picture") if spoilt == "text" else spoil_photo(photo, spoilt)
    line = refused("predict", model, folder / "val", "--out", tmp_path / "out", "--device", "cpu")
    assert "1 of 2 photographs could not be used" in line and "000101.png" in line
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.json", "000102.jpg"}
    assert [row["image_id"] for row in json.loads((tmp_path / "out" / "predictions.json").read_text())] == [102]


def test_predict_without_a_photograph_that_can_be_used_writes_nothing(
    model: Path, folder: Path, tmp_path: Path, refused: Refused
) -> None:
    photos = sorted((folder / "val").iterdir())
    for photo in photos:
        photo.write_text("no picture")
    (tmp_path / "predictions.json").write_text("[1]")
    line = refused("predict", model, *photos, "--out", tmp_path, "--device", "cpu")
    assert f"none of the {len(photos)} photographs could be used; the first: {photos[0]}: " in line
    line = refused("predict", model, photos[0], "--out", tmp_path, "--device", "cpu")
    assert line.startswith(f"sandglass: {photos[0]}: ")
    assert (tmp_path / "predictions.json").read_text() == "[1]"
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.json", folder.name}


def test_predict_counts_the_pictures_that_it_wrote(model: Path, folder: Path, tmp_path: Path, call: Call) -> None:
    (folder / "val" / "000101.png").write_text("no picture")
    status, text, _ = call("predict", model, folder / "val", "--out", tmp_path / "out", "--device", "cpu")
    assert status == 2 and "predictions.json and 1 picture\n" in text


def test_predict_tells_of_boxes_that_are_of_no_photograph(
    model: Path, tiny_coco: Path, tmp_path: Path, call: Call, refused: Refused
) -> None:
    boxes, box = tmp_path / "boxes.json", [[15, 25, 80, 160]]
    words = ("predict", model, tiny_coco / "val", "--out", tmp_path / "out", "--boxes", boxes, "--device", "cpu")
    boxes.write_text(json.dumps({"000101": box, "lost.jpg": box, "gone.jpg": []}))
    status, text, _ = call(*words)
    assert status == 0
    assert f"{boxes}: 2 of the 3 photographs that it names were not looked at (the first: 'lost.jpg')\n" in text
    boxes.write_text(json.dumps({"000101.png": box, "102": box}))
    assert "were not looked at" not in call(*words)[1]
    shutil.rmtree(tmp_path / "out")
    boxes.write_text(json.dumps({"lost.jpg": box, "gone.jpg": []}))
    line = refused(*words)
    assert f"{boxes}: none of the 2 photographs that it names is looked at (the first: 'lost.jpg'); call them" in line
    assert "such as '000101.png'" in line
    boxes.write_text("[]")
    assert f"{boxes}: names no photographs; call them" in refused(*words)
    assert not (tmp_path / "out").exists()


def test_predict_refuses_photographs_that_are_not_there(model: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "empty").mkdir()
    for place, says in ((tmp_path / "no.jpg", "no such photograph"), (tmp_path / "empty", "no photographs in this")):
        assert says in refused("predict", model, place, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("photo", ["missing", "empty"])
def test_a_training_set_with_bad_photographs_is_told_or_refused(
    photo: str, drawn_set: Path, tmp_path: Path, call: Call, refused: Refused
) -> None:
    """One in a dozen is left out and told; a quarter of them is a broken set."""
    photos = sorted((drawn_set / "train").iterdir())
    words = ("train", "swift", "--data", f"{drawn_set}@train", "--steps", 1, *SMALL)
    spoil_photo(photos[0], photo)
    status, text, errors = call(*words, "--out", tmp_path / "run")
    assert status == 0 and not errors
    assert "1 photographs (the first: " in text and photos[0].name in text
    for other in photos[1:4]:
        spoil_photo(other, photo)
    line = refused(*words, "--out", tmp_path / "other")
    assert f"4 of {len(photos)} photographs unusable" in line
    assert not (tmp_path / "other").exists()


@pytest.fixture
def drawn_set(tiny_coco: Path, tmp_path: Path) -> Path:
    """Twelve photographs of one person each."""
    folder = tmp_path / "twelve"
    (folder / "train").mkdir(parents=True)
    (folder / "annotations").mkdir()
    data = json.loads((tiny_coco / "annotations" / "person_keypoints_train.json").read_text())
    image, person = data["images"][1], next(a for a in data["annotations"] if a["image_id"] == data["images"][1]["id"])
    for i in range(12):
        shutil.copy(tiny_coco / "train" / image["file_name"], folder / "train" / f"{i:02d}.png")
    data["images"] = [{**image, "id": i, "file_name": f"{i:02d}.png"} for i in range(12)]
    data["annotations"] = [{**person, "id": i, "image_id": i} for i in range(12)]
    (folder / "annotations" / "person_keypoints_train.json").write_text(json.dumps(data))
    return folder


BAD_MODELS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "no safetensors": lambda data: b"PK\x03\x04" + data[4:],
}


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
@pytest.mark.parametrize("how", [*BAD_MODELS, "missing", "a resume state"])
def test_a_bad_checkpoint(
    how: str, verb: str, model: Path, run_folder: Path, tiny_coco: Path, tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "model.safetensors"
    if how == "a resume state":
        shutil.copy(run_folder / "state.safetensors", path)
    elif how != "missing":
        path.write_bytes(BAD_MODELS[how](model.read_bytes()))
    words = {"evaluate": ["--data", f"{tiny_coco}@val"], "predict": [tiny_coco / "val"]}[verb]
    assert str(path) in refused(verb, path, *words, "--out", tmp_path / "out", "--device", "cpu")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_skeleton(tiny_coco: Path, tmp_path: Path, refused: Refused) -> None:
    config = resized(swift(), size=(64, 64), channels=8)
    spec = replace(config.model, skeleton=Skeleton.from_dict({"name": "stick", "joints": ["top", "bottom"]}))
    save_checkpoint(tmp_path / "stick.safetensors", build(spec), spec, {})
    words = ("evaluate", tmp_path / "stick.safetensors", "--data", f"{tiny_coco}@val", "--out", tmp_path / "out")
    line = refused(*words, "--device", "cpu")
    assert "the 2 joints of 'stick'" in line and "has the 17 of 'coco17'" in line
    assert not (tmp_path / "out").exists()


def test_protocols_and_boxes_that_do_not_fit(model: Path, tiny_coco: Path, tmp_path: Path, refused: Refused) -> None:
    boxes = tmp_path / "boxes.json"
    cases: list[tuple[list[object], Any, str]] = [
        (
            ["--protocol", "pose-track"],
            None,
            "no protocol is called 'pose-track'; choose one of coco-gt, coco-det, seed",
        ),
        (["--protocol", "coco-det"], None, "give a detection file with --boxes"),
        (["--protocol", "coco-gt", "--boxes", boxes], [], "drop --boxes, or use coco-det"),
        (["--protocol", "coco-det", "--boxes", boxes], [], "holds no detections at all"),
        (["--protocol", "coco-det", "--boxes", boxes], {"a": 1}, "not a list"),
        (["--protocol", "coco-det", "--boxes", boxes], [{"image_id": 101, "bbox": [1, 2, 3], "score": 1}], "entry 0"),
        (["--protocol", "coco-det", "--boxes", boxes], [{"image_id": 101, "bbox": [1, 2, 3, 4], "score": 7}], "0..1"),
    ]
    for words, content, says in cases:
        boxes.write_text(json.dumps(content))
        line = refused("evaluate", model, "--data", f"{tiny_coco}@val", "--out", tmp_path / "out", *words)
        assert says in line, line
    assert not (tmp_path / "out").exists()


def test_coco_det_scores_detected_boxes(model: Path, tiny_coco: Path, tmp_path: Path, call: Call) -> None:
    found = [{"image_id": 101, "category_id": 1, "bbox": [40, 20, 100, 165], "score": 0.9}]
    (tmp_path / "boxes.json").write_text(json.dumps(found))
    words = ("evaluate", model, "--data", f"{tiny_coco}@val", "--out", tmp_path / "out", "--protocol", "coco-det")
    status, _, errors = call(*words, "--boxes", tmp_path / "boxes.json", "--no-flip", "--device", "cpu")
    assert status == 0, errors
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["protocol"] == "coco-det"


def test_in_a_shell_it_is_one_line_and_status_2(tmp_path: Path, command: Command) -> None:
    process = command("predict", tmp_path / "no.safetensors", tmp_path, "--out", tmp_path / "out")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and out == "" and errors.count("\n") == 1 and errors.startswith("sandglass: ")
    assert not (tmp_path / "out").exists()


def test_an_error_of_the_system_is_one_line_too(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr("sandglass.demo.demo", full)
    assert refused("demo") == "sandglass: /some/file: No space left on device\n"


def test_ctrl_c_outside_of_training_has_its_status(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sandglass.demo.demo", interrupted)
    status, _, errors = call("demo")
    assert status == 130 and "Traceback" not in errors
