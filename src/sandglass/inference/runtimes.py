"""The network behind one call: uint8 crops in, heatmaps out. Which engine runs it is this file's secret.

Crops are (B, H, W, 3) RGB uint8 of the codec's size; heatmaps are (B, S, K, h, w), one set for every stack, after
the spatial softmax where the codec has one, and averaged with the mirrored crop's where `flip` is set.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sandglass.core.errors import BadInput
from sandglass.models.codec import Codec
from sandglass.models.spec import ModelSpec


class Runtime(Protocol):
    """What a predictor needs of an engine."""

    name: str

    def __call__(self, crops: NDArray[np.uint8], flip: bool) -> Tensor:
        """Heatmaps (B, S, K, h, w) of crops (B, H, W, 3)."""
        ...


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


class TorchRuntime:
    """The network as PyTorch runs it, in fp32 unless a caller has turned autocast on."""

    def __init__(self, network: nn.Module, spec: ModelSpec, device: torch.device) -> None:
        self.name = f"torch on {device.type}"
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.codec, self.device = Codec(spec.codec), device
        self.mirror = torch.tensor(spec.skeleton.mirror, device=device)
        self.mean = torch.tensor(spec.mean, device=device).view(1, 3, 1, 1)
        self.scale = 1 / torch.tensor(spec.std, device=device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8], flip: bool) -> Tensor:
        self.network.eval()
        pixels = torch.from_numpy(crops).to(self.device, non_blocking=True)
        x = (pixels.permute(0, 3, 1, 2).float().mul_(1 / 255) - self.mean) * self.scale
        if not flip:
            return self.codec.heatmaps(self.network(x).float())
        both = self.codec.heatmaps(self.network(torch.cat([x, x.flip(-1)])).float())
        plain, mirrored = both.chunk(2)
        return (plain + mirrored.flip(-1)[:, :, self.mirror]) / 2  # heatmaps, not coordinates, are averaged
