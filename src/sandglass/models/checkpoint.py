"""A trained model in one safetensors file: weights, and its spec as JSON in the header. No pickle, no code."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.models.grow import grown
from sandglass.models.shipped import find_model
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build

FORMAT = "1"  # raised when an older sandglass could no longer read the file
MAX_SPEC_BYTES = 2**20
MAX_FILE_BYTES = 8 * 2**30


def save_checkpoint(path: str | Path, network: nn.Module, spec: ModelSpec, summary: dict[str, Any]) -> None:
    """Write the weights (fp32) and the spec with its training `summary`, beside and then renamed. Raises BadInput."""
    spec = replace(spec, summary=summary)
    header = {"sandglass": FORMAT, "spec": json.dumps(spec.to_dict())}
    tensors = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in network.state_dict().items()}
    write_whole(path, _ordered(save(tensors, metadata=header)))


def _ordered(saved: bytes) -> bytes:
    """The same file with its metadata in order: safetensors takes any, and the same model shall be the same bytes."""
    size = int.from_bytes(saved[:8], "little")
    header = json.loads(saved[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + saved[8 + size :]


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelSpec]:
    """The network in evaluation mode, and its spec. `path` may also name a model that ships with sandglass.

    Raises BadInput naming the file when it is missing, truncated, no sandglass checkpoint, or when weights
    and spec do not fit.
    """
    spec, tensors = _read(find_model(path))
    try:
        with torch.device("meta"):  # a lying spec costs no memory: shapes are compared before allocation
            network = build(spec)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    wanted = {name: (tensor.shape, tensor.dtype) for name, tensor in network.state_dict().items()}
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        raise BadInput(
            f"{path}: {len(wrong)} weights do not fit the network that the file describes "
            f"(first: {wrong[0]}); the file is damaged, take another checkpoint"
        )
    network.load_state_dict(tensors, assign=True)
    return network.to(device).eval(), spec


def start_from(network: nn.Module, path: str | Path) -> str:
    """Give a network the weights of a trained one, where name and shape agree, and say in a line what was taken.

    Stacks beyond those of the trained one begin as copies of its last. What depends on the number of joints stays as it
    was drawn. `path` as in `load_checkpoint`. Raises BadInput for a file that is no checkpoint, or one of another
    architecture.
    """
    _, tensors = _read(find_model(path))
    own = network.state_dict()
    fitting = _alike(tensors, own)
    longer = _alike(grown(tensors, own), own)
    if 2 * len(longer) < len(own):
        raise BadInput(
            f"{path}: only {len(fitting)} of the network's {len(own)} weights fit; start from a model of the same "
            "network, or choose its --stacks and --channels"
        )
    network.load_state_dict(longer, strict=False)
    copies = f"; {len(longer) - len(fitting)} of further stacks copy its last one" if len(longer) > len(fitting) else ""
    drawn = f"; {len(own) - len(longer)} do not fit and are drawn" if len(longer) < len(own) else ""
    return f"starting from {path}: {len(fitting)} of {len(own)} weights{copies}{drawn}"


def _alike(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that fit a place in the network, by name and by shape."""
    return {k: v for k, v in tensors.items() if k in own and (v.shape, v.dtype) == (own[k].shape, own[k].dtype)}


def read_spec(path: str | Path) -> ModelSpec:
    """Only the description in a checkpoint, without its weights. Raises BadInput."""
    return _read(find_model(path), weights=False)[0]


def _read(path: Path, weights: bool = True) -> tuple[ModelSpec, dict[str, Tensor]]:
    if not path.is_file():
        raise BadInput(f"{path}: no such checkpoint; give the model.safetensors of a run")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadInput(f"{path}: larger than {MAX_FILE_BYTES >> 30} GiB; this is no sandglass checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()} if weights else {}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise BadInput(f"{path}: truncated or no safetensors file ({error}); take another checkpoint") from None
    if header.get("sandglass") != FORMAT:
        raise BadInput(f"{path}: a safetensors file, but no sandglass checkpoint of format {FORMAT}; train one first")
    text = header.get("spec", "")
    if len(text) > MAX_SPEC_BYTES:
        raise BadInput(f"{path}: its description is larger than {MAX_SPEC_BYTES >> 20} MiB; refused")
    try:
        return ModelSpec.from_dict(json.loads(text)), tensors
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: its description is no JSON; the file is damaged, take another checkpoint") from None
