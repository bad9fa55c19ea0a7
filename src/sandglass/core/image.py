"""Photographs: reading, cutting, writing. Images are (H, W, 3) RGB uint8; points (x, y), pixel centres at +0.5."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from sandglass.core import geometry
from sandglass.core.bombs import is_bomb
from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes, write_whole

Photo = NDArray[np.uint8]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 100_000_000  # a photograph claims its size before it is decoded; a bomb is refused there


def read_image(path: str | Path) -> Photo:
    """The photograph in a file, turned upright by its EXIF orientation.

    Grey, palette, RGBA, CMYK and 16-bit pictures become RGB uint8 (transparency is laid over black).
    Raises BadInput naming the file: missing, empty, no picture, truncated, or larger than MAX_PIXELS.
    """
    return decode_image(read_bytes(path), str(path))


def decode_image(data: bytes, name: str, size: tuple[int, int] | None = None) -> Photo:
    """The photograph in `data`; `name` stands in the error messages.

    Without `size` it is turned upright by its EXIF orientation. With `size` (w, h), the size that an
    annotation file gives, it is turned only if that makes it fit: some tools label the turned picture, some
    (COCO) the stored one.
    """
    stored, turned, transparent = _look(data, name)
    if size is not None and size not in (stored, turned):
        raise BadInput(
            f"{name}: the picture is {stored[0]}x{stored[1]} pixels but its annotations say {size[0]}x{size[1]}; "
            "correct the annotation file or put the original picture back"
        )
    upright = size is None or size != stored
    if transparent:  # OpenCV would show what lies under it
        return _decode_slowly(data, name, upright)
    flags = cv2.IMREAD_COLOR_RGB if upright else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        image = _decode_slowly(data, name, upright)
    want = turned if upright else stored
    if (image.shape[1], image.shape[0]) != want:  # a format whose orientation OpenCV does not know
        image = _decode_slowly(data, name, upright)
    return image  # type: ignore[return-value]


def _look(data: bytes, name: str) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """The size as stored and as turned upright, and whether there is transparency, from the header alone."""
    if is_bomb(data):
        raise BadInput(f"{name}: no picture that was made to be looked at, but one that takes hours to open; refused")
    try:
        with Pillow.open(BytesIO(data)) as header:
            stored = header.size
            sideways = header.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            kind = header.format
            transparent = header.mode in ("RGBA", "LA", "PA") or (header.mode == "P" and "transparency" in header.info)
    except Exception:  # Pillow's readers raise whatever a mangled header makes them raise
        raise BadInput(f"{name}: not a picture (or its header is broken); fetch or export it again") from None
    if stored[0] * stored[1] > MAX_PIXELS:
        raise BadInput(f"{name}: {stored[0]}x{stored[1]} pixels is more than {MAX_PIXELS:,}; make it smaller first")
    if _cut_short(data, kind):
        raise BadInput(f"{name}: the picture is truncated; fetch or export it again")
    return stored, (stored[1], stored[0]) if sideways else stored, transparent


def _cut_short(data: bytes, kind: str | None) -> bool:
    """Whether the end of the file is missing. OpenCV would paint the rest grey without a word."""
    if kind in ("JPEG", "MPO"):
        return data.rfind(b"\xff\xd9", _first_scan(data)) < 0
    if kind == "PNG":
        return data.rfind(b"IEND") < 0
    if kind == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False


def _first_scan(data: bytes) -> int:
    """Where a JPEG's pixels begin: an end marker before that place is its thumbnail's."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda" and at < len(data):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _decode_slowly(data: bytes, name: str, upright: bool) -> Photo:
    try:
        with Pillow.open(BytesIO(data)) as picture:
            picture.load()
            if upright:
                picture = ImageOps.exif_transpose(picture)
            if picture.mode in ("RGBA", "LA", "PA", "P"):
                black = Pillow.new("RGBA", picture.size, (0, 0, 0, 255))
                picture = Pillow.alpha_composite(black, picture.convert("RGBA"))
            return np.ascontiguousarray(picture.convert("RGB"))
    except Exception:
        raise BadInput(f"{name}: the picture cannot be decoded; fetch or export it again") from None


def write_image(path: str | Path, image: Photo, quality: int = 92) -> None:
    """Write beside, then rename: the file is whole or absent. The suffix picks the format. Raises BadInput."""
    path = Path(path)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix.lower() in (".jpg", ".jpeg") else []
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path}: cannot write this kind of picture; use .png or .jpg")
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert ok, path
    write_whole(path, data.tobytes())


def warp(image: Photo, image_from_crop: NDArray[np.float64], size: tuple[int, int]) -> Photo:
    """The crop of `size` (w, h) that an affine describes; black where the photograph has ended.

    Bilinear. Where the crop is less than half as fine as the photograph, the photograph is first averaged
    down by a whole factor, so that thin limbs are not skipped over.
    """
    w, h = size
    factor = int(geometry.scale_of(image_from_crop) + 1e-4)  # single precision, as in exports, may say 3.9999998
    if factor >= 2:
        image, image_from_crop = _averaged(image, image_from_crop, size, factor)
    # OpenCV counts a pixel's centre as a whole number, we as +0.5: shift in, shift out.
    matrix = image_from_crop.copy()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (w, h), flags=flags, borderMode=cv2.BORDER_CONSTANT)  # type: ignore


def _averaged(
    image: Photo, image_from_crop: NDArray[np.float64], size: tuple[int, int], factor: int
) -> tuple[Photo, NDArray[np.float64]]:
    """The part of the photograph that the crop touches, `factor` times smaller, and the crop's map into it."""
    w, h = size
    corners = geometry.apply(image_from_crop, np.array([[0, 0], [w, 0], [0, h], [w, h]], np.float64))
    limit = np.array([image.shape[1], image.shape[0]])
    # Blocks count from the photograph's corner, so that a wider crop shows the same pixels.
    low = np.clip(np.floor(corners.min(0) / factor).astype(int) * factor - factor, 0, limit)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + factor, 0, limit)
    blocks = (high - low) // factor  # whole blocks only: a ragged edge would shift the rest
    low, high = low, low + blocks * factor
    if not blocks.all():
        return image, image_from_crop
    part = image[low[1] : high[1], low[0] : high[0]]
    small = cv2.resize(part, (int(blocks[0]), int(blocks[1])), interpolation=cv2.INTER_AREA)
    small_from_image = np.array([[1 / factor, 0, -low[0] / factor], [0, 1 / factor, -low[1] / factor]])
    return small, geometry.compose(small_from_image, image_from_crop)  # type: ignore[return-value]
