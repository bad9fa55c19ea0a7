"""A zip archive that stays where it is: its directory, and single members out of it. Nothing in it is believed.

No member's name ever becomes a path, sizes are bounds and not promises, and every member must have its CRC-32.
"""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.data.fetch.source import Source

MAX_DIRECTORY = 256 * 2**20  # bytes; COCO's largest directory, of 118,288 entries, has about 9 MB
TAIL = 64 * 2**10  # read first: it holds the directory of a small archive
HEAD = struct.Struct("<4s5H3L2H")  # of a member: the local header, up to its name
LOCAL = b"PK\3\4"
MAX_EXTRA = 2 * 0xFFFF + 24  # bytes of name and extra field before the data, and of a descriptor after it
PIECE = 2**20  # bytes that are unpacked at a time
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


@dataclass(frozen=True)
class Member:
    """One file of an archive, as the archive describes it. Its header and data lie at start <= byte < stop."""

    name: str
    start: int
    stop: int
    packed: int  # bytes, compressed
    size: int  # bytes
    crc: int
    method: int  # of compression; -1 if it is encrypted


class Damaged(Exception):
    """A member that is not what the archive says: its bytes were changed on the way, or before."""


@dataclass(frozen=True)
class Archive:
    """An archive and its directory. members: by name; None where the server answers no ranges, see `walk`."""

    source: Source
    members: Mapping[str, Member] | None
    tail: bytes = field(default=b"", repr=False)  # the directory as it lies in the archive

    @classmethod
    def open(cls, source: Source, scratch: Path) -> "Archive":
        """Read the directory from the archive's last bytes alone (zip64 too), or from what `remember` left.

        Raises BadInput: no zip, truncated, too long a directory, members that overlap or lie outside. And Changed.
        """
        if not source.ranges:
            return cls(source, None)
        known = b""
        with suppress(OSError):
            known = _memory(source, scratch).read_bytes() if source.validator else b""
        with suppress(BadInput):  # torn by a crash
            if known:
                return cls(source, *_read_directory(source, known))
        return cls(source, *_read_directory(source, b""))

    def remember(self, scratch: Path) -> None:
        """Keep the directory in a folder, for as long as the archive does not change. Raises BadInput."""
        if self.tail and self.source.validator:
            write_whole(_memory(self.source, scratch), self.tail)


def _memory(source: Source, scratch: Path) -> Path:
    identity = f"{source.name} {source.size} {source.validator}"
    return scratch / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.directory"


def _read_directory(source: Source, known: bytes) -> tuple[dict[str, Member], bytes]:
    tail = _Tail(source, known)
    try:
        with zipfile.ZipFile(tail) as archive:  # type: ignore[arg-type]
            return _members(source.name, archive.infolist(), archive.start_dir), tail.bytes
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{source.name}: not a whole zip archive ({error}); fetch it again, or give a mirror") from None


