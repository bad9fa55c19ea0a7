"""Photographs that show the same: encoded anew, scaled, cut a little, brighter or darker; and frames of one scene.

Two looks, both at miniatures of SIDE x SIDE grey pixels. The first compares the signs of their slow waves (a perceptual
hash) and lets through nearly all that is alike, and little else. The second moves the one over the other until they
correlate best (Evangelidis and Psarakis, 2008, as OpenCV has it).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core.image import Photo

SIDE = 48  # pixels
WAVES = 12  # along each side
BITS = WAVES**2 - 1  # without the mean
NEAR = 40  # bits that may differ: of two photographs of different things, 72 +- 6 do
MOST = 16  # earlier photographs that are looked at twice for each: in a video all are alike
BLOCK = 512  # photographs whose distances to all others are in memory at a time
MOVED = 0.2  # of the side, and of the scale: what moves farther is another picture
UNLIKE, SAME = 0.86, 0.96  # evidence from which sureness grows, and where it is full
A_BIT = 0.003  # of correlation: what a bit less that differs is worth as evidence
SUREST = 0.99  # what is not the same byte for byte
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)  # of the alignment

Miniatures = NDArray[np.uint8]  # (N, SIDE, SIDE)


@dataclass(frozen=True)
class Pair:
    """Two photographs that may be of one scene, as rows, first < second; and what speaks for it."""

    first: int
    second: int
    bits: int  # of the hash, that differ
    correlation: float

    @property
    def sure(self) -> float:
        """0 ... SUREST; 0.8 is a correlation of 0.94 where the hashes differ as far as they may, of 0.88 at half."""
        evidence = self.correlation + A_BIT * (NEAR - self.bits)
        return float(np.clip((evidence - UNLIKE) / (SAME - UNLIKE), 0, SUREST))


def miniature(photo: Photo) -> NDArray[np.uint8]:
    """(SIDE, SIDE) grey pixels of a photograph, whatever its proportions."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def signs(some: Miniatures) -> NDArray[np.int8]:
    """The hash: (N, BITS) of +-1, the signs of the first WAVES x WAVES coefficients of a cosine transform."""
    waves = np.cos(np.pi / SIDE * np.outer(np.arange(WAVES), np.arange(SIDE) + 0.5)).astype(np.float32)
    table = waves @ some.astype(np.float32) @ waves.T
    return np.where(table.reshape(len(some), -1)[:, 1:] > 0, 1, -1).astype(np.int8)


def near(hashes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Pairs (M, 3) of which at most NEAR bits differ: first < second, bits. Of each second, the nearest MOST."""
    rows = hashes.astype(np.float32)
    least = rows.shape[1] - 2 * NEAR  # agreeing bits less those that differ
    pairs = [np.empty((0, 3), np.int64)]
    for start in range(0, len(rows), BLOCK):
        agree = rows[start : start + BLOCK] @ rows[: start + BLOCK].T
        agree[np.triu_indices(len(agree), start, agree.shape[1])] = -np.inf  # what is not earlier
        for second in np.flatnonzero((agree >= least).sum(1) > MOST):
            agree[second, np.argsort(-agree[second], kind="stable")[MOST:]] = -np.inf
        second, first = np.nonzero(agree >= least)
        bits = (rows.shape[1] - agree[second, first].astype(np.int64)) // 2
        pairs.append(np.stack([first, second + start, bits], axis=1))
    return np.concatenate(pairs)


def correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Of two miniatures, the one moved, scaled and sheared a little so that they agree best; 0 where they do not."""
    start, whole = np.eye(2, 3, dtype=np.float32), np.full((SIDE, SIDE), 255, np.uint8)
    try:
        found, b_from_a = cv2.findTransformECC(a, b, start, cv2.MOTION_AFFINE, STEPS, whole, 3)
    except cv2.error:  # it got lost, or one of them is blank
        return 0.0
    moved = np.abs(b_from_a - np.eye(2, 3)) / (1, 1, SIDE)
    return float(found) if found > 0 and moved.max() <= MOVED else 0.0


def alike(
    some: Sequence[NDArray[np.uint8]], pool: ThreadPoolExecutor, on_pair: Callable[[int, int], None] | None = None
) -> list[Pair]:
    """Those of the miniatures that may be of one scene. `on_pair` is told how many pairs were looked at twice, and of
    how many."""
    hashes = [signs(np.stack(some[start : start + BLOCK])) for start in range(0, len(some), BLOCK)]
    rows = near(np.concatenate(hashes)).tolist() if hashes else []
    pairs = []
    values = pool.map(lambda row: correlation(some[row[0]], some[row[1]]), rows)
    for (first, second, bits), value in zip(rows, values, strict=True):
        pairs.append(Pair(first, second, bits, value))
        if on_pair is not None:
            on_pair(len(pairs), len(rows))
    return [pair for pair in pairs if pair.sure]
