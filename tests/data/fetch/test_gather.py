"""Members as files: byte for byte, with as few requests as pay, and nothing twice."""

import random
import zipfile
import zlib
from dataclasses import replace

import pytest

from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.data.fetch.archive import Archive, Member
from sandglass.data.fetch.gather import (
    ATTEMPTS,
    GAP,
    SPAN,
    bytes_of,
    fetch_large,
    gather,
    gather_passing,
    is_there,
    missing,
    runs,
)
from sandglass.data.fetch.http import HttpFile

# Every second one is wanted; the others are too large to be fetched along with them.
FILES = {f"p/{i:02d}.jpg": bytes([i]) * (40_000 + i + i % 2 * GAP) for i in range(40)}


def member(name, start, stop):
    return Member(name, start, stop, packed=stop - start, size=stop - start, crc=0, method=0)


def test_near_members_are_asked_for_at_once():
    a, b = member("a", 0, 10), member("b", 10, 20)
    far = member("far", 20 + GAP + 1, 30 + GAP + 1)
    assert runs([far, b, a]) == [[a, b], [far]]
    assert runs([a, replace(far, start=20 + GAP - 10)]) == [[a, replace(far, start=20 + GAP - 10)]]
    half = [member(str(i), i * SPAN // 2, (i + 1) * SPAN // 2) for i in range(5)]
    assert [len(group) for group in runs(half)] == [2, 2, 1]
    assert runs([member("huge", 0, 9 * SPAN)]) == [[member("huge", 0, 9 * SPAN)]]
    assert runs([]) == [] and bytes_of(runs([far, b, a])) == 30


@pytest.fixture
def remote(mirror, pack, manners, tmp_path):
    """The archive of FILES behind the mirror, opened; (source, wanted: every second member by path)."""
    mirror.files["/z"] = pack(FILES)
    source = HttpFile(mirror.address + "/z", manners)
    members = Archive.open(source, tmp_path / "none").members
    assert members is not None
    wanted = {tmp_path / name: members[name] for name in list(FILES)[::2]}
    mirror.sent = 0
    return source, wanted


def assert_whole(wanted):
    for path, member in wanted.items():
        assert path.read_bytes() == FILES[member.name]
    folder = next(iter(wanted)).parent
    assert {path.name for path in folder.iterdir()} == {path.name for path in wanted}  # and no litter


@pytest.mark.parametrize("connections", [1, 8])
def test_what_is_wanted_comes_and_nothing_else(remote, mirror, connections):
    source, wanted = remote
    told = []
    gather(source, wanted, connections, lambda done, total: told.append((done, total)))
    assert_whole(wanted)
    assert told[-1][0] == told[-1][1] == mirror.sent == bytes_of(runs(wanted.values()))
    assert sorted(told) == told


def test_connections_that_drop_at_random_places(remote, mirror, fault, waits):
    source, wanted = remote
    mirror.misbehave = lambda number, path, start: fault(drop_after=number * 7919 % 60_000) if number % 2 else None
    gather(source, wanted, 4)
    assert_whole(wanted)
    assert mirror.sent == bytes_of(runs(wanted.values())) and waits


def test_damage_on_the_way_is_fetched_again(remote, monkeypatch):
    source, wanted = remote
    read, spoilt = source.read, []

    def noisy(start, stop):
        for block in read(start, stop):
            if len(spoilt) < ATTEMPTS - 1:  # they may all hit one file: its last attempt is clean
                spoilt.append(start)
                block = bytes([block[0] ^ 1]) + block[1:]
            yield block

    monkeypatch.setattr(source, "read", noisy)
    gather(source, wanted, 1)
    assert_whole(wanted)
    assert len(spoilt) == ATTEMPTS - 1


def test_damage_in_the_archive_is_named_after_all_others_are_there(remote, mirror):
    source, wanted = remote
    broken = list(wanted)[7]
    data = bytearray(mirror.files["/z"])
    data[wanted[broken].start + 20_000] ^= 1
    mirror.files["/z"] = bytes(data)
    with pytest.raises(BadInput, match=r"/z: 1 files are damaged in the archive, the first: 'p/14\.jpg'; all others"):
        gather(source, wanted, 4)
    assert not broken.exists()
    assert_whole({path: member for path, member in wanted.items() if path != broken})
    range_ = f"bytes={wanted[broken].start}-{wanted[broken].stop - 1}"
    assert sum(asked[1] == range_ for asked in mirror.asked) == ATTEMPTS


def test_the_first_refusal_ends_it_all(remote, mirror, fault):
    source, wanted = remote
    mirror.misbehave = lambda number, path, start: fault(403) if number == 8 else None
    with pytest.raises(BadInput, match="answers 403"):
        gather(source, wanted, 2)
    assert len(mirror.asked) < 8 + 4
    left = missing(wanted)
    assert 0 < len(left) < len(wanted)
    assert_whole({path: member for path, member in wanted.items() if path not in left})


def test_interrupting_it_leaves_whole_files(remote, mirror, fault):
    source, wanted = remote
    mirror.misbehave = lambda number, path, start: fault(pause_after=100) if number > 10 else None

    def interrupt(done, total):
        if done > total / 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(source, wanted, 3, interrupt)
    left = missing(wanted)
    assert left and left != wanted
    assert_whole({path: member for path, member in wanted.items() if path not in left})


def test_what_is_there_is_known_by_its_bytes(remote):
    source, wanted = remote
    gather(source, wanted, 2)
    first, second, third, *_ = wanted
    first.write_bytes(FILES[wanted[first].name][:-1])
    second.write_bytes(FILES[wanted[second].name][:-1] + b"x")
    third.unlink()
    third.mkdir()
    told = []
    assert list(missing(wanted, lambda done, total: told.append((done, total)))) == [first, second, third]
    assert told[-1][0] == told[-1][1] == sum(member.size for member in wanted.values())
    assert missing({}) == {}


def test_a_disk_that_is_full_ends_it_with_a_line(remote):
    source, wanted = remote

    def keep(path, content):
        if len(list(path.parent.glob("*"))) >= 3:
            raise BadInput(f"{path}: cannot be written (No space left on device)")
        write_whole(path, content)

    with pytest.raises(BadInput, match="No space left"):
        gather(source, wanted, 2, keep=keep)


def test_without_ranges_the_archive_passes_by(remote, mirror, tmp_path):
    source, wanted = remote
    names = {member.name: path for path, member in wanted.items()}
    mirror.ranges = source.ranges = False
    assert gather_passing(source, names) == 20
    assert_whole(wanted)
    first, *_ = wanted
    first.unlink()
    assert gather_passing(source, names) == 1
    with pytest.raises(BadInput, match=r"1 files are not in the archive, the first: 'p/none\.jpg'"):
        gather_passing(source, names | {"p/none.jpg": tmp_path / "none.jpg"})
    data = bytearray(mirror.files["/z"])
    data[wanted[first].start + 20_000] ^= 1
    mirror.files["/z"] = bytes(data)
    first.unlink()
    with pytest.raises(BadInput, match="1 files are damaged"):
        gather_passing(source, names)
    assert not first.exists()


NOISE = random.Random(5).randbytes(2_000_000)


@pytest.fixture
def large(mirror, pack, manners, tmp_path):
    """(source, member) of one that is fetched in more than one go."""
    mirror.files["/z"] = pack({"p/other": b"1", "p/big.json": NOISE}, zipfile.ZIP_DEFLATED)
    source = HttpFile(mirror.address + "/z", manners)
    members = Archive.open(source, tmp_path / "none").members
    assert members is not None
    mirror.sent = 0
    return source, members["p/big.json"]


def test_a_large_member_is_gone_on_with(large, mirror, tmp_path):
    source, member = large

    def interrupt(done, total):
        if done > 700_000:
            raise KeyboardInterrupt

    path = tmp_path / "deep" / "big.json"
    with pytest.raises(KeyboardInterrupt):
        fetch_large(source, member, path, 10**7, interrupt)
    first = mirror.sent
    assert not path.exists()
    (part,) = path.parent.iterdir()
    with part.open("r+b") as file:
        file.truncate(650_000)  # what a kill may cost
    told = []
    fetch_large(source, member, path, 10**7, lambda done, total: told.append((done, total)))
    assert path.read_bytes() == NOISE and list(path.parent.iterdir()) == [path]
    assert told[0][0] > 650_000 and told[-1] == (member.stop - member.start,) * 2
    assert first > 700_000 and mirror.asked[-1][1] == f"bytes={member.start + 650_000}-{member.stop - 1}"


def test_a_torn_beginning_is_thrown_away(large, tmp_path):
    source, member = large
    path = tmp_path / "big.json"
    part = path.with_name(f"big.json.{member.crc:08x}.{member.packed}.packed")
    for torn in (bytes(500_000), b"x" * 5_000_000):
        part.write_bytes(torn)
        fetch_large(source, member, path, 10**7)
        assert path.read_bytes() == NOISE and list(tmp_path.iterdir()) == [path]
        path.unlink()


def test_a_large_member_that_stays_damaged_or_is_too_large_is_refused(large, mirror, tmp_path):
    source, member = large
    with pytest.raises(BadInput, match="says that it has 2,000,000 bytes, more than 1,000,000"):
        fetch_large(source, member, tmp_path / "big.json", 10**6)
    for path in tmp_path.iterdir():
        path.unlink()
    data = bytearray(mirror.files["/z"])
    data[member.start + 1_000_000] ^= 1
    mirror.files["/z"] = bytes(data)
    with pytest.raises(BadInput, match=r"big\.json is damaged in the archive; run the same command again"):
        fetch_large(source, member, tmp_path / "big.json", 10**7)
    assert not list(tmp_path.iterdir())


def test_a_file_is_known_by_its_crc(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"data")
    assert is_there(path, Member("a", 0, 9, 4, 4, zlib.crc32(b"data"), 0))
    assert not is_there(path, Member("a", 0, 9, 4, 4, zlib.crc32(b"atad"), 0))
    assert not is_there(tmp_path, Member("a", 0, 9, 4, tmp_path.stat().st_size, 0, 0))
