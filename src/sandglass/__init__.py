"""sandglass: train stacked hourglass networks from scratch to find the joints of people in photographs.

The three lines that most users need::

    from sandglass import Predictor
    predictor = Predictor.load("model.safetensors")
    poses = predictor("photo.jpg")

Names are imported on first use, so that ``sandglass --help`` does not wait for torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandglass.core.pose import People, Person, Pose
    from sandglass.core.skeleton import COCO17, Skeleton
    from sandglass.inference.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["COCO17", "People", "Person", "Pose", "Predictor", "Skeleton", "__version__"]

_HOMES = {
    "COCO17": "sandglass.core.skeleton",
    "Skeleton": "sandglass.core.skeleton",
    "People": "sandglass.core.pose",
    "Person": "sandglass.core.pose",
    "Pose": "sandglass.core.pose",
    "Predictor": "sandglass.inference.predictor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sandglass' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
