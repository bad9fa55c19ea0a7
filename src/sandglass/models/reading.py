"""How heatmaps are read, in NumPy: for engines that run without torch. `codec` does the same in torch, and paints too.

Points are crop pixels, (x, y), pixel centres at +0.5; cell centres lie at +0.5 cells. B, K, N as in `codec`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput

Maps = NDArray[np.floating]  # in single precision
Reader = Callable[[Maps, "CodecConfig"], tuple[Maps, Maps]]  # maps (N, h, w) -> cells (N, 2), peak (N,)

MAX_SIDE = 1024  # of a crop, pixels: what a checkpoint may claim
# Of a map's peak: what is lower says nothing of the spread. With 1/50, ellipses that should hold half of the joints
# held 0.52 of them (`swift` on coco@val, 0.46 to 0.52 at any score); with nothing left out 0.64, with 1/10 0.31.
NOISE = {"distribution": 0.02, "heatmap": 0.1}
# Of the crop's longer side. Within it the average joint's OKS term is about 0.5 or more, so that the share of a
# distribution that lies there is about how often the joint is right (LOG, 2026-11-29).
REACH = 0.08


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """How joints become heatmaps and heatmaps joints. Raises BadInput when the numbers do not fit together."""

    size: tuple[int, int] = (256, 256)  # of the crop (width, height), pixels
    stride: int = 4  # crop pixels a cell
    sigmas: tuple[float, ...] = (1.0,)  # of the Gaussian, cells: one for all stacks, or one a stack (coarse to fine)
    kind: Literal["heatmap", "distribution"] = "heatmap"  # peak 1, every cell alone; or sum 1, by spatial softmax
    decoder: str = "dark"
    smooth: float = 0.0  # Gaussian blur before decoding, cells
    threshold: float = 0.0  # a joint whose score lies below is absent

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= 64:
            raise BadInput(f"the heatmaps' stride {self.stride} must lie between 1 and 64 pixels a cell")
        if len(self.size) != 2 or any(not 0 < s <= MAX_SIDE or s % self.stride for s in self.size):
            raise BadInput(
                f"crop size {self.size} (width, height) must be two multiples of {self.stride} in 1..{MAX_SIDE}"
            )
        if not self.sigmas or any(not 0.1 <= s <= 64 for s in self.sigmas):
            raise BadInput(f"heatmap sigmas {self.sigmas} must lie between 0.1 and 64 cells")
        if self.kind not in ("heatmap", "distribution"):
            raise BadInput(f"codec kind '{self.kind}' is not known; choose 'heatmap' or 'distribution'")
        if self.decoder not in READERS:
            raise BadInput(f"decoder '{self.decoder}' is not known; choose one of {sorted(READERS)}")
        if not 0 <= self.smooth <= 64 or not 0 <= self.threshold <= 1:
            raise BadInput(f"smooth {self.smooth} must lie in 0..64 cells, threshold {self.threshold} in 0..1")

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the heatmaps."""
        return self.size[1] // self.stride, self.size[0] // self.stride

    @property
    def reach(self) -> float:
        """Around a joint, in cells: the share of a distribution that lies there is the joint's score."""
        return max(REACH * max(self.shape), 2.5 * self.sigmas[-1], 1.0)

    def after(self, stacks: int) -> "CodecConfig":
        """The same for a network that ends after so many stacks: its last sigma is that stack's."""
        return replace(self, sigmas=self.sigmas[:stacks])


