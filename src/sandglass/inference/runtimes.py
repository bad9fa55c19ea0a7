"""The network as PyTorch runs it, on any device: crops in, heatmaps out, as `engines` says."""

import os
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sandglass.core.cores import Neighbours, to_spare
from sandglass.core.errors import BadInput
from sandglass.inference.engines import Runtime
from sandglass.models.codec import Codec
from sandglass.models.spec import ModelSpec

# Rows of the crops still looked at (R,), their heatmaps (R, K, h, w) -> which of them are done (R,).
Visit = Callable[[NDArray[np.int64], Tensor], NDArray[np.bool_]]


def pick_device(name: str = "auto") -> torch.device:
    """'auto' takes cuda, then mps, then cpu. Raises BadInput for a device that is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"device '{name}' is not here ({str(error).splitlines()[0]}); use auto or cpu") from None
    return device


def leave_busy_cores(others: Neighbours) -> None:
    """Let PyTorch leave the cores that other programs keep busy, unless OMP_NUM_THREADS says how many it takes.

    Its threads wait for one another at every layer; where one of them has to share its core, a look takes many times
    longer than on the cores that are free (benchmarks/shared_cores.py).
    """
    threads = torch.get_num_threads()
    if threads > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads - to_spare(threads, others.busy(0.2)))


def can_stop(runtime: Runtime) -> bool:
    """Whether the engine runs its network stack by stack."""
    return isinstance(runtime, TorchRuntime) and hasattr(runtime.network, "stem") and hasattr(runtime.network, "stacks")


class Frame:
    """What lies around the network, here and in every exported file."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        self.codec, self.device = Codec(spec.codec), device
        self.mirror = torch.tensor(spec.skeleton.mirror, device=device)
        self.mean = torch.tensor(spec.mean, device=device).view(1, 3, 1, 1)
        self.scale = 1 / torch.tensor(spec.std, device=device).view(1, 3, 1, 1)

    def input(self, pixels: Tensor, flip: bool) -> Tensor:
        """Crops (B, 3, H, W) in 0..255 as the network takes them; with `flip` their mirror images after them."""
        x = (pixels.float() * (1 / 255) - self.mean) * self.scale
        return torch.cat([x, x.flip(-1)]) if flip else x

    def heatmaps(self, outputs: Tensor, flip: bool) -> Tensor:
        """Raw outputs (B, S, K, h, w), or those of B crops and of their mirror images, as heatmaps (B, S, K, h, w)."""
        heatmaps = self.codec.heatmaps(outputs.float())
        if not flip:
            return heatmaps
        plain, mirrored = heatmaps.chunk(2)
        return (plain + mirrored.flip(-1)[:, :, self.mirror]) / 2  # heatmaps, not coordinates, are averaged


class TorchRuntime(Frame):
    """The network as PyTorch runs it, in fp32 unless a caller has turned autocast on."""

    def __init__(self, network: nn.Module, spec: ModelSpec, device: torch.device) -> None:
        super().__init__(spec, device)
        self.name = f"torch on {device.type}"
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8], flip: bool) -> Tensor:
        return self.heatmaps(self.network.eval()(self._input(crops, flip)), flip)

    @torch.inference_mode()
    def until(self, crops: NDArray[np.uint8], flip: bool, visit: Visit) -> None:
        """Show `visit` the heatmaps stack by stack; crops that it is done with are not looked at any further."""
        network = self.network.eval()
        x = network.stem(self._input(crops, flip))  # type: ignore[operator]
        rows = torch.arange(len(crops), device=self.device)
        for stack in network.stacks:  # type: ignore[union-attr]
            x, outputs = stack(x)
            done = visit(rows.cpu().numpy(), self.heatmaps(outputs[:, None], flip)[:, 0])
            go_on = torch.from_numpy(~done).to(self.device)
            if not go_on.any():
                return
            rows = rows[go_on]
            x = x[go_on.repeat(2 if flip else 1)]

    def _input(self, crops: NDArray[np.uint8], flip: bool) -> Tensor:
        pixels = torch.from_numpy(crops).to(self.device, non_blocking=True)
        return self.input(pixels.permute(0, 3, 1, 2), flip)
