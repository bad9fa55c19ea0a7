"""The same photograph in other clothes: what was encoded anew, scaled, cut or brightened is found, and nothing else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sandglass.core.image import Photo, decode_image, read_image
from sandglass.core.pose import People
from sandglass.data.doctor import alike as module
from sandglass.data.doctor.alike import BITS, MOST, NEAR, SIDE, Pair, alike, correlation, miniature, near, signs

Change = Callable[[Photo, np.random.Generator], Photo]


def encode(photo: Photo, quality: int) -> Photo:
    data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return decode_image(data.tobytes(), "a.jpg")


def scale(photo: Photo, by: float) -> Photo:
    size = round(photo.shape[1] * by), round(photo.shape[0] * by)
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def cut(photo: Photo, rng: np.random.Generator, most: float) -> Photo:
    """Up to this share off each side."""
    h, w = photo.shape[:2]
    left, right, top, bottom = rng.uniform(0, most, 4)
    return np.ascontiguousarray(photo[round(top * h) : round(h - bottom * h), round(left * w) : round(w - right * w)])


def brighten(photo: Photo, gain: float, more: float) -> Photo:
    return np.clip(photo * gain + more, 0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "encoded": lambda photo, rng: encode(photo, 30),
    "scaled": lambda photo, rng: scale(photo, 0.4),
    "brighter": lambda photo, rng: brighten(photo, 1.2, 15),
    "darker": lambda photo, rng: brighten(photo, 0.7, 0),
    "cut": lambda photo, rng: cut(photo, rng, 0.05),
    "all": lambda photo, rng: encode(scale(brighten(cut(photo, rng, 0.04), 0.85, 0), 0.6), 50),
}


@pytest.fixture(scope="module")
def photos(drawn: People) -> list[Photo]:
    return [read_image(path) for path in drawn.image_paths[:60]]


@pytest.mark.parametrize("kind", CHANGES)
def test_planted_copies_are_found_and_nothing_else(photos: list[Photo], kind: str) -> None:
    """Of 60 pictures and a copy of each: at least 57 copies, each with its own original, and no other pair."""
    rng = np.random.default_rng(0)
    copies = [CHANGES[kind](photo, rng) for photo in photos]
    with ThreadPoolExecutor(1) as pool:
        found = alike([miniature(photo) for photo in (*photos, *copies)], pool)
    sure = [pair for pair in found if pair.sure >= 0.8]
    assert all(pair.second - pair.first == len(photos) for pair in sure), "two different pictures"
    assert len(sure) >= 0.95 * len(photos)


def test_the_hash_is_the_signs_of_a_cosine_transform(photos: list[Photo]) -> None:
    some = np.stack([miniature(photo) for photo in photos])
    slow = np.stack([cv2.dct(one.astype(np.float32))[:12, :12].ravel()[1:] for one in some])
    clear = np.abs(slow) > 1e-2
    assert (signs(some)[clear] == np.sign(slow[clear])).all() and clear.mean() > 0.99


def test_the_search_finds_what_a_look_at_every_pair_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.choice([-1, 1], (12, BITS))[rng.integers(0, 12, 90)]
    hashes = np.where(rng.random(hashes.shape) < 0.14, -hashes, hashes).astype(np.int8)
    every = [(a, b, bits) for a, b in combinations(range(90), 2) if (bits := (hashes[a] != hashes[b]).sum()) <= NEAR]
    for block in (7, 32, 512):
        monkeypatch.setattr(module, "BLOCK", block)
        assert sorted(map(tuple, near(hashes).tolist())) == every
    assert 100 < len(every) < 400


def test_where_all_are_alike_only_some_pairs_are_looked_at_twice() -> None:
    pairs = near(np.ones((300, BITS), np.int8))
    assert np.bincount(pairs[:, 1]).tolist() == [min(i, MOST) for i in range(300)] and (pairs[:, 0] < pairs[:, 1]).all()


def test_a_picture_correlates_with_itself_and_a_blank_one_with_nothing(photos: list[Photo]) -> None:
    one, other = miniature(photos[0]), miniature(photos[1])
    assert correlation(one, one) == pytest.approx(1, abs=1e-6)
    blank = np.full((SIDE, SIDE), 90, np.uint8)
    assert correlation(one, blank) == correlation(blank, one) == correlation(blank, blank) == 0
    assert correlation(one, other) < 0.86


def test_how_sure() -> None:
    assert Pair(0, 1, NEAR, 0.94).sure == pytest.approx(0.8) and Pair(0, 1, NEAR // 2, 0.88).sure == pytest.approx(0.8)
    assert Pair(0, 1, 0, 1.0).sure == 0.99 and Pair(0, 1, 0, 0.0).sure == 0  # only the very bytes are quite sure


def test_what_must_be_moved_far_is_another_picture() -> None:
    photo: Any = cv2.resize(np.random.default_rng(3).integers(0, 255, (8, 16), np.uint8), (3 * SIDE, SIDE))
    here, beside, far = (np.ascontiguousarray(photo[:, x : x + SIDE]) for x in (40, 44, 54))
    assert correlation(here, beside) > 0.99 and correlation(here, far) == 0


def test_no_photographs_no_pairs() -> None:
    told: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        assert alike([], pool, lambda *now: told.append(now)) == [] and told == []


@pytest.mark.parametrize("kind", ["encoded", "cut"])
def test_copies_of_real_photographs_are_found(people_folder: Path, kind: str) -> None:
    paths = sorted((people_folder / "coco" / "val").iterdir())[:60]
    rng = np.random.default_rng(0)
    photos = [read_image(path) for path in paths]
    some = [miniature(photo) for photo in photos] + [miniature(CHANGES[kind](photo, rng)) for photo in photos]
    with ThreadPoolExecutor(1) as pool:
        sure = [pair for pair in alike(some, pool) if pair.sure >= 0.8]
    assert all(pair.second - pair.first == 60 for pair in sure) and len(sure) >= 57
