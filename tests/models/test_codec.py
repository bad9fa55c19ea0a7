"""Encode and decode are inverse; what lies outside is neither taught nor denied. Crop pixels, centres at +0.5."""

import numpy as np
import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.models.codec import DECODERS, NOISE, Codec, CodecConfig

SIZES = [(256, 256), (192, 256), (256, 192), (64, 64), (12, 16)]
KINDS = ["heatmap", "distribution"]


def codec(size=(192, 256), **options):
    return Codec(CodecConfig(size=size, **options))


def points_in(size, count=300, seed=0):
    """Points (3, K, 2) anywhere in the crop, its corners and edges and cell borders among them."""
    w, h = size
    rng = torch.Generator().manual_seed(seed)
    anywhere = torch.rand(3, count, 2, generator=rng) * torch.tensor([w, h])
    ends = torch.tensor([[0.0, 0.0], [w - 1e-3, h - 1e-3], [0.0, h - 1e-3], [w / 2, 0.0], [4.0, 8.0], [w / 2, h / 2]])
    return torch.cat([anywhere, ends.expand(3, -1, -1)], 1)


def round_trip(codec, points):
    maps, weight = codec.encode(points, torch.ones(points.shape[:2]))
    assert weight.min() == 1
    return codec.decode(maps[:, 0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5, 3.0])
def test_dark_gives_the_points_back(size, kind, sigma):
    points = points_in(size)
    found, score = round_trip(codec(size, kind=kind, sigmas=(sigma,)), points)
    assert (found - points).abs().max() < 1e-3
    assert score.min() > 0.3 and score.max() <= 1


# Largest error in pixels at stride 4: anywhere, and where the decoder's neighbourhood lies within the map.
BOUNDS = {"argmax": (2.0, 2.0), "quarter": (2.0, 1.0), "dark": (1e-3, 1e-3), "mean": (5.0, 0.06), "upscale": (3.6, 0.6)}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_every_decoder_keeps_its_bound(decoder, kind, sigma):
    size = (96, 128)
    points = points_in(size, 80)
    found, _ = round_trip(codec(size, kind=kind, sigmas=(sigma,), decoder=decoder), points)
    error = (found - points).abs().amax(-1)
    inner = ((points > 16) & (points < torch.tensor(size) - 16)).all(-1)
    anywhere, inside = BOUNDS[decoder]
    assert error.max() <= anywhere + 1e-4
    assert error[inner].max() <= inside + 1e-4
    assert (found >= 0).all() and (found <= torch.tensor(size)).all()


def test_no_decoder_leans_to_a_side():
    """A half-pixel error would show as a mean that is not zero."""
    size = (48, 64)
    centre = torch.tensor([[[24.0, 32.0]]])
    offsets = (torch.cartesian_prod(torch.arange(-12, 12), torch.arange(-12, 12)) + 0.5) / 6  # one cell, evenly
    for decoder in DECODERS:
        for kind in KINDS:
            found, _ = round_trip(codec(size, kind=kind, decoder=decoder), centre + offsets)
            assert (found - centre - offsets).mean((0, 1)).abs().max() < 1e-3, (decoder, kind)


