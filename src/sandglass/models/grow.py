"""A stacked network with more stacks, from the weights of a shorter one. The opposite of cut.py."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

STACK = re.compile(r"stacks\.(\d+)\.(.+)")


def grown(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights `tensors` of a network, and those that the longer network with the weights `wanted` has beside them.

    Every further stack is a copy of the last one, and what leads into it (what the last stack of all has not) is zero:
    it sees what the last one saw, and gives the same maps. So nothing that was learnt is lost, and training goes on
    from there (the function-preserving step of Chen et al. 2016, Net2Net, arXiv:1511.05641).
    """
    have, want = _last(tensors), _last(wanted)
    found = dict(tensors)
    for name, tensor in wanted.items() if want > have >= 0 else ():
        match = STACK.fullmatch(name)
        if not match or int(match[1]) < have or name in tensors:
            continue
        source = f"stacks.{have}.{match[2]}"
        if f"stacks.{want}.{match[2]}" not in wanted:
            found[name] = torch.zeros_like(tensor)
        elif source in tensors:
            found[name] = tensors[source]
    return found


def _last(tensors: Mapping[str, Tensor]) -> int:
    return max((int(match[1]) for name in tensors if (match := STACK.fullmatch(name))), default=-1)