@dataclass(frozen=True)
class Reading:
    """The reading half of `codec.Codec`, on arrays: each method says what its namesake there says."""

    config: CodecConfig

    def heatmaps(self, outputs: Maps) -> Maps:
        """The network's raw output (..., h, w) as heatmaps: as it is, or the spatial softmax."""
        if self.config.kind == "heatmap":
            return outputs
        maps = np.exp(outputs - outputs.max((-2, -1), keepdims=True))
        maps /= maps.sum((-2, -1), keepdims=True)
        return maps

    def decode(self, heatmaps: Maps) -> tuple[Maps, Maps]:
        """Keypoints (..., 2) in crop pixels and scores (...) in 0..1, from heatmaps (..., h, w)."""
        config, lead = self.config, heatmaps.shape[:-2]
        plain = heatmaps.reshape(-1, *heatmaps.shape[-2:])
        maps = _blur(plain, config.smooth) if config.smooth > 0 else plain
        cells, peak = READERS[config.decoder](maps, config)
        if config.kind == "distribution":
            peak = _mass(plain, cells, config.reach)
        limit = np.array(config.size, np.float32)
        points = (cells * np.float32(config.stride)).clip(0, limit)  # a parabola may point past the border
        return points.reshape(*lead, 2), peak.clip(0, 1).reshape(lead)

    def spread(self, heatmaps: Maps, points: Maps) -> Maps:
        """How far from `points` (..., 2) the maps (..., h, w) see the joint: second moments (..., 2, 2), pixels²."""
        maps = heatmaps.clip(min=0)
        maps = maps * (maps >= NOISE[self.config.kind] * maps.max((-2, -1), keepdims=True))
        maps /= maps.sum((-2, -1), keepdims=True).clip(min=1e-30)
        h, w = maps.shape[-2:]
        cells = points / self.config.stride
        dx, dy = _centres(w) - cells[..., 0:1], _centres(h) - cells[..., 1:2]  # (..., w), (..., h)
        xx, yy = (maps.sum(-2) * dx * dx).sum(-1), (maps.sum(-1) * dy * dy).sum(-1)
        xy = ((maps * dy[..., None]).sum(-2) * dx).sum(-1)
        moments = np.stack([xx, xy, xy, yy], -1).reshape(*xx.shape, 2, 2)
        return _without(moments, self.config.sigmas[-1] ** 2) * self.config.stride**2


def _without(moments: Maps, variance: float) -> Maps:
    """Covariances (..., 2, 2) less `variance` in every direction, where there is so much."""
    eye = np.eye(2, dtype=moments.dtype)
    middle = (moments[..., 0, 0] + moments[..., 1, 1])[..., None, None] / 2 - variance
    rest = moments - (middle + variance) * eye  # symmetric, traceless: its eigenvalues are plus and minus `radius`
    radius = np.hypot(rest[..., 0, 0], rest[..., 0, 1])[..., None, None].clip(min=1e-12)
    low, high = (middle - radius).clip(min=0), (middle + radius).clip(min=0)
    return (low + high) / 2 * eye + (high - low) / 2 * rest / radius


def _centres(length: int) -> Maps:
    return np.arange(length, dtype=np.float32) + np.float32(0.5)


