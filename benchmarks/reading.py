"""A COCO keypoint file, from the disk to people worth training on: sandglass against `pycocotools.COCO(...)`.

Each reads the file in a process of its own, so that its memory can be seen, and they take turns; medians count.
pycocotools builds dictionaries and an index of them and checks nothing; ours checks every field, builds arrays, and
filters them. `ratio` is the time of pycocotools over ours; a third row has pycocotools make the same arrays.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import arguments, show

from sandglass.core.skeleton import COCO17

OURS = """
people = read_coco_file(Path(path), Path("photos"), "labels")
kept, _ = keep(people, Filter())
"""
THEIRS = "coco = COCO(path)"
ARRAYS = """
coco = COCO(path)
rows = list(coco.anns.values())
points = np.array([row["keypoints"] for row in rows], np.float64).reshape(len(rows), -1, 3)
boxes = np.array([row["bbox"] for row in rows], np.float64)
others = [np.array([row[key] for row in rows]) for key in ("id", "image_id", "area", "iscrowd")]
"""
IMPORTS = {
    OURS: "from sandglass.data.coco import read_coco_file\nfrom sandglass.data.filters import Filter, keep",
    THEIRS: "from pycocotools.coco import COCO",
    ARRAYS: "from pycocotools.coco import COCO",
}
FRAME = """
import contextlib, io, json, resource, sys, time
from pathlib import Path
import numpy as np
{imports}
path = sys.argv[1]
began, busy = time.perf_counter(), time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
{work}
took, busy = time.perf_counter() - began, time.process_time() - busy
status = Path("/proc/self/status")  # the other knows what the process was before it became this one, too
lines = dict(line.split(":", 1) for line in status.read_text().splitlines()) if status.exists() else {{}}
peak = int(lines["VmHWM"].split()[0]) / 1024 if lines else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([took, busy, peak]))
"""


def measure(work: str, path: Path) -> list[float]:
    """Seconds by the clock, seconds of the processor, MiB at the peak."""
    body = "\n".join("    " + line for line in work.strip().splitlines())
    code = FRAME.format(imports=IMPORTS[work], work=body)
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def made_up(people: int) -> dict[str, Any]:
    """Labels of the size of COCO's: three people an image, outlines and all."""
    rng = np.random.default_rng(0)
    images = [
        {"id": i + 1, "file_name": f"{i + 1:012d}.jpg", "width": 640, "height": 480, "license": 1}
        for i in range(people // 3 + 1)
    ]
    points = rng.integers(0, 480, (people, 17, 3))
    points[..., 2] = rng.integers(0, 3, (people, 17))
    points *= (points[..., 2:] > 0).astype(int)
    outlines = rng.uniform(0, 480, (people, 40)).round(2)
    annotations = [
        {
            "id": i + 1, "image_id": i // 3 + 1, "category_id": 1, "iscrowd": 0, "area": 9999.5,
            "bbox": [10.25, 20.5, 200.75, 300.5], "num_keypoints": int((points[i, :, 2] > 0).sum()),
            "keypoints": points[i].ravel().tolist(), "segmentation": [outlines[i].tolist()],
        }
        for i in range(people)
    ]  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


@contextmanager
def labels(named: str, people: int) -> Iterator[Path]:
    """The file that was named, or a made-up one in a folder that goes away."""
    if named:
        yield Path(named)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "person_keypoints.json"
        path.write_text(json.dumps(made_up(people)))
        yield path


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--labels", default="", metavar="FILE", help="plain JSON; else made-up labels with outlines")
    parser.add_argument("--people", type=int, default=150_000, help="that are made up")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ways = {"sandglass, checked and filtered": OURS, "pycocotools.COCO(...)": THEIRS, "  and the same arrays": ARRAYS}
    with labels(given.labels, 500 if given.quick else given.people) as path:
        megabytes = path.stat().st_size / 1e6
        turns = [[measure(work, path) for work in ways.values()] for _ in range(1 if given.quick else given.rounds)]
    found = np.median(np.array(turns), axis=0)  # (ways, 3)
    ratio = float(median(turn[1][0] / turn[0][0] for turn in turns))
    rows = [
        [way, f"{took:.2f}", f"{busy:.2f}", f"{peak:.0f}"] for way, (took, busy, peak) in zip(ways, found, strict=True)
    ]
    show(
        f"Reading {megabytes:.0f} MB of labels, {len(turns)} turns",
        ("way", "seconds", "of the processor", "MiB at the peak"),
        [*rows, ["ratio", f"{ratio:.2f}", "", ""]],
        {
            "ratio": ratio, "seconds": found[0, 0], "processor_seconds": found[0, 1], "mib": found[0, 2],
            "pycocotools_seconds": found[1, 0], "pycocotools_processor_seconds": found[1, 1],
            "pycocotools_mib": found[1, 2], "megabytes": megabytes, "quick": given.quick,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
