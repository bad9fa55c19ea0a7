"""The stacked hourglass network. Crops (B, 3, H, W) in, raw heatmaps (B, S, K, H/4, W/4) out, one set a stack.

Newell, Yang, Deng: "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, arxiv.org/abs/1603.06937.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sandglass.core.errors import BadInput
from sandglass.models.spec import DEFAULT_STACKS

STRIDE = 4  # of the stem: input pixels a heatmap cell


@dataclass(frozen=True, kw_only=True)
class HourglassConfig:
    """The shape of a stacked hourglass; the defaults are the paper's. Raises BadInput on impossible numbers."""

    stacks: int = DEFAULT_STACKS
    channels: int = 256
    depth: int = 4  # times that an hourglass halves its resolution: 64 -> 4
    growth: int = 0  # channels added at every halving; the paper keeps them constant
    blocks: int = 1  # residual blocks at each place
    stem: int = 7  # kernel of the first convolution, stride 2

    def __post_init__(self) -> None:
        if self.stacks < 1 or self.blocks < 1 or self.growth < 0 or not 1 <= self.depth <= 7:
            raise BadInput(f"an hourglass needs stacks and blocks >= 1, growth >= 0 and depth 1..7, not {self}")
        if self.channels < 8 or self.channels % 4 or self.growth % 2:
            raise BadInput(f"hourglass channels {self.channels} must be a multiple of 4, at least 8; growth even")
        if self.stacks * self.blocks * self.depth > 256 or self.channels > 4096 or self.growth > 4096:
            raise BadInput(f"an hourglass of this size would not fit any machine: {self}")
        if self.stem not in (3, 5, 7):
            raise BadInput(f"the stem's kernel must be 3, 5 or 7, not {self.stem}")

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise BadInput unless a crop of `size` (width, height) halves evenly all the way down."""
        step = STRIDE * 2**self.depth
        if any(s < step or s % step for s in size):
            near = " x ".join(str(max(step, round(s / step) * step)) for s in size)
            raise BadInput(
                f"crop size {size[0]} x {size[1]} (width x height) must be divisible by {step} "
                f"(stem {STRIDE} x hourglass {2**self.depth}); try {near}"
            )


class Residual(nn.Module):
    """Pre-activation bottleneck: 1x1 to half the channels, 3x3, 1x1 back, and the identity beside it.

    He et al. 2016, arxiv.org/abs/1603.05027.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        y = self.conv3(F.relu(self.norm3(y), inplace=True))
        return y + self.skip(x)


def residuals(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """`count` residual blocks in a row, the first of which changes the number of channels."""
    return nn.Sequential(*(Residual(inputs if i == 0 else outputs, outputs) for i in range(count)))


class Hourglass(nn.Module):
    """Down by max pooling, up by nearest neighbour, with a residual skip branch at every resolution."""

    def __init__(self, channels: int, growth: int, depth: int, blocks: int) -> None:
        super().__init__()
        below = channels + growth
        self.beside = residuals(channels, channels, blocks)
        self.down = residuals(channels, below, blocks)
        self.inner = Hourglass(below, growth, depth - 1, blocks) if depth > 1 else residuals(below, below, blocks)
        self.up = residuals(below, channels, blocks)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.beside(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")


class Stack(nn.Module):
    """One hourglass, two rounds of 1x1 convolutions to heatmaps, and their way back into the next stack."""

    def __init__(self, config: HourglassConfig, joints: int, last: bool) -> None:
        super().__init__()
        c = config.channels
        self.hourglass = Hourglass(c, config.growth, config.depth, config.blocks)
        self.features = nn.Sequential(
            *residuals(c, c, config.blocks), nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True)
        )
        self.heatmaps = nn.Conv2d(c, joints, 1)
        self.features_back = None if last else nn.Conv2d(c, c, 1)
        self.heatmaps_back = None if last else nn.Conv2d(joints, c, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.hourglass(x))
        heatmaps = self.heatmaps(features)
        if self.features_back is not None and self.heatmaps_back is not None:
            x = x + self.features_back(features) + self.heatmaps_back(heatmaps)
        return x, heatmaps


class StackedHourglass(nn.Module):
    """Stem (7x7/2, residual, max pool, two residuals: a quarter of the input) and S stacks, each supervised."""

    def __init__(self, config: HourglassConfig, joints: int) -> None:
        super().__init__()
        c = config.channels
        self.config = config
        self.stem = nn.Sequential(
            nn.Conv2d(3, c // 4, config.stem, stride=2, padding=config.stem // 2, bias=False),
            nn.BatchNorm2d(c // 4),
            nn.ReLU(inplace=True),
            Residual(c // 4, c // 2),
            nn.MaxPool2d(2),
            Residual(c // 2, c // 2),
            Residual(c // 2, c),
        )
        self.stacks = nn.ModuleList(Stack(config, joints, i == config.stacks - 1) for i in range(config.stacks))
        if next(self.parameters()).is_meta:
            return  # weights are about to be loaded; drawing into no memory would import torch's compiler: seconds
        self.apply(_initialise)
        for stack in self.stacks:
            # Heatmaps start near zero, so that the first steps do not unlearn random ones.
            nn.init.normal_(stack.heatmaps.weight, std=1e-3)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalised crops -> (B, S, K, H/4, W/4) raw heatmaps."""
        x = self.stem(x)
        outputs = []
        for stack in self.stacks:
            x, heatmaps = stack(x)
            outputs.append(heatmaps)
        return torch.stack(outputs, dim=1)


def _initialise(module: nn.Module) -> None:
    """He et al. 2015 for convolutions: the signal keeps its size through ReLUs."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
