"""Half-made packs that remove their photographs on the way: what they have stored, so that a kill costs none.

Beside FILE.pack lie .FILE.pack.half, the pack as far as it is stored, and .FILE.pack.journal, lines of JSON: the first
says what is made, then there is one for each photograph that is done with, in the order of the work. Cuts are on the
disk before their line is written, and the line is there before the photograph is removed. So whatever comes after the
last whole line whose cuts are there was promised to nobody, and is cut off.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from sandglass.core.config import from_plain, to_plain
from sandglass.core.errors import BadInput
from sandglass.data.pack import PackInfo, command

BATCH = 16 * 2**20  # bytes of cuts between two waits for the disk: of about 400 photographs of COCO, 60 MB
MAX_JOURNAL = 256 * 2**20  # bytes that are read of one; all of COCO takes 5 MB


@dataclass(frozen=True)
class Begun:
    """What is made: the header, but for what is known in the end, and the room for it in the file, in bytes."""

    room: int
    info: PackInfo


@dataclass(frozen=True)
class Done:
    """A photograph that is done with. lengths: of its people's cuts, in bytes; none if it cannot be read: why."""

    photo: Path  # absolute
    lengths: tuple[int, ...]
    why: str


class HalfMade:
    """What is there of a pack: nothing where no journal is, or where its first line is broken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file, self.journal = (path.with_name(f".{path.name}.{kind}") for kind in ("half", "journal"))
        self._found = _read(self.journal, self.file)
        self.begun, self.done, self._kept = self._found

    @property
    def photos(self) -> frozenset[Path]:
        """Those that are done with."""
        return frozenset(one.photo for one in self.done)

    def match(self, same: bool) -> None:
        """If it is not of the `same` work, forget it, or raise BadInput where that would cost photographs."""
        if same or not self.begun:
            return
        if gone := sum(not _is_there(one.photo) for one in self.done):
            told = command(self.begun.info, self.path).removeprefix("sandglass data pack ")
            raise BadInput(
                f"{self.path}: {gone} photographs are only in {self.file}, begun with other data or settings "
                f"({told}); go on with those, or remove that file to fetch the photographs anew"
            )
        self.begun, self.done, self._kept = NOTHING

    def go_on(self, now: Begun, work: Sequence[tuple[Path, int]]) -> PackInfo:
        """The header to go on with. work: each photograph, absolute, and the number of its people. Raises BadInput."""
        if len({photo for photo, _ in work}) < len(work):
            raise BadInput(f"{self.path}: a photograph is named twice, and cannot be removed meanwhile; name it once")
        self.match(bool(self.begun) and _bare(self.begun) == _bare(now) and _begins(work, self.done))
        self.begun = self.begun or now
        return self.begun.info

    @contextmanager
    def writing(self) -> Iterator["Ledger"]:
        """The file, cut off after what is done; it takes the pack's name when all went well. Raises BadInput."""
        assert self.begun, "see go_on"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("ab") as journal:
                if not _alone(journal) or _read(self.journal, self.file) != self._found:
                    raise BadInput(f"{self.path}: another process is making it; wait for its end")
                with self._cut_off(self.begun, journal) as file:
                    ledger = Ledger(file, journal, len(self.done))
                    try:
                        yield ledger
                        ledger.commit()
                    except BaseException:
                        if not ledger.stored:
                            self._forget()
                        raise
                os.replace(self.file, self.path)
                self._forget()
        except OSError as error:
            place, why = error.filename or self.path, error.strerror or error
            raise BadInput(f"{place}: cannot be written ({why}); mend that, and the same command goes on") from None

    def _forget(self) -> None:
        for path in (self.file, self.journal):
            with suppress(OSError):  # gone; or open, on Windows: one without the other says nothing
                path.unlink()

    def _cut_off(self, begun: Begun, journal: IO[bytes]) -> IO[bytes]:
        """Both files without what is not promised, on the disk; and what is promised no longer needs photographs."""
        journal.truncate(self._kept if self.done else 0)
        if not self.done:
            journal.write(json.dumps(to_plain(begun)).encode() + b"\n")
        _sync(journal)
        self.file.touch()
        os.truncate(self.file, begun.room + sum(sum(one.lengths) for one in self.done) if self.done else 0)
        with suppress(OSError):  # not every system can wait for a folder
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        _remove(self.done)
        return self.file.open("r+b")


