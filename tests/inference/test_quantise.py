"""8 bits where they cost least: behind ReLUs. What is added up along the network, and what is read, stays as it is."""

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.inference import quantise
from sandglass.inference.export import network_graph
from sandglass.inference.exported import NETWORK_OUTPUT
from sandglass.models.checkpoint import load_checkpoint

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CROPS = np.random.default_rng(3).integers(0, 256, (5, 64, 48, 3), np.uint8)


def test_only_convolutions_behind_relus_are_in_8_bits(checkpoint) -> None:
    network, spec = load_checkpoint(checkpoint)
    graph = quantise.quantised(network_graph(network, spec), CROPS, spec).graph
    makers = {name: node for node in graph.node for name in node.output}
    seen = {True: set(), False: set()}
    for node in graph.node:
        if node.op_type == "Conv":
            small = node.input[1] in makers and makers[node.input[1]].op_type == "DequantizeLinear"
            seen[small].add(node.name)
    # The stem's first, projections beside residual blocks, the one after the last sum, those at the heatmaps.
    kept = ("/stem.0/", "/skip/", "/features/features.1/", "/heatmaps/", "/heatmaps_back/")
    wanted = {name for name in seen[False] | seen[True] if any(part in name for part in kept)}
    assert wanted - {"/stem/stem.3/skip/Conv"} == seen[False]  # that one does stand behind the stem's ReLU
    assert len(seen[True]) > 2 * len(seen[False]) > 0
    assert [entry.name for entry in graph.output] == [NETWORK_OUTPUT]


def test_without_its_tools_it_is_refused(checkpoint, monkeypatch) -> None:
    network, spec = load_checkpoint(checkpoint)
    monkeypatch.setattr(quantise, "installed", lambda _: False)
    with pytest.raises(BadInput, match=r"pip install 'sandglass\[onnx\]'"):
        quantise.quantised(network_graph(network, spec), CROPS, spec)