def test_a_heatmap_is_the_gaussian_at_the_cells_centres():
    maps, _ = codec((16, 12), sigmas=(1.5,)).encode(torch.tensor([[[5.0, 7.0]]]), torch.ones(1, 1))
    assert maps.shape == (1, 1, 1, 3, 4)
    for row in range(3):
        for column in range(4):
            dx, dy = (column + 0.5) - 5 / 4, (row + 0.5) - 7 / 4
            assert maps[0, 0, 0, row, column].item() == pytest.approx(np.exp(-(dx**2 + dy**2) / (2 * 1.5**2)), abs=1e-6)
    shares, _ = codec((16, 12), sigmas=(1.5,), kind="distribution").encode(
        torch.tensor([[[5.0, 7.0]]]), torch.ones(1, 1)
    )
    torch.testing.assert_close(shares, maps / maps.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_joints_outside_are_neither_taught_nor_denied(kind):
    w, h = 192, 256
    outside = [[-1e-3, 5], [5, -1e-3], [w, 5], [5, h], [-1e9, 1e9], [np.nan, 5], [5, np.inf]]
    inside = [[0, 0], [w - 1e-3, h - 1e-3], [0, 100], [100, 0]]
    points = torch.tensor([outside + inside], dtype=torch.float32)
    given = torch.linspace(0.5, 1, points.shape[1])[None]
    maps, weight = codec(kind=kind).encode(points, given)
    assert maps.shape == (1, 1, 11, 64, 48) and torch.isfinite(maps).all()
    assert not weight[0, :7].any() and not maps[0, 0, :7].any()
    torch.testing.assert_close(weight[0, 7:], given[0, 7:])
    assert (maps[0, 0, 7:].amax((1, 2)) > 0.05).all()


def test_unlabelled_joints_keep_weight_zero():
    _, weight = codec().encode(torch.full((2, 3, 2), 50.0), torch.tensor([[0.0, 1, 0], [1, 0, 1]]))
    assert weight.tolist() == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mirrored_heatmap_gives_the_mirrored_point(decoder, kind):
    """x' = W - x; nothing is shifted by a pixel or a cell."""
    size = (96, 64)
    both = codec(size, kind=kind, decoder=decoder)
    points = points_in(size, 60)
    points = points[(points / 4 % 1 - 0.5).abs().amin(-1) > 1e-3].view(1, -1, 2)  # off the ties of argmax
    points = points[(points / 4 % 1).amin(-1) > 1e-3].view(1, -1, 2)
    maps, _ = both.encode(points, torch.ones(points.shape[:2]))
    plain, score = both.decode(maps[:, 0])
    mirrored, mirrored_score = both.decode(maps[:, 0].flip(-1))
    want = torch.stack([size[0] - plain[..., 0], plain[..., 1]], -1)
    slack = 1.01 if decoder == "upscale" else 2e-4  # a bilinear plateau is two pixels wide: either may be the largest
    assert (mirrored - want).abs().max() <= slack
    torch.testing.assert_close(mirrored_score, score, atol=0.05 if decoder == "upscale" else 1e-5, rtol=0)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_single(decoder, kind):
    """Also on noise, on empty maps and on maps that are nowhere a hill."""
    both = codec((48, 64), kind=kind, decoder=decoder, smooth=0.7)
    rng = torch.Generator().manual_seed(1)
    maps = torch.rand(4, 2, 5, 16, 12, generator=rng)
    if decoder != "upscale":  # whose blurred plateaus are decided by the last bit
        maps[0, 0, 0], maps[1, 1, 1], maps[2, 0, 2] = 0, 1, torch.arange(12.0)
    maps = both.heatmaps(maps)
    points, score = both.decode(maps)
    assert points.shape == (4, 2, 5, 2) and score.shape == (4, 2, 5)
    assert torch.isfinite(points).all() and (points >= 0).all() and (points <= torch.tensor([48, 64])).all()
    assert (score >= 0).all() and (score <= 1).all()
    for b, s, k in np.ndindex(4, 2, 5):
        one, its_score = both.decode(maps[b, s, k])
        torch.testing.assert_close(one, points[b, s, k], atol=1e-4, rtol=0)
        torch.testing.assert_close(its_score, score[b, s, k])


def test_scores_of_raw_maps_stay_in_bounds():
    """A linear output may overshoot."""
    for value in (-3.0, 7.0, 1e30):
        maps = torch.zeros(1, 1, 16, 12)
        maps[0, 0, 4, 5] = value
        for decoder in DECODERS:
            points, score = codec((48, 64), decoder=decoder).decode(maps)
            assert torch.isfinite(points).all() and 0 <= score.item() <= 1, (decoder, value)


def test_scores_grow_with_the_peak_and_with_its_sharpness():
    points = torch.tensor([[[100.0, 90.0]]])
    maps, _ = codec().encode(points, torch.ones(1, 1))
    scores = [codec().decode(maps[:, 0] * share)[1].item() for share in (0.1, 0.5, 1.0)]
    assert scores == sorted(scores) and scores[1] == pytest.approx(0.5 * scores[2])
    spread = codec(kind="distribution")
    uniform = torch.full((1, 1, 64, 48), 1 / (64 * 48))
    sharp, _ = spread.encode(points, torch.ones(1, 1))
    scores = [spread.decode(torch.lerp(uniform, sharp[:, 0], share))[1].item() for share in (0.0, 0.3, 0.8, 1.0)]
    assert (
        scores == sorted(scores) and scores[0] < 0.02 and scores[2] == pytest.approx(0.8, abs=0.03) and scores[3] > 0.95
    )


@pytest.mark.parametrize(
    ("size", "sigma", "reach"), [((128, 96), 0.7, 2.56), ((192, 256), 1.0, 5.12), ((64, 64), 1.5, 3.75)]
)
def test_the_score_of_a_distribution_is_what_lies_within_its_reach(size, sigma, reach):
    both = codec(size, kind="distribution", sigmas=(sigma,))
    assert both.config.reach == pytest.approx(reach)  # of the longer side, whatever the sigma, unless it is a wide one
    maps = torch.from_numpy(np.random.default_rng(3).random((5, *both.config.shape))).float() ** 8
    maps /= maps.sum((1, 2), keepdim=True)
    points, scores = both.decode(maps)
    for map_, (x, y), score in zip(maps.numpy(), (points / 4).tolist(), scores.tolist(), strict=True):
        near = [(r, c) for r, c in np.ndindex(map_.shape) if (c + 0.5 - x) ** 2 + (r + 0.5 - y) ** 2 <= reach**2]
        assert 8 <= len(near) < map_.size and score == pytest.approx(sum(map_[at] for at in near), abs=1e-5)


def test_smoothing_keeps_the_place_and_removes_noise():
    points = points_in((192, 256), 100)[:, :100]
    points = points.clamp(24, 168)
    plain, smooth = codec(), codec(smooth=1.0)
    maps, _ = plain.encode(points, torch.ones(points.shape[:2]))
    found, _ = smooth.decode(maps[:, 0])
    assert (found - points).abs().max() < 0.02  # a sampled Gaussian through a sampled Gaussian
    noisy = maps[:, 0] + 0.3 * torch.randn(maps[:, 0].shape, generator=torch.Generator().manual_seed(0))
    error = [(c.decode(noisy)[0] - points).norm(dim=-1).mean() for c in (plain, smooth)]
    assert error[1] < 0.5 * error[0]


def test_a_sigma_a_stack_goes_from_coarse_to_fine():
    points = torch.tensor([[[100.0, 90.0]]])
    maps, _ = codec(sigmas=(3.0, 2.0, 1.0)).encode(points, torch.ones(1, 1), stacks=3)
    assert maps.shape == (1, 3, 1, 64, 48)
    for s, sigma in enumerate((3.0, 2.0, 1.0)):
        alone, _ = codec(sigmas=(sigma,)).encode(points, torch.ones(1, 1))
        torch.testing.assert_close(maps[:, s], alone[:, 0])
    shared, _ = codec(sigmas=(2.0, 2.0)).encode(points, torch.ones(1, 1), stacks=2)
    assert shared.shape[1] == 1  # broadcasts over the stacks
    with pytest.raises(AssertionError, match="3 sigmas for 2 stacks"):
        codec(sigmas=(3.0, 2.0, 1.0)).encode(points, torch.ones(1, 1), stacks=2)


def test_the_softmax_is_over_the_map():
    raw = torch.randn(2, 3, 5, 16, 12, generator=torch.Generator().manual_seed(0))
    maps = codec((48, 64), kind="distribution").heatmaps(raw)
    torch.testing.assert_close(maps.sum((-1, -2)), torch.ones(2, 3, 5))
    torch.testing.assert_close(maps, raw.exp() / raw.exp().sum((-1, -2), keepdim=True))
    wide = raw.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)  # channels last
    torch.testing.assert_close(codec((48, 64), kind="distribution").heatmaps(wide), maps)
    assert codec((48, 64)).heatmaps(raw) is raw


