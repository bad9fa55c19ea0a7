"""A remote zip: every member as zipfile would read it, and whatever is wrong with the archive is refused by name."""

import io
import random
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandglass.core.errors import BadInput
from sandglass.data.fetch.archive import HEAD, Archive, Damaged, Member, inflate, walk
from sandglass.data.fetch.source import LocalFile

RNG = random.Random(3)
NOISE = RNG.randbytes(70_000)
FILES = {
    "a/noise.bin": NOISE,
    "a/text.txt": b"sand " * 40_000,
    "empty": b"",
    "one": b"1",
    "a/ünïcode ☃.bin": NOISE[:5_000],
    "../../evil": b"climbs",
}
LIMIT = 10**6


class Bytes:
    """An archive in memory; blocks of `step` bytes."""

    name, ranges, validator = "made.zip", True, "v"

    def __init__(self, data, step=10_000):
        self.data, self.size, self.step, self.read_bytes = data, len(data), step, 0

    def read(self, start, stop):
        assert start >= 0 and stop <= self.size
        for at in range(start, stop, self.step):
            self.read_bytes += min(self.step, stop - at)
            yield self.data[at : min(at + self.step, stop)]

    def close(self):
        pass


def zipped(files, method=zipfile.ZIP_DEFLATED, comment=b"", before=b""):
    data = io.BytesIO(before)
    data.seek(len(before))
    with zipfile.ZipFile(data, "w", method) as archive:
        archive.comment = comment
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def content(source, member, limit=LIMIT):
    return b"".join(inflate(member, source.read(member.start, member.stop), limit))


def opened(data, scratch, step=10_000):
    source = Bytes(data, step)
    archive = Archive.open(source, scratch)
    assert archive.members is not None
    return source, archive.members


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("step", [1, 29, 31, 10_000, 10**7])
def test_every_member_comes_back(method, step, tmp_path):
    small = {name: data[:3_000] for name, data in FILES.items()} if step < 1_000 else FILES
    source, members = opened(zipped(small, method), tmp_path, step)
    assert members.keys() == small.keys()
    for name, data in small.items():
        assert content(source, members[name]) == data


def test_comments_and_what_stands_before_an_archive_do_no_harm(tmp_path):
    source, members = opened(zipped(FILES, comment=b"c" * 60_000, before=b"#!/bin/sh\n" * 50), tmp_path)
    assert all(content(source, members[name]) == data for name, data in FILES.items())


