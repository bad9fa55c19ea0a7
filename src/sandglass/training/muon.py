"""Muon: momentum steps whose matrices are made orthogonal, so that every direction of a kernel moves alike.

Jordan et al. 2024, kellerjordan.github.io/posts/muon; the step's size follows Liu et al. 2025 (arXiv:2502.16982), so
that the learning rate means what it means to AdamW. Kernels (out, in, h, w) are taken as matrices (out, in h w).
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

# pyright: reportPrivateImportUsage=false
# torch._foreach_*: one call for hundreds of small tensors, as torch's own optimisers use them

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that drives singular values toward 1
ROUNDS = 5


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """The nearest (semi-)orthogonal matrix to each, about: singular values within 0.7..1.2.

    Every round multiplies a matrix by a polynomial in its Gram matrix, and these commute: the rounds are done on the
    Gram matrices of the shorter sides alone, all of one size at once; the matrices are touched but twice.
    """
    sizes: dict[int, list[int]] = {}
    for i, matrix in enumerate(matrices):
        sizes.setdefault(min(matrix.shape), []).append(i)
    found = list(matrices)
    for some in sizes.values():
        grams = torch.stack([m @ m.mT if _wide(m) else m.mT @ m for m in (matrices[i] for i in some)])
        for i, through in zip(some, _through(grams), strict=True):
            found[i] = through @ matrices[i] if _wide(matrices[i]) else matrices[i] @ through
    return found


def _wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _through(grams: Tensor) -> Tensor:
    """What to multiply matrices with, from their Gram matrices (N, r, r)."""
    norm = grams.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()[:, None, None] + 1e-7  # Frobenius', of the matrices
    eye = torch.eye(grams.shape[-1], device=grams.device, dtype=grams.dtype)
    gram, through = grams / norm.square(), eye / norm
    a, b, c = COEFFICIENTS
    for i in range(ROUNDS):
        factor = torch.baddbmm(torch.add(a * eye, gram, alpha=b), gram, gram, alpha=c)
        through = factor @ through
        if i < ROUNDS - 1:
            gram = factor @ factor @ gram
    return through


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels, AdamW for the rest: the two groups of parameters that it is given.

    kernels: parameters of at least two dimensions; others: biases, norms, and whatever else.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        others: Sequence[Tensor],
        *,
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        shared = {"lr": lr, "betas": betas, "momentum": momentum}
        groups = [
            {"params": kernels, "weight_decay": weight_decay, "muon": True, **shared},
            {"params": others, "weight_decay": 0.0, "muon": False, **shared},
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step over all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            move = self._muon if group["muon"] else self._adam
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                move(group, parameters)

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        grads = [cast(Tensor, p.grad) for p in parameters]
        momenta = self._slots(parameters, "momentum")
        torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
        updates = torch._foreach_lerp(grads, momenta, group["momentum"])
        matrices = [_matrix(update) for update in updates]
        steps = orthogonal(matrices)
        sizes = [0.2 * max(m.shape) ** 0.5 for m in matrices]  # AdamW's steps have entries of about 0.2
        torch._foreach_mul_(steps, sizes)
        torch._foreach_copy_(matrices, steps)  # into the updates, which lie in memory as the kernels do
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _adam(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        first, second = group["betas"]
        grads = [cast(Tensor, p.grad) for p in parameters]
        means, squares = self._slots(parameters, "mean"), self._slots(parameters, "square")
        times = [self.state[p].setdefault("step", torch.tensor(0.0)) for p in parameters]  # on the host
        torch._foreach_add_(times, 1)
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, 1 - second)
        counts = [float(t) for t in times]
        scales = torch._foreach_div(squares, [1 - second**t for t in counts])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, 1e-8)
        torch._foreach_addcdiv_(parameters, means, scales, [-group["lr"] / (1 - first**t) for t in counts])

    def _slots(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """One tensor of state for each parameter, zero at first."""
        for p in parameters:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p)
        return [self.state[p][name] for p in parameters]


def _matrix(kernel: Tensor) -> Tensor:
    """A kernel (out, in, h, w) as a matrix (out, in h w) without a copy: its columns stand as they lie in memory."""
    if kernel.ndim == 4 and kernel.is_contiguous(memory_format=torch.channels_last):
        kernel = kernel.permute(0, 2, 3, 1)
    return kernel.view(len(kernel), -1)
