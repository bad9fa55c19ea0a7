"""Heatmaps <-> keypoints. Points are crop pixels, (x, y), pixel centres at +0.5; cell centres lie at +0.5 cells.

A joint is painted as a Gaussian sampled at the cell centres, and read back by one of DECODERS. The painting is
exact, so that the logarithm of a heatmap is a parabola and `decode(encode(points))` returns the points.

A joint outside the crop gets weight 0: it is neither taught nor denied. `reading` reads heatmaps without torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from sandglass.models.reading import NOISE, CodecConfig

Decoder = Callable[[Tensor, CodecConfig], tuple[Tensor, Tensor]]  # maps (N, h, w) -> cells (N, 2), peak (N,)


@dataclass(frozen=True)
class Codec:
    """The inverse pair for one crop size: paints targets, and reads the network's answer."""

    config: CodecConfig

    def encode(self, keypoints: Tensor, weight: Tensor, stacks: int = 1) -> tuple[Tensor, Tensor]:
        """Targets for keypoints (B, K, 2) in crop pixels with weight (B, K).

        Returns heatmaps (B, S, K, h, w) and the weight (B, K), 0 where a joint lies outside the crop. S is 1
        where all stacks share a sigma (the target broadcasts), else `stacks`.
        """
        w, h = self.config.size
        limit = keypoints.new_tensor([w, h])
        inside = ((keypoints >= 0) & (keypoints < limit)).all(-1)
        weight = weight * inside
        peak = torch.where(inside[..., None], keypoints, limit / 2)[:, None] / self.config.stride  # (B, 1, K, 2)
        sigma = keypoints.new_tensor(self._sigmas(stacks)).view(1, -1, 1, 1)
        rows, columns = self.config.shape
        gx = self._gauss(peak[..., 0:1], sigma, columns)  # (B, S, K, w)
        gy = self._gauss(peak[..., 1:2], sigma, rows)  # (B, S, K, h)
        return gy[..., :, None] * gx[..., None, :] * inside[:, None, :, None, None], weight

    def _gauss(self, centre: Tensor, sigma: Tensor, length: int) -> Tensor:
        cells = torch.arange(length, device=centre.device, dtype=centre.dtype) + 0.5
        exponent = -0.5 * ((cells - centre) / sigma) ** 2
        return exponent.softmax(-1) if self.config.kind == "distribution" else exponent.exp()

    def _sigmas(self, stacks: int) -> tuple[float, ...]:
        sigmas = self.config.sigmas
        if len(set(sigmas)) == 1:
            return sigmas[:1]
        assert len(sigmas) == stacks, f"{len(sigmas)} sigmas for {stacks} stacks"
        return sigmas

    def heatmaps(self, outputs: Tensor) -> Tensor:
        """The network's raw output (..., h, w) as heatmaps: as it is, or the spatial softmax."""
        if self.config.kind == "heatmap":
            return outputs
        return outputs.flatten(-2).softmax(-1).view_as(outputs)

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (..., 2) in crop pixels and scores (...) in 0..1, from heatmaps (..., h, w).

        The score of a distribution is the probability near its peak (`CodecConfig.reach`); of a heatmap, the
        height of its peak.
        """
        lead = heatmaps.shape[:-2]
        maps = heatmaps.float().reshape(-1, *heatmaps.shape[-2:])
        if self.config.smooth > 0:
            maps = _blur(maps, self.config.smooth)
        cells, peak = DECODERS[self.config.decoder](maps, self.config)
        if self.config.kind == "distribution":
            peak = _mass(heatmaps.float().reshape(maps.shape), cells, self.config.reach)
        points = cells * self.config.stride
        limit = points.new_tensor(self.config.size)
        points = torch.minimum(points.clamp_min(0), limit)  # a parabola may point past the border
        return points.view(*lead, 2), peak.clamp(0, 1).view(lead)

    def spread(self, heatmaps: Tensor, points: Tensor) -> Tensor:
        """How far from `points` (..., 2) the maps (..., h, w) see the joint: second moments (..., 2, 2), crop pixels².

        A trained map is the distribution of the place, blurred by the target's Gaussian; the target's variance is
        taken off again, so a map that is as sharp as its target has a spread of 0. Cells far below the peak (NOISE)
        are left out: together they would outweigh it.
        """
        maps = heatmaps.float().clamp_min(0)
        maps = maps * (maps >= NOISE[self.config.kind] * maps.amax((-2, -1), keepdim=True))
        maps = maps / maps.sum((-2, -1), keepdim=True).clamp_min(1e-30)
        h, w = maps.shape[-2:]
        cells = points / self.config.stride
        dx = torch.arange(w, device=maps.device) + 0.5 - cells[..., 0:1]  # (..., w)
        dy = torch.arange(h, device=maps.device) + 0.5 - cells[..., 1:2]  # (..., h)
        xx = (maps.sum(-2) * dx * dx).sum(-1)
        yy = (maps.sum(-1) * dy * dy).sum(-1)
        xy = ((maps * dy[..., None]).sum(-2) * dx).sum(-1)
        moments = torch.stack([xx, xy, xy, yy], -1).view(*xx.shape, 2, 2)
        return _without(moments, self.config.sigmas[-1] ** 2) * self.config.stride**2


def _without(moments: Tensor, variance: float) -> Tensor:
    """Covariances (..., 2, 2) less `variance` in every direction, where there is so much."""
    eye = torch.eye(2, device=moments.device)
    middle = moments.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] - variance
    rest = moments - (middle + variance) * eye  # symmetric, traceless: its eigenvalues are plus and minus `radius`
    radius = rest[..., 0, :].norm(dim=-1)[..., None, None].clamp_min(1e-12)
    low, high = (middle - radius).clamp_min(0), (middle + radius).clamp_min(0)
    return (low + high) / 2 * eye + (high - low) / 2 * rest / radius


def _argmax(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Column and row (N,) of the largest cell, and its value."""
    value, at = maps.flatten(1).max(1)
    return at % maps.shape[-1], torch.div(at, maps.shape[-1], rounding_mode="floor"), value


