"""The files that poses are written to: COCO results, JSON lines, CSV. In them a pixel's centre is a whole number."""

import csv
import json
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from sandglass.core.files import write_whole
from sandglass.core.pose import Predictions
from sandglass.data.results import result_rows, write_results

Format = Literal["coco", "jsonl", "csv"]
Names = Mapping[int, str] | None  # image id -> file name
Write = Callable[[Path, Predictions, Names], None]


def line(row: Mapping[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n"


def write_lines(path: Path, predictions: Predictions, names: Names = None) -> None:
    """One JSON object a pose and line, with the fields that `write_results` gives them. Raises BadInput."""
    write_whole(path, "".join(map(line, result_rows(predictions, names))))


def write_csv(path: Path, predictions: Predictions, names: Names = None) -> None:
    """One row a pose, as CSV (RFC 4180, UTF-8): a table for spreadsheets and data frames. Raises BadInput.

    The columns are image_id, file_name (empty without `names`), score, box_x, box_y, box_w, box_h, and for each joint
    of the skeleton, by its name, JOINT_x, JOINT_y, JOINT_score and JOINT_present (0 or 1). Numbers are rounded
    as in `write_results`. A file name that a spreadsheet would run as a formula has an apostrophe before it.
    """
    text = StringIO(newline="")
    table = csv.writer(text)
    parts = ("x", "y", "score", "present")
    joints = [f"{joint}_{part}" for joint in predictions.skeleton.joints for part in parts]
    table.writerow(["image_id", "file_name", "score", "box_x", "box_y", "box_w", "box_h", *joints])
    for row in result_rows(predictions, names):
        points, name = row["keypoints"], row.get("file_name", "")
        name = f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
        cells = [value for i, here in enumerate(row["present"]) for value in (*points[3 * i : 3 * i + 3], here)]
        table.writerow([row["image_id"], name, row["score"], *row["box"], *cells])
    write_whole(path, text.getvalue())


WRITERS: dict[Format, tuple[str, Write]] = {  # format -> file name, writer
    "coco": ("predictions.json", write_results),
    "jsonl": ("predictions.jsonl", write_lines),
    "csv": ("predictions.csv", write_csv),
}
