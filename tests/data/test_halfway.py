"""Packs that consume their photographs: whatever stops them, nothing is lost, and the pack is that of a quiet run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandglass.core.errors import BadInput
from sandglass.data import halfway, packing, photos
from sandglass.data.crops import CropConfig
from sandglass.data.filters import Filter
from sandglass.data.halfway import HalfMade
from sandglass.data.packing import stored_already
from sandglass.data.sets import parse_sets


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be consumed: 5 photographs of 8 people."""
    return shutil.copytree(tiny_coco, tmp_path / "set")


@pytest.fixture
def sets(folder: Path) -> tuple[str, str]:
    return f"{folder}@train", f"{folder}@val"


@pytest.fixture
def quiet(sets: tuple[str, str], make_pack: Any, tmp_path: Path) -> bytes:
    """The JPEG pack that nobody has disturbed."""
    make_pack(tmp_path / "quiet" / "a.pack", *sets, encoding="jpeg")
    return (tmp_path / "quiet" / "a.pack").read_bytes()


@pytest.fixture
def interrupt(
    sets: tuple[str, str], make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., HalfMade]:
    """`interrupt(3)`: what Ctrl-C leaves after three photographs are on the disk, and gone."""

    def run(count: int, error: BaseException | None = None, **options: Any) -> HalfMade:
        add, done = halfway.Ledger.add, []

        def fail(self: Any, *one: Any) -> None:
            if len(done) == count:
                raise error or KeyboardInterrupt
            done.append(one)
            add(self, *one)

        with monkeypatch.context() as patch:
            patch.setattr(halfway, "BATCH", 0)
            patch.setattr(halfway.Ledger, "add", fail)
            with pytest.raises((KeyboardInterrupt, BadInput)):
                make_pack(tmp_path / "a.pack", *sets, encoding="jpeg", consume=True, **options)
        return HalfMade(tmp_path / "a.pack")

    return run


def pictures(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob("*.png"))


def fetch(tiny_coco: Path, folder: Path, half: HalfMade) -> None:
    """What `data get` does: all that is not there, but for what is packed."""
    for path in tiny_coco.rglob("*.png"):
        here = folder / path.relative_to(tiny_coco)
        if here not in half.photos and not here.exists():
            shutil.copyfile(path, here)


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in ("set", "quiet"))


KILL = """
import os, shutil, signal, sys
from pathlib import Path
from sandglass.data import halfway, packing
from sandglass.data.crops import CropConfig
from sandglass.data.filters import Filter
from sandglass.data.halfway import HalfMade
from sandglass.data.sets import parse_sets

place, origin, quiet = map(Path, sys.argv[1:])
path, folder = place / "a.pack", place / "set"
halfway.BATCH = 25_000  # two or three photographs

def attempt(last):
    # In a process of its own, killed before the last'th of the calls that change the disk.
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    taken = []
    def counted(owner, name):
        inner = getattr(owner, name)
        def call(*given, **named):
            taken.append(name)
            if len(taken) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return inner(*given, **named)
        setattr(owner, name, call)
    for owner, name in ((packing._Writer, "_store"), (packing._Writer, "finish"), (os, "fsync"), (os, "truncate"),
                        (os, "replace"), (Path, "touch"), (Path, "unlink")):
        counted(owner, name)
    sets = parse_sets([f"{folder}@train", f"{folder}@val"])
    packing.write_pack(path, sets, CropConfig(size=(48, 64)), Filter(), encoding="jpeg", consume=True)
    os._exit(0)

def photographs(root):
    return {one.relative_to(root) for one in root.rglob("*.png")}

def check(whole):
    half = {one.relative_to(folder) for one in HalfMade(path).photos}
    assert path.exists() or half | photographs(folder) == photographs(origin), "lost"
    assert not whole or not photographs(folder), "left"
    if path.exists():
        assert path.read_bytes() == quiet.read_bytes(), "another pack"
        assert not photographs(folder)

for moment in range(1, 100):
    shutil.rmtree(folder)
    path.unlink(missing_ok=True)
    shutil.copytree(origin, folder)
    died = attempt(moment)
    check(whole=died == 0)
    if died == 0:
        break
    assert died == -signal.SIGKILL, died
    for later in (moment % 9 + 9, 1000):  # once more, at another moment; then never
        if not path.exists():
            assert attempt(later) in (0, -signal.SIGKILL)
            check(whole=False)
    assert path.exists()
    path.with_name(".a.pack.journal").unlink(missing_ok=True)  # of a kill just after the name was given
    assert [one.name for one in place.iterdir() if "a.pack" in one.name] == ["a.pack"]
print(moment)
"""


