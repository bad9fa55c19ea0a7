"""Cuts: where they lie, that points and pixels agree to a fraction of a pixel, and what the cache may do."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.image import read_image, warp, write_image
from sandglass.data import photos
from sandglass.data.coco import read_coco
from sandglass.data.crops import CropConfig, PersonCrops

SMALL = CropConfig(size=(48, 64))


@pytest.mark.parametrize("size", [(256, 256), (192, 256), (50, 70), (64, 64)])
@pytest.mark.parametrize("margin", [1.0, 1.3, 1.5, 2.0])
def test_the_crop_lies_exactly_in_the_middle_of_its_cut(make_people, size, margin):
    people = make_people(np.random.default_rng(0).uniform(0, 900, (4, 17, 2)))
    config = CropConfig(size=size, margin=margin)
    crops = PersonCrops(people, config)
    border = (np.array(config.cut_size) - size) / 2
    assert (border == border.round()).all() and (border >= 0).all()  # whole pixels: nothing is resampled twice
    assert np.abs(np.array(config.cut_size) - np.array(size) * margin).max() <= 1
    image_from_crop = geometry.image_from_crop(people.boxes, size, config.padding)
    corners = np.tile(np.array([[0.0, 0], size]), (4, 1, 1))
    np.testing.assert_allclose(
        geometry.apply(crops.image_from_cut, corners + border), geometry.apply(image_from_crop, corners)
    )


def blob(size, centre, radius):
    """A white disc with a soft rim on black, exactly centred."""
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    disc = np.clip(radius + 0.5 - np.hypot(x - centre[0], y - centre[1]), 0, 1)
    return np.repeat((disc * 255).round().astype(np.uint8)[..., None], 3, 2)


def centroid(image):
    weight = np.asarray(image, np.float64)
    weight = weight.mean(-1) if weight.ndim == 3 else weight
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize("side", [30.0, 64.0, 111.0, 250.0, 700.0])
def test_a_dot_is_where_its_keypoint_says(make_people, tmp_path, side):
    """From a small person, enlarged, to a large one, averaged down."""
    centre = np.array([501.3, 407.8])
    write_image(tmp_path / "100.png", blob((1000, 1000), centre, side / 10))
    box = np.concatenate([centre - side * 0.45, centre + side * 0.55])
    people = make_people(np.tile(centre, (1, 17, 1)), boxes=[box])
    people = replace(people, image_paths=(tmp_path / "100.png",))
    sample = PersonCrops(people, SMALL)[0]
    assert sample.image.shape == (96, 72, 3)
    assert np.abs(centroid(sample.image) - sample.keypoints[0]).max() < 0.03


def test_a_sample_is_its_person(tiny_coco):
    people = read_coco(tiny_coco, "train")
    crops = PersonCrops(people, SMALL)
    assert len(crops) == len(people) == 7
    for i in range(len(people)):
        sample, person = crops[i], people[i]
        assert sample.index == i and sample.image.dtype == np.uint8
        np.testing.assert_array_equal(sample.weight, person.visibility > 0)
        np.testing.assert_array_equal(
            sample.image, warp(read_image(person.image_path), crops.image_from_cut[i], SMALL.cut_size)
        )
        seen = person.visibility > 0
        back = geometry.apply(crops.image_from_cut[i], sample.keypoints.astype(np.float64))
        np.testing.assert_allclose(back[seen], person.keypoints[seen], atol=1e-3)
        for x, y in sample.keypoints.astype(int)[seen & (seen.sum() == 17)]:  # a white dot at every joint that is drawn
            assert sample.image[y, x].min() > 100


def test_hidden_joints_are_taught_too(make_people):
    visibility = np.array([[0, 1, 2] + [0] * 14])
    crops = PersonCrops(make_people(np.full((1, 17, 2), 50.0) + np.arange(17)[:, None], visibility=visibility), SMALL)
    assert crops.weight[0].tolist() == [0, 1, 1] + [0] * 14


@pytest.fixture
def counted(monkeypatch):
    """The paths that are read, one entry a time."""
    paths = []
    read = photos.read_bytes
    monkeypatch.setattr(photos, "read_bytes", lambda path: (paths.append(path), read(path))[1])
    return paths


def test_the_cache_holds_the_same_pixels_and_spares_the_disk(tiny_coco, counted):
    people = read_coco(tiny_coco, "train")
    plain, cached = PersonCrops(people, SMALL), PersonCrops(people, SMALL, cache_bytes=2**30)
    assert plain.cache_bytes == 0 and cached.cache_bytes == 7 * 96 * 72 * 3
    for _ in range(3):
        for i in range(len(people)):
            np.testing.assert_array_equal(cached[i].image, plain[i].image)
    assert len(counted) == 7 + 3 * 7


def test_the_cache_keeps_its_bound(tiny_coco, counted):
    people = read_coco(tiny_coco, "train")
    crops = PersonCrops(people, SMALL, cache_bytes=3 * 96 * 72 * 3 + 5)
    assert crops.cache_bytes == 3 * 96 * 72 * 3
    for _ in range(2):
        for i in range(7):
            crops[i]
    assert len(counted) == 7 + 4


def test_a_failed_read_is_not_cached(tiny_coco, tmp_path):
    people = read_coco(tiny_coco, "val")
    path = tmp_path / "late.png"
    people = replace(people, image_paths=(path, people.image_paths[1]))
    crops = PersonCrops(people, SMALL, cache_bytes=2**30)
    with pytest.raises(BadInput, match=r"late\.png: cannot be read"):
        crops[0]
    path.write_bytes((tiny_coco / "val" / "000101.png").read_bytes())
    assert crops[0].image.any()


def test_many_threads_see_the_same_pixels(tiny_coco):
    people = read_coco(tiny_coco, "train")
    want = [PersonCrops(people, SMALL)[i].image for i in range(7)]
    for cache_bytes in (0, 2**30):
        crops = PersonCrops(people, SMALL, cache_bytes)
        start = threading.Barrier(6)

        def look(seed, crops=crops, start=start):
            start.wait()
            order = np.random.default_rng(seed).permutation(np.repeat(np.arange(7), 3))
            return [(i, crops[i].image.copy()) for i in order.tolist()]

        with ThreadPoolExecutor(6) as pool:
            for rows in pool.map(look, range(6)):
                for i, image in rows:
                    np.testing.assert_array_equal(image, want[i])


def test_photographs_that_do_not_fit_their_labels_are_refused(tiny_coco):
    people = read_coco(tiny_coco, "val")
    lying = replace(people, image_sizes=people.image_sizes + 1)
    with pytest.raises(BadInput, match=r"000101\.png: the picture is 240x200 pixels but its annotations say 241x201"):
        PersonCrops(lying, SMALL)[0]
    missing = replace(people, image_paths=tuple(Path("nowhere") / path.name for path in people.image_paths))
    with pytest.raises(BadInput, match=r"nowhere.000101\.png: cannot be read"):
        PersonCrops(missing, SMALL)[0]
