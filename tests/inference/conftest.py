"""A tiny network with loud random answers, as a checkpoint and as a predictor."""

import pytest

from sandglass.core.skeleton import COCO17
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, loud_network):
    spec = ModelSpec(
        network="hourglass",
        options={"stacks": 2, "channels": 8, "depth": 2},
        codec=CodecConfig(size=(48, 64), threshold=0.3),
        skeleton=COCO17,
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_checkpoint(path, loud_network(spec), spec, {})
    return path


@pytest.fixture(scope="session")
def predictor(checkpoint):
    return Predictor.load(checkpoint, device="cpu")
