"""Cutting crops out of a photograph as a graph: what `core.image.warp` does, with ONNX's operators alone.

A crop is an upright rectangle, so both axes are resampled one after the other: each row and column of the crop is
a mix of two rows and columns of the photograph, or of its averaged blocks where the person is large. The planning,
for all boxes at once, is exported from torch; the cutting loops over the people, whose regions differ in size.

Image pixels, (x, y), pixel centres at +0.5; boxes xyxy.
"""

from string import Template
from typing import Any

import torch
from torch import Tensor, nn

PLAN = ("scale", "corner", "factor", "low", "high", "blocks", "y0", "y1", "x0", "x1", "wy0", "wy1", "wx0", "wx1")


class Plan(nn.Module):
    """Which pixels make which crop. (H, W, 3) uint8 photo, (N, 4) boxes -> tensors in the order of PLAN.

    scale (N, 1, 1), corner (N, 1, 2): image point = scale * crop point + corner.
    factor (N, 1): side of the blocks of pixels that are averaged, 1 for small people.
    low, high, blocks (N, 2), rows before columns: the region that is cut out, in pixels, and its size in blocks.
    y0, y1 (N, h), x0, x1 (N, w): the two blocks that each crop row and column mixes; wy0 ... are their weights,
    zero for blocks beyond the region: it ends where the photograph ends, and there the crop is black.
    """

    def __init__(self, size: tuple[int, int], padding: float) -> None:
        super().__init__()
        self.size, self.padding = size, padding

    def forward(self, photo: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        size = torch.tensor([float(side) for side in self.size])
        scale = self.padding * ((boxes[:, 2:] - boxes[:, :2]) / size).amax(1, keepdim=True)  # (N, 1)
        start = (boxes[:, :2] + boxes[:, 2:]) / 2 - scale * size / 2
        end = start + scale * size
        limit = torch.stack([torch.as_tensor(photo.shape[1]), torch.as_tensor(photo.shape[0])]).float()
        factor = (scale + 1e-4).floor().clamp_min(1)  # as in core.image.warp
        _, blocks = _region(start, end, limit, factor)
        factor = torch.where((blocks < 1).any(1, keepdim=True), torch.ones_like(factor), factor)
        low, blocks = _region(start, end, limit, factor)
        low, blocks = torch.minimum(low, limit - 1), blocks.clamp_min(1)
        taps = [_taps(start, scale, low, factor, blocks, axis, self.size[axis]) for axis in (1, 0)]
        region = [part.flip(1).long() for part in (low, low + blocks * factor, blocks)]
        indices, weights = [at for pair, _ in taps for at in pair], [weight for _, pair in taps for weight in pair]
        return scale[:, :, None], start[:, None], factor.long(), *region, *indices, *weights


def _region(start: Tensor, end: Tensor, limit: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """First pixel (N, 2) and whole blocks (N, 2) of the region that a crop touches; blocks count from the corner."""
    low = torch.minimum(((start / factor).floor() * factor - factor).clamp_min(0), limit)
    high = torch.minimum((end.ceil() + factor).clamp_min(0), limit)
    return low, ((high - low) / factor).floor()


def _taps(
    start: Tensor, scale: Tensor, low: Tensor, factor: Tensor, blocks: Tensor, axis: int, length: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two blocks and two weights (N, length) for every crop row or column."""
    at = start[:, axis, None] + scale * (torch.arange(length) + 0.5)
    at = (at - low[:, axis, None]) / factor - 0.5
    first, last = at.floor(), blocks[:, axis, None] - 1
    part = at - first
    inside = [(tap >= 0) & (tap <= last) for tap in (first, first + 1)]
    indices = [torch.minimum(tap.clamp_min(0), last).long() for tap in (first, first + 1)]
    return (indices[0], indices[1]), ((1 - part) * inside[0], part * inside[1])


# Tensors that differ in size from person to person cannot be stacked, hence the loop. Everything is laid out so that
# means and gathers run over the first axis: there both engines are fast.
_CUTTING = Template("""
<ir_version: 8, opset_import: ["" : 17]>
cutting (
    uint8[height, width, 3] photo, int64[n, 1] factor, int64[n, 2] low, int64[n, 2] high, int64[n, 2] blocks,
    int64[n, $h] y0, int64[n, $h] y1, int64[n, $w] x0, int64[n, $w] x1,
    float[n, $h] wy0, float[n, $h] wy1, float[n, $w] wx0, float[n, $w] wx1
) => (float[n, 3, $h, $w] crops)
<
    bool forever = {1}, int64 people_axis = {0}, int64[2] rows_columns = {0, 1}, float half = {0.5},
    int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] colours = {3}, int64[1] rest = {-1},
    int64[3] columns_colours_rows = {$w, 3, -1}, int64[2] rows_all = {-1, $row},
    int64[3] rows_colours_columns = {$h, 3, $w}
>
{
    table = Shape (low)
    people = Gather (table, people_axis)
    crops = Loop (people, forever) <body = person (int64 i, bool go) => (bool still, float[3, $h, $w] crop) {
        still = Identity (go)
        from = Gather (low, i)
        to = Gather (high, i)
        side = Gather (factor, i)
        count = Gather (blocks, i)
        count_y = Slice (count, zero, one)
        count_x = Slice (count, one, two)

        part = Slice (photo, from, to, rows_columns)
        pixels = Cast <to = 1> (part)
        y_blocks_shape = Concat <axis = 0> (count_y, side, rest)
        y_blocks = Reshape (pixels, y_blocks_shape)
        y_means = ReduceMean <axes = [1], keepdims = 0> (y_blocks)
        y_shape = Concat <axis = 0> (count_y, rest, colours)
        y_averaged = Reshape (y_means, y_shape)
        turned = Transpose <perm = [1, 2, 0]> (y_averaged)
        x_blocks_shape = Concat <axis = 0> (count_x, side, rest)
        x_blocks = Reshape (turned, x_blocks_shape)
        x_means = ReduceMean <axes = [1], keepdims = 0> (x_blocks)
        upward = Add (x_means, half)
        averaged = Floor (upward)

        left_at = Gather (x0, i)
        left = Gather (averaged, left_at)
        left_share = Gather (wx0, i)
        left_column = Unsqueeze (left_share, one)
        left_part = Mul (left, left_column)
        right_at = Gather (x1, i)
        right = Gather (averaged, right_at)
        right_share = Gather (wx1, i)
        right_column = Unsqueeze (right_share, one)
        right_part = Mul (right, right_column)
        mixed = Add (left_part, right_part)
        mixed_columns = Reshape (mixed, columns_colours_rows)
        back = Transpose <perm = [2, 1, 0]> (mixed_columns)
        lines = Reshape (back, rows_all)

        upper_at = Gather (y0, i)
        upper = Gather (lines, upper_at)
        upper_share = Gather (wy0, i)
        upper_column = Unsqueeze (upper_share, one)
        upper_part = Mul (upper, upper_column)
        lower_at = Gather (y1, i)
        lower = Gather (lines, lower_at)
        lower_share = Gather (wy1, i)
        lower_column = Unsqueeze (lower_share, one)
        lower_part = Mul (lower, lower_column)
        exact = Add (upper_part, lower_part)
        rounded = Round (exact)
        by_rows = Reshape (rounded, rows_colours_columns)
        crop = Transpose <perm = [1, 0, 2]> (by_rows)
    }>
}
""")


def cutting(size: tuple[int, int]) -> Any:
    """The ONNX model that cuts crops (N, 3, h, w), grey levels 0..255, out of a photo by a `Plan`."""
    import onnx.parser

    w, h = size
    return onnx.parser.parse_model(_CUTTING.substitute(w=w, h=h, row=3 * w))
