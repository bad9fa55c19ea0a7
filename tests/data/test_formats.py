"""Poses as JSON lines and CSV say what the COCO results say."""

import csv
import json

import numpy as np
import pytest

from sandglass.core.pose import Predictions
from sandglass.core.skeleton import COCO17
from sandglass.data.formats import WRITERS

K = len(COCO17)
RNG = np.random.default_rng(1)
NAMES = {7: "a, b.jpg", 9: "=HYPERLINK(1).jpg"}


@pytest.fixture
def predictions():
    return Predictions(
        skeleton=COCO17,
        image_ids=np.array([7, 9]),
        keypoints=RNG.uniform(0, 200, (2, K, 2)),
        scores=RNG.uniform(0, 1, (2, K)),
        present=RNG.uniform(0, 1, (2, K)) > 0.5,
        boxes=np.array([[0, 1, 10, 21], [5.5, 5, 6, 9]]),
        score=np.array([0.5, 0.25]),
        people=np.full(2, -1),
    )


@pytest.fixture
def written(predictions, tmp_path):
    """What each format holds, as text."""

    def write(names=None, chosen=slice(None)):
        texts = {}
        for form, (file, writer) in WRITERS.items():
            writer(tmp_path / file, predictions.select(np.arange(2)[chosen]), names)
            texts[form] = (tmp_path / file).read_text("utf-8")
        return texts

    return write


@pytest.mark.parametrize("names", [None, NAMES])
def test_lines_are_the_entries_of_the_results(written, names):
    texts = written(names)
    assert [json.loads(line) for line in texts["jsonl"].splitlines()] == json.loads(texts["coco"])


def test_a_table_has_a_row_a_pose_and_four_columns_a_joint(written):
    texts = written(NAMES)
    rows = list(csv.DictReader(texts["csv"].splitlines()))
    for row, entry in zip(rows, json.loads(texts["coco"]), strict=True):
        assert int(row["image_id"]) == entry["image_id"] and float(row["score"]) == entry["score"]
        assert [float(row[f"box_{part}"]) for part in "xywh"] == entry["box"]
        for k, joint in enumerate(COCO17.joints):
            assert [float(row[f"{joint}_{part}"]) for part in ("x", "y", "score")] == entry["keypoints"][
                3 * k : 3 * k + 3
            ]
            assert int(row[f"{joint}_present"]) == entry["present"][k]
    assert rows[0]["file_name"] == "a, b.jpg" and len(rows[0]) == 7 + 4 * K


def test_a_spreadsheet_runs_no_file_name(written):
    assert [row["file_name"][:2] for row in csv.DictReader(written(NAMES)["csv"].splitlines())] == ["a,", "'="]
    assert all(row["file_name"] == "" for row in csv.DictReader(written()["csv"].splitlines()))


def test_nobody_gives_an_empty_file_or_a_header(written):
    texts = written(chosen=slice(0))
    assert texts["jsonl"] == "" and texts["coco"] == "[]\n" and texts["csv"].startswith("image_id,file_name,score,")
    assert texts["csv"].count("\n") == 1
