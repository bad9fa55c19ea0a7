"""Sets that are hardly sets: one joint, one person, nobody labelled, one score for all. Figures, or a word why not."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sandglass.core.skeleton import Skeleton
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build


def skeleton(k: int) -> Skeleton:
    return Skeleton.from_dict({"name": "thing", "joints": [f"j{i}" for i in range(k)]})


@pytest.fixture
def things(tmp_path):
    """`things(k, people, labelled)`: words that name a set, `people` of them on each photograph, and a model for it."""

    def make(k: int, people: list[int], labelled: bool = True) -> tuple[str, Path, Path]:
        folder, rng = tmp_path / "set", np.random.default_rng(0)
        (folder / "val").mkdir(parents=True)
        images: list[dict[str, Any]] = []
        labels: list[dict[str, Any]] = []
        for i, count in enumerate(people, 1):
            cv2.imwrite(str(folder / "val" / f"{i}.png"), rng.integers(0, 255, (120, 160, 3), np.uint8))
            images.append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120})
            for n in range(count):
                box = [10 + 60 * n, 10, 50, 90]
                points = np.full((k, 3), 2.0) * labelled
                points[:, :2] = labelled * (rng.uniform(0, 1, (k, 2)) * box[2:] + box[:2])
                thing = {"id": len(labels) + 1, "image_id": i, "category_id": 1, "iscrowd": 0, "area": 2000.0}
                thing |= {"bbox": box, "keypoints": points.ravel().tolist(), "num_keypoints": k * labelled}
                labels.append(thing)
        category = {"id": 1, "name": "thing", "keypoints": list(skeleton(k).joints), "skeleton": []}
        (folder / "annotations").mkdir()
        path = folder / "annotations" / "person_keypoints_val.json"
        path.write_text(json.dumps({"images": images, "annotations": labels, "categories": [category]}))
        found = [{"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.5} for a in labels]
        (tmp_path / "boxes.json").write_text(json.dumps(found))
        spec = ModelSpec(
            network="hourglass",
            options={"stacks": 1, "channels": 8, "depth": 2},
            codec=CodecConfig(size=(64, 64)),
            skeleton=skeleton(k),
        )
        save_checkpoint(tmp_path / "model.safetensors", build(spec), spec, {})
        return f"{folder}@val", tmp_path / "model.safetensors", tmp_path / "boxes.json"

    return make


def check(told: str, out: Path) -> None:
    """No figure that is none, neither in the terminal nor in any file."""
    page = re.sub(r'data:image[^"]*|<(script|style)>.*?</\1>', "", (out / "report.html").read_text(), flags=re.DOTALL)
    words = re.sub(r"<[^>]*>", " ", page)
    others = [(out / name).read_text() for name in ("report.md", "report.json", "scores.json", "scores.csv")]
    for text in (told, words, *others):
        assert not re.search(r"(?i)\bnan\b|(?<![\w.])-1(\.0+)?(?![\w.])", text)


@pytest.mark.parametrize("k", [1, 21])
def test_any_number_of_joints(things, call, tmp_path, k):
    data, model, boxes = things(k, [2, 1, 1])
    cpu = ("--data", data, "--device", "cpu")
    for out, more in ((tmp_path / "gt", ()), (tmp_path / "det", ("--protocol", "coco-det", "--boxes", boxes))):
        status, told, errors = call("evaluate", model, *cpu, "--out", out, *more)
        assert status == 0, errors
        assert "come of 3 photographs" in told
        check(told, out)
        stage = json.loads((out / "report.json").read_text())["ledger"]["stages"][-1]
        assert stage["inversions"] is None  # there are no twins
    status, told, errors = call("calibrate", model, *cpu, "--out", tmp_path / "calibrated.safetensors")
    assert status == 0 and "nan" not in told, errors
    status, told, errors = call("compare", tmp_path / "gt", tmp_path / "calibrated.safetensors", *cpu)
    assert status == 0 and "nan" not in told, errors


def test_one_person_is_scored_without_intervals_but_not_compared(things, call, refused, tmp_path):
    data, model, _ = things(5, [1])
    out = tmp_path / "gt"
    status, told, errors = call("evaluate", model, "--data", data, "--out", out, "--device", "cpu")
    assert status == 0, errors
    assert "no intervals: all people are on one photograph" in told
    assert json.loads((out / "scores.json").read_text())["intervals"] == {}
    check(told, out)
    assert "all labelled people are on one photograph" in refused("compare", out, out)
    words = ("calibrate", model, "--data", data, "--device", "cpu", "--out", tmp_path / "c.safetensors")
    assert "all labelled people are on one photograph" in refused(*words)


def test_where_nobody_is_labelled_every_figure_says_why(things, call, refused, tmp_path):
    data, model, boxes = things(5, [1, 2], labelled=False)
    words = ("evaluate", model, "--data", data, "--device", "cpu", "--out", tmp_path / "out")
    assert "name a set whose people have labelled joints" in refused(*words)
    status, told, errors = call(*words, "--protocol", "coco-det", "--boxes", boxes)
    assert status == 0, errors
    assert "no AP or AR: nobody on these photographs has a labelled joint" in told and "no PCK" in told
    check(told, tmp_path / "out")
    assert "nobody has a labelled joint" in refused("compare", tmp_path / "out", tmp_path / "out")
