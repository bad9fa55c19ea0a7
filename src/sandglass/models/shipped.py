"""The models that ride in the package, by name. Trained from scratch by this code; MODEL_CARD.md describes them."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = "swift-s"
SUFFIXES = (".safetensors", ".onnx", ".xml")
SHIPPED = {DEFAULT_MODEL: WEIGHTS / "swift-s.safetensors"}
EXPORTED = {DEFAULT_MODEL: WEIGHTS / "swift-s.onnx"}  # the same, by `sandglass export`: it starts without torch


def find_model(model: str | Path) -> Path:
    """The file of a model that ships with sandglass, where `model` is its name; else `model` as a path."""
    return SHIPPED.get(str(model), Path(model))


def is_model(path: str | Path) -> bool:
    """Whether a name on the command line means a model, and not a photograph."""
    return str(path) in SHIPPED or Path(path).suffix.lower() in SUFFIXES