def decode_argmax(maps: Tensor, _: CodecConfig) -> tuple[Tensor, Tensor]:
    """The centre of the largest cell: wrong by up to half a cell."""
    x, y, value = _argmax(maps)
    return torch.stack([x, y], -1) + 0.5, value


def decode_quarter(maps: Tensor, _: CodecConfig) -> tuple[Tensor, Tensor]:
    """A quarter cell from the largest cell toward its larger neighbour on each axis (Newell et al. 2016).

    Not along an axis where the map ends on one side: there is no neighbour to compare with.
    """
    x, y, value = _argmax(maps)
    h, w = maps.shape[-2:]
    patch = _patch(maps, x, y, 1)
    step = torch.stack([patch[:, 1, 2] - patch[:, 1, 0], patch[:, 2, 1] - patch[:, 0, 1]], -1).sign()
    inner = torch.stack([(x > 0) & (x < w - 1), (y > 0) & (y < h - 1)], -1)
    return torch.stack([x, y], -1) + 0.5 + 0.25 * step * inner, value


def decode_dark(maps: Tensor, _: CodecConfig) -> tuple[Tensor, Tensor]:
    """The top of the parabola through the log-heatmap around its peak: exact for a Gaussian.

    Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020. The
    stencil is kept inside the map: a parabola may be read off beside its top.
    """
    x, y, value = _argmax(maps)
    h, w = maps.shape[-2:]
    if h < 3 or w < 3:
        return torch.stack([x, y], -1) + 0.5, value
    cx, cy = x.clamp(1, w - 2), y.clamp(1, h - 2)
    p = _patch(maps, cx, cy, 1).clamp_min(1e-30).log()
    dx, dy = (p[:, 1, 2] - p[:, 1, 0]) / 2, (p[:, 2, 1] - p[:, 0, 1]) / 2
    dxx, dyy = p[:, 1, 2] - 2 * p[:, 1, 1] + p[:, 1, 0], p[:, 2, 1] - 2 * p[:, 1, 1] + p[:, 0, 1]
    dxy = (p[:, 2, 2] - p[:, 2, 0] - p[:, 0, 2] + p[:, 0, 0]) / 4
    det = dxx * dyy - dxy * dxy
    peaked = (det > 1e-12) & (dxx < 0)  # else it is no hill: stay on the cell
    safe = torch.where(peaked, det, torch.ones_like(det))
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / safe[:, None]
    step = torch.where(peaked[:, None], step, torch.zeros_like(step))
    top = torch.stack([cx, cy], -1) + step
    cell = torch.stack([x, y], -1).to(top.dtype)
    return cell + (top - cell).clamp(-1, 1) + 0.5, value  # a real peak lies within its cell or the next


