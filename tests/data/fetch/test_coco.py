"""COCO from a small mirror of it: whatever happens on the way, the data set is complete, right, and no larger."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.image import read_image
from sandglass.data.coco import read_coco, read_coco_file
from sandglass.data.fetch import plan as plans
from sandglass.data.fetch.coco import choose, get_coco, plan_coco
from sandglass.data.fetch.plan import OFFICIAL, VARIABLE, CocoJob
from sandglass.data.filters import Filter, keep
from sandglass.data.photos import check_photos


@pytest.fixture(autouse=True)
def small_spans(monkeypatch):
    """Many requests, as for the real archives."""
    monkeypatch.setattr("sandglass.data.fetch.gather.GAP", 0)
    monkeypatch.setattr("sandglass.data.fetch.gather.SPAN", 60_000)


@pytest.fixture
def job(coco, manners, tmp_path) -> CocoJob:
    """Both splits of the small COCO."""
    return CocoJob(out=tmp_path / "set", base=coco.address, manners=manners, connections=3)


def assert_whole(out: Path, stand_in, chosen: Mapping[str, set[str]] | None = None):
    """The data set is what it should be, byte for byte, and nothing else lies there."""
    chosen = chosen or stand_in.usable
    for split, names in chosen.items():
        assert {path.name: path.read_bytes() for path in (out / split).iterdir()} == {
            name: stand_in.photos[split][name] for name in names
        }
        people = read_coco(out, split)
        assert {path.name for path in people.image_paths} == names
        assert check_photos(people) == []
    assert {path.name for path in out.iterdir()} == {"annotations", *chosen}
    assert {path.name for path in (out / "annotations").iterdir()} == {f"person_keypoints_{s}.json" for s in chosen}


def size_of(folder: Path) -> int:
    return sum(plans.on_file(path.stat().st_size) for path in folder.rglob("*") if path.is_file())


def test_only_what_is_needed_is_fetched_and_it_is_a_data_set(job, coco, stand_in):
    done = get_coco(job)
    assert_whole(job.out, stand_in)
    counts = {split: len(names) for split, names in stand_in.usable.items()}
    assert {row.split: row.photos for row in done} == {row.split: row.fetched for row in done} == counts
    assert done[0].people == len(keep(read_coco(job.out, "train2017"), Filter())[0]) == 38
    for row in done:
        photos = sum(len(stand_in.photos[row.split][name]) for name in stand_in.usable[row.split])
        assert photos < row.transfer < photos + 200 * row.photos  # headers


def test_the_file_says_all_but_the_outlines(job, stand_in):
    get_coco(job)
    for split, label in stand_in.labels.items():
        data = json.loads((job.out / f"annotations/person_keypoints_{split}.json").read_text())
        images = [row for row in label["images"] if row["file_name"] in stand_in.usable[split]]
        ids = {row["id"] for row in images}
        assert data["images"] == images and data["categories"] == label["categories"]
        rows = [row for row in label["annotations"] if row["image_id"] in ids]
        assert data["annotations"] == [{k: v for k, v in row.items() if k != "segmentation"} for row in rows]
        assert data["info"]["year"] == 2017
        assert f"{len(images)} photographs that sandglass chose" in data["info"]["description"]


def test_a_second_call_fetches_no_photograph(job, coco, stand_in):
    get_coco(job)
    coco.asked.clear()
    assert [row.fetched for row in get_coco(job)] == [0, 0]
    assert_whole(job.out, stand_in)
    spans = [span for path, span in coco.asked if path.startswith("/zips")]
    assert len(spans) == 4  # two probes, two directories


def test_everything_is_the_official_set(job, coco, stand_in):
    get_coco(replace(job, whole=True))
    assert_whole(job.out, stand_in, {split: set(photos) for split, photos in stand_in.photos.items()})
    for split, label in stand_in.labels.items():
        assert (job.out / f"annotations/person_keypoints_{split}.json").read_bytes() == json.dumps(label).encode()


def test_some_people_and_then_more(job, stand_in):
    """More people with the same seed are added to the fewer; another seed chooses others."""
    found: list[set[str]] = []
    for count, seed in ((5, 0), (20, 0), (5, 1)):
        few = replace(job, people=count, seed=seed, splits=("train2017",), out=job.out.parent / f"{count}-{seed}")
        (done,) = get_coco(few)
        assert count <= done.people <= count + 1
        found.append({path.name for path in (few.out / "train2017").iterdir()})
        assert_whole(few.out, stand_in, {"train2017": found[-1]})
    assert found[0] < found[1] and found[0] != found[2]
    grown = replace(job, people=5, splits=("train2017",))
    get_coco(grown)
    (done,) = get_coco(replace(grown, people=20))
    assert done.fetched == len(found[1]) - len(found[0])
    assert_whole(job.out, stand_in, {"train2017": found[1]})


def test_who_is_chosen(make_people):
    people = make_people(
        np.full((9, 17, 2), 9.0), image=[0, 0, 1, 2, 2, 2, 3, 4, 4], boxes=np.tile([0, 0, 50, 50], (9, 1))
    )
    crowd = replace(people, crowd=np.arange(9) == 6)  # alone in image 3
    assert choose(crowd, Filter()).tolist() == [0, 1, 2, 4]
    for count in range(1, 9):
        rows = choose(crowd, Filter(), count, seed=count)
        shown = np.isin(crowd.image[~crowd.crowd], rows).sum()
        assert count <= shown <= count + 2
    assert choose(crowd, Filter(), 100).tolist() == [0, 1, 2, 4]


def test_a_server_at_its_worst(job, coco, fault, stand_in, waits):
    """Drops at random, refuses for a while, redirects; the result is the same."""
    rng = random.Random(4)

    def misbehave(number, path, start):
        kind = rng.random()
        if kind < 0.3:
            return fault(drop_after=rng.randrange(40_000))
        if kind < 0.4:
            return fault(rng.choice((429, 503)), {"Retry-After": "2"})
        return fault(302, {"Location": path}) if kind < 0.5 else None

    coco.misbehave = misbehave
    get_coco(replace(job, manners=replace(job.manners, attempts=12)))
    assert_whole(job.out, stand_in)
    assert len(waits) > 10


def test_an_archive_that_changes_meanwhile_is_begun_anew(job, coco, stand_in, fault, pack):
    def change(number, path, start):
        if path == "/zips/train2017.zip" and number > 20 and coco.etags.get(path) is None:
            coco.etags[path] = '"2"'
            photos = stand_in.photos["train2017"]
            coco.files[path] = pack({f"train2017/{name}": photos[name] for name in sorted(photos, reverse=True)})
        return None

    coco.misbehave = change
    get_coco(replace(job, connections=1))
    assert coco.etags
    assert_whole(job.out, stand_in)
    coco.misbehave = lambda number, path, start: coco.etags.update({path: f'"{number}"'})
    with pytest.raises(BadInput, match="an archive changes while it is fetched"):
        get_coco(replace(job, out=job.out / "other"))


def test_a_server_without_ranges(job, coco, fault, stand_in):
    coco.ranges = False
    plan = plan_coco(job)
    assert [row.of for row in plan.rows] == [0, 0, 0]
    assert [row.transfer for row in plan.rows] == [len(data) for data in coco.files.values()]
    get_coco(job)
    assert_whole(job.out, stand_in)


def test_a_truncated_archive_and_a_missing_one_are_refused_before_anything_is_written(job, coco):
    whole = coco.files["/zips/val2017.zip"]
    coco.files["/zips/val2017.zip"] = whole[:-3000]
    with pytest.raises(BadInput, match=r"/zips/val2017\.zip: not a whole zip archive"):
        get_coco(job)
    del coco.files["/zips/val2017.zip"]
    with pytest.raises(BadInput, match=r"/zips/val2017\.zip: the server answers 404"):
        get_coco(job)
    assert not job.out.exists()


def test_a_damaged_photograph_leaves_a_state_to_go_on_from(job, coco, stand_in):
    name = max(stand_in.usable["train2017"])
    whole = coco.files["/zips/train2017.zip"]
    at = whole.index(stand_in.photos["train2017"][name])
    coco.files["/zips/train2017.zip"] = whole[:at] + b"?" + whole[at + 1 :]
    with pytest.raises(BadInput, match=rf"1 files are damaged in the archive, the first: 'train2017/{name}'"):
        get_coco(job)
    assert not (job.out / "annotations").exists()
    assert len(list((job.out / "train2017").iterdir())) == len(stand_in.usable["train2017"]) - 1
    coco.files["/zips/train2017.zip"] = whole
    (train, _) = get_coco(job)
    assert train.fetched == 1
    assert_whole(job.out, stand_in)


def test_labels_that_name_other_photographs_than_the_archive_has(job, coco, stand_in, pack):
    coco.files["/zips/val2017.zip"] = pack({"val2017/else.jpg": b"1"})
    with pytest.raises(BadInput, match=r"val2017\.zip: 14 files are not in the archive, the first: 'val2017/0000"):
        get_coco(job)
    coco.files["/annotations/annotations_trainval2017.zip"] = pack({"annotations/none.json": b"1"})
    with pytest.raises(BadInput, match="2 files are not in the archive, the first: 'annotations/person_key"):
        get_coco(job)


@pytest.mark.parametrize("name", ["../../evil.jpg", "/tmp/evil.jpg", "a\\..\\..\\evil.jpg", ".."])
def test_labels_that_lead_out_of_the_folder_are_refused(job, coco, stand_in, pack, name):
    label = json.loads(json.dumps(stand_in.labels["train2017"]))
    label["images"][0]["file_name"] = name
    labels = stand_in.labels | {"train2017": label}
    files = {f"annotations/person_keypoints_{split}.json": json.dumps(data).encode() for split, data in labels.items()}
    coco.files["/annotations/annotations_trainval2017.zip"] = pack(files)
    coco.files["/zips/train2017.zip"] = pack({f"train2017/{name}": b"evil"})
    with pytest.raises(BadInput, match="it must name a file inside"):
        get_coco(job)
    assert not (job.out / "train2017").exists() and not list(job.out.parent.rglob("*evil*"))


def test_a_disk_that_is_too_small_is_said_before_the_first_byte(job, coco, monkeypatch):
    monkeypatch.setattr(plans, "free_at", lambda folder: 100_000)
    with pytest.raises(BadInput, match=r"GB are needed and 0\.0 GB are free; .*--people"):
        get_coco(job)
    assert not job.out.exists()


def test_the_exact_need_is_checked_once_it_is_known(job, monkeypatch):
    monkeypatch.setattr(plans, "SPLITS", {name: replace(s, photos=1) for name, s in plans.SPLITS.items()})
    free = iter([10**9, 10**9, 100_000])  # plan, first check, second check
    monkeypatch.setattr(plans, "free_at", lambda folder: next(free))
    with pytest.raises(BadInput, match="are needed"):
        get_coco(job)
    assert not (job.out / "train2017").exists()


def test_the_plan_is_made_from_directories_alone(job, coco, stand_in):
    plan = plan_coco(job)
    assert not job.out.exists()
    assert len(coco.asked) == 6  # three probes, three directories
    assert [row.address for row in plan.rows] == [coco.address + path for path in coco.files]
    assert plan.there == 0 and plan.free > 0
    whole = plan_coco(replace(job, whole=True))
    assert [row.of for row in whole.rows] == [4, 60, 20] and [row.files for row in whole.rows] == [2, 60, 20]
    fewer = plan_coco(replace(job, people=1_000))
    assert fewer.peak < plan.peak < whole.peak
    get_coco(job)
    assert plan_coco(job).there > 0


@pytest.mark.parametrize("whole", [False, True])
def test_the_disk_never_holds_more_than_was_planned(job, monkeypatch, whole, stand_in):
    """The share of usable photographs is COCO's; here it is the stand-in's."""
    shares = {"train2017": (len(stand_in.usable["train2017"]), 60), "val2017": (14, 20)}
    own = {s: replace(plans.SPLITS[s], photos=part, all_photos=of) for s, (part, of) in shares.items()}
    monkeypatch.setattr(plans, "SPLITS", own)
    peak = 0

    def look(*_):
        nonlocal peak
        peak = max(peak, size_of(job.out))

    job = replace(job, whole=whole, connections=1)
    get_coco(job, lambda text: nullcontext(look))
    look()
    assert 0.6 * plan_coco(job).peak < peak < 1.1 * plan_coco(job).peak  # photographs differ in size


def test_all_of_coco_fits_into_ten_gigabytes():
    """The archives' official sizes, the shares counted in the labels; annotation files as they unpack."""
    train, val = plans.SPLITS["train2017"], plans.SPLITS["val2017"]
    photos = 19_336_861_798 * train.photos / train.all_photos + 815_585_330 * val.photos / val.all_photos
    blocks = (train.photos + val.photos) * plans.FILE_BLOCK / 2
    annotations = 2 * 252_907_541 + 252_907_541 / 3
    assert 8e9 < photos + blocks + annotations < 10e9


