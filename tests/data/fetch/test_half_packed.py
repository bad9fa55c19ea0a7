"""COCO straight into a pack, killed while photographs go: none is fetched twice, and the pack is as it would be."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sandglass.data.fetch import plan as plans
from sandglass.data.fetch.coco import forget, get_coco, plan_coco
from sandglass.data.fetch.plan import CocoJob
from sandglass.data.halfway import HalfMade
from sandglass.data.pack import open_pack

UNREADABLE = "000000000013.jpg"  # noise, as all photographs of the stand-in; the others become pictures here


@pytest.fixture
def pictures(coco, stand_in, pack) -> Any:
    """The mirror, with real pictures; but for one."""
    photos = {}
    for name, data in stand_in.photos["train2017"].items():
        noise = np.random.default_rng(len(data)).integers(0, 256, (100, 100, 3), np.uint8)
        photos[name] = data if name == UNREADABLE else cv2.imencode(".png", noise)[1].tobytes()
    coco.files["/zips/train2017.zip"] = pack({f"train2017/{name}": data for name, data in photos.items()})
    return coco


GET = """
import json, os, signal, sys
import sandglass.data.packing, sandglass.data.fetch.coco, sandglass.recipes  # once, not for each process
from sandglass import cli
from sandglass.data import halfway, packing
from sandglass.data.fetch import gather

gather.GAP, gather.SPAN = 0, 60_000
halfway.BATCH = 15_000  # a few photographs

def counted(owner, name, taken, last):
    inner = getattr(owner, name)
    def call(*given, **named):
        taken.append(name)
        if len(taken) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*given, **named)
    setattr(owner, name, call)

