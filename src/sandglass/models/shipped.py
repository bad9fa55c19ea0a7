"""The models that ride in the package, by name. Trained from scratch by this code; MODEL_CARD.md describes them."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = "swift-m"
SUFFIXES = (".safetensors", ".onnx", ".xml")
NAMES = ("swift-s", DEFAULT_MODEL)
SHIPPED = {name: WEIGHTS / f"{name}.safetensors" for name in NAMES}
EXPORTED = {name: WEIGHTS / f"{name}.onnx" for name in NAMES}  # by `sandglass export`: they start without torch


def find_model(model: str | Path) -> Path:
    """The file of a model that ships with sandglass, where `model` is its name; else `model` as a path."""
    return SHIPPED.get(str(model), Path(model))


def is_model(path: str | Path) -> bool:
    """Whether a name on the command line means a model, and not a photograph."""
    return str(path) in SHIPPED or Path(path).suffix.lower() in SUFFIXES
