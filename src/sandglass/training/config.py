"""Everything that decides a run, frozen and checked at the start; a run's config.json holds it."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sandglass.core.config import from_plain, to_plain
from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.data.augment import AugmentConfig
from sandglass.data.crops import CropConfig
from sandglass.data.filters import Filter
from sandglass.models.spec import ModelSpec
from sandglass.training.losses import DISTRIBUTIONS, LossConfig
from sandglass.training.schedule import ScheduleConfig
from sandglass.training.step import OptimiserConfig

CONFIG_FILE = "config.json"
BEST_FILE, LAST_FILE = "model.safetensors", "last.safetensors"
HARDWARE = ("device", "threads", "workers", "cache_gib")  # what does not decide about the result
Precision = Literal["auto", "fp32", "bf16"]
BatchNorm = Literal["sync", "local"]
Compile = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. Recipes return it; the command line adds data, length and seed.

    train: data sets as FOLDER@SPLIT[:WEIGHT]; val: one set for the scores along the way.
    skeleton: a .toml file or a known name, in place of the one that the data sets bring.
    init: a checkpoint or shipped model whose weights the network starts from; without one, they are drawn.
    """

    recipe: str
    model: ModelSpec
    train: tuple[str, ...] = ()
    val: str = ""
    skeleton: str = ""
    init: str = ""
    filter: Filter = field(default_factory=Filter)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    margin: float = 1.5  # side of the cut over side of the crop; 0.1 % of all that is shown lies beyond it
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    batch: int = 32  # people a step
    fit_batch: bool = False  # look for the largest batch that the device holds, in place of `batch`
    accumulate: int = 1  # parts that a batch is computed in
    average: float = 0.995  # decay of the moving average of weights
    precision: Precision = "auto"  # bf16 where the device multiplies it in hardware
    compile: Compile = "auto"  # torch.compile; on one CUDA device, where a trial shows that it pays; elsewhere not
    batch_norm: BatchNorm = "sync"  # of several processes: over all their people, or each over its own
    evaluations: int = 10  # over the run, the last at its end; more often with evaluate_every
    evaluate_every: int = 0  # steps; 0: by `evaluations`
    log_every: int = 10  # steps between rows of the journal: the only times at which the loop waits for the device
    save_minutes: float = 5.0  # between resume states
    seed: int = 0
    workers: int = 0  # threads that decode; 0: from the machine
    threads: int = 0  # of the CPU for the network; 0: from the machine
    cache_gib: float = 4.0  # memory for decoded cuts
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.batch < 2 or self.accumulate < 1 or self.batch % self.accumulate:
            raise BadInput(f"batch {self.batch} must be at least 2 and a multiple of accumulate {self.accumulate}")
        if self.compile not in ("auto", "on", "off"):
            raise BadInput(f"compile '{self.compile}' is not known; choose auto, on or off")
        wanted = "distribution" if self.loss.name in DISTRIBUTIONS else "heatmap"
        if self.model.codec.kind != wanted:
            raise BadInput(f"loss '{self.loss.name}' needs a codec of kind '{wanted}', not '{self.model.codec.kind}'")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise BadInput(f"precision '{self.precision}' is not known; choose auto, fp32 or bf16")
        if not 0 <= self.average < 1 or min(self.evaluations, self.log_every) < 1 or self.save_minutes <= 0:
            raise BadInput("average must lie in 0..1, log_every and evaluations be at least 1, save_minutes positive")
        if not 0 <= self.seed < 2**63:
            raise BadInput(f"seed {self.seed} must lie in 0..2^63-1")

    def settled(self) -> "RunConfig":
        """The same with absolute paths, so that the run can be gone on with from any folder."""
        paths = {"train": tuple(map(_absolute, self.train)), "val": _absolute(self.val)}
        if self.skeleton.endswith(".toml"):
            paths["skeleton"] = _absolute(self.skeleton)
        return replace(self, **paths)

    def is_run_of(self, asked: "RunConfig") -> bool:
        """Whether this config, of a run that was begun, came from `asked`, whatever machine does the work."""
        found = (*HARDWARE, "fit_batch", "batch", "optimiser") if asked.fit_batch else HARDWARE
        model = replace(asked.model, skeleton=self.model.skeleton)  # the data's, once they were read
        return self == replace(asked, model=model, **{name: getattr(self, name) for name in found})

    @property
    def crop(self) -> CropConfig:
        """How people are cut out for this model."""
        return CropConfig(size=self.model.codec.size, padding=self.model.padding, margin=self.margin)

    def save(self, folder: Path) -> None:
        """Write config.json. Raises BadInput."""
        write_whole(folder / CONFIG_FILE, json.dumps(to_plain(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "RunConfig":
        """The config of a run's folder. Raises BadInput."""
        path = folder / CONFIG_FILE
        try:
            return from_plain(cls, json.loads(path.read_text(encoding="utf-8")))
        except OSError:
            raise BadInput(f"{path}: not found; --resume takes the folder of a run") from None
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None
        except (ValueError, RecursionError):
            raise BadInput(f"{path}: no JSON; the file is damaged") from None


def _absolute(name: str) -> str:
    """A data set or file as it is named from the root; no name stays none."""
    return str(Path(name).absolute()) if name else ""