def test_killed_at_any_moment_it_goes_on(folder: Path, tiny_coco: Path, quiet: bytes, tmp_path: Path) -> None:
    """SIGKILL before every call that changes the disk, then again, then never."""
    line = [sys.executable, "-c", KILL, str(tmp_path), str(tiny_coco), str(tmp_path / "quiet" / "a.pack")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


# Going on.


def test_what_is_stored_is_neither_read_nor_needed_again(
    folder: Path,
    sets: tuple[str, str],
    quiet: bytes,
    interrupt: Any,
    make_pack: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half = interrupt(3)
    assert [one.photo.stem for one in half.done] == ["000001", "000002", "000003"]
    assert [len(one.lengths) for one in half.done] == [2, 1, 2]
    assert pictures(folder) == ["000101", "000102"] and left(tmp_path) == [".a.pack.half", ".a.pack.journal"]
    read, paths, moves = photos.read_bytes, [], []
    monkeypatch.setattr(photos, "read_bytes", lambda path: (paths.append(path.stem), read(path))[1])
    told = make_pack(
        tmp_path / "a.pack", *sets, encoding="jpeg", consume=True, on_progress=lambda *now: moves.append(now)
    )
    assert sorted(paths) == ["000101", "000102"] and moves == [(6, 8), (8, 8)]
    assert (told.people, told.bytes, told.unreadable) == (8, len(quiet), ())
    assert (tmp_path / "a.pack").read_bytes() == quiet and left(tmp_path) == ["a.pack"] and not pictures(folder)


def test_raw_cuts_too(sets: tuple[str, str], make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pack(tmp_path / "quiet" / "a.pack", *sets)
    finish = packing._Writer.finish
    monkeypatch.setattr(packing._Writer, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(halfway, "BATCH", 60_000)
    with pytest.raises(KeyboardInterrupt):
        make_pack(tmp_path / "a.pack", *sets, consume=True)
    assert 0 < len(HalfMade(tmp_path / "a.pack").done) < 5
    monkeypatch.setattr(packing._Writer, "finish", finish)
    make_pack(tmp_path / "a.pack", *sets, consume=True)
    assert (tmp_path / "a.pack").read_bytes() == (tmp_path / "quiet" / "a.pack").read_bytes()


def test_unreadable_photographs_are_remembered_and_stay(
    folder: Path, sets: tuple[str, str], make_pack: Any, interrupt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "train" / "000002.png").write_bytes(b"no picture")
    quiet = make_pack(tmp_path / "quiet" / "a.pack", *sets, encoding="jpeg")
    half = interrupt(3)
    assert [bool(one.why) for one in half.done] == [False, True, False]
    read = photos.read_bytes
    monkeypatch.setattr(photos, "read_bytes", lambda path: read(path) if path.stem > "000100" else pytest.fail(path))
    told = make_pack(tmp_path / "a.pack", *sets, encoding="jpeg", consume=True)
    assert told.unreadable == quiet.unreadable and told.lost == quiet.lost == 1
    assert (tmp_path / "a.pack").read_bytes() == (tmp_path / "quiet" / "a.pack").read_bytes()
    assert pictures(folder) == ["000002"]


def test_room_is_needed_for_the_rest_alone(
    sets: tuple[str, str], quiet: bytes, interrupt: Any, make_pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = interrupt(3)
    rest = int(3 * 72 * 96 * 3 * packing.JPEG_SHARE)
    monkeypatch.setattr(packing, "photo_bytes", lambda people: {})
    for free in (rest - 1, rest):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(packing.shutil, "disk_usage", lambda path, usage=usage: usage)
        if free < rest:
            with pytest.raises(BadInput, match="are free"):
                make_pack(half.path, *sets, encoding="jpeg", consume=True)
    make_pack(half.path, *sets, encoding="jpeg", consume=True)
    assert half.path.read_bytes() == quiet


def test_a_full_disk_costs_nothing(
    sets: tuple[str, str], quiet: bytes, interrupt: Any, make_pack: Any, tmp_path: Path
) -> None:
    assert len(interrupt(2, OSError(28, "No space left on device")).done) == 2
    make_pack(tmp_path / "a.pack", *sets, encoding="jpeg", consume=True)
    assert (tmp_path / "a.pack").read_bytes() == quiet


def test_with_nothing_stored_nothing_is_left(folder: Path, interrupt: Any, tmp_path: Path) -> None:
    assert interrupt(0).begun is None
    assert left(tmp_path) == [] and len(pictures(folder)) == 5


def test_two_processes_do_not_write_one_pack(sets: tuple[str, str], interrupt: Any, make_pack: Any) -> None:
    half = interrupt(3)
    with half.writing():
        with pytest.raises(BadInput, match=r"a\.pack: another process is making it"):
            make_pack(half.path, *sets, encoding="jpeg", consume=True)
        assert len(HalfMade(half.path).done) == 3
    with pytest.raises(BadInput, match="another process"), half.writing():  # it is made by now
        pytest.fail("written")


def test_a_pack_that_consumes_nothing_is_made_elsewhere(
    folder: Path, tiny_coco: Path, sets: tuple[str, str], quiet: bytes, interrupt: Any, make_pack: Any, tmp_path: Path
) -> None:
    half = interrupt(3)
    fetch(tiny_coco, folder, HalfMade(tmp_path / "none.pack"))
    make_pack(half.path, *sets, encoding="jpeg")
    assert half.path.read_bytes() == quiet and HalfMade(half.path).done == half.done


# What lies there may be torn, old, or anybody's.


@pytest.mark.parametrize("cut", [1, 20])
def test_a_torn_line_is_not_counted(
    folder: Path,
    tiny_coco: Path,
    sets: tuple[str, str],
    quiet: bytes,
    interrupt: Any,
    make_pack: Any,
    tmp_path: Path,
    cut: int,
) -> None:
    """By a power cut, that is: a kill leaves whole lines. The photograph is fetched again, and no other one."""
    half = interrupt(3)
    half.journal.write_bytes(half.journal.read_bytes()[:-cut])
    torn = HalfMade(half.path)
    assert [one.photo.stem for one in torn.done] == ["000001", "000002"]
    fetch(tiny_coco, folder, torn)
    assert pictures(folder) == ["000003", "000101", "000102"]
    assert len(interrupt(1).done) == 3  # what comes after the torn line counts
    make_pack(half.path, *sets, encoding="jpeg", consume=True)
    assert half.path.read_bytes() == quiet and left(tmp_path) == ["a.pack"]


@pytest.mark.parametrize(
    ("whole", "lost", "count"), [(3, 1, 2), (2, 0, 2), (2, 1, 1), (0, 0, 0), (0, 1, 0), (0, 10**6, 0)]
)
def test_lines_whose_bytes_are_not_there_are_not_counted(
    folder: Path,
    tiny_coco: Path,
    sets: tuple[str, str],
    quiet: bytes,
    interrupt: Any,
    make_pack: Any,
    whole: int,
    lost: int,
    count: int,
) -> None:
    half = interrupt(3)
    assert half.begun
    end = half.begun.room + sum(sum(one.lengths) for one in half.done[:whole])
    os.truncate(half.file, max(0, end - lost))
    assert len(HalfMade(half.path).done) == count
    fetch(tiny_coco, folder, HalfMade(half.path))
    make_pack(half.path, *sets, encoding="jpeg", consume=True)
    assert half.path.read_bytes() == quiet


def test_bytes_that_no_line_tells_of_are_cut_off(
    sets: tuple[str, str], quiet: bytes, interrupt: Any, make_pack: Any
) -> None:
    half = interrupt(3)
    with half.file.open("ab") as file:
        file.write(b"?" * 100_000)
    make_pack(half.path, *sets, encoding="jpeg", consume=True)
    assert half.path.read_bytes() == quiet


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"7",
        b'["a", [1]]',
        b'["a", [1], "", 4]',
        b'["a", [], ""]',
        b'["a", [1], "why"]',
        b'["a", [0], ""]',
        b'["a", [-5], ""]',
        b'["a", [true], ""]',
        b'["a", [1.5], ""]',
        b'["a", [1e999], ""]',
        b'["a", {"1": 2}, ""]',
        b'[4, [1], ""]',
        b'["a", [1], null]',
        b'{"a": 1, "b": 2, "c": 3}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'["a", [' + b"9" * 5_000 + b'], ""]',
    ],
    ids=lambda line: line[:20].decode("latin-1"),
)
def test_a_broken_line_and_all_after_it_are_not_counted(
    folder: Path,
    tiny_coco: Path,
    sets: tuple[str, str],
    quiet: bytes,
    interrupt: Any,
    make_pack: Any,
    line: bytes,
) -> None:
    half = interrupt(3)
    lines = half.journal.read_bytes().split(b"\n")
    half.journal.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]))
    broken = HalfMade(half.path)
    assert [one.photo.stem for one in broken.done] == ["000001"]
    half.journal.write_bytes(b"\n".join([line, *lines]))
    assert HalfMade(half.path).begun is None
    fetch(tiny_coco, folder, HalfMade(half.path))
    make_pack(half.path, *sets, encoding="jpeg", consume=True)
    assert half.path.read_bytes() == quiet


