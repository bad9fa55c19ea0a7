"""A run: it learns, repeats itself to the bit, goes on to the bit after an interruption, and stops when it must."""

import io
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.data.augment import AugmentConfig
from sandglass.data.sets import read_set
from sandglass.evaluation.evaluate import evaluate
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import load_checkpoint, read_spec
from sandglass.training import train as module
from sandglass.training.config import CONFIG_FILE, RunConfig
from sandglass.training.losses import LossConfig
from sandglass.training.state import OLDER_FILE, STATE_FILE
from sandglass.training.step import OptimiserConfig, Step
from sandglass.training.train import BEST_FILE, LAST_FILE, Diverged, interruptible, train

TinyRun = Callable[..., RunConfig]
FILES = {CONFIG_FILE, STATE_FILE, OLDER_FILE, BEST_FILE, LAST_FILE, "metrics.jsonl"}


@pytest.fixture(autouse=True)
def no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard takes its time."""
    monkeypatch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)


def go(config: RunConfig, out: Path, resume: bool = False) -> str:
    """Train in silence; returns what the terminal would have shown."""
    console = Console(file=io.StringIO(), width=250)
    train(config, out, resume=resume, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(out: Path, key: str = "loss") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row for row in found if key in row]


def losses(out: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in rows(out)}


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)[0].state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def heatmaps(config: RunConfig, loss: str) -> RunConfig:
    codec = replace(config.model.codec, kind="heatmap")
    return replace(config, model=replace(config.model, codec=codec), loss=LossConfig(name=loss))


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    """Send this process a signal in the middle of its n-th step."""
    plain, calls = Step.__call__, []

    def call(self: Step, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return plain(self, *args)

    monkeypatch.setattr(Step, "__call__", call)


@pytest.mark.parametrize("recipe", ["distribution", "heatmap"])
def test_twenty_steps_lower_the_loss_on_drawn_people(
    recipe: str, drawn: Path, tiny_run: TinyRun, tmp_path: Path
) -> None:
    config = tiny_run(drawn, steps=20, batch=8, augment=AugmentConfig())
    config = replace(
        config,
        model=replace(config.model, options={**config.model.options, "channels": 16}),
        optimiser=OptimiserConfig(name="adamw", lr=0.02),
    )
    go(heatmaps(config, "weighted_mse") if recipe == "heatmap" else config, tmp_path / "run")
    found = list(losses(tmp_path / "run").values())
    assert len(found) == 20
    assert np.mean(found[-4:]) < 0.8 * np.mean(found[:4])


def test_files_and_rows_of_a_run(drawn: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    text = go(
        tiny_run(drawn, steps=5, val=f"{drawn}@val", evaluations=1, optimiser=OptimiserConfig(name="adamw", lr=0.01)),
        out,
    )
    assert {path.name for path in out.iterdir()} == FILES
    assert "kept" in text and "M parameters" in text and "5 steps in" in text and "the bottleneck is" in text
    assert [row["step"] for row in rows(out)] == [1, 2, 3, 4, 5]
    keys = {
        "step", "loss", "lr", "images_per_second", "epoch", "images", "seconds", "grad_norm", "data_wait", "skipped",
        "tflops", "peak_share", "memory_gib",
    }  # fmt: skip
    assert all(row.keys() == keys for row in rows(out))
    shares = [0.5 * 1.0, 0.802, 0.604, 0.406, 0.208]  # warm-up over 2 steps, then linear to the floor of 0.01
    assert [row["lr"] for row in rows(out)] == pytest.approx([0.01 * share for share in shares])
    scored = rows(out, "AP")
    assert [row["step"] for row in scored] == [5]
    assert scored[0].keys() >= {"AP", "AP50", "AR", "PCK@0.2", "per_joint", "people"}
    summary = read_spec(out / BEST_FILE).summary
    assert summary["steps"] == 5 and summary["images"] == 20 and summary["val"].endswith("@val")
    assert summary["scores"]["AP"] == scored[0]["AP"]
    assert RunConfig.load(out).train == (f"{drawn}@train",)


@pytest.mark.parametrize("steps", [10, 13, 20])
def test_the_last_weights_are_scored_and_kept(steps: int, tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    """Also where the last step's row was just written, and the last share of the run had been scored at its start."""
    go(tiny_run(steps=steps, val=f"{tiny_coco}@val", evaluations=3), tmp_path)
    assert rows(tmp_path, "AP")[-1]["step"] == steps
    assert read_spec(tmp_path / LAST_FILE).summary["steps"] == steps