class Ledger:
    """A half-made pack that is written: first the cuts of a photograph to `file`, then `add` the photograph."""

    def __init__(self, file: IO[bytes], journal: IO[bytes], stored: int) -> None:
        self.file, self._journal = file, journal
        self.stored = stored  # photographs that are on the disk as cuts
        self._waiting: list[Done] = []
        self._bytes = 0

    def add(self, photo: Path, lengths: Sequence[int], why: str) -> None:
        """A photograph that is done with; unless it cannot be read, it is removed before long. Raises OSError."""
        self._waiting.append(Done(photo, tuple(lengths), why))
        self._bytes += sum(lengths)
        if self._bytes >= BATCH:
            self.commit()

    def commit(self) -> None:
        """Wait until all that was added is on the disk, and remove the photographs. Raises OSError."""
        _sync(self.file)
        for one in self._waiting:
            self._journal.write(json.dumps([str(one.photo), one.lengths, one.why]).encode() + b"\n")
        _sync(self._journal)
        self.stored += len(self._waiting)
        _remove(self._waiting)
        self._waiting, self._bytes = [], 0


Found = tuple[Begun | None, tuple[Done, ...], int]
NOTHING: Found = None, (), 0


def _read(journal: Path, file: Path) -> Found:
    """What was begun and what is done; and the bytes of the journal that say so."""
    try:
        with journal.open("rb") as lines:
            head, *rest = lines.read(MAX_JOURNAL).split(b"\n")
        left = file.stat().st_size
        begun = from_plain(Begun, json.loads(head))
    except (OSError, ValueError, RecursionError, OverflowError):
        return NOTHING
    done, kept, left = [], len(head) + 1, left - begun.room
    for line in rest[:-1]:  # after the last newline it is torn
        one = _parsed(line)
        if not one or sum(one.lengths) > left:
            break
        done.append(one)
        kept, left = kept + len(line) + 1, left - sum(one.lengths)
    return begun, tuple(done), kept


def _parsed(line: bytes) -> Done | None:
    try:
        photo, lengths, why = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(photo, str) or not isinstance(lengths, list) or not isinstance(why, str):
        return None
    fits = all(type(length) is int and length > 0 for length in lengths) and bool(lengths) != bool(why)
    return Done(Path(photo), tuple(lengths), why) if fits else None


def _bare(begun: Begun) -> Begun:
    """But for what photographs tell that may be gone by now."""
    sets = [replace(s, fingerprint=replace(s.fingerprint, photos="", there=0)) for s in begun.info.sets]
    return replace(begun, info=replace(begun.info, sets=tuple(sets)))


def _begins(work: Sequence[tuple[Path, int]], done: Sequence[Done]) -> bool:
    """Whether the work begins with what is done."""
    pairs = zip(work, done, strict=False)
    same = (one.photo == photo and (one.why or len(one.lengths) == people) for (photo, people), one in pairs)
    return len(done) <= len(work) and all(same)


def _alone(journal: IO[bytes]) -> bool:
    """Whether no other process writes the same pack, from now on: each would ruin the other's."""
    try:
        import fcntl

        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass  # Windows, or a disk without locks
    return True


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _remove(done: Sequence[Done]) -> None:
    for one in done:
        if not one.why:
            one.photo.unlink(missing_ok=True)


def _is_there(photo: Path) -> bool:
    try:
        return photo.exists()
    except (OSError, ValueError):
        return False  # no name for a file
