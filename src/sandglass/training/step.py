"""Batch -> crops and targets -> outputs -> loss -> weights. Nothing here waits for the device."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sandglass.core.errors import BadInput
from sandglass.data.augment import Batch, Painter
from sandglass.inference.world import ALONE, World
from sandglass.models.codec import Codec
from sandglass.training.distributed import silent
from sandglass.training.losses import LossConfig, total
from sandglass.training.muon import Muon


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How gradients become steps."""

    name: Literal["muon", "adamw", "adam", "rmsprop", "sgd"] = "adamw"
    lr: float = 2e-3  # peak, per optimiser step
    weight_decay: float = 0.0  # of convolution kernels alone, never of biases and norms
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 0.0  # of the gradient's norm; 0: none

    def __post_init__(self) -> None:
        if not 0 < self.lr < 100 or self.weight_decay < 0 or self.clip < 0:
            raise BadInput(f"an optimiser needs a positive learning rate and no negative numbers: {self}")


def optimiser(config: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser, with decay on kernels only; fused where the device has it."""
    spare_the_compiler()
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.name == "muon":
        return Muon(kernels, others, lr=config.lr, weight_decay=config.weight_decay, betas=config.betas)
    fused = kernels[0].device.type in ("cpu", "cuda")
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused)
    if config.name == "adam":
        return torch.optim.Adam(groups, lr=config.lr, betas=config.betas, fused=fused)
    if config.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=fused)


def spare_the_compiler() -> None:
    """Let optimisers be built without importing PyTorch's compiler, which takes seconds at the start of every run.

    PyTorch marks four of their methods as never to be compiled, and imports the compiler at the first call to do so.
    None of ours runs inside what is compiled: a method that names itself as its marked one is taken as it is. Where
    PyTorch no longer looks for that name, nothing changes.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bf16 where asked for; 'auto' asks for it where the chip has units for it and it is faster."""
    return torch.autocast(device.type, torch.bfloat16) if uses_bf16(precision, device) else nullcontext()


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether a step at this precision multiplies in bf16."""
    return precision == "bf16" or (precision == "auto" and has_bf16(device))


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 in hardware; emulated, it would be ten times slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


class Step:
    """One optimiser step over one batch, in `accumulate` equal parts where memory is short."""

    def __init__(
        self,
        network: nn.Module,
        codec: Codec,
        painter: Painter,
        loss: LossConfig,
        optim: torch.optim.Optimizer,
        *,
        stacks: int,
        clip: float,
        precision: str,
        device: torch.device,
        world: World = ALONE,
    ) -> None:
        self.network, self.codec, self.painter, self.loss, self.optim = network, codec, painter, loss, optim
        self.model: Callable[[Tensor], Tensor] = network  # or as compiled, or as wrapped: the same weights
        self.stacks, self.clip, self.precision, self.device, self.world = stacks, clip, precision, device, world

    def __call__(self, parts: Sequence[Batch], lr: float) -> tuple[Tensor, Tensor]:
        """Take the step; returns its loss and gradient norm, still on the device. `parts` are this rank's."""
        self.network.train()
        found = torch.zeros(2, device=self.device)  # loss and joints, summed over parts and ranks
        for i, part in enumerate(parts):
            with silent(self.model, last=i == len(parts) - 1):
                error, count = self.forward(part.to(self.device))
                error.backward()
            found += torch.stack([error.detach(), count])
        loss, count = self.world.add_up(found)
        share = 1 / count.clamp_min(1.0)  # of a joint: known once all parts were seen
        norm = self._scale(share * self.world.size)  # gradients came as the mean over the ranks
        for group in self.optim.param_groups:
            group["lr"] = lr
        self.optim.step()
        self.optim.zero_grad(set_to_none=True)
        return loss * share, norm

    def _scale(self, share: Tensor) -> Tensor:
        """Multiply the gradients by `share`, clip them, both at once; returns the norm between the two."""
        grads = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))) * share  # type: ignore[reportPrivateImportUsage]
        if self.clip:
            share = share * (self.clip / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(grads, share)  # type: ignore[reportPrivateImportUsage]
        return norm

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss of a batch that is on the device, and how many joints it is of."""
        with torch.no_grad():
            crops = self.painter(batch)
            target, weight = self.codec.encode(batch.keypoints, batch.weight, self.stacks)
        with autocast(self.precision, self.device):
            outputs = self.model(crops)
        return total(self.loss, outputs.float(), target, weight)
