"""What is read in NumPy is what the codec reads in torch, for every decoder: at borders, in doubt, from flat maps."""

import numpy as np
import pytest
import torch

from sandglass.models.codec import DECODERS, Codec
from sandglass.models.reading import READERS, CodecConfig, Reading

KINDS = ("heatmap", "distribution")


def configs() -> list[CodecConfig]:
    """Every decoder and kind, blurred and not, of a crop that is not square."""
    return [
        CodecConfig(size=(60, 44), decoder=decoder, kind=kind, sigmas=(1.3,), smooth=smooth)
        for decoder in DECODERS
        for kind in KINDS
        for smooth in (0.0, 0.7)
    ]


def test_both_know_the_same_decoders() -> None:
    assert list(READERS) == list(DECODERS)


@pytest.mark.parametrize("config", configs(), ids=lambda c: f"{c.decoder}-{c.kind}-{c.smooth:g}")
@pytest.mark.parametrize("maps", ["painted", "noise", "border"])
def test_the_codec_is_the_reference(config: CodecConfig, maps: str) -> None:
    codec, reading = Codec(config), Reading(config)
    outputs = drawn(codec, maps)
    heatmaps = codec.heatmaps(outputs)
    points, scores = codec.decode(heatmaps)
    spread = codec.spread(heatmaps, points)
    found = reading.heatmaps(outputs.numpy())
    np.testing.assert_allclose(found, heatmaps, rtol=2e-6, atol=1e-9)
    read, said = reading.decode(found)
    np.testing.assert_allclose(read, points, atol=2e-3)  # single precision, through logarithms
    np.testing.assert_allclose(said, scores, atol=1e-5)
    np.testing.assert_allclose(reading.spread(found, read), spread, atol=0.05, rtol=1e-3)
    assert {part.dtype for part in (found, read, said)} == {np.dtype(np.float32)}


def drawn(codec: Codec, what: str) -> torch.Tensor:
    """Raw outputs (3, 2, 7, h, w): Gaussians anywhere, nothing but noise, or Gaussians at and beyond the border."""
    rng = np.random.default_rng(4)
    w, h = codec.config.size
    points = rng.uniform(0, (w, h), (6, 7, 2))
    if what == "border":
        edges = np.array([[0.01, 0.01], [w - 0.01, h - 0.01], [0.01, h / 2], [w / 2, h - 0.01]])
        points = edges[rng.integers(0, 4, (6, 7))]
    maps, _ = codec.encode(torch.from_numpy(points).float(), torch.ones(6, 7))
    noise = torch.from_numpy(rng.random(maps.shape)).float()
    outputs = noise if what == "noise" else 0.98 * maps + 0.02 * maps.amax() * noise
    if codec.config.kind == "distribution":
        outputs = outputs.clamp_min(1e-7).log()
    return outputs.reshape(3, 2, 7, *codec.config.shape)


@pytest.mark.parametrize("decoder", READERS)
def test_a_flat_or_tiny_map_is_read_without_a_word(decoder: str) -> None:
    """No peak, no hill, hardly a cell: the codec's answer, and no number that is none."""
    for size, value in (((32, 32), 0.0), ((32, 32), 1.0), ((8, 4), 0.5), ((4, 4), 0.5)):
        config = CodecConfig(size=size, decoder=decoder)
        maps = torch.full((1, 3, *config.shape), value)
        read, said = Reading(config).decode(maps.numpy())
        points, scores = Codec(config).decode(maps)
        np.testing.assert_allclose(read, points, atol=1e-4)
        np.testing.assert_allclose(said, scores, atol=1e-6)
        assert np.isfinite(Reading(config).spread(maps.numpy(), read)).all()