def test_no_journal_removes_what_is_not_its_own(
    folder: Path, tiny_coco: Path, sets: tuple[str, str], quiet: bytes, interrupt: Any, make_pack: Any, tmp_path: Path
) -> None:
    """A line that names another file of this machine makes the journal one of other work."""
    half = interrupt(3)
    (tmp_path / "quiet" / "mine").write_text("mine")
    lines = half.journal.read_bytes().split(b"\n")
    for name in (str(tmp_path / "quiet" / "mine"), "\0", "x" * 5_000, str(folder / "val" / "000101.png")):
        fetch(tiny_coco, folder, HalfMade(tmp_path / "none.pack"))
        wrong = json.dumps([name, json.loads(lines[2])[1], ""]).encode()
        half.file.write_bytes(quiet)
        half.journal.write_bytes(b"\n".join([*lines[:2], wrong, b""]))
        if Path(name).is_absolute():  # nothing would be lost: anew
            make_pack(half.path, *sets, encoding="jpeg", consume=True)
            assert half.path.read_bytes() == quiet
        else:
            with pytest.raises(BadInput, match="1 photographs are only in"):
                make_pack(half.path, *sets, encoding="jpeg", consume=True)
            assert len(pictures(folder)) == 5
    assert (tmp_path / "quiet" / "mine").read_text() == "mine"


