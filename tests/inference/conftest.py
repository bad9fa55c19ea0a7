"""A tiny network with loud random answers, as a checkpoint and as a predictor."""

import pytest
import torch

from sandglass.core.skeleton import COCO17
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec
from sandglass.models.zoo import build


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    spec = ModelSpec(
        network="hourglass",
        options={"stacks": 2, "channels": 8, "depth": 2},
        codec=CodecConfig(size=(48, 64), threshold=0.3),
        skeleton=COCO17,
    )
    torch.manual_seed(1)
    network = build(spec)
    with torch.no_grad():
        for stack in network.stacks:  # type: ignore[union-attr]
            stack.heatmaps.weight.normal_(std=0.2)
        network.train()(torch.randn(8, 3, 64, 48))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(path, network, spec, {})
    return path


@pytest.fixture(scope="session")
def predictor(checkpoint):
    return Predictor.load(checkpoint, device="cpu")