def test_evaluations_come_by_share_of_the_run_or_by_steps(tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    val = f"{tiny_coco}@val"
    go(tiny_run(steps=8, val=val, evaluations=2), tmp_path / "share")
    assert [row["step"] for row in rows(tmp_path / "share", "AP")] == [5, 8]
    go(tiny_run(steps=8, val=val, evaluate_every=3), tmp_path / "steps")
    assert [row["step"] for row in rows(tmp_path / "steps", "AP")] == [3, 6, 8]


def test_best_is_the_best_and_of_equals_the_last(
    tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.1, 0.4, 0.4, 0.3])

    def pretend(*args: Any, **given: Any) -> Any:
        scores, predictions = evaluate(*args, **given)
        return replace(scores, figures={**scores.figures, "AP": next(figures)}), predictions

    monkeypatch.setattr(module, "evaluate", pretend)
    go(tiny_run(steps=8, val=f"{tiny_coco}@val", evaluate_every=2), tmp_path)
    assert read_spec(tmp_path / BEST_FILE).summary["steps"] == 6
    assert read_spec(tmp_path / LAST_FILE).summary["steps"] == 8


def test_same_seed_same_run_and_another_seed_another(tiny_run: TinyRun, tmp_path: Path) -> None:
    for name, seed, workers in (("a", 1, 1), ("b", 1, 3), ("c", 2, 1)):
        go(tiny_run(steps=6, seed=seed, workers=workers), tmp_path / name)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert same(weights(tmp_path / "a" / LAST_FILE), weights(tmp_path / "b" / LAST_FILE))
    assert losses(tmp_path / "a")[1] != losses(tmp_path / "c")[1]


