"""Everything that is needed to rebuild a trained network, as plain data: no code, no pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from reprlib import repr  # short, whatever the file holds
from typing import Any

from sandglass.core.calibration import Calibration
from sandglass.core.config import from_plain, to_plain
from sandglass.core.errors import BadInput
from sandglass.core.skeleton import Skeleton
from sandglass.models.reading import CodecConfig

DEFAULT_STACKS = 2  # of a network whose options do not say


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which network, how it reads a crop, and what its maps mean.

    network: a name in `zoo.NETWORKS`; options: the fields of that network's config.
    padding: side of the crop over the side of the person's box.
    mean, std: of RGB in 0..1; the network sees (crop - mean) / std.
    """

    network: str
    options: Mapping[str, Any]
    codec: CodecConfig
    skeleton: Skeleton
    padding: float = 1.25
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    summary: Mapping[str, Any] = field(default_factory=dict)  # of the training: steps, data, scores
    calibration: Calibration | None = None  # what the scores of the last stack mean; None: they only rank
    earlier: tuple[Calibration, ...] = ()  # the same of each stack before it; () in files from before there was any

    def __post_init__(self) -> None:
        stacks = self.options.get("stacks", DEFAULT_STACKS)
        if type(stacks) is not int or stacks < 1:
            raise BadInput(f"a network has one stack or more, not {repr(stacks)}")
        if not 0.5 <= self.padding <= 4:
            raise BadInput(f"crop padding {self.padding} must lie between 0.5 and 4 times the box")
        finite = all(map(isfinite, (*self.mean, *self.std)))
        if len(self.mean) != 3 or len(self.std) != 3 or not finite or not all(s > 0 for s in self.std):
            raise BadInput(f"normalisation needs three means and three positive stds, got {self.mean}, {self.std}")
        if self.calibration is not None and len(self.calibration) != len(self.skeleton):
            raise BadInput(f"calibration of {len(self.calibration)} joints for a skeleton of {len(self.skeleton)}")
        if self.earlier and (self.calibration is None or stacks != len(self.earlier) + 1):
            raise BadInput(f"{len(self.earlier)} calibrations of earlier stacks; a network of {stacks} has one fewer")
        if wrong := [len(found) for found in self.earlier if len(found) != len(self.skeleton)]:
            raise BadInput(f"calibration of {wrong[0]} joints for a skeleton of {len(self.skeleton)}")

    @property
    def stacks(self) -> int:
        """How many sets of heatmaps the network gives, each better than the one before."""
        return self.options.get("stacks", DEFAULT_STACKS)

    def calibration_after(self, stacks: int) -> Calibration | None:
        """What scores mean after so many stacks; an earlier one that has none of its own borrows the last one's."""
        return self.earlier[stacks - 1] if stacks <= len(self.earlier) else self.calibration

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` gives the spec back."""
        plain = to_plain(self)
        for name in ("calibration", "earlier"):
            if not getattr(self, name):
                del plain[name]  # so that a sandglass from before there was any can read the file
        return plain

    @classmethod
    def from_dict(cls, data: Any) -> "ModelSpec":
        """The spec in parsed JSON. Unknown, missing or ill-typed fields raise BadInput."""
        return from_plain(cls, data)
