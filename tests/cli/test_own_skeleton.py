"""Skeletons of one's own: drawn hands of 21 joints go from a TOML file to a served page, and no code is touched."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from sandglass.core.pose import Predictions
from sandglass.core.skeleton import DEFAULT_SIGMA, Skeleton
from sandglass.data.sets import read_set
from sandglass.evaluation.scores import score
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import read_spec
from sandglass.web.bounds import Bounds
from sandglass.web.looker import Looker
from sandglass.web.server import build_app

Call = Callable[..., tuple[int, str, str]]
SMALL = ("--size", "64", "64", "--channels", "8", "--batch", "4", "--threads", "1", "--workers", "1", "--device", "cpu")

FINGERS = ("thumb", "index", "middle", "ring", "little")
SIGMAS = {"wrist": 0.09, **{f"{finger}_4": 0.03 for finger in FINGERS}}
TOML = f"""
joints = {json.dumps(["wrist", *(f"{finger}_{i}" for finger in FINGERS for i in (1, 2, 3, 4))])}
edges = {json.dumps([[0 if i % 4 == 1 else i - 1, i] for i in range(1, 21)])}
[sigmas]
{chr(10).join(f"{joint} = {sigma}" for joint, sigma in SIGMAS.items())}
"""


def hand(rng: np.random.Generator) -> NDArray[np.float64]:
    """The 21 joints (21, 2) of a hand from above in a picture of 160 x 160, fingers bent and turned at random."""
    bend = rng.uniform(0.75, 1.0, 5)
    angles = np.radians(np.array([-60, -22, -4, 13, 32]) + rng.normal(0, 4, 5) + rng.normal(0, 25))
    points = [np.zeros(2)]
    for angle, curl, reach in zip(angles, bend, (0.7, 1.0, 1.1, 1.0, 0.8), strict=True):
        along = np.array([np.sin(angle), -np.cos(angle)])
        points += [along * reach * length for length in (30, 30 + 16 * curl, 30 + 29 * curl, 30 + 40 * curl)]
    return np.array(points) * rng.uniform(0.8, 1.2) + rng.uniform(75, 90, 2) + (0, 20)


def write_hands(folder: Path, split: str, pictures: int, seed: int) -> None:
    """Hands as a user labels them: a COCO file that knows no joint names, one hand a picture."""
    rng = np.random.default_rng(seed)
    (folder / split).mkdir(parents=True)
    images, annotations = [], []
    for i in range(1, pictures + 1):
        points = hand(rng)
        image = rng.integers(40, 90, (160, 160, 3), np.uint8)
        for j in range(1, 21):
            a, b = ((points[i] - 0.5).round().astype(int) for i in (0 if j % 4 == 1 else j - 1, j))
            cv2.line(image, a, b, (150, 180, 230), 9, cv2.LINE_AA)
        cv2.imwrite(str(folder / split / f"{i}.png"), image)
        low, high = points.min(0) - 8, points.max(0) + 8
        flat = np.column_stack([(points - 0.5).round(3), np.full(21, 2)]).ravel().tolist()
        box = [*low.tolist(), *(high - low).tolist()]
        images.append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 160})
        annotations.append({"id": i, "image_id": i, "category_id": 1, "keypoints": flat, "bbox": box,
                            "area": float(0.5 * np.prod(high - low)), "iscrowd": 0})  # fmt: skip
    labels = folder / "annotations" / f"person_keypoints_{split}.json"
    labels.parent.mkdir(exist_ok=True)
    category = {"id": 1, "name": "hand", "keypoints": [str(j) for j in range(21)], "skeleton": []}
    labels.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "hands"
    write_hands(folder, "train", 8, seed=1)
    write_hands(folder, "val", 4, seed=2)
    (folder / "hand.toml").write_text(TOML)
    return folder


@pytest.fixture(scope="module")
def run(hands: Path, command: Callable[..., subprocess.Popen[str]]) -> Path:
    """A run that was told the skeleton by its flag."""
    out = hands.parent / "run"
    words = ["train", "swift", "--data", f"{hands}@train", "--val", f"{hands}@val", "--skeleton", hands / "hand.toml"]
    process = command(*words, "--out", out, "--steps", 4, *SMALL)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "21 joints" in told
    return out


def test_the_model_knows_the_skeleton(run: Path) -> None:
    skeleton = read_spec(run / "model.safetensors").skeleton
    assert skeleton.name == "hand" and skeleton.joints[20] == "little_4" and skeleton.pairs == ()
    assert skeleton.sigmas[0] == 0.09 and skeleton.sigmas[4] == 0.03 and skeleton.sigmas[5] == DEFAULT_SIGMA


def test_hands_are_scored_and_reported(
    run: Path, hands: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores"
    words = ("evaluate", run / "model.safetensors", "--data", f"{hands}@val", "--skeleton", hands / "hand.toml")
    status, _, errors = call(*words, "--out", out, "--device", "cpu")
    assert status == 0, errors
    scores = json.loads((out / "scores.json").read_text())
    assert scores["skeleton"] == "hand" and 0 <= scores["AP"] <= 1 and len(scores["per_joint"]) == 21
    shown: list[Skeleton] = []
    for name in ("illustrate", "publish"):  # the pages of an evaluation and of a run: only whom they would show
        monkeypatch.setattr(
            f"sandglass.evaluation.folders.{name}", lambda _, __, people, *___, **____: shown.append(people.skeleton)
        )
    for folder in (out, run):
        assert call("report", folder, "--out", tmp_path / "again", "--device", "cpu")[0] == 0
    assert [skeleton.sigmas[4] for skeleton in shown] == [0.03, 0.03]  # both remember what they were told


def test_evaluations_and_models_are_compared_by_its_sigmas(run: Path, hands: Path, call: Call, tmp_path: Path) -> None:
    own, device = ("--skeleton", hands / "hand.toml"), ("--device", "cpu")
    words = (run / "model.safetensors", "--data", f"{hands}@val", *own, *device)
    assert call("evaluate", *words, "--out", tmp_path / "scores")[0] == 0
    result = tmp_path / "compare.json"
    named = ("--data", f"{hands}@val", *own, *device)
    for others in ((tmp_path / "scores",), (tmp_path / "scores", *device), (run / "last.safetensors", *named)):
        status, _, errors = call("compare", *words[:1], *others, "--out", result, "--resamples", 100)
        assert status == 0, errors  # the first two: the evaluation remembers the data and what it was told
        assert json.loads(result.read_text())["figures"].keys() >= {"AP"}


def test_a_model_is_calibrated(run: Path, hands: Path, call: Call, refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "calibrated.safetensors"
    words = ("calibrate", run / "model.safetensors", "--data", f"{hands}@val", "--out", out, "--device", "cpu")
    assert "take a set with the model's skeleton" in refused(*words)
    status, _, errors = call(*words, "--skeleton", hands / "hand.toml")
    assert status == 0, errors
    calibration = read_spec(out).calibration
    assert calibration is not None and len(calibration) == 21


def test_joints_of_other_names_are_refused(run: Path, hands: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("evaluate", run / "model.safetensors", "--data", f"{hands}@val", "--out", tmp_path / "out")
    assert "take a set with the model's skeleton" in refused(*words, "--device", "cpu")
    assert "17" in refused(*words, "--skeleton", "coco17", "--device", "cpu")


def test_hands_are_found_in_photographs(run: Path, hands: Path, call: Call, tmp_path: Path) -> None:
    words = ("predict", run / "model.safetensors", hands / "val", "--out", tmp_path, "--device", "cpu")
    status, _, errors = call(*words)
    assert status == 0, errors
    poses = json.loads((tmp_path / "predictions.json").read_text())
    assert len(poses) == 4 and all(len(pose["keypoints"]) == 63 for pose in poses)


def test_hands_are_exported(run: Path, hands: Path, call: Call, tmp_path: Path) -> None:
    named = shutil.copytree(hands, tmp_path / "hands")
    (named / "hand.toml").rename(named / "skeleton.toml")  # here no flag is needed
    words = ("export", run / "model.safetensors", "--to", "onnx", "--out", tmp_path / "hand.onnx")
    status, told, errors = call(*words, "--data", f"{named}@val", "--people", 4)
    assert status == 0, errors
    assert "wrote" in told and (tmp_path / "hand.onnx").stat().st_size > 1000


def test_hands_are_served(run: Path, hands: Path) -> None:
    app = build_app(Looker(Predictor.load(run / "model.safetensors", device="cpu"), "hand", Bounds()))
    photo = {"file": ("1.png", (hands / "val" / "1.png").read_bytes())}

    async def ask() -> tuple[dict[str, Any], dict[str, Any]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return (await client.post("/predict", files=photo)).json(), (await client.get("/model")).json()

    answer, told = asyncio.run(ask())
    assert told["skeleton"]["joints"][20] == "little_4"
    assert len(answer["poses"]) == 1 and len(answer["poses"][0]["keypoints"]) == 21


def test_the_truth_scores_one_by_its_own_sigmas(hands: Path, answer: Callable[..., Predictions]) -> None:
    people = read_set(f"{hands}@val", str(hands / "hand.toml"))
    exact = score(people, answer(people), "coco-gt", intervals=0)
    assert exact.to_dict()["AP"] == 1.0
    assert exact.to_dict()["PCK@0.2"] is None or exact.to_dict()["PCK@0.2"] == 1.0
    loose = read_set(f"{hands}@val")  # by the default sigma, what is 4 px off costs less at the fingertips
    own, usual = (score(p, answer(p, (4.0, 0.0)), "coco-gt", intervals=0).figures["AP"] for p in (people, loose))
    assert own is not None and usual is not None and own < usual