def test_the_gradient_of_a_target_is_none_of_our_business_but_its_device_and_type_are():
    points = torch.full((1, 2, 2), 30.0, dtype=torch.float64)
    maps, weight = codec().encode(points, torch.ones(1, 2, dtype=torch.float64))
    assert maps.dtype == weight.dtype == torch.float64
    half, _ = codec().decode(maps[:, 0].bfloat16())
    assert half.dtype == torch.float32 and (half - 30).abs().max() < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 256)}, "crop size"),
        ({"size": (-4, 256)}, "crop size"),
        ({"size": (254, 256)}, r"crop size \(254, 256\) .* multiples of 4"),
        ({"size": (256,)}, "crop size"),
        ({"size": (2**20, 2**20)}, "1..1024"),
        ({"stride": 0}, "stride 0"),
        ({"stride": -4}, "stride -4"),
        ({"sigmas": ()}, "sigmas"),
        ({"sigmas": (1.0, 0.0)}, "between 0.1 and 64"),
        ({"sigmas": (float("nan"),)}, "sigmas"),
        ({"kind": "offsets"}, "'heatmap' or 'distribution'"),
        ({"decoder": "magic"}, r"choose one of \['argmax', 'dark'"),
        ({"smooth": -1.0}, "smooth"),
        ({"smooth": float("inf")}, "smooth"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        CodecConfig(**options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_as_sharp_as_its_target_has_no_spread(kind):
    points = torch.tensor([[[100.0, 90.0], [61.3, 150.7]]])
    one = codec(kind=kind, sigmas=(2.0,))
    maps, _ = one.encode(points, torch.ones(1, 2))
    assert one.spread(maps[:, 0], points).abs().max() < 0.02 * (2.0 * 4) ** 2  # of the target's own variance


def test_the_spread_of_two_hills_is_their_distance():
    """A quarter of the mass lies 40 pixels to the right: the second moment about the higher hill is 40^2 / 4."""
    one = codec(kind="distribution", sigmas=(1.5,))
    points = torch.tensor([[[60.0, 100.0], [100.0, 100.0]]])
    hills, _ = one.encode(points, torch.ones(1, 2))
    maps = (0.75 * hills[:, 0, :1] + 0.25 * hills[:, 0, 1:]).clone()
    found = one.spread(maps, points[:, :1])[0, 0]
    torch.testing.assert_close(found, torch.tensor([[400.0, 0.0], [0.0, 0.0]]), atol=12.0, rtol=0)  # NOISE is cut


def test_the_spread_is_the_slow_formula():
    raw = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    one = codec(kind="distribution", sigmas=(1.5,))
    maps = one.heatmaps(6 * raw)
    points, _ = one.decode(maps)
    found = one.spread(maps, points)
    for b, k in np.ndindex(2, 3):
        p = maps[b, k].double().numpy()
        p = np.where(p >= NOISE["distribution"] * p.max(), p, 0)
        rows, columns = np.indices(p.shape) + 0.5
        offset = np.stack([columns * 4, rows * 4], -1) - points[b, k].double().numpy()
        slow = np.einsum("hw,hwi,hwj->ij", p / p.sum(), offset, offset) - (1.5 * 4) ** 2 * np.eye(2)
        values, axes = np.linalg.eigh(slow)
        slow = axes @ np.diag(np.maximum(values, 0)) @ axes.T
        np.testing.assert_allclose(found[b, k].numpy(), slow, atol=1e-2 * np.abs(slow).max())


def test_a_spread_is_never_negative_and_an_empty_map_has_a_finite_one():
    one = codec((48, 64))
    maps = torch.randn(4, 5, 16, 12, generator=torch.Generator().manual_seed(2))
    maps[0] = 0
    points, _ = one.decode(maps)
    found = one.spread(maps, points)
    assert torch.isfinite(found).all()
    assert np.linalg.eigvalsh(found.double().numpy()).min() > -1e-3


def test_a_shorter_network_reads_with_its_own_last_sigma():
    config = CodecConfig(sigmas=(3.0, 2.0, 1.0))
    assert config.after(2).sigmas == (3.0, 2.0) and config.after(3) == config
    assert CodecConfig(sigmas=(1.5,)).after(4).sigmas == (1.5,)
