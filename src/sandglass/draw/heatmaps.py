"""Heatmaps over the crop they belong to. Crops are (H, W, 3) RGB uint8, maps (h, w) cells that cover the whole crop."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core.image import Photo
from sandglass.core.skeleton import Skeleton
from sandglass.draw import sheets

Maps = NDArray[np.floating]
Row = tuple[str, list[Photo]]  # a title; the crop with all joints, joint 0, joint 1, ...

CELL = 128  # pixels of a picture in the grid, on its longer side
GAP = 3
LETTER = 12
MARGIN = 96  # for the titles of the rows
COLUMNS = 10  # pictures beside each other, the crop included; more joints go on in the next band
FAINTEST = 0.1  # of a joint's strongest stack and of a stack's strongest joint: below it a map stays dim
RING: tuple[int, int, int] = (120, 240, 255)  # where the truth lies
RADIUS = 10


def heat(crop: Photo, values: Maps, size: tuple[int, int], top: float | None = None) -> Photo:
    """One map (h, w) glowing over the dimmed, grey crop, drawn at `size` (w, h).

    Inferno, from 0 (nothing) to `top` (white-yellow), by default the map's own peak. Negative values and
    values that are not finite show nothing.
    """
    values = np.maximum(np.nan_to_num(np.asarray(values, np.float32), posinf=0, neginf=0), 0)
    top = float(values.max()) if top is None else top
    level = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    level = np.clip(cv2.resize(level, size, interpolation=cv2.INTER_LINEAR), 0, 1)
    colour = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    cover = np.minimum(1, 2.2 * level)[..., None]  # the dark end of inferno lets the photograph through
    return (_dimmed(crop, size) * (1 - cover) + colour * cover).astype(np.uint8)


def overlay(crop: Photo, maps: Maps) -> Photo:
    """All joints of one stack (K, h, w) over the crop: at each place the strongest, each joint by its own peak."""
    values = np.maximum(np.nan_to_num(np.asarray(maps, np.float32), posinf=0, neginf=0), 0)
    peaks = values.max((1, 2), keepdims=True)
    floor = max(2 * FAINTEST * float(peaks.max(initial=0)), 1e-12)  # many weak maps together would be a fog
    values = values / np.maximum(peaks, floor)
    return heat(crop, values.max(0), (crop.shape[1], crop.shape[0]), 1.0)


def heatmap_grid(
    crop: Photo,
    maps: Maps,
    truth: Maps | None,
    skeleton: Skeleton,
    *,
    labelled: NDArray[np.bool_] | None = None,
    columns: int = COLUMNS,
) -> Photo:
    """Every stack's maps (S, K, h, w), one row a stack, one column a joint, the ground truth (K, h, w) last.

    The first picture of each band is the crop with all joints of that row. Each map glows up to its own peak,
    which is written into its corner, so that an early stack's doubt shows as clearly as the last one's; only a
    peak under a tenth of that joint's in another stack, or another joint's in that stack, stays dim. A ring
    marks the truth's peak.
    Joints that are not `labelled` (K,), by default those whose truth is empty, have no truth to show.
    """
    k = len(skeleton)
    assert maps.shape[1:2] == (k,), maps.shape
    assert truth is None or truth.shape == maps.shape[1:], (maps.shape, truth.shape)
    if labelled is None:
        labelled = np.array([True] * k) if truth is None else np.asarray(truth).max((1, 2)) > 0
    factor = CELL / max(crop.shape[:2])
    size = (max(1, round(crop.shape[1] * factor)), max(1, round(crop.shape[0] * factor)))
    known = np.asarray(labelled, np.bool_)
    rows = _rows(crop, np.asarray(maps, np.float32), truth, known, size)
    wide = max(1, columns - 1)
    bands = [_band(rows, range(j, min(j + wide, k)), min(wide, k), size, skeleton) for j in range(0, k, wide)]
    return np.concatenate(bands, axis=0)


def _rows(crop: Photo, maps: Maps, truth: Maps | None, labelled: NDArray[np.bool_], size: tuple[int, int]) -> list[Row]:
    peaks = maps.max((2, 3))  # (S, K)
    tops = np.maximum(peaks, FAINTEST * np.maximum(peaks.max(0), peaks.max(1, keepdims=True)))
    rings: list[Maps | None] = [None] * len(labelled)
    if truth is not None:
        rings = [true if known else None for true, known in zip(truth, labelled, strict=True)]
    rows = []
    for s, (stack, top) in enumerate(zip(maps, tops, strict=True)):
        cells = [_map(crop, *joint, size) for joint in zip(stack, rings, top, strict=True)]
        rows.append((f"stack {s + 1}", [overlay(crop, stack), *cells]))
    if truth is not None:
        cells = [_unlabelled(crop, size) if ring is None else _map(crop, ring, None, None, size) for ring in rings]
        rows.append(("ground truth", [overlay(crop, truth), *cells]))
    return rows


def _band(rows: list[Row], joints: Sequence[int], wide: int, size: tuple[int, int], skeleton: Skeleton) -> Photo:
    """Some joints' columns on paper, under their names."""
    right, below = _corner(len(rows), wide + 1, size)
    band = sheets.blank(below + 2 * GAP, right + GAP)
    for c, name in enumerate(("all joints", *(skeleton.joints[j] for j in joints))):
        name = sheets.fit(name.replace("_", " "), size[0], LETTER)
        sheets.write(band, name, (_corner(0, c, size)[0] + 1, LETTER + 8), LETTER, sheets.INK if c else sheets.FAINT)
    for r, (title, pictures) in enumerate(rows):
        y = _corner(r, 0, size)[1]
        sheets.write(band, title, (4, y + size[1] // 2 + LETTER // 2), LETTER + 1)
        for c, picture in enumerate((pictures[0], *(pictures[1 + j] for j in joints))):
            x, y = _corner(r, c, size)
            band[y : y + size[1], x : x + size[0]] = sheets.place(picture, size)
    return band


def _corner(row: int, column: int, size: tuple[int, int]) -> tuple[int, int]:
    """The upper left corner of a cell in its band."""
    wide = 2 * GAP if column else 0  # the crop stands a little apart
    return MARGIN + wide + column * (size[0] + GAP), LETTER + 16 + row * (size[1] + GAP)


def _map(crop: Photo, values: Maps, truth: Maps | None, top: float | None, size: tuple[int, int]) -> Photo:
    """One cell of the grid: the glow, the value of its peak, and a ring around the truth's peak."""
    picture = heat(crop, values, size, top)
    if truth is not None:
        row, column = np.unravel_index(int(np.argmax(truth)), truth.shape)
        cell = np.array([size[0] / truth.shape[1], size[1] / truth.shape[0]])
        centre = (np.array([column, row]) + 0.5) * cell
        x, y = np.round((centre - 0.5) * 16).astype(int)
        for radius, colour in ((RADIUS + 1, (0, 0, 0)), (RADIUS, RING)):
            cv2.circle(picture, (int(x), int(y)), radius * 16, colour, 1, cv2.LINE_AA, 4)
    text = f"{float(values.max()):.2f}"
    for dx, dy in ((1, 1), (-1, 0), (0, -1)):
        sheets.write(picture, text, (4 + dx, size[1] - 5 + dy), 11, (0, 0, 0))
    sheets.write(picture, text, (4, size[1] - 5), 11)
    return picture


def _dimmed(crop: Photo, size: tuple[int, int]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., None].astype(np.float32) * 0.55 + 8, 3, axis=-1)


def _unlabelled(crop: Photo, size: tuple[int, int]) -> Photo:
    """What stands where the annotators left a joint out."""
    w, h = size
    stripes = (np.add.outer(np.arange(h), np.arange(w)) // 6 % 2)[..., None]
    picture = (_dimmed(crop, size) * 0.35 + 20 + 14 * stripes).astype(np.uint8)
    for n, word in enumerate(("not", "labelled")):
        x = (w - sheets.text_width(word, LETTER)) // 2
        sheets.write(picture, word, (x, h // 2 + n * (LETTER + 4)), LETTER, sheets.INK)
    return picture
