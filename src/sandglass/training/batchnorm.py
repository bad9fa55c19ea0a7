"""Batch norm over several processes: each rank normalises by the mean and variance of all ranks' people together."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every batch norm in it replaced by one over all ranks; parameters keep their names."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SyncedBatchNorm(child))
    return network


class SyncedBatchNorm(nn.BatchNorm2d):
    """What `nn.SyncBatchNorm` does on a GPU, on the devices where that does not run."""

    def __init__(self, plain: nn.BatchNorm2d) -> None:
        assert plain.affine and plain.track_running_stats and plain.momentum is not None
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.weight, self.bias = plain.weight, plain.bias
        self.load_state_dict(plain.state_dict())

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) of this rank, normalised; the running statistics are equal on all ranks."""
        if not self.training:
            return super().forward(input)
        output, mean, variance, count = _Normalise.apply(input, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr]
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return output


class _Normalise(torch.autograd.Function):
    """(x - mean) / std * weight + bias, where the gradient knows that mean and std came from x, on every rank."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        channels = x.shape[1]
        own_variance, own_mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        own = torch.cat([own_mean, own_variance, own_mean.new_tensor([x.numel() / channels])])
        ranks = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(ranks, own)
        means, variances, counts = torch.stack(ranks).split([channels, channels, 1], 1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean).square())).sum(0) / count  # no difference of large squares
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, variance, count = ctx.saved_tensors
        # As if the statistics were constants; then what they contribute, from the sums over all ranks.
        dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            slopes[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([dweight, dbias])
        dist.all_reduce(sums)
        inverse = (variance + ctx.eps).rsqrt()
        slope = weight * inverse.square() * sums[0] / count
        offset = weight * inverse * sums[1] / count - mean * slope
        dx -= torch.addcmul(offset[:, None, None], x, slope[:, None, None])
        return dx, dweight, dbias, None
