"""A file that lies elsewhere, read by ranges: over HTTP, or on this machine. Positions are bytes from its start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sandglass.core.errors import BadInput
from sandglass.data.fetch.http import BLOCK, HttpFile, Manners


class Source(Protocol):
    """What an archive is read from. Safe to read from several threads at once.

    name: for messages. ranges: whether a part can be had without all that lies before it. validator: changes when
    the file does; "" where that cannot be known.
    """

    name: str
    size: int
    ranges: bool
    validator: str

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes start <= i < stop, in blocks of any length. Raises BadInput, or Changed."""
        ...

    def close(self) -> None:
        """End every read that is under way in another thread."""
        ...


class LocalFile:
    """A file on this machine, for archives that are already here and for mirrors on a shared disk."""

    ranges = True

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        if not path.is_file():
            raise BadInput(f"{path}: no such file; give the folder of a mirror, laid out as the official one")
        found = path.stat()
        self.size, self.validator = found.st_size, str(found.st_mtime_ns)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes start <= i < stop. Raises BadInput when the file ends before that."""
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                while start < stop:
                    block = file.read(min(BLOCK, stop - start))
                    if not block:
                        raise BadInput(f"{self.name}: ends at byte {start:,}, {stop - start:,} too early; copy it anew")
                    start += len(block)
                    yield block
        except OSError as error:
            raise BadInput(f"{self.name}: cannot be read ({error.strerror}); check the path") from None

    def close(self) -> None:
        """Nothing is under way for long."""


def open_source(address: str, manners: Manners) -> Source:
    """The file at an address: http://, https://, file:// or a path. Raises BadInput when it cannot be had."""
    scheme = urlsplit(address).scheme if "://" in address else ""
    if scheme in ("http", "https"):
        return HttpFile(address, manners)
    if scheme not in ("", "file"):
        raise BadInput(f"{address}: '{scheme}' is no way to fetch a file; use http, https, file or a path")
    return LocalFile(Path(url2pathname(urlsplit(address).path) if scheme else address))
