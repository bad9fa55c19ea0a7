"""How wrong heatmaps are: one number for every person, stack and joint. Zero when perfect.

Outputs are raw (B, S, K, h, w), targets (B, S or 1, K, h, w) as the codec paints them; a loss returns (B, S, K).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sandglass.core.errors import BadInput

Loss = Callable[[Tensor, Tensor], Tensor]

FOREGROUND = 0.01  # a cell with more than this of a joint's peak belongs to it
FOREGROUND_WEIGHT = 82.0  # the seed's: about background cells over foreground cells


def mse(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the cells (Newell et al. 2016)."""
    return (outputs - target).square().mean((-2, -1))


def weighted_mse(outputs: Tensor, target: Tensor) -> Tensor:
    """Squared error in which a foreground cell counts 82 times: an empty map is no longer a good answer."""
    weight = torch.where(target > FOREGROUND, FOREGROUND_WEIGHT, 1.0)
    return (weight * (outputs - target).square()).mean((-2, -1))


def euclidean(outputs: Tensor, target: Tensor) -> Tensor:
    """Length of the difference of the two maps."""
    return ((outputs - target).square().sum((-2, -1)) + 1e-12).sqrt() - 1e-6


def focal(outputs: Tensor, target: Tensor) -> Tensor:
    """Squared error that forgives the easy: each cell weighs by its own error (after Lin et al. 2017, gamma 1)."""
    error = (outputs - target).abs()
    return (error.detach() * error.square()).mean((-2, -1))


def cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the spatial softmax from the target distribution, in nats.

    There is no all-zero map to rest on: probability has to go somewhere. Needs a codec of kind 'distribution'.
    """
    entropy = torch.special.entr(target).sum((-2, -1))
    return outputs.flatten(-2).logsumexp(-1) - (outputs * target).sum((-2, -1)) - entropy


LOSSES: dict[str, Loss] = {
    "mse": mse,
    "weighted_mse": weighted_mse,
    "euclidean": euclidean,
    "focal": focal,
    "cross_entropy": cross_entropy,
}
DISTRIBUTIONS = frozenset({"cross_entropy"})  # losses on codecs of kind 'distribution'; the others take 'heatmap'


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Which loss, and which joints it listens to."""

    name: str = "mse"
    unlabelled: bool = False  # also teach empty maps where a joint is not labelled: the seed's mistake 2
    hardest: int = 0  # only the k worst joints of a person count (OHKM, Chen et al. 2018); 0: all of them

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise BadInput(f"loss '{self.name}' is not known; choose one of {sorted(LOSSES)}")
        if self.hardest < 0:
            raise BadInput(f"the {self.hardest} hardest joints cannot be counted; give 0 for all of them")
        if self.unlabelled and self.name in DISTRIBUTIONS:
            raise BadInput(f"'{self.name}' has no empty map to teach; set unlabelled = false")


def total(config: LossConfig, outputs: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a batch, summed over its labelled joints, weight (B, K), and over the stacks; and their number.

    Their quotient is the loss. Apart, they add up over the parts of a batch, whatever each part has labelled.
    """
    if config.unlabelled:
        target, weight = target * weight[:, None, :, None, None], torch.ones_like(weight)
    each = LOSSES[config.name](outputs, target) * weight[:, None]  # (B, S, K)
    if 0 < config.hardest < each.shape[-1]:
        each = each.topk(config.hardest, -1).values
        count = weight.sum(-1).clamp(max=config.hardest).sum()
    else:
        count = weight.sum()
    return each.sum(), count
