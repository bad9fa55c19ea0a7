"""Files: read whole within a bound, written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandglass.core.errors import BadInput

MAX_BYTES = 256 * 2**20


def read_bytes(path: str | Path) -> bytes:
    """A file's bytes. Raises BadInput when it is missing, unreadable, empty or larger than MAX_BYTES."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise BadInput(f"{path}: larger than {MAX_BYTES >> 20} MiB; give a smaller photograph")
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not data:
        raise BadInput(f"{path}: the file is empty; fetch or export it again")
    return data


def check_writable(folder: str | Path) -> None:
    """Refuse, before work is put into what shall lie there, a folder that cannot be made or written. Leaves no trace.

    Raises BadInput.
    """
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "no permission" if there.is_dir() else f"{there} is a file"
        raise BadInput(f"{folder}: cannot be written ({why}); choose another output folder")


def write_whole(path: str | Path, data: bytes | str, *, sync: bool = False) -> None:
    """Write a file beside its place, then rename it there: see `replacing`. Raises BadInput."""
    with replacing(path, sync=sync) as beside:
        beside.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: str | Path, *, sync: bool = False, alone: bool = False) -> Iterator[Path]:
    """A place beside `path` to write a file to; it takes the name when all went well, else it is removed.

    So readers see the old file or the new, never a half. With `sync` that holds for a power cut too: the data are on
    the disk before they have the name. With `alone` no other process may write the same file meanwhile; what a killed
    one has left, large maybe, lies at the same place then, and is written over. Raises BadInput when it cannot be
    written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.part" if alone else f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if sync:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None
    finally:
        with suppress(OSError):  # it is not there if all went well, and cannot be there if its name is impossible
            beside.unlink()