class _Tail(io.RawIOBase):
    """An archive as a file to seek in, for zipfile. Remembers all from the earliest byte on that was asked for."""

    def __init__(self, source: Source, known: bytes) -> None:
        self._source, self.bytes, self._at = source, known, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + (0, self._at, self._source.size)[whence]
        if at < 0:
            raise OSError("it leads to before the archive's start")  # what a file says, and zipfile expects
        self._at = at
        return at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = self._source.size
        first = size - len(self.bytes)
        if self._at < first:
            if size - self._at > MAX_DIRECTORY:
                raise zipfile.BadZipFile(f"its directory is longer than {MAX_DIRECTORY >> 20} MiB")
            start = max(0, min(self._at, size - TAIL))
            self.bytes = b"".join(self._source.read(start, first)) + self.bytes
            first = start
        part = self.bytes[self._at - first : self._at - first + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _members(name: str, entries: Sequence[zipfile.ZipInfo], end: int) -> dict[str, Member]:
    """The entries of a directory that begins at byte `end`."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    found = {}
    for i, entry in enumerate(ordered):
        after = ordered[i + 1].header_offset if i + 1 < len(ordered) else end
        least = entry.header_offset + HEAD.size + entry.compress_size
        if entry.header_offset < 0 or least > after:
            raise BadInput(f"{name}: {ascii(entry.filename)[:80]} overlaps what comes after it; give a mirror")
        found[entry.filename] = Member(
            name=entry.filename,
            start=entry.header_offset,
            stop=min(after, least + MAX_EXTRA),
            packed=entry.compress_size,
            size=entry.file_size,
            crc=entry.CRC,
            method=-1 if entry.flag_bits & 1 else entry.compress_type,
        )
    return found


def inflate(member: Member, raw: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """A member's content, from the bytes start <= i < stop of its archive, in pieces that do not grow beyond bounds.

    Raises BadInput when it says that it has more than `limit` bytes, or is compressed in an unknown way, and
    Damaged as soon as it shows: a wrong header, more or fewer bytes than announced, another CRC-32. So what was
    given out is good only when the iterator has ended.
    """
    if member.method not in (STORED, DEFLATED):
        raise BadInput(f"{ascii(member.name)[:80]}: encrypted, or compressed in an unknown way; give a mirror")
    if member.size > limit:
        raise BadInput(f"{ascii(member.name)[:80]}: says that it has {member.size:,} bytes, more than {limit:,}")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
    size = crc = 0
    try:
        for data in _data(member, raw):
            for piece in _pieces(unpacker, data) if unpacker else (data,):
                size, crc = size + len(piece), zlib.crc32(piece, crc)
                if size > member.size:
                    raise Damaged("it holds more than it says")
                yield piece
    except zlib.error as error:
        raise Damaged(str(error)) from None
    if unpacker and not unpacker.eof:
        raise Damaged("its compressed data does not end")
    if size != member.size or crc != member.crc:
        raise Damaged(f"{size:,} bytes with CRC {crc:08x} where {member.size:,} with {member.crc:08x} were announced")


def _pieces(unpacker: Any, data: bytes) -> Iterator[bytes]:
    """What compressed bytes unpack to, PIECE by PIECE: a bomb is stopped while it is small."""
    while True:
        piece = unpacker.decompress(data, PIECE)
        yield piece
        data = unpacker.unconsumed_tail
        if not data and len(piece) < PIECE:
            return


def _data(member: Member, raw: Iterator[bytes]) -> Iterator[bytes]:
    """The compressed bytes alone: without the header before them and a descriptor after them."""
    head, left = b"", member.packed
    skip = -1  # bytes before the data; not known until the header is complete
    for block in raw:
        if skip < 0:
            head += block
            if len(head) < HEAD.size:
                continue
            mark, *_, name, extra = HEAD.unpack_from(head)
            if mark != LOCAL:
                raise Damaged("there is no member where the archive says")
            skip, block = HEAD.size + name + extra, head
        block, skip = block[skip:], max(0, skip - len(block))
        yield block[:left]
        left = max(0, left - len(block))
    if left:
        raise Damaged(f"{left:,} bytes are missing")


def walk(source: Source, wanted: Callable[[str], bool]) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The wanted members of an archive in its own order, with their raw bytes, from its start to its directory.

    For servers that do not answer ranges. A member's bytes must be taken before the next one is asked for.
    Raises BadInput for an archive that announces sizes after the data: it can only be read from its directory.
    """
    stream = _Stream(source.read(0, source.size))
    while True:
        start = stream.at
        head = stream.take(HEAD.size)
        if head[:4] != LOCAL:
            return
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = HEAD.unpack(head)
        before = stream.take(name_length + extra_length)
        name = before[:name_length].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        if flags & 8 or packed == 0xFFFFFFFF:
            raise BadInput(
                f"{source.name}: the server answers no ranges, and the archive cannot be read front to back; "
                "give a mirror, or fetch it with another tool and name its folder"
            )
        stop = stream.at + packed
        if wanted(name):
            member = Member(name, start, stop, packed, size, crc, -1 if flags & 1 else method)
            yield member, stream.blocks(stop, head + before)
        for _ in stream.blocks(stop):
            pass


class _Stream:
    """Blocks of any length, taken apart at chosen places. at: the position of the next byte."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._source, self._rest, self.at = blocks, b"", 0

    def take(self, length: int) -> bytes:
        """The next bytes; fewer only at the end."""
        return b"".join(self.blocks(self.at + length))

    def blocks(self, stop: int, before: bytes = b"") -> Iterator[bytes]:
        """What lies before position `stop`, after `before`."""
        if before:
            yield before
        while self.at < stop:
            block = self._rest or next(self._source, b"")
            if not block:
                return
            part, self._rest = block[: stop - self.at], block[stop - self.at :]
            self.at += len(part)
            yield part
