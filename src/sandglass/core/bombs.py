"""Pictures that are cheap to send and dear to open, told by their markers before any decoder sees them.

Each scan of a progressive JPEG passes over the whole picture, and may be 40 bytes long; readers of headers go from
segment to segment, and there may be millions.
"""

import re

MAX_SCANS = 100  # progressive JPEGs have about ten
MAX_SEGMENTS = 2000  # each holds up to 64 KiB; cameras write a dozen, editors some hundred
MAX_FILL = 2000  # bytes between two segments

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # one with a length after it, or the end; never within a scan


def is_bomb(data: bytes) -> bool:
    """Whether a picture has more scans, segments or filling than any that was made to be looked at."""
    if data.startswith(_JPEG):
        return _jpeg_bomb(data)
    return data.startswith(_PNG) and _png_bomb(data)


def _jpeg_bomb(data: bytes) -> bool:
    at, scans, segments, scanning = 2, 0, 0, False
    while (found := _MARKER.search(data, at)) and found[0] != b"\xff\xd9":
        scans += found[0] == b"\xff\xda"
        segments += 1
        filled = not scanning and found.start() - at > MAX_FILL
        if filled or scans > MAX_SCANS or segments > MAX_SEGMENTS:
            return True
        scanning = found[0] == b"\xff\xda"
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False


def _png_bomb(data: bytes) -> bool:
    at, chunks = len(_PNG), 0
    while (kind := data[at + 4 : at + 8]) not in (b"", b"IEND"):
        chunks += kind != b"IDAT"  # of those a large picture has thousands
        if chunks > MAX_SEGMENTS:
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False
