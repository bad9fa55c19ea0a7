"""MATLAB files (level 5): arrays and structs, taken apart only where they are asked for, within bounds.

SciPy's reader believes what a file says of itself: deep nesting ends the process, and 200 bytes can ask for 16 GB.
Data sets are untrusted, and two of them need little: so nothing here recurses, and no size is believed that the bytes
at hand do not fill. The format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes
from sandglass.data.untrusted import brief

MAX_BYTES = 64 * 2**20  # as it lies on the disk
MAX_UNPACKED = 2**30  # bytes of one variable
HEAD = 4096  # bytes of a packed variable that surely hold its name
TAG = struct.Struct("<II")  # of an element: its kind and its length
FLOAT = struct.Struct("<d")
MATRIX, PACKED = 14, 15  # kinds of elements
CELL, STRUCT, CHAR, DOUBLE, NUMBERS = 1, 2, 4, 6, range(6, 16)  # classes of arrays
KINDS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
BYTE = 2 + (1 << 16)  # the tag of a single byte, which lies in it
ONE = struct.pack("<IIiiII", 5, 8, 1, 1, 1, 0)  # of a single number's head: its shape, 1 x 1, and no name
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}

Span = tuple[int, int]  # where an array lies in its variable: first byte and last byte + 1; what it is shows when read


class MatFile:
    """One variable of a MATLAB file. Arrays in it are known by their spans, from `root` on.

    Whatever is asked for and is not there, or not as it says, raises BadInput with the path.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        whole = read_bytes(path)
        if len(whole) > MAX_BYTES:
            raise BadInput(f"{path}: larger than {MAX_BYTES >> 20} MiB; that is no file of labels")
        if whole[124:128] != b"\0\1IM":
            raise self.bad("of another kind than MATLAB's 5 to 7; save it with -v7")
        self._data = b""
        self._find(whole, name.encode())
        self.root = self._spans(0, len(self._data), 1)[0]

    def bad(self, why: str) -> BadInput:
        return BadInput(f"{self.path}: not a MATLAB file that can be read ({why}); fetch it again")

    def _find(self, whole: bytes, name: bytes) -> None:
        """Take hold of the variable that is called so, unpacked."""
        at = 128
        while at + TAG.size <= len(whole):
            kind, size = TAG.unpack_from(whole, at)
            body = whole[at + TAG.size : at + TAG.size + size]
            try:
                self._data = zlib.decompressobj().decompress(body, HEAD) if kind == PACKED else whole[at : at + HEAD]
                if self._name() == name:
                    most = MAX_UNPACKED + 1
                    self._data = zlib.decompressobj().decompress(body, most) if kind == PACKED else whole[at:]
                    if len(self._data) == most:
                        raise self.bad(f"it unpacks to more than {MAX_UNPACKED >> 30} GiB")
                    return
            except zlib.error:
                raise self.bad("its compressed data are broken") from None
            at += TAG.size + size
        raise self.bad(f"it has no `{name.decode()}`")

    def _name(self) -> bytes:
        """Of the variable that the data begin with."""
        at, start, end = TAG.size, 0, 0
        for _ in range(3):  # flags, dimensions, name
            _, start, end, at = self._element(at, len(self._data))
        return self._data[start:end]

    def _element(self, at: int, stop: int) -> tuple[int, int, int, int]:
        """The element at a byte: its kind, where its data begin and end, and where the next one begins."""
        if at + TAG.size > stop:
            raise self.bad("it ends too early")
        kind, size = TAG.unpack_from(self._data, at)
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            after = start + size + (-size % 8)
        if start + size > stop:
            raise self.bad("it ends too early")
        return kind, start, start + size, after

    def _open(self, span: Span) -> tuple[int, tuple[int, ...], int]:
        """The class of an array, its shape, and where its content begins."""
        at, stop = span
        if at == stop:
            return DOUBLE, (0, 0), at
        kind, start, end, at = self._element(at, stop)
        dims, first, last, at = self._element(at, stop)
        _, _, _, at = self._element(at, stop)  # its name
        if (kind, end - start) != (6, 8) or dims != 5 or not 8 <= last - first <= 128:
            raise self.bad("an array without a head")
        shape = struct.unpack_from(f"<{(last - first) // 4}i", self._data, first)
        if min(shape) < 0:
            raise self.bad("an array of a negative size")
        return self._data[start], shape, at

    def rows(self, span: Span) -> list[dict[str, Span]]:
        """The elements of an array of structs, each as spans by field; none where the array is empty."""
        kind, shape, at = self._open(span)
        count, stop = math.prod(shape), span[1]
        if not count:
            return []
        if kind != STRUCT:
            raise self.bad("no struct where one is needed")
        _, start, end, at = self._element(at, stop)
        width = int.from_bytes(self._data[start:end], "little")
        _, start, end, at = self._element(at, stop)
        if not 0 < width <= end - start:
            raise self.bad("a struct without fields")
        names = [self._data[i : i + width].split(b"\0")[0].decode("latin-1") for i in range(start, end, width)]
        spans = self._spans(at, stop, count * len(names))
        return [dict(zip(names, spans[i : i + len(names)], strict=True)) for i in range(0, len(spans), len(names))]

    def cells(self, span: Span) -> list[Span]:
        """The arrays in an array of cells; none where it is empty."""
        kind, shape, at = self._open(span)
        if kind != CELL and math.prod(shape):
            raise self.bad("no cells where some are needed")
        return self._spans(at, span[1], math.prod(shape))

    def _spans(self, at: int, stop: int, count: int) -> list[Span]:
        if count * TAG.size > stop - at:
            raise self.bad("it ends too early")
        found = []
        for _ in range(count):
            kind, start, end, at = self._element(at, stop)
            if kind != MATRIX:
                raise self.bad("no array where one is needed")
            found.append((start, end))
        return found

    def numbers(self, span: Span) -> NDArray[np.float64]:
        """An array of numbers, in its shape."""
        kind, shape, at = self._open(span)
        if kind not in NUMBERS:
            raise self.bad("something else where numbers are needed")
        if not math.prod(shape):
            return np.zeros(0)
        stored, start, end, _ = self._element(at, span[1])
        if stored not in KINDS or end - start != math.prod(shape) * np.dtype(KINDS[stored]).itemsize:
            raise self.bad("an array of another size than it says")
        flat = np.frombuffer(self._data[start:end], KINDS[stored])
        return flat.astype(np.float64).reshape(shape, order="F")

    def text(self, span: Span) -> str:
        """An array of characters, read column by column."""
        kind, shape, at = self._open(span)
        if kind != CHAR:
            raise self.bad("something else where a text is needed")
        if not math.prod(shape):
            return ""
        stored, start, end, _ = self._element(at, span[1])
        try:
            return self._data[start:end].decode(TEXTS[stored])
        except (KeyError, UnicodeDecodeError):
            raise self.bad("a text that cannot be read") from None

    def number(self, span: Span | None) -> float:
        """A single number, also one that was written as a text; NaN where there is none or the array is empty."""
        if span is None:
            return math.nan
        if (plain := self._plain(span)) is not None:
            return plain
        kind, shape, _ = self._open(span)
        if not math.prod(shape):
            return math.nan
        if kind != CHAR:
            return float(self.numbers(span).reshape(-1)[0])
        text = self.text(span)
        try:
            return float(text)
        except ValueError:
            raise self.bad(f"{brief(text)} where a number is needed") from None

    def _plain(self, span: Span) -> float | None:
        """A number as MATLAB writes most, without detours: two million of them are in MPII's file."""
        start, stop = span
        if self._data[start + 16 : start + 40] != ONE or self._data[start + 8] not in NUMBERS or stop - start < 48:
            return None
        kind, size = TAG.unpack_from(self._data, start + 40)
        if (kind, size) == (9, 8) and stop - start >= 56:
            return FLOAT.unpack_from(self._data, start + 48)[0]
        return float(size & 0xFF) if kind == BYTE else None
