"""The private resume state of a run: every tensor that the next step depends on, in one safetensors file.

Nobody ships it; it is written beside and renamed, so that a kill leaves the old one or the new one.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sandglass.core.config import from_plain
from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.training.schedule import Average

STATE_FILE = "state.safetensors"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run stands."""

    step: int = 0  # optimiser steps taken
    seconds: float = 0.0  # of training and evaluation so far
    people: int = 0  # in the training sets: with others, the order of examples would change
    best: float = -1.0  # highest figure seen, of the one that picks model.safetensors


def save_state(
    folder: Path, position: Position, network: nn.Module, average: Average, optim: torch.optim.Optimizer
) -> None:
    """Write the state of a run into its folder. Raises BadInput when the disk does not take it."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.tensors.items()}
    for i, slots in optim.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in slots.items() if v is not None}
    host = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    write_whole(folder / STATE_FILE, save(host, metadata={"position": json.dumps(asdict(position))}))


def load_state(
    folder: Path, network: nn.Module, average: Average, optim: torch.optim.Optimizer, device: torch.device
) -> Position:
    """Put a saved state back into freshly built parts. Raises BadInput when it is missing, torn or of another run."""
    path = folder / STATE_FILE
    if not path.is_file():
        raise BadInput(f"{path}: no resume state, the run was never saved; start it anew in another --out")
    try:
        with safe_open(path, framework="pt") as file:
            position = from_plain(Position, json.loads((file.metadata() or {}).get("position", "null")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(_under("network.", tensors))
        _restore_average(average, _under("average.", tensors))
        _restore_optimiser(optim, _under("optimiser.", tensors), device)
    except (SafetensorError, OSError, RuntimeError, LookupError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: torn, or of another run ({reason}); start anew, or from last.safetensors") from None
    return position


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore_average(average: Average, tensors: dict[str, Tensor]) -> None:
    if tensors.keys() != average.tensors.keys():
        raise KeyError("the weights have other names")
    for name, tensor in tensors.items():
        average.tensors[name].copy_(tensor)


def _restore_optimiser(optim: torch.optim.Optimizer, tensors: dict[str, Tensor], device: torch.device) -> None:
    parameters = [parameter for group in optim.param_groups for parameter in group["params"]]
    slots: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        number, slot = name.split(".", 1)
        like = parameters[int(number)]
        if tensor.shape == like.shape:  # laid out as the parameter is: fused steps walk through both as they lie
            tensor = torch.empty_like(like, requires_grad=False).copy_(tensor)
        slots.setdefault(int(number), {})[slot] = tensor.to(device) if tensor.ndim else tensor
    groups = optim.state_dict()["param_groups"]
    optim.load_state_dict({"state": slots, "param_groups": groups})
