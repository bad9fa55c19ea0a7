"""Muon: momentum steps whose matrices are made orthogonal, so that every direction of a kernel moves alike.

Jordan et al. 2024, kellerjordan.github.io/posts/muon; the step's size follows Liu et al. 2025 (arXiv:2502.16982), so
that the learning rate means what it means to AdamW. Kernels (out, in, h, w) are taken as matrices (out, in h w).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that drives singular values toward 1
ROUNDS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrices to a stack (N, rows, columns), about: singular values within 0.7..1.2."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    # Every round multiplies x from the left by a polynomial in x x^T, and these commute: the rounds are done on the
    # small square matrices alone, and x, which is several times as long as it is high, is touched but twice.
    gram = x @ x.mT
    eye = torch.eye(x.shape[-2], device=x.device, dtype=x.dtype)
    through = eye
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        factor = a * eye + b * gram + c * gram @ gram
        through = factor @ through
        gram = factor @ factor @ gram
    x = through @ x
    return x.mT if tall else x


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
            move(group, [p for p in group["params"] if p.grad is not None])

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        alike: dict[tuple[int, ...], list[Tensor]] = {}
        for p in parameters:
            alike.setdefault((p.shape[0], p[0].numel()), []).append(p)
        for (rows, columns), some in alike.items():
            updates = []
            for p in some:
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])  # type: ignore[arg-type]
                updates.append(p.grad.lerp(state["momentum"], group["momentum"]).reshape(rows, columns))  # type: ignore
            steps = orthogonal(torch.stack(updates))
            size = 0.2 * max(rows, columns) ** 0.5  # AdamW's steps have entries of about 0.2
            for p, step in zip(some, steps, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(step.reshape(p.shape), alpha=-group["lr"] * size)

    def _adam(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        first, second = group["betas"]
        for p in parameters:
            state = self.state[p]
            if "step" not in state:
                state.update(step=torch.tensor(0.0), mean=torch.zeros_like(p), square=torch.zeros_like(p))
            state["step"] += 1
            t = float(state["step"])
            state["mean"].lerp_(p.grad, 1 - first)  # type: ignore[arg-type]
            state["square"].mul_(second).addcmul_(p.grad, p.grad, value=1 - second)  # type: ignore[arg-type]
            scale = (state["square"] / (1 - second**t)).sqrt_().add_(1e-8)
            p.addcdiv_(state["mean"], scale, value=-group["lr"] / (1 - first**t))