for line in sys.stdin:
    last, told, *sys.argv = json.loads(line)
    child = os.fork()
    if not child:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(told, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND), stream.fileno())
        taken = []
        for owner, names in ((packing._Writer, ("_store", "finish")), (halfway, ("_sync", "_remove"))):
            for name in names:
                counted(owner, name, taken, last)
        status = cli.main()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def starter() -> Iterator[subprocess.Popen[str]]:
    """Starts a process for each line that it is told, and says how it ended."""
    environment = os.environ | {"NO_PROXY": "*", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    line = [sys.executable, "-c", GET]
    with subprocess.Popen(line, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def get(starter, pictures, tmp_path) -> Callable[..., tuple[int, str]]:
    """`get(7)`: status and words of the command in a process that is killed at the 7th step of packing; 0: never."""

    def run(last: int, *words: str) -> tuple[int, str]:
        line = ["sandglass", "data", "get", "coco", "--mirror", pictures.address, "--connections", "2"]
        line += ["--out", str(tmp_path / "set"), "--pack", str(tmp_path / "a.pack"), "--size", "48", "64", *words]
        told = tmp_path.with_name("told")
        starter.stdin.write(json.dumps([last, str(told), *line]) + "\n")
        starter.stdin.flush()
        return int(starter.stdout.readline()), told.read_text()

    return run


def asked(mirror: Any) -> Counter[tuple[str, str]]:
    """How often each piece of an archive was asked for; but for the look whether the archive is still the same."""
    return Counter((path, span) for path, span in mirror.asked if not re.fullmatch("bytes=0-0|", span))


def quiet_pack(get: Any, tmp_path: Path, *words: str) -> bytes:
    """What nobody has disturbed; it leaves no trace."""
    assert get(0, *words)[0] == 0
    data = (tmp_path / "a.pack").read_bytes()
    shutil.rmtree(tmp_path / "set")
    (tmp_path / "a.pack").unlink()
    return data


def test_killed_while_photographs_go(get, pictures, stand_in, tmp_path):
    """SIGKILL four times in a row, at planned and at random moments of packing."""
    out, path, usable = tmp_path / "set", tmp_path / "a.pack", stand_in.usable["train2017"]
    quiet, once = quiet_pack(get, tmp_path), asked(pictures)
    assert set(once.values()) == {1}
    pictures.asked.clear()
    rng, gone = random.Random(6), []
    for last in (5, 14, rng.randrange(6, 20), rng.randrange(6, 20)):
        assert get(last)[0] == -signal.SIGKILL
        stored, there = {one.name for one in HalfMade(path).photos}, {one.name for one in (out / "train2017").iterdir()}
        assert stored | there == usable and not path.exists()
        gone.append(len(usable - there))
    assert 0 == gone[0] < gone[1] < gone[2] < gone[3] < len(usable)
    status, told = get(0)
    assert status == 0 and "1 photographs cannot be read" in told
    assert path.read_bytes() == quiet and len(open_pack(path).ids) == 36
    assert asked(pictures) == once
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.pack", "set"]
    assert sorted(one.name for one in out.iterdir()) == ["annotations", "train2017", "val2017"]
    assert [one.name for one in (out / "train2017").iterdir()] == [UNREADABLE]


def test_only_what_is_lost_is_fetched_again(get, pictures, tmp_path):
    """A torn journal and a photograph that somebody has removed: two photographs; nothing else."""
    quiet, path = quiet_pack(get, tmp_path), tmp_path / "a.pack"
    assert get(18)[0] == -signal.SIGKILL
    half = HalfMade(path)
    half.journal.write_bytes(half.journal.read_bytes()[:-3])
    max((tmp_path / "set/train2017").iterdir()).unlink()
    pictures.asked.clear()
    assert get(0)[0] == 0 and path.read_bytes() == quiet
    again = asked(pictures)
    assert {name for name, _ in again} == {"/zips/train2017.zip"} and again.total() == 2


def test_another_size_is_refused_before_anything_is_fetched(get, pictures, tmp_path):
    assert get(18)[0] == -signal.SIGKILL
    half = HalfMade(tmp_path / "a.pack")
    pictures.asked.clear()
    for words in (("--size", "64", "64"), ("--out", str(tmp_path / "other")), ("--size", "64", "64", "--dry-run")):
        status, told = get(0, *words)
        assert status == 2 and told.count("\n") == 1 and len(told) < 600
        assert "photographs are only in" in told and "go on with those, or remove that file" in told
    assert pictures.asked == [] and HalfMade(half.path).done == half.done
    assert f"{len(half.done)} photographs are in {half.path}, half made, and are not fetched" in get(0, "--dry-run")[1]
    assert HalfMade(half.path).done == half.done


def test_other_people_are_refused_and_nothing_is_lost(get, tmp_path):
    quiet = quiet_pack(get, tmp_path, "--people", "12")
    assert get(9, "--people", "12")[0] == -signal.SIGKILL
    half = HalfMade(tmp_path / "a.pack")
    assert half.done
    status, told = get(0, "--people", "20")
    assert status == 2 and "go on with those" in told
    assert HalfMade(half.path).done == half.done
    assert get(0, "--people", "12")[0] == 0
    assert (tmp_path / "a.pack").read_bytes() == quiet


@pytest.fixture
def job(coco, manners, tmp_path) -> CocoJob:
    return CocoJob(out=tmp_path / "set", base=coco.address, manners=manners)


def test_the_plan_is_of_what_is_not_packed(job, coco, stand_in, monkeypatch):
    usable = sorted(stand_in.usable["train2017"])
    train = replace(plans.SPLITS["train2017"], photos=len(usable), all_photos=60)
    monkeypatch.setattr(plans, "SPLITS", plans.SPLITS | {"train2017": train})
    whole = plan_coco(job)
    for count in (10, len(usable)):
        packed = frozenset((job.out / "train2017" / name).absolute() for name in usable[:count])
        plan = plan_coco(replace(job, packed=packed))
        assert plan.rows[1].files == whole.rows[1].files - count
        share = 1 - count / len(usable)
        assert plan.rows[1].transfer == pytest.approx(share * whole.rows[1].transfer, abs=1)
        assert plan.rows[1].disk == pytest.approx(share * whole.rows[1].disk, abs=1)
        assert (plan.rows[0], plan.rows[2]) == (whole.rows[0], whole.rows[2])
        assert plan.peak == whole.peak - whole.rows[1].disk + plan.rows[1].disk


@pytest.mark.parametrize("ranges", [True, False])
def test_what_is_packed_is_not_fetched(job, coco, stand_in, ranges):
    coco.ranges = ranges
    usable = {job.out / "train2017" / name for name in stand_in.usable["train2017"]}
    kept = {min(usable), max(usable)} if ranges else set()
    (train, _) = get_coco(replace(job, packed=frozenset(usable - kept), scratch_stays=True))
    assert (train.photos, train.fetched) == (len(usable), len(kept))
    assert set((job.out / "train2017").glob("*")) == kept
    assert sum(path == "/zips/train2017.zip" for path, _ in coco.asked) == (2 + len(kept) if ranges else 1)
    rows = json.loads((job.out / "annotations/person_keypoints_train2017.json").read_text())["images"]
    assert {row["file_name"] for row in rows} == stand_in.usable["train2017"]
    assert job.scratch.exists()
    forget(job)
    assert not job.scratch.exists()
