"""The painter: what the device does to pixels, against slow and obvious references; joints stay on their pixels."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from sandglass.core import geometry
from sandglass.core.image import warp, write_image
from sandglass.core.skeleton import COCO17
from sandglass.data.augment import STRENGTHS, AugmentConfig, Batch, Painter, draw, move, punch, recolour, resample
from sandglass.data.crops import CropConfig, PersonCrops

CPU = torch.device("cpu")
CROP = CropConfig(size=(96, 128))
K = len(COCO17)
RNG = np.random.default_rng(4)


def painter(config, size=CROP.size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    return Painter(config, size, mean, std, CPU)


def batch_of(cuts, config, seed=0, examples=None, points=None):
    n = len(cuts)
    points = np.tile(np.array(CROP.cut_size) / 2, (n, K, 1)) if points is None else points
    examples = np.arange(n) if examples is None else examples
    drawn = draw(config, CROP, COCO17, points, np.ones((n, K)), seed, examples)
    moved, weight = move(drawn, points, np.ones((n, K)), COCO17)
    return Batch.of(cuts, moved, weight, drawn, np.arange(n))


def noise_cuts(count):
    w, h = CROP.cut_size
    return RNG.integers(0, 256, (count, h, w, 3), np.uint8)


def test_resampling_is_bilinear(slow_bilinear):
    cuts = RNG.integers(0, 256, (3, 23, 31, 3), np.uint8)
    matrices = np.array([
        [[1.0, 0, 3.3], [0, 1.0, 2.6]],
        [[-0.9, 0.5, 25.0], [0.6, 1.1, -4.0]],  # mirrored and turned, partly outside
        [[0.3, 0, 10.0], [0, 0.3, 5.0]],
    ])  # fmt: skip
    got = resample(torch.from_numpy(cuts), torch.from_numpy(matrices).float(), (16, 12))
    assert got.shape == (3, 3, 12, 16)
    for i in range(3):
        want = slow_bilinear(cuts[i], matrices[i], (16, 12)) / 255
        assert np.abs(got[i].permute(1, 2, 0).numpy() - want).max() < 1e-4


def test_the_identity_is_the_cut():
    cuts = RNG.integers(0, 256, (2, 12, 20, 3), np.uint8)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    got = resample(torch.from_numpy(cuts), identity, (20, 12)) * 255
    np.testing.assert_allclose(got.permute(0, 2, 3, 1), cuts, atol=2e-3)


@pytest.mark.parametrize("side", [40.0, 90.0, 180.0, 333.0, 900.0])
def test_without_augmentation_it_is_the_crop_that_evaluation_sees(make_people, tmp_path, side):
    """From an enlarged person to one who is averaged down: what is trained on is what is scored on."""
    photo = RNG.integers(0, 256, (700, 900, 3), np.uint8)
    write_image(tmp_path / "100.png", photo)
    box = np.array([333.3, 222.2, 333.3 + side * 0.7, 222.2 + side])
    people = make_people(np.full((1, K, 2), 400.0), boxes=[box])
    people = replace(people, image_paths=(tmp_path / "100.png",), image_sizes=np.array([[900, 700]], np.int32))
    cut = PersonCrops(people, CROP)[0].image
    got = painter(AugmentConfig())(batch_of(cut[None], AugmentConfig())) * 255
    want = warp(photo, geometry.image_from_crop(box, CROP.size, CROP.padding), CROP.size)
    assert np.abs(got[0].permute(1, 2, 0).numpy() - want).max() < 1.001


def dots(points):
    """One cut a joint, black but for a white Gaussian dot at that joint."""
    w, h = CROP.cut_size
    x, y = np.arange(w) + 0.5, np.arange(h) + 0.5
    gx = np.exp(-0.5 * ((x - points[:, :1]) / 3) ** 2)
    gy = np.exp(-0.5 * ((y - points[:, 1:]) / 3) ** 2)
    grey = (gy[:, :, None] * gx[:, None, :] * 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, 3)


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(),
        AugmentConfig(flip=1.0),
        AugmentConfig(rotate=45),
        AugmentConfig(scale=0.35),
        AugmentConfig(shift=0.1),
        AugmentConfig(half_body=1.0),
        replace(STRENGTHS["strong"], holes=0, noise=0, brightness=0, contrast=0),
    ],
    ids=["none", "flip", "rotate", "scale", "shift", "half body", "strong"],
)
def test_the_picture_under_a_joint_goes_where_the_joint_goes(config):
    """To 0.15 pixels; and in a mirror, what was the left elbow is then called the right one."""
    checked = 0
    for example in range(6):
        middle = np.array(CROP.cut_size) / 2
        points = middle + RNG.uniform(-0.4, 0.4, (K, 2)) * np.array(CROP.size)
        every = np.tile(points, (K, 1, 1))
        batch = batch_of(dots(points), config, seed=1, examples=np.full(K, example), points=every)
        crops = painter(config)(batch)[:, 1].double().numpy()
        flipped = np.linalg.det(batch.grid[0, :, :2].numpy()) < 0
        moved = batch.keypoints[0].numpy()
        for k in range(K):
            name = COCO17.mirror[k] if flipped else k
            if (np.abs(moved[name] - np.array(CROP.size) / 2) < np.array(CROP.size) / 2 - 16).all():
                light = np.where(crops[k] > 0.02, crops[k], 0)
                rows, columns = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
                found = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
                assert np.abs(found - moved[name]).max() < 0.15, (example, k, flipped)
                checked += 1
    assert checked > 25


def test_rotation_shows_photograph_and_no_black_corners():
    w, h = CROP.cut_size
    white = np.full((64, h, w, 3), 255, np.uint8)
    crops = painter(AugmentConfig(rotate=20))(batch_of(white, AugmentConfig(rotate=20)))
    assert crops.min() > 0.99


def test_colours_go_through_their_matrix():
    crops, colour = torch.rand(4, 3, 6, 5), torch.randn(4, 3, 4)
    got = recolour(crops, colour)
    want = torch.zeros_like(crops)
    for b, y, x in np.ndindex(4, 6, 5):
        want[b, :, y, x] = colour[b] @ torch.cat([crops[b, :, y, x], torch.ones(1)])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    last = crops.contiguous(memory_format=torch.channels_last)
    assert recolour(last, colour).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(recolour(last, colour), got)


def test_holes_cover_the_pixels_whose_centres_they_hold():
    crops = torch.ones(2, 3, 8, 10)
    holes = torch.tensor(
        [[[2.4, 1.6, 5.5, 4.5], [9.0, 7.0, 99.0, 99.0]], [[3.0, 3.0, 3.0, 3.0], [-9.0, -9.0, 1.0, 1.0]]]
    )
    covered = punch(crops, holes)[:, 0] == 0
    want = torch.zeros(2, 8, 10, dtype=torch.bool)
    want[0, 2:4, 2:5] = want[0, 7:, 9:] = want[1, 0, 0] = True
    assert torch.equal(covered, want)


def test_crops_are_clamped_and_normalised():
    cuts = np.stack([np.zeros_like(noise_cuts(1)[0]), np.full_like(noise_cuts(1)[0], 255)])
    config = AugmentConfig(brightness=0.5)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.2)
    crops = painter(config, mean=mean, std=std)(batch_of(cuts, config))
    low, high = (torch.tensor([(end - m) / s for m, s in zip(mean, std, strict=True)]) for end in (0, 1))
    for c in range(3):
        assert crops[:, c].min() >= low[c] - 1e-5 and crops[:, c].max() <= high[c] + 1e-5
    plain = painter(AugmentConfig(), mean=mean, std=std)(batch_of(cuts, AugmentConfig()))
    torch.testing.assert_close(plain[0, :, 60, 50], low)
    torch.testing.assert_close(plain[1, :, 60, 50], high)
    assert plain.is_contiguous(memory_format=torch.channels_last)


def test_grain_has_its_strength_and_its_own_place():
    grey = np.full((6, CROP.cut_size[1], CROP.cut_size[0], 3), 128, np.uint8)
    config = AugmentConfig(noise=0.05)
    batch = batch_of(grey, config)
    grain = painter(config)(batch) - 128 / 255
    for i in range(6):
        assert grain[i, 0].std().item() == pytest.approx(batch.noise[i].item(), rel=0.05, abs=1e-4)
        assert abs(grain[i].mean().item()) < 0.002
        torch.testing.assert_close(grain[i, 0], grain[i, 1])  # of light, not of colour
    assert abs(np.corrcoef(grain[0, 0].flatten(), grain[1, 0].flatten())[0, 1]) < 0.05


def test_blur_is_a_share_of_the_box_blur():
    cuts, config = noise_cuts(4), AugmentConfig(blur=1.0)
    batch = batch_of(cuts, config)
    plain = painter(AugmentConfig())(batch)
    blurred = painter(config)(batch)
    for i, y, x in ((0, 50, 40), (1, 0, 0), (2, 127, 50), (3, 20, 95)):
        around = plain[i, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean((1, 2))
        want = plain[i, :, y, x] + batch.blur[i] * (around - plain[i, :, y, x])
        torch.testing.assert_close(blurred[i, :, y, x], want, atol=1e-5, rtol=1e-4)


def test_a_crop_does_not_depend_on_its_batch():
    config = STRENGTHS["strong"]
    cuts = noise_cuts(5)
    whole = batch_of(cuts, config, seed=2)
    crops = painter(config)(whole)
    for i in range(5):
        one = Batch(*(getattr(whole, f.name)[i : i + 1] for f in fields(Batch)))
        torch.testing.assert_close(painter(config)(one)[0], crops[i], atol=1e-5, rtol=1e-5)
