"""Words on pictures, and pictures in rows. Images are (H, W, 3) RGB uint8; positions (x, y) in whole pixels."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from sandglass.core.image import Photo

Colour = tuple[int, int, int]

PAPER: Colour = (23, 25, 30)  # dark, so that photographs and heat stand out on a light page and on a dark one
INK: Colour = (226, 229, 234)
FAINT: Colour = (148, 154, 166)

GAP = 8  # pixels between the tiles of a sheet
LINE = 1.35  # line height, in text sizes


@cache
def _font() -> "cv2.FontFace":
    return cv2.FontFace("sans")  # comes with OpenCV 5: Latin, Greek, Cyrillic and CJK, no file to find


def text_width(text: str, size: int, weight: int = 400) -> int:
    """How many pixels wide `text` stands at `size` pixels."""
    box = cv2.getTextSize((1, 1), _clean(text), (0, 0), _font(), size, weight)
    return int(box[2])


def write(image: Photo, text: str, at: tuple[int, int], size: int, colour: Colour = INK, weight: int = 400) -> None:
    """Write one line into `image`, in place; `at` is the left end of its baseline."""
    cv2.putText(image, _clean(text), at, colour, _font(), size, weight)


def fit(text: str, width: int, size: int, weight: int = 400) -> str:
    """`text`, or as much of its beginning as fits `width` pixels, with an ellipsis."""
    if text_width(text, size, weight) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        short = text[:middle].rstrip() + "…"
        low, high = (middle, high) if text_width(short, size, weight) <= width else (low, middle - 1)
    return text[:low].rstrip() + "…"


def _clean(text: str) -> str:
    """One line that OpenCV can encode: file names may hold control characters and lone surrogates."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def blank(height: int, width: int, colour: Colour = PAPER) -> Photo:
    """An empty picture (height, width, 3)."""
    return np.full((height, width, 3), colour, np.uint8)


def place(image: Photo, size: tuple[int, int]) -> Photo:
    """The whole of `image`, as large as `size` (w, h) allows, centred on paper."""
    w, h = size
    factor = min(w / image.shape[1], h / image.shape[0])
    inner = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    sheet = blank(h, w)
    x, y = (w - inner[0]) // 2, (h - inner[1]) // 2
    sheet[y : y + inner[1], x : x + inner[0]] = image if factor == 1 else cv2.resize(image, inner, interpolation=how)
    return sheet


def gallery(
    tiles: Sequence[Photo],
    columns: int,
    captions: Sequence[str] | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> Photo:
    """A contact sheet: `tiles` row by row, each whole in a cell of `size` (w, h), captions below.

    The default cell is the smallest that holds every tile. A caption may have several lines; what is wider
    than the cell is shortened. Raises ValueError when there are no tiles, or not one caption for each.
    """
    captions = [""] * len(tiles) if captions is None else captions
    if not tiles or columns < 1 or len(captions) != len(tiles):
        raise ValueError(f"{len(tiles)} tiles, {len(captions)} captions, {columns} columns; give a caption for each")
    w, h = size or (max(t.shape[1] for t in tiles), max(t.shape[0] for t in tiles))
    columns = min(columns, len(tiles))
    letter = int(np.clip(w // 20, 11, 18))
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    below = round(letter * (LINE * lines + 0.5)) if lines else 0
    rows = -(-len(tiles) // columns)
    sheet = blank(GAP + rows * (h + below + GAP), GAP + columns * (w + GAP))
    for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = GAP + (i % columns) * (w + GAP), GAP + (i // columns) * (h + below + GAP)
        sheet[y : y + h, x : x + w] = place(tile, (w, h))
        for n, line in enumerate(caption.split("\n") if caption else ()):
            baseline = y + h + round(letter * (1.3 + LINE * n))
            write(sheet, fit(line, w, letter), (x, baseline), letter, FAINT if n else INK)
    return sheet


def pair(prediction: Photo, truth: Photo, captions: tuple[str, str] = ("prediction", "ground truth")) -> Photo:
    """Two pictures side by side."""
    return gallery([prediction, truth], 2, captions)
