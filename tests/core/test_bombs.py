"""Pictures that would take hours to open are told apart from ordinary ones, whatever cameras append to those."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from sandglass.core.bombs import MAX_FILL, MAX_SCANS, MAX_SEGMENTS, is_bomb
from sandglass.core.errors import BadInput
from sandglass.core.image import decode_image

NOISE = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)
COMMENT = b"\xff\xfe\x00\x02"


def encoded(kind, **options):
    file = BytesIO()
    Pillow.fromarray(NOISE).save(file, kind, **options)
    return file.getvalue()


def chunk(name, body=b""):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("BMP", {}), ("JPEG", {"quality": 100})],
)
def test_ordinary_pictures_are_none(kind, options):
    data = encoded(kind, **options)
    assert not is_bomb(data)
    assert not is_bomb(data + bytes(NOISE) * 3)  # a phone's film lies behind its photograph
    assert not is_bomb(data[: len(data) // 2]) and not is_bomb(data[:3])


def test_white_thumbnail_and_many_markers_in_a_segment_are_none():
    data = encoded("JPEG")
    for body in (b"\xff" * 60_000, b"\xff\xda" * 30_000):
        segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        assert not is_bomb(data[:2] + segment + data[2:])


def jpeg_with_scans(count):
    """A progressive JPEG whose last scan comes `count` times more."""
    data = encoded("JPEG", progressive=True)
    start = data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda"))
    return data[:-2] + data[start:-2] * count + data[-2:]


def test_one_scan_too_many():
    few = encoded("JPEG", progressive=True).count(b"\xff\xda")
    assert not is_bomb(jpeg_with_scans(MAX_SCANS - few))
    assert is_bomb(jpeg_with_scans(MAX_SCANS - few + 1))


@pytest.mark.parametrize("middle", [COMMENT * (MAX_SEGMENTS + 1), b"\xff" * (MAX_FILL + 1), b"\0" * (MAX_FILL + 1)])
def test_endless_header(middle):
    data = encoded("JPEG")
    bomb = data[:2] + middle + data[2:]
    assert is_bomb(bomb)
    with pytest.raises(BadInput, match=r"^a\.jpg: .*hours"):
        decode_image(bomb, "a.jpg")
    assert not is_bomb(data[:2] + middle[: len(middle) // 2] + data[2:])


def test_end_marker_in_a_table_hides_nothing():
    bomb = jpeg_with_scans(MAX_SCANS)
    assert is_bomb(bomb[:2] + b"\xff\xfe\x00\x04\xff\xd9" + bomb[2:])


@pytest.mark.parametrize("place", [33, -12])
def test_endless_chunks(place):
    data = encoded("PNG")
    assert is_bomb(data[:place] + chunk(b"aaAa") * (MAX_SEGMENTS + 1) + data[place:])
    assert not is_bomb(data[:place] + chunk(b"IDAT") * (MAX_SEGMENTS + 1) + data[place:])
