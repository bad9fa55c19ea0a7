"""Muon: directions made orthogonal, steps of AdamW's size, and AdamW itself for what is no kernel."""

import pytest
import torch
from torch import nn

from sandglass.training.muon import COEFFICIENTS, ROUNDS, Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 30), (2, 30, 6), (1, 1, 9)])
def test_singular_values_come_near_one_and_the_directions_stay(shape: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(1)
    short = min(shape[1:])
    u, v = (torch.linalg.qr(torch.randn(shape[0], side, short, generator=g))[0] for side in shape[1:])
    values = torch.linspace(0.1, 5, short)
    found = torch.stack(orthogonal(list(u @ torch.diag(values) @ v.mT)))
    core = u.mT @ found @ v  # diagonal: the same singular vectors
    assert (core - torch.diag_embed(core.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-4
    assert (torch.linalg.svdvals(found) > 0.65).all() and (torch.linalg.svdvals(found) < 1.25).all()


def reference(matrix: torch.Tensor) -> torch.Tensor:
    """The rounds as they are written: on the whole matrix, one after the other."""
    x = matrix / (matrix.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def test_matrices_of_many_shapes_at_once_are_what_each_is_alone() -> None:
    g = torch.Generator().manual_seed(2)
    some = [torch.randn(shape, generator=g) for shape in ((5, 7), (7, 5), (5, 5), (5, 40), (1, 9), (12, 5))]
    for matrix, found in zip(some, orthogonal(some), strict=True):
        torch.testing.assert_close(found, reference(matrix), rtol=1e-4, atol=1e-5)
    assert not torch.stack(orthogonal([torch.zeros(3, 4)])).any(), "where there is no gradient there is no step"


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_steps_alike_in_any_layout(form: torch.memory_format) -> None:
    g = torch.Generator().manual_seed(3)
    start, grad = torch.randn(6, 4, 3, 3, generator=g), torch.randn(6, 4, 3, 3, generator=g)
    kernel = nn.Parameter(start.clone(memory_format=form))
    kernel.grad = grad.to(memory_format=form)
    Muon([kernel], [], lr=0.1).step()
    # the first step is along the gradient, whatever the momentum
    expected = start - 0.1 * 0.2 * 6 * reference(grad.flatten(1)).view(start.shape)
    torch.testing.assert_close(kernel.detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_step_has_the_size_of_adamws_and_goes_downhill() -> None:
    weight = nn.Parameter(torch.zeros(16, 8, 3, 3))
    weight.grad = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(3))
    Muon([weight], [], lr=0.01).step()
    # 16 singular values of about 1 in 16 x 72 entries, times 0.2 sqrt(72): a root mean square of about 0.2
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.01 * 0.2, rel=0.2)
    assert (weight * weight.grad).sum() < 0


def test_kernels_of_one_shape_step_alone_as_together() -> None:
    def after(together: bool) -> torch.Tensor:
        g = torch.Generator().manual_seed(4)
        kernels = [nn.Parameter(torch.ones(4, 3, 3, 3)) for _ in range(2)]
        for kernel in kernels:
            kernel.grad = torch.randn(4, 3, 3, 3, generator=g)
        for some in [kernels] if together else [[kernel] for kernel in kernels]:
            Muon(some, [], lr=0.1, weight_decay=0.1).step()
        return torch.stack([kernel.detach() for kernel in kernels])

    torch.testing.assert_close(after(True), after(False))


def test_weight_decay_shrinks_kernels_and_nothing_else() -> None:
    kernel, bias = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))
    optim = Muon([kernel], [bias], lr=0.1, weight_decay=0.5)
    kernel.grad, bias.grad = torch.zeros(4, 4), torch.zeros(4)
    optim.step()
    assert torch.equal(kernel, torch.full((4, 4), 0.95)) and torch.equal(bias, torch.ones(4))


def test_the_rest_moves_as_adam_moves_it() -> None:
    g = torch.Generator().manual_seed(5)
    start = torch.randn(10, generator=g)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optims = Muon([], [ours], lr=0.02, betas=(0.9, 0.99)), torch.optim.Adam([theirs], lr=0.02, betas=(0.9, 0.99))
    for _ in range(20):
        ours.grad = torch.randn(10, generator=g)
        theirs.grad = ours.grad.clone()
        for optim in optims:
            optim.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
