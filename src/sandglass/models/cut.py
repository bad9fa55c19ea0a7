"""A stacked network with fewer stacks: the first k of them, with their weights. The same maps, for less."""

from dataclasses import replace

import torch
from torch import nn

from sandglass.core.errors import BadInput
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import Cost, build, cost


def cut_spec(spec: ModelSpec, stacks: int) -> ModelSpec:
    """The spec of the network that ends after `stacks` stacks. Raises BadInput when it has not so many.

    Scores in its summary are dropped: they were the whole network's. Of a calibrated one, it has the calibration of
    its last stack, or none where only the whole network's is known.
    """
    if not 1 <= stacks <= spec.stacks:
        raise BadInput(f"the model has {spec.stacks} stacks; it can be cut after 1 to {spec.stacks}, not {stacks}")
    if stacks == spec.stacks:
        return spec
    summary = {name: value for name, value in spec.summary.items() if name not in ("scores", "scores_of")}
    return replace(
        spec,
        options={**spec.options, "stacks": stacks},
        codec=spec.codec.after(stacks),
        calibration=spec.earlier[stacks - 1] if spec.earlier else None,
        earlier=spec.earlier[: stacks - 1],
        summary={**summary, "cut": f"after {stacks} of {spec.stacks} stacks"},
    )


def cut(network: nn.Module, spec: ModelSpec, stacks: int) -> tuple[nn.Module, ModelSpec]:
    """The network, sharing its weights, and the spec after `stacks` stacks. Raises BadInput.

    Its maps are those of the first stacks of the whole. What only later stacks need is left behind.
    """
    shorter = cut_spec(spec, stacks)
    with torch.device("meta"):
        part = build(shorter)
    tensors = network.state_dict()
    missing = sorted(part.state_dict().keys() - tensors.keys())
    assert not missing, f"{spec.network}: fewer stacks need weights that more do not have: {missing[:3]}"
    part.load_state_dict({name: tensors[name] for name in part.state_dict()}, assign=True)
    return part.train(network.training), shorter


def stage_costs(spec: ModelSpec) -> list[Cost]:
    """Parameters and GMAC of one look at one crop, up to and including each stack."""
    with torch.device("meta"):  # shapes are enough
        networks = [build(cut_spec(spec, stacks)) for stacks in range(1, spec.stacks + 1)]
    return [cost(network, spec.codec.size) for network in networks]