def test_the_shares_are_those_of_the_labels(people_folder):
    """Of val2017; those of train2017, counted in the same way, take seconds."""
    people = read_coco_file(people_folder / "coco_labels/person_keypoints_val2017.json", Path("photos"), "val2017")
    split = plans.SPLITS["val2017"]
    kept, tally = keep(people, split.rules)
    assert (tally.images, len(kept)) == (split.photos, split.people)


GET = """
import sys
from sandglass import cli
from sandglass.data.fetch import gather
gather.GAP, gather.SPAN = 0, 60_000
sys.exit(cli.main())
"""


@pytest.mark.parametrize("ranges", [True, False])
def test_killed_at_any_moment_it_goes_on(job, coco, stand_in, ranges):
    """SIGKILL while photographs arrive, up to three times: nothing twice but what was under way, and nothing torn."""
    coco.ranges = ranges
    line = [sys.executable, "-c", GET, "data", "get", "coco", "--out", str(job.out)]
    line += ["--mirror", coco.address, "--connections", "1"]
    environment = os.environ | {"NO_PROXY": "*", "OMP_NUM_THREADS": "1"}
    rng = random.Random(5)
    for _ in range(3 if ranges else 1):
        process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stop = coco.sent + rng.randrange(100_000, 350_000)

        def cut(stop=stop, process=process):
            if coco.sent > stop:
                process.send_signal(signal.SIGKILL)
            return coco.sent > stop

        coco.cut = cut
        assert process.wait(60) == -signal.SIGKILL
        assert not (job.out / "annotations").exists()
    coco.cut = lambda: False
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert_whole(job.out, stand_in)
    if ranges:
        interrupted, coco.sent = coco.sent, 0
        get_coco(replace(job, out=job.out.parent / "undisturbed"))
        assert interrupted < coco.sent + 3 * (60_000 + 60_000)  # one request of at most a span and a photograph each