def other_work(folder: Path) -> dict[str, Any]:
    """Calls that do not make the pack which `interrupt` has begun."""
    both = [f"{folder}@train", f"{folder}@val"]
    return {
        "size": (both, {"crop": CropConfig(size=(64, 64))}),
        "quality": (both, {"quality": 80}),
        "encoding": (both, {"encoding": "raw"}),
        "one set": (both[:1], {}),
        "order": (both[::-1], {}),
        "weight": ([both[0] + ":2", both[1]], {}),
    }


@pytest.mark.parametrize("what", other_work(Path()))
def test_other_work_does_not_go_on_with_it(
    folder: Path, tiny_coco: Path, interrupt: Any, make_pack: Any, crop: CropConfig, tmp_path: Path, what: str
) -> None:
    names, options = other_work(folder)[what]
    options = {"encoding": "jpeg", "crop": crop} | options
    make_pack(tmp_path / "quiet" / "a.pack", *names, **options)
    half = interrupt(3)
    before = half.file.read_bytes(), half.journal.read_bytes()
    settings = options | {"rules": Filter(), "specs": parse_sets(names)}
    pattern = r"a\.pack: 3 photographs are only in .*\.a\.pack\.half, begun with other data or settings \(/"
    with pytest.raises(BadInput, match=pattern):
        stored_already(half.path, **settings)
    with pytest.raises(BadInput, match=pattern if what != "one set" else "photographs are only in|unusable"):
        make_pack(half.path, *names, **options, consume=True)
    assert (half.file.read_bytes(), half.journal.read_bytes()) == before and len(pictures(folder)) == 2
    fetch(tiny_coco, folder, HalfMade(tmp_path / "none.pack"))
    assert stored_already(half.path, **settings) == frozenset()
    make_pack(half.path, *names, **options, consume=True)  # nothing would be lost
    assert half.path.read_bytes() == (tmp_path / "quiet" / "a.pack").read_bytes()


def test_the_same_work_is_known_from_any_folder(
    folder: Path, quiet: bytes, interrupt: Any, crop: CropConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = interrupt(3)
    monkeypatch.chdir(folder)
    specs = parse_sets([".@train", ".@val"])
    assert stored_already(Path("../a.pack"), specs, crop, Filter(), "jpeg") == half.photos
    assert stored_already(Path("../b.pack"), specs, crop, Filter(), "jpeg") == frozenset()
    packing.write_pack(Path("../a.pack"), specs, crop, Filter(), encoding="jpeg", consume=True)
    assert half.path.read_bytes() == quiet


def test_labels_that_changed_are_other_work(
    folder: Path, sets: tuple[str, str], interrupt: Any, make_pack: Any, tmp_path: Path
) -> None:
    half = interrupt(3)
    path = folder / "annotations" / "person_keypoints_val.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["keypoints"][0] += 1
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput, match=r"3 photographs are only in .*; go on with those, or remove that file"):
        make_pack(half.path, *sets, encoding="jpeg", consume=True)
    half.file.unlink()
    assert HalfMade(half.path).photos == frozenset()


def test_a_photograph_that_two_images_name_is_refused(folder: Path, make_pack: Any, tmp_path: Path) -> None:
    path = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(path.read_text())
    data["images"][1]["file_name"] = data["images"][0]["file_name"]
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput, match="named twice, and cannot be removed"):
        make_pack(tmp_path / "a.pack", f"{folder}@train", consume=True)
    assert len(pictures(folder)) == 5 and left(tmp_path) == []
