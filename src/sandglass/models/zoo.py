"""Names of networks -> how to build them, and what they cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from sandglass.core.config import from_plain
from sandglass.core.errors import BadInput
from sandglass.models.codec import CodecConfig
from sandglass.models.hourglass import STRIDE, HourglassConfig, StackedHourglass
from sandglass.models.spec import ModelSpec

Builder = Callable[[Mapping[str, Any], int, CodecConfig], nn.Module]  # options, joints, codec -> network


def _hourglass(options: Mapping[str, Any], joints: int, codec: CodecConfig) -> nn.Module:
    config = from_plain(HourglassConfig, options)
    config.check_size(codec.size)
    if codec.stride != STRIDE:
        raise BadInput(f"an hourglass answers in cells of {STRIDE} pixels, the codec's stride is {codec.stride}")
    return StackedHourglass(config, joints)


# A network maps normalised crops (B, 3, H, W) to raw heatmaps (B, S, K, h, w).
NETWORKS: dict[str, Builder] = {"hourglass": _hourglass}


def build(spec: ModelSpec) -> nn.Module:
    """A freshly initialised network for the spec. Raises BadInput for an unknown name or impossible options."""
    if spec.network not in NETWORKS:
        raise BadInput(f"network '{spec.network}' is not known; choose one of {sorted(NETWORKS)}")
    network = NETWORKS[spec.network](spec.options, len(spec.skeleton), spec.codec)
    sigmas = spec.codec.sigmas
    if len(set(sigmas)) > 1 and len(sigmas) != spec.stacks:
        raise BadInput(f"the codec has {len(sigmas)} sigmas for {spec.stacks} stacks; give one, or one a stack")
    return network


@dataclass(frozen=True)
class Cost:
    """What a network weighs and works."""

    parameters: int
    gmac: float  # 1e9 multiply-adds of all convolutions, for one crop


def cost(network: nn.Module, size: tuple[int, int]) -> Cost:
    """Count parameters and multiply-adds for one crop of `size` (w, h); papers' "GFLOPs" are these GMAC."""
    macs = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d)
        macs += module.weight.numel() * output.shape[-2] * output.shape[-1]

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    training = network.training
    first = next(network.parameters())
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, size[1], size[0], device=first.device, dtype=first.dtype))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return Cost(sum(p.numel() for p in network.parameters()), macs / 1e9)


def cost_table(size: tuple[int, int], *, channels: int, depth: int, joints: int) -> Table:
    """Parameters and GMAC of stacked hourglasses with 1, 2, 4 and 8 stacks. Raises BadInput."""
    w, h = size
    table = Table(title=f"stacked hourglass, {channels} channels, depth {depth}, {joints} joints, {w} x {h} (w x h)")
    for heading in ("stacks", "M parameters", "GMAC"):
        table.add_column(heading, justify="right")
    for stacks in (1, 2, 4, 8):
        config = HourglassConfig(stacks=stacks, channels=channels, depth=depth)
        config.check_size(size)
        found = cost(StackedHourglass(config, joints), size)
        table.add_row(str(stacks), f"{found.parameters / 1e6:.2f}", f"{found.gmac:.2f}")
    return table