def test_real_pictures_can_be_trained_on_at_once(mirror, manners, pack, tiny_coco, tmp_path):
    annotations, photos = "annotations/person_keypoints_{}.json", {}
    for split, name in (("train", "train2017"), ("val", "val2017")):
        photos[annotations.format(name)] = (tiny_coco / annotations.format(split)).read_bytes()
        files = {f"{name}/{path.name}": path.read_bytes() for path in (tiny_coco / split).iterdir()}
        mirror.files[f"/zips/{name}.zip"] = pack(files)
    mirror.files["/annotations/annotations_trainval2017.zip"] = pack(photos)
    get_coco(CocoJob(out=tmp_path / "coco", base=mirror.address, manners=manners))
    people = read_coco(tmp_path / "coco", "train2017")
    assert check_photos(people) == [] and len(people) == 7
    for path in people.image_paths:
        assert read_image(path).shape == (200, 240, 3)


def test_where_it_comes_from(coco, manners, tmp_path, monkeypatch, stand_in):
    assert OFFICIAL == "http://images.cocodataset.org"
    folder = tmp_path / "mirror"
    for path, data in coco.files.items():
        (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (folder / path[1:]).write_bytes(data)
    for base in (str(folder), folder.as_uri(), coco.address + "/"):
        job = CocoJob(out=tmp_path / str(len(base)), base=base, manners=manners)
        get_coco(job)
        assert_whole(job.out, stand_in)
    monkeypatch.setenv(VARIABLE, str(folder / "none"))
    with pytest.raises(BadInput, match=r"none/annotations/annotations_trainval2017\.zip: no such file"):
        plan_coco(CocoJob(out=tmp_path / "x", manners=manners))
    assert plan_coco(CocoJob(out=tmp_path / "x", base=str(folder), manners=manners)).rows  # the flag goes first


@pytest.mark.parametrize(
    "given",
    [
        {"splits": ("test2017",)},
        {"splits": ()},
        {"people": -1},
        {"connections": 0},
        {"connections": 99},
        {"people": 5, "whole": True},
    ],
)
def test_what_cannot_be_wanted(given, tmp_path):
    with pytest.raises(BadInput):
        CocoJob(out=tmp_path, **given)


def test_a_folder_that_cannot_be_written_is_said_first(job, coco):
    job.out.write_text("a file")
    with pytest.raises(BadInput, match="cannot be written"):
        get_coco(job)
    assert coco.asked == []
