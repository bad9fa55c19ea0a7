"""Members of a remote archive as files: many small ones over several connections, a large one that is resumed.

A file gets its name when it is whole and has its CRC-32, so what is there is right, and is not fetched again.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sandglass.core.errors import BadInput
from sandglass.core.files import replacing, write_whole
from sandglass.data.fetch.archive import Damaged, Member, inflate, walk
from sandglass.data.fetch.http import AGAIN
from sandglass.data.fetch.source import Source

SPAN = 4 * 2**20  # bytes asked for at once, where wanted members are neighbours
GAP = 64 * 2**10  # unwanted bytes between two members that cost less than another request
MAX_PHOTO = 64 * 2**20  # bytes
ATTEMPTS = 3  # at a member that arrives damaged
Progress = Callable[[int, int], None]  # bytes done, bytes in all
Keep = Callable[[Path, bytes], None]


def is_there(path: Path, member: Member) -> bool:
    """Whether the file at `path` is the member, byte for byte (size and CRC-32)."""
    try:
        if os.path.getsize(path) != member.size:
            return False
        crc = 0
        with path.open("rb") as file:
            while block := file.read(2**20):
                crc = zlib.crc32(block, crc)
        return crc == member.crc
    except OSError:
        return False


def missing(wanted: Mapping[Path, Member], on_progress: Progress | None = None) -> dict[Path, Member]:
    """Those members that are not there yet."""
    left, done, total = {}, 0, sum(member.size for member in wanted.values())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(is_there, wanted.keys(), wanted.values())
        for (path, member), there in zip(wanted.items(), answers, strict=True):
            done += member.size
            if not there:
                left[path] = member
            if on_progress:
                on_progress(done, total)
    return left


def runs(wanted: Iterable[Member]) -> list[list[Member]]:
    """The members in the archive's order, in groups that are near enough to be asked for at once."""
    found: list[list[Member]] = []
    for member in sorted(wanted, key=lambda member: member.start):
        near = found and member.start - found[-1][-1].stop <= GAP and member.stop - found[-1][0].start <= SPAN
        if near:
            found[-1].append(member)
        else:
            found.append([member])
    return found


def bytes_of(groups: Sequence[Sequence[Member]]) -> int:
    """What asking for the groups transfers."""
    return sum(group[-1].stop - group[0].start for group in groups)


def gather(
    source: Source,
    wanted: Mapping[Path, Member],
    connections: int,
    on_progress: Progress | None = None,
    keep: Keep = write_whole,
) -> None:
    """Fetch members, several at a time, and hand each to `keep` (in any order, from several threads).

    Raises BadInput when the server fails for good, at once, and for members that stay damaged, after all others
    are there. Raises Changed.
    """
    paths = {member.name: path for path, member in wanted.items()}
    groups = runs(wanted.values())
    total, done = bytes_of(groups), 0
    damaged: list[str] = []

    def is_kept(member: Member, raw: bytes) -> bool:
        try:
            content = b"".join(inflate(member, iter([raw]), MAX_PHOTO))
        except Damaged:
            return False
        keep(paths[member.name], content)
        return True

    def work(group: Sequence[Member]) -> int:
        left = [member for member, raw in _split(source, group) if not is_kept(member, raw)]
        for _ in range(ATTEMPTS - 1):
            left = [member for member in left if not is_kept(member, b"".join(source.read(member.start, member.stop)))]
        damaged.extend(member.name for member in left)
        return bytes_of([group])

    with ThreadPoolExecutor(connections, thread_name_prefix="sandglass-fetch") as pool:
        try:
            for future in as_completed([pool.submit(work, group) for group in groups]):
                done += future.result()
                if on_progress:
                    on_progress(done, total)
        except BaseException:  # Ctrl-C too: what is under way would take its time
            source.close()
            pool.shutdown(cancel_futures=True)
            raise
    _refuse(source, damaged)


def _split(source: Source, group: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
    """Each member's raw bytes, as soon as they are there."""
    at, buffer, left = group[0].start, bytearray(), list(reversed(group))
    for block in source.read(at, group[-1].stop):
        buffer += block
        while left and at + len(buffer) >= left[-1].stop:
            member = left.pop()
            raw = bytes(buffer[member.start - at : member.stop - at])
            del buffer[: member.stop - at]
            at = member.stop
            yield member, raw


def _refuse(source: Source, damaged: Sequence[str]) -> None:
    if damaged:
        raise BadInput(
            f"{source.name}: {len(damaged)} files are damaged in the archive, the first: {ascii(min(damaged))[:80]}; "
            "all others are here; run the same command again, or give a mirror"
        )


def gather_passing(
    source: Source, wanted: Mapping[str, Path], on_progress: Progress | None = None, keep: Keep = write_whole
) -> int:
    """The same from a server that answers no ranges: the archive passes by once, and what is wanted is kept.

    wanted: by the member's name. Returns how many were not there. Raises BadInput also for those that never come.
    """
    left, damaged, fetched = dict(wanted), [], 0
    for member, raw in walk(source, left.__contains__):
        path = left.pop(member.name)
        if not is_there(path, member):
            try:
                keep(path, b"".join(inflate(member, raw, MAX_PHOTO)))
                fetched += 1
            except Damaged:
                damaged.append(member.name)
        if on_progress:
            on_progress(member.stop, source.size)
    absent(source, left)
    _refuse(source, damaged)
    return fetched


def absent(source: Source, names: Iterable[str]) -> None:
    """Raise BadInput if there are any names: of members that should be in the archive."""
    if names := sorted(names):
        first = ascii(names[0])[:80]
        raise BadInput(f"{source.name}: {len(names)} files are not in the archive, the first: {first}; give a mirror")


def fetch_large(source: Source, member: Member, path: Path, limit: int, on_progress: Progress | None = None) -> None:
    """Fetch one member to `path`, by way of a file beside it that a later call goes on with.

    Raises BadInput when it has more than `limit` bytes or stays damaged. Raises Changed.
    """
    for _ in range(ATTEMPTS):
        part = path.with_name(f"{path.name}.{member.crc:08x}.{member.packed}.packed")
        have = part.stat().st_size if part.exists() else 0
        if have <= member.stop - member.start:
            save(source.read(member.start + have, member.stop), part, have, member.stop - member.start, on_progress)
        if unpack(member, part, path, limit):
            return
    raise BadInput(f"{source.name}: {member.name} is damaged in the archive; {AGAIN}, or give a mirror")


def save(blocks: Iterable[bytes], part: Path, done: int, total: int, on_progress: Progress | None = None) -> None:
    """Append blocks to a file that may break off at any byte. Raises BadInput when it cannot be written."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            for block in blocks:
                file.write(block)
                done += len(block)
                if on_progress:
                    on_progress(done, total)
    except OSError as error:
        raise BadInput(f"{part}: cannot be written ({error.strerror}); choose another output folder") from None


def unpack(member: Member, part: Path, path: Path, limit: int) -> bool:
    """Turn a saved member into its file. False, and the saved bytes are gone, if they are damaged. Raises BadInput."""
    try:
        with replacing(path, alone=True) as beside, part.open("rb") as raw, beside.open("wb") as file:
            for piece in inflate(member, iter(lambda: raw.read(2**20), b""), limit):
                file.write(piece)
    except Damaged:
        part.unlink()
        return False
    part.unlink()
    return True