def test_several_sets_are_mixed(drawn: Path, tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    text = go(tiny_run(steps=2, train=(f"{drawn}@train:0.5", f"{tiny_coco}@train:2")), tmp_path)
    people = len(read_set(f"{drawn}@train").ids)
    assert read_spec(tmp_path / LAST_FILE).summary["people"] <= people + 5
    kept = read_spec(tmp_path / LAST_FILE).summary["people"] - 5
    assert f"{round(kept * 0.5) + 10} examples an epoch" in text


@pytest.mark.parametrize("optimiser", ["muon", "rmsprop"])
def test_an_interrupted_run_goes_on_to_the_bit(
    optimiser: Any, tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, weights, averaged weights and scores: with the learning rate in decay, over the border of an epoch."""
    config = tiny_run(
        steps=12,
        val=f"{tiny_coco}@val",
        evaluate_every=4,
        optimiser=OptimiserConfig(name=optimiser, lr=1e-3, weight_decay=0.01, clip=1.0),
    )
    go(config, tmp_path / "straight")
    with monkeypatch.context() as patch:
        stop_at(6, patch)
        with pytest.raises(SystemExit) as stopped:
            go(config, tmp_path / "twice")
    assert stopped.value.code == 130
    assert losses(tmp_path / "twice").keys() == set(range(1, 7))
    text = go(RunConfig.load(tmp_path / "twice"), tmp_path / "twice", resume=True)
    assert "from step 6" in text
    assert losses(tmp_path / "twice") == losses(tmp_path / "straight")
    for name in (LAST_FILE, BEST_FILE):
        assert same(weights(tmp_path / "twice" / name), weights(tmp_path / "straight" / name))
    scores = [[(row["step"], row["AP"], row["per_joint"]) for row in rows(tmp_path / name, "AP")] for name in
              ("twice", "straight")]  # fmt: skip
    assert scores[0] == scores[1]


def test_a_finished_run_goes_on_with_more_steps_to_the_bit(tiny_run: TinyRun, tmp_path: Path) -> None:
    config = tiny_run(steps=12, decay="constant", average=0.9)
    go(config, tmp_path / "straight")
    go(replace(config, schedule=config.schedule.until(6, 0)), tmp_path / "twice")
    longer = RunConfig.load(tmp_path / "twice")
    go(replace(longer, schedule=longer.schedule.until(12, 0)), tmp_path / "twice", resume=True)
    assert losses(tmp_path / "twice") == losses(tmp_path / "straight")
    assert same(weights(tmp_path / "twice" / LAST_FILE), weights(tmp_path / "straight" / LAST_FILE))
    assert RunConfig.load(tmp_path / "twice").schedule.steps == 12


def test_after_a_kill_the_run_goes_on_from_its_last_state(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves rows of steps after the state; they are taken again and stand in the journal once."""
    config = tiny_run(steps=10)
    go(config, tmp_path / "straight")

    class Killed(Exception):
        pass

    plain, calls = Step.__call__, []

    def call(self: Step, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 8:
            raise Killed
        return plain(self, *args)

    kept = module.save
    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", call)
        patch.setattr(module, "save", lambda run: kept(run) if run.position.step == 4 else None)
        with pytest.raises(Killed):
            go(replace(config, save_minutes=1e-9), tmp_path / "twice")
    assert max(losses(tmp_path / "twice")) == 7
    go(RunConfig.load(tmp_path / "twice"), tmp_path / "twice", resume=True)
    assert [row["step"] for row in rows(tmp_path / "twice")] == list(range(1, 11))
    assert losses(tmp_path / "twice") == losses(tmp_path / "straight")


def test_a_kill_in_an_evaluation_costs_no_step(
    tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_run(steps=6, val=f"{tiny_coco}@val", evaluate_every=4)
    go(config, tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go(config, tmp_path / "killed")
    text = go(config, tmp_path / "killed", resume=True)
    assert "from step 4" in text and losses(tmp_path / "killed") == losses(tmp_path / "straight")


def test_an_ap_of_zero_is_explained_once_and_is_no_best(tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    text = go(tiny_run(steps=4, val=f"{tiny_coco}@val", evaluate_every=2), tmp_path)
    assert text.count("AP 0.000") == 2 and "best so far" not in text
    assert text.count("AP is 0: none of") == 1
    text = go(tiny_run(steps=4, val=f"{tiny_coco}@val", evaluate_every=2), tmp_path, resume=True)
    assert f"{tmp_path} is at its end, step 4; --steps or --minutes move it" in text.replace("\n", "")


def test_time_goes_on_where_it_stopped(tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(minutes=1.0)
    began, now = time.monotonic(), 0.0
    for place in ("run", "meter"):  # theirs alone: a server may run in another thread, by the same clock
        monkeypatch.setattr(f"sandglass.training.{place}.time", SimpleNamespace(monotonic=lambda: began + now))
    plain = Step.__call__

    def ten_seconds(self: Step, *args: Any) -> Any:
        nonlocal now
        now += 10
        return plain(self, *args)

    monkeypatch.setattr(Step, "__call__", ten_seconds)
    go(config, tmp_path / "run")
    assert len(losses(tmp_path / "run")) == 6
    assert rows(tmp_path / "run")[-1]["seconds"] == pytest.approx(60, abs=1)
    assert rows(tmp_path / "run")[2]["images_per_second"] == pytest.approx(0.4, rel=0.1)
    now += 1000  # between two sittings
    go(replace(config, schedule=config.schedule.until(0, 1.5)), tmp_path / "run", resume=True)
    assert len(losses(tmp_path / "run")) == 9


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_row_leaves_a_run_that_goes_on(
    number: int, status: int, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(1, patch, number)
        with pytest.raises(SystemExit) as stopped:
            go(tiny_run(steps=3), tmp_path)
    assert stopped.value.code == status
    assert not (tmp_path / BEST_FILE).exists()
    go(RunConfig.load(tmp_path), tmp_path, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_handlers_are_put_back_and_a_second_signal_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible() as stop:
        assert stop == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop == [signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_people(
    tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = Step.forward, []

    def poisoned(self: Step, *args: Any) -> Any:
        calls.append(1)
        value, count = plain(self, *args)
        return (value * float("nan"), count) if len(calls) == 4 else (value, count)

    monkeypatch.setattr(Step, "forward", poisoned)
    with pytest.raises(Diverged) as caught:
        go(tiny_run(steps=9, log_every=3), tmp_path)
    message = str(caught.value)
    assert "the loss is nan" in message and "at step 4," in message and "\n" not in message
    ids = json.loads(message.partition("annotations ")[2].partition("]")[0] + "]")
    assert len(ids) == 4 and set(ids) <= {1, 2, 3, 4, 5}
    assert f"from the last good state, of step 0, with --resume {tmp_path} and a lower --lr than" in message
    assert list(losses(tmp_path)) == [3], "no row holds what is no number"
    assert not (tmp_path / BEST_FILE).exists(), "no checkpoint holds it either"


def test_a_run_that_explodes_keeps_its_last_good_state(tiny_run: TinyRun, tmp_path: Path) -> None:
    config = tiny_run(steps=4, decay="constant", optimiser=OptimiserConfig(name="sgd", lr=1e-3))
    config = heatmaps(config, "mse")
    go(config, tmp_path)
    good = (tmp_path / STATE_FILE).read_bytes()
    wild = replace(config, optimiser=OptimiserConfig(name="sgd", lr=99.0), schedule=config.schedule.until(200, 0))
    with pytest.raises(Diverged, match=f"of step 4, with --resume {tmp_path} and a lower --lr than 99"):
        go(wild, tmp_path, resume=True)
    assert (tmp_path / STATE_FILE).read_bytes() == good
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / BEST_FILE).values())
    go(replace(config, schedule=config.schedule.until(6, 0)), tmp_path, resume=True)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_an_average_without_memory_is_the_network(tiny_run: TinyRun, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    go(tiny_run(steps=3, average=0.0), tmp_path)
    state = load_file(tmp_path / STATE_FILE)
    for name, tensor in weights(tmp_path / LAST_FILE).items():
        assert torch.equal(tensor, state[f"network.{name}"])


def test_a_step_in_parts_takes_as_many_people(tiny_run: TinyRun, tmp_path: Path) -> None:
    go(tiny_run(steps=3, batch=4), tmp_path / "whole")
    go(tiny_run(steps=3, batch=4, accumulate=2), tmp_path / "parts")
    assert [row["images"] for row in rows(tmp_path / "parts")] == [row["images"] for row in rows(tmp_path / "whole")]
    # not equal: batch norm sees two people at a time
    assert losses(tmp_path / "parts")[1] == pytest.approx(losses(tmp_path / "whole")[1], rel=0.2)


SIDES = ("tip", "left_wing", "right_wing", "left_foot", "right_foot")


def kites(folder: Path, split: str, count: int, seed: int) -> None:
    """Pictures of kites: five joints, each a dot of its own colour, in the COCO layout."""
    import cv2

    rng = np.random.default_rng(seed)
    colours = [(255, 255, 255), (0, 200, 0), (200, 0, 0), (0, 255, 255), (255, 0, 255)]
    shape = np.array([[0.5, 0.1], [0.9, 0.4], [0.1, 0.4], [0.7, 0.9], [0.3, 0.9]])
    images, labels = [], []
    (folder / split).mkdir(parents=True)
    for i in range(count):
        box = np.array([*rng.uniform(5, 25, 2), *rng.uniform(60, 90, 2)])
        points = (shape + rng.normal(0, 0.03, shape.shape)) * box[2:] + box[:2]
        picture = rng.integers(0, 90, (130, 130, 3)).astype(np.uint8)
        for point, colour in zip(points, colours, strict=True):
            cv2.circle(picture, [int(v) for v in point], 4, colour, -1)
        cv2.imwrite(str(folder / split / f"{i}.png"), picture)
        images.append({"id": i, "file_name": f"{i}.png", "width": 130, "height": 130})
        flat = np.column_stack([(points - 0.5).round(2), np.full(5, 2)]).ravel().tolist()
        labels.append({"id": i + 1, "image_id": i, "category_id": 1, "keypoints": flat, "bbox": box.tolist(),
                       "area": float(box[2] * box[3] / 2)})  # fmt: skip
    kite = {"id": 1, "name": "kite", "keypoints": list(SIDES), "skeleton": [[1, 2], [1, 3], [2, 4], [3, 5]]}
    (folder / "annotations").mkdir(exist_ok=True)
    path = folder / "annotations" / f"person_keypoints_{split}.json"
    path.write_text(json.dumps({"images": images, "annotations": labels, "categories": [kite]}))


def test_five_joints_from_end_to_end(tiny_run: TinyRun, tmp_path: Path) -> None:
    """Another skeleton trains, is scored along the way, evaluates and predicts, without a line of code."""
    data = tmp_path / "kites"
    kites(data, "train", 12, seed=1)
    kites(data, "val", 4, seed=2)
    go(tiny_run(data, steps=10, batch=8, val=f"{data}@val"), tmp_path / "run")
    found = list(losses(tmp_path / "run").values())
    assert np.mean(found[-3:]) < np.mean(found[:3])
    predictor = Predictor.load(tmp_path / "run" / BEST_FILE)
    skeleton = predictor.spec.skeleton
    assert skeleton.joints == SIDES and skeleton.mirror == (0, 2, 1, 4, 3) and skeleton.name == "kite"
    scores, predictions = evaluate(predictor, read_set(f"{data}@val"), intervals=0)
    assert scores.people == 4 and predictions.keypoints.shape == (4, 5, 2)
    assert set(scores.per_joint) == set(SIDES) and scores.figures["AP"] is not None
    (pose,) = predictor(data / "val" / "0.png")
    assert pose.keypoints.shape == (5, 2) and np.isfinite(pose.keypoints).all()


def test_a_model_of_another_skeleton_is_refused(tiny_coco: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    kites(tmp_path / "kites", "train", 6, seed=1)
    kites(tmp_path / "kites", "val", 2, seed=2)
    with pytest.raises(BadInput, match=r"tiny.*@val has other joints \('coco17'\) than the training data's"):
        go(tiny_run(tmp_path / "kites", steps=2, val=f"{tiny_coco}@val"), tmp_path / "run")
    both = (f"{tmp_path / 'kites'}@train", f"{tiny_coco}@train")
    with pytest.raises(BadInput, match="mix only sets of one skeleton"):
        go(tiny_run(steps=2, train=both), tmp_path / "run")
    assert not (tmp_path / "run").exists()
