"""The private resume state of a run: every tensor that the next step depends on, in one safetensors file.

Nobody ships it. It is written beside and renamed, and the one before it is kept: after a kill at any moment, a torn
file or a full disk, one of them is whole.
"""

import json
import os
import zlib
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
OLDER_FILE = "state.before.safetensors"  # the state before it: what a torn file costs is one interval
NEWEST_FILE = "state.next.safetensors"  # there for a moment only
STATES = (NEWEST_FILE, STATE_FILE, OLDER_FILE)  # newest first


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run stands."""

    step: int = 0  # optimiser steps taken
    seconds: float = 0.0  # of training and evaluation so far
    people: int = 0  # in the training sets: with others, the order of examples would change
    data: str = ""  # their fingerprint
    best: float = -1.0  # highest figure seen, of the one that picks model.safetensors
    spared: int = 0  # cores left to what else ran when it began; with another number of threads, sums round otherwise


def save_state(
    folder: Path, position: Position, network: nn.Module, average: Average, optim: torch.optim.Optimizer
) -> None:
    """Write the state of a run into its folder; the one before it stays as OLDER_FILE.

    Raises BadInput when the disk does not take it, and leaves what was there.
    """
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.tensors.items()}
    for i, slots in optim.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in slots.items() if v is not None}
    host = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    header = {"position": json.dumps(asdict(position)), "checksum": str(_checksum(host))}
    path = folder / STATE_FILE
    write_whole(folder / NEWEST_FILE, save(host, metadata=header), sync=True)
    try:  # whenever a kill comes between these lines, the newest whole state is among the three
        if path.is_file():
            os.replace(path, folder / OLDER_FILE)
        os.replace(folder / NEWEST_FILE, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror})") from None


def load_state(
    folder: Path, network: nn.Module, average: Average, optim: torch.optim.Optimizer, device: torch.device
) -> tuple[Position, str]:
    """Put the newest whole state back into freshly built parts; and say in a line what was wrong with a newer one.

    Raises BadInput when there is none, or when it is of another run.
    """
    told = ""
    for name in STATES:
        path = folder / name
        try:
            position, tensors = _read(path)
        except FileNotFoundError:
            continue
        except (SafetensorError, OSError, RuntimeError, LookupError, ValueError) as error:
            told = told or f"{path}: torn ({str(error).splitlines()[0]})"
            continue
        try:
            network.load_state_dict(_under("network.", tensors))
            _restore_average(average, _under("average.", tensors))
            _restore_optimiser(optim, _under("optimiser.", tensors), device)
        except (RuntimeError, LookupError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise BadInput(f"{path}: the state of another run ({reason}); start anew in another --out") from None
        return position, f"{told}; going on from the state before it, of step {position.step}" if told else ""
    if told:
        raise BadInput(f"{told}, and no older state is whole; start anew in another --out")
    raise BadInput(f"{folder / STATE_FILE}: no resume state; start the run anew in another --out")


def has_state(folder: Path) -> bool:
    """Whether a resume state, whole or not, lies in a run's folder."""
    return any((folder / name).is_file() for name in STATES)


def _read(path: Path) -> tuple[Position, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header.get("checksum") != str(_checksum(tensors)):
        raise ValueError("its checksum does not fit")
    return from_plain(Position, json.loads(header["position"])), tensors


def _checksum(tensors: dict[str, Tensor]) -> int:
    """CRC-32 of all values. A disk may lose pages of a file whose name and size it kept."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


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