def decode_mean(maps: Tensor, config: CodecConfig) -> tuple[Tensor, Tensor]:
    """The centre of mass within 2.5 sigma of the largest cell: steadier than a parabola on noisy maps.

    Pulled inward where that neighbourhood leaves the map.
    """
    x, y, value = _argmax(maps)
    radius = max(1, ceil(2.5 * config.sigmas[-1]))
    patch = _patch(maps, x, y, radius).clamp_min(0)
    offset = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    mass = patch.sum((1, 2)).clamp_min(1e-30)
    dx, dy = (patch.sum(1) * offset).sum(1) / mass, (patch.sum(2) * offset).sum(1) / mass
    return torch.stack([x + dx, y + dy], -1) + 0.5, value


def decode_upscale(maps: Tensor, config: CodecConfig) -> tuple[Tensor, Tensor]:
    """The seed's decoder: to crop resolution bilinearly, a Gaussian blur, and the largest pixel.

    What lies below the threshold is cut off by the caller, who sees it in the score. The score is read off
    the map before the blur, which would lower every peak.
    """
    _, _, value = _argmax(maps)
    large = F.interpolate(maps[:, None], scale_factor=config.stride, mode="bilinear", align_corners=False)[:, 0]
    x, y, _ = _argmax(_blur(large, 0.5 * config.stride))
    return (torch.stack([x, y], -1) + 0.5) / config.stride, value


DECODERS: dict[str, Decoder] = {
    "argmax": decode_argmax,
    "quarter": decode_quarter,
    "dark": decode_dark,
    "mean": decode_mean,
    "upscale": decode_upscale,
}


def _patch(maps: Tensor, x: Tensor, y: Tensor, radius: int) -> Tensor:
    """The cells (N, 2r+1, 2r+1) around (x, y); zero outside the map."""
    padded = F.pad(maps, (radius,) * 4)
    span = torch.arange(2 * radius + 1, device=maps.device)
    rows, columns = y[:, None] + span, x[:, None] + span
    every = torch.arange(maps.shape[0], device=maps.device)  # not len(): an export would take it for a constant
    return padded[every[:, None, None], rows[:, :, None], columns[:, None, :]]


def _mass(maps: Tensor, cells: Tensor, reach: float) -> Tensor:
    """How much of each map (N, h, w) lies in the cells whose centres are within `reach` of `cells` (N, 2)."""
    h, w = maps.shape[-2:]
    dx = torch.arange(w, device=maps.device) + 0.5 - cells[:, 0:1]
    dy = torch.arange(h, device=maps.device) + 0.5 - cells[:, 1:2]
    near = (dy * dy)[:, :, None] + (dx * dx)[:, None, :] <= reach * reach
    return (maps * near).sum((1, 2))


def _blur(maps: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur (N, h, w); the border is repeated, so that a peak there is not pulled inward."""
    radius = ceil(3 * sigma)
    span = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = (-0.5 * (span / sigma) ** 2).softmax(0)
    padded = F.pad(maps[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]