def _argmax(maps: Maps) -> tuple[NDArray[np.int64], Maps]:
    """Column and row (N, 2) of the largest cell, and its value (N,)."""
    flat = maps.reshape(len(maps), -1)
    at = flat.argmax(1)
    return np.stack([at % maps.shape[-1], at // maps.shape[-1]], -1), flat[np.arange(len(flat)), at]


def _patch(maps: Maps, at: NDArray[np.int64], radius: int) -> Maps:
    """The cells (N, 2r+1, 2r+1) around columns and rows (N, 2); zero outside the map."""
    padded = np.pad(maps, ((0, 0), (radius, radius), (radius, radius)))
    span = np.arange(2 * radius + 1)
    rows, columns = at[:, 1, None] + span, at[:, 0, None] + span
    return padded[np.arange(len(maps))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _slopes(patch: Maps) -> tuple[Maps, Maps]:
    """Half the difference of the neighbours to the right and left, below and above, of 3 x 3 cells (N, 3, 3)."""
    return (patch[:, 1, 2] - patch[:, 1, 0]) / 2, (patch[:, 2, 1] - patch[:, 0, 1]) / 2


def read_argmax(maps: Maps, _: CodecConfig) -> tuple[Maps, Maps]:
    """See `codec.decode_argmax`."""
    at, value = _argmax(maps)
    return (at + 0.5).astype(np.float32), value


def read_quarter(maps: Maps, _: CodecConfig) -> tuple[Maps, Maps]:
    """See `codec.decode_quarter`."""
    at, value = _argmax(maps)
    h, w = maps.shape[-2:]
    step = np.sign(np.stack(_slopes(_patch(maps, at, 1)), -1))
    inner = (at > 0) & (at < (w - 1, h - 1))
    return (at + 0.5 + 0.25 * step * inner).astype(np.float32), value


def read_dark(maps: Maps, _: CodecConfig) -> tuple[Maps, Maps]:
    """See `codec.decode_dark`."""
    at, value = _argmax(maps)
    h, w = maps.shape[-2:]
    if h < 3 or w < 3:
        return (at + 0.5).astype(np.float32), value
    inner = at.clip(1, (w - 2, h - 2))
    p = np.log(_patch(maps, inner, 1).clip(min=1e-30))
    dx, dy = _slopes(p)
    dxx, dyy = p[:, 1, 2] - 2 * p[:, 1, 1] + p[:, 1, 0], p[:, 2, 1] - 2 * p[:, 1, 1] + p[:, 0, 1]
    dxy = (p[:, 2, 2] - p[:, 2, 0] - p[:, 0, 2] + p[:, 0, 0]) / 4
    det = dxx * dyy - dxy * dxy
    peaked = (det > 1e-12) & (dxx < 0)  # else it is no hill: stay on the cell
    step = np.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / np.where(peaked, det, 1)[:, None]
    top = inner + np.where(peaked[:, None], step, 0)
    return (at + (top - at).clip(-1, 1) + 0.5).astype(np.float32), value  # the peak lies in its cell or the next


def read_mean(maps: Maps, config: CodecConfig) -> tuple[Maps, Maps]:
    """See `codec.decode_mean`."""
    at, value = _argmax(maps)
    radius = max(1, ceil(2.5 * config.sigmas[-1]))
    patch = _patch(maps, at, radius).clip(min=0)
    offset = np.arange(-radius, radius + 1, dtype=np.float32)
    mass = patch.sum((1, 2)).clip(min=1e-30)
    moved = np.stack([(patch.sum(1) * offset).sum(1) / mass, (patch.sum(2) * offset).sum(1) / mass], -1)
    return (at + moved + 0.5).astype(np.float32), value


def read_upscale(maps: Maps, config: CodecConfig) -> tuple[Maps, Maps]:
    """See `codec.decode_upscale`."""
    large = _blur(_stretched(_stretched(maps, 1, config.stride), 2, config.stride), 0.5 * config.stride)
    return ((_argmax(large)[0] + 0.5) / config.stride).astype(np.float32), _argmax(maps)[1]


READERS: dict[str, Reader] = {
    "argmax": read_argmax,
    "quarter": read_quarter,
    "dark": read_dark,
    "mean": read_mean,
    "upscale": read_upscale,
}


def _mass(maps: Maps, cells: Maps, reach: float) -> Maps:
    """How much of each map (N, h, w) lies in the cells whose centres are within `reach` of `cells` (N, 2)."""
    h, w = maps.shape[-2:]
    dx, dy = (_centres(n) - cells[:, i, None] for i, n in enumerate((w, h)))
    near = (dy * dy)[:, :, None] + (dx * dx)[:, None, :] <= reach * reach
    return (maps * near).sum((1, 2))


def _blur(maps: Maps, sigma: float) -> Maps:
    """Separable Gaussian blur (N, h, w); the border is repeated, so that a peak there is not pulled inward."""
    h, w = maps.shape[-2:]
    return (_mixing(h, sigma) @ maps.astype(np.float64) @ _mixing(w, sigma).T).astype(np.float32)


@cache
def _mixing(length: int, sigma: float) -> Maps:
    """The blur of one axis as a matrix (length, length): on maps as small as these, the fastest way.

    In double precision, so that what is flat stays flat: rounding shall not choose its largest cell.
    """
    radius = ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    matrix = np.zeros((length, length))
    for i, part in enumerate(kernel / kernel.sum()):
        matrix[np.arange(length), (np.arange(length) + i - radius).clip(0, length - 1)] += part
    return matrix


def _stretched(maps: Maps, axis: int, factor: int) -> Maps:
    """One axis of maps (N, h, w) made `factor` times as long, bilinearly; flat beyond the outer cells' centres."""
    length = maps.shape[axis]
    at = ((np.arange(length * factor, dtype=np.float32) + 0.5) / factor - 0.5).clip(0, length - 1)
    low = at.astype(int)
    part = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    return maps.take(low, axis) * (1 - part) + maps.take((low + 1).clip(max=length - 1), axis) * part