def test_archives_beyond_four_gigabytes_and_64k_files_are_read(tmp_path, monkeypatch):
    """zipfile writes zip64 records where it thinks that it must."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    data = zipped(FILES)
    monkeypatch.undo()
    assert b"PK\6\6" in data and b"PK\6\7" in data
    source, members = opened(data, tmp_path)
    assert all(content(source, members[name]) == data for name, data in FILES.items())


def test_members_beyond_four_gigabytes_are_found_where_they_lie(tmp_path):
    """A sparse archive of 5 GB: only its ends are ever read."""
    path = tmp_path / "big.zip"
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("first", b"1")
        archive.start_dir = 5 * 2**30  # where it goes on
        archive.writestr("last", NOISE)
    source = LocalFile(path)
    members = Archive.open(source, tmp_path).members
    assert members and members["last"].start == 5 * 2**30
    assert content(source, members["last"]) == NOISE and content(source, members["first"]) == b"1"


def test_only_the_directory_is_read_and_remembered(tmp_path):
    data = zipped({f"{i:06d}.jpg": NOISE[:1_000] for i in range(3_000)}, zipfile.ZIP_STORED)
    source = Bytes(data)
    archive = Archive.open(source, tmp_path)
    directory = len(data) - data.index(b"PK\1\2")
    assert directory <= source.read_bytes <= directory + 2**16
    archive.remember(tmp_path / "scratch")
    again = Bytes(data)
    assert Archive.open(again, tmp_path / "scratch") == replace(archive, source=again)
    assert again.read_bytes == 0
    (kept,) = (tmp_path / "scratch").iterdir()
    for torn in (b"", kept.read_bytes()[:-30], kept.read_bytes()[40:], b"x" * 1_000):
        kept.write_bytes(torn)
        assert Archive.open(again, tmp_path / "scratch").members == archive.members
    other = Bytes(data)
    other.validator = "w"  # another file has another memory
    Archive.open(other, tmp_path / "scratch")
    assert other.read_bytes >= directory


def test_an_archive_of_nothing(tmp_path):
    assert opened(zipped({}), tmp_path)[1] == {}


@pytest.mark.parametrize("cut", [1, 10, 22, 60, 1_000])
def test_a_truncated_archive_is_refused(cut, tmp_path):
    with pytest.raises(BadInput, match=r"made\.zip: not a whole zip archive .*; fetch it again, or give a mirror"):
        opened(zipped(FILES)[:-cut], tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>404</html>" * 5_000, bytes(100_000), b"PK\5\6" * 10_000])
def test_what_is_no_archive_is_refused(data, tmp_path):
    with pytest.raises(BadInput, match=r"made\.zip: not a whole zip archive"):
        opened(data, tmp_path)


def test_a_directory_of_unlikely_length_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("sandglass.data.fetch.archive.MAX_DIRECTORY", 100_000)
    data = zipped({f"{i:0200d}": b"" for i in range(1_000)})
    source = Bytes(data)
    with pytest.raises(BadInput, match="its directory is longer than"):
        Archive.open(source, tmp_path)
    assert source.read_bytes <= 2**17


def test_members_that_share_bytes_are_refused(tmp_path):
    """The way in which a small archive becomes petabytes: many members, one kernel."""
    data = bytearray(zipped({"a": NOISE, "b": NOISE}, zipfile.ZIP_STORED))
    second = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, second + 42, 5)  # b begins within a
    with pytest.raises(BadInput, match=r"made\.zip: 'a' overlaps what comes after it"):
        opened(bytes(data), tmp_path)


def spoilt(name, files=FILES, packing=zipfile.ZIP_DEFLATED, **claims):
    """An archive in memory, and one of its members with other claims."""
    source = Bytes(zipped(files, packing))
    members = Archive.open(source, Path("none")).members
    assert members is not None
    return source, replace(members[name], **claims)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"crc": 1}, "CRC"),
        ({"size": 199_999}, "holds more than it says"),
        ({"size": 200_001}, "200,000 bytes with CRC"),
        ({"start": 5}, "no member where the archive says"),
        ({"packed": 20}, "does not end"),
        ({"packed": 10**6}, "bytes are missing"),
    ],
)
def test_a_member_that_is_not_what_was_announced_is_damaged(claims, why):
    with pytest.raises(Damaged, match=why):
        content(*spoilt("a/text.txt", **claims))


def test_flipped_bits_are_damage():
    source, member = spoilt("a/noise.bin", packing=zipfile.ZIP_STORED)
    for at in (0, 35_000, 69_999):
        data = bytearray(source.data)
        data[member.start + HEAD.size + len(member.name) + at] ^= 1
        with pytest.raises(Damaged):
            content(Bytes(bytes(data)), member)
    source, member = spoilt("a/text.txt")
    data = bytearray(source.data)
    data[member.start + HEAD.size + len(member.name) + 3] ^= 0xFF
    with pytest.raises(Damaged):
        content(Bytes(bytes(data)), member)


def test_a_bomb_is_stopped_while_it_is_small():
    bomb = {"bomb": bytes(30_000_000)}
    source, member = spoilt("bomb", bomb)
    assert source.size < 50_000
    with pytest.raises(BadInput, match="'bomb': says that it has 30,000,000 bytes, more than 1,000,000"):
        content(source, member)
    pieces = inflate(replace(member, size=1_000), source.read(member.start, member.stop), LIMIT)
    with pytest.raises(Damaged, match="holds more than it says"):
        next(pieces)


def test_encrypted_and_exotic_members_are_refused():
    for method in (-1, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9):
        with pytest.raises(BadInput, match="encrypted, or compressed in an unknown way"):
            content(*spoilt("one", method=method))


def test_a_piece_that_ends_at_the_bound_is_not_the_end():
    """zlib may hold back output that no further input brings forth."""
    for size in (2**20 - 1, 2**20, 2**20 + 1, 2**20 + 300, 2**21):
        source, member = spoilt("x", {"x": b"a" * size})
        assert content(source, member, 2**22) == b"a" * size


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("step", [7, 10_000])
def test_walking_from_the_front_gives_the_same(method, step, tmp_path):
    small = {name: data[:3_000] for name, data in FILES.items()}
    source, members = opened(zipped(small, method), tmp_path, step)
    wanted = {"a/noise.bin", "one", "a/ünïcode ☃.bin"}
    found = {m.name: (m, b"".join(inflate(m, raw, LIMIT))) for m, raw in walk(source, wanted.__contains__)}
    assert {name: data for name, (_, data) in found.items()} == {name: small[name] for name in wanted}
    for name, (member, _) in found.items():
        assert replace(member, stop=0) == replace(members[name], stop=0)
    assert [m.name for m, _ in walk(source, lambda name: True)] == list(small)  # also if nobody takes the bytes


def test_walking_needs_sizes_before_the_data():
    data = io.BytesIO()

    class Pipe(io.RawIOBase):  # zipfile cannot go back to fill the sizes in
        def writable(self):
            return True

        def write(self, block):
            return data.write(block)

    with zipfile.ZipFile(Pipe(), "w") as archive:  # type: ignore[arg-type]
        archive.writestr("a", b"data")
    with pytest.raises(BadInput, match="cannot be read front to back"):
        list(walk(Bytes(data.getvalue()), lambda name: True))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_mangled_archives_are_read_or_refused(places, tmp_path):
    data = bytearray(zipped({"a": b"x" * 500, "b/c": NOISE[:300]}))
    for at, value in places:
        data[at % len(data)] = value
    source = Bytes(bytes(data))
    try:
        members = Archive.open(source, tmp_path).members
        assert members is not None
        for member in members.values():
            got = content(source, member)
            assert len(got) == member.size and zlib.crc32(got) == member.crc
    except (BadInput, Damaged):
        pass
    try:
        for member, raw in walk(source, lambda name: True):
            assert isinstance(member, Member)
            list(inflate(member, raw, LIMIT))
    except (BadInput, Damaged):
        pass
