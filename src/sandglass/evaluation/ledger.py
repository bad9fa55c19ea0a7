"""What each stack of a network contributes and costs, and what stopping early would be worth: from one pass."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from torch import Tensor

from sandglass.core import geometry
from sandglass.core.pose import Floats, People, Predictions
from sandglass.evaluation.evaluate import Places, where_to_look
from sandglass.evaluation.protocols import photographs
from sandglass.evaluation.scores import Scores, resampled, score
from sandglass.evaluation.stages import PCK, Stage, defined, worth
from sandglass.inference.engines import Maps
from sandglass.inference.exits import Exit
from sandglass.inference.predictor import Predictor
from sandglass.inference.ranking import person_score
from sandglass.metrics import bootstrap
from sandglass.metrics.average_precision import against, ground_truth
from sandglass.metrics.bootstrap import Draws, Interval
from sandglass.models.cut import stage_costs

BOUNDS: Final = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.96)  # quantiles of what the rules look at


@dataclass(frozen=True)
class ExitPoint:
    """What a rule of early exit comes to on average: the GMAC and the stacks of one look at one crop."""

    rule: str  # "score" or "still", see `Exit`
    bound: float
    AP: float | None
    gmac: float
    stacks: float
    interval: Interval | None = None  # 95 %, of AP


@dataclass(frozen=True)
class Ledger:
    """All stacks of one network on one data set, and the curve of AP against cost that early exit gives."""

    source: str
    protocol: str
    flip: bool
    stages: tuple[Stage, ...]
    exits: tuple[ExitPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; the keys are the fields' names."""
        stages, exits = [stage.to_dict() for stage in self.stages], [vars(point) for point in self.exits]
        return {**vars(self), "stages": stages, "exits": exits}

    def table(self) -> Table:
        """For the terminal: one row a stack."""
        looks = "one look; the flip test takes two" if self.flip else "one look"
        table = Table(title=f"after each stack: {self.source}, {self.protocol}", box=box.SIMPLE_HEAD, pad_edge=False)
        table.caption = f"inverted: share of joints on their mirror twin; GMAC: {looks}"
        for heading in ("", "AP", "95 %", PCK, "inverted", "entropy", "M", "GMAC", "ms"):
            table.add_column(heading, justify="right")
        for stage in self.stages:
            ends = "…".join(f"{end:.3f}" for end in stage.intervals.get("AP", ()))
            table.add_row(
                str(stage.stack), _digits(stage.figures["AP"]), ends, _digits(stage.figures[PCK]),
                _digits(stage.inversions), _digits(defined(stage.entropy), 2), f"{stage.parameters / 1e6:.2f}",
                f"{stage.gmac:.3f}", _digits(stage.milliseconds, 1),
            )  # fmt: skip
        return table


def survey(
    predictor: Predictor,
    people: People,
    protocol: str = "coco-gt",
    *,
    boxes: Path | None = None,
    intervals: int = 1000,
    shorter: Callable[[int], Predictor] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Scores, Predictions, Ledger]:
    """`evaluate.evaluate`, and the ledger of all stacks from the same pass. Raises BadInput.

    `shorter` gives the same model after fewer stacks, whose time is taken; without it only the whole one's is.
    """
    seen = look(predictor, people, where_to_look(predictor, people, protocol, boxes), on_progress)
    return judge(seen, predictor, people, protocol, intervals=intervals, shorter=shorter)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network says of the boxes that a protocol looks into, after its last stack and after all of them."""

    places: Places
    found: Predictions
    recorder: "Recorder"


def look(
    predictor: Predictor, people: People, places: Places, on_progress: Callable[[int, int], None] | None = None
) -> Seen:
    """The first half of `survey`, which several processes can share: see `World.shared`. Raises BadInput."""
    recorder = Recorder(predictor, len(places.boxes))
    found = predictor.predict_boxes(people, places.images, places.boxes, places.ids, on_progress, recorder)
    recorder.gather()
    return Seen(places, found, recorder)


def judge(
    seen: Seen,
    predictor: Predictor,
    people: People,
    protocol: str,
    *,
    intervals: int = 1000,
    shorter: Callable[[int], Predictor] | None = None,
) -> tuple[Scores, Predictions, Ledger]:
    """The second half of `survey`: what was seen, scored."""
    places, found, recorder = seen.places, seen.found, seen.recorder
    predictions = places.answers(found)
    scores = places.told(score(people, predictions, protocol, intervals=intervals))
    stages = recorder.stages(found)
    answers = [*(places.answers(stage) for stage in stages[:-1]), predictions]
    earlier = [score(people, said, protocol, intervals=intervals) for said in answers[:-1]]
    draws = resampled(people, protocol, intervals)
    costs = stage_costs(predictor.spec)
    spent = [None if shorter is None else latency(shorter(n)) for n in range(1, len(costs))] + [latency(predictor)]
    kept = [
        Stage(
            stack=n + 1,
            **worth(people, places, said, taken, recorder.entropy[n], draws),
            gmac=costs[n].gmac,
            parameters=costs[n].parameters,
            milliseconds=spent[n],
        )
        for n, (said, taken) in enumerate(zip(answers, (*earlier, scores), strict=True))
    ]
    gmacs = np.array([cost.gmac for cost in costs])
    exits = _exits(people, places, recorder, stages, gmacs, protocol, draws) if len(stages) > 1 else ()
    return scores, predictions, Ledger(people.source, protocol, predictor.flip, tuple(kept), exits)


class Recorder:
    """Watches a predictor (`predictor.Watch`) and keeps what all stacks say of P boxes.

    points: (S - 1, P, K, 2) crop pixels and scores (S - 1, P, K), of all stacks but the last, which the predictor
    reads itself; entropy: (S, P, K) of every stack's maps, in nats.
    """

    def __init__(self, predictor: Predictor, boxes: int) -> None:
        s, k = predictor.spec.stacks, len(predictor.spec.skeleton)
        self.predictor = predictor
        self.points, self.scores = np.zeros((s - 1, boxes, k, 2)), np.zeros((s - 1, boxes, k))
        self.entropy = np.zeros((s, boxes, k))

    def __call__(self, rows: NDArray[np.int64], maps: Maps) -> None:
        for n in range(len(self.points)):
            self.points[n, rows], self.scores[n, rows], _ = self.predictor.read(maps[:, n], n + 1)
        self.entropy[:, rows] = entropy(torch.as_tensor(maps)).double().cpu().numpy().swapaxes(0, 1)

    def gather(self) -> None:
        """Add what other processes have seen, where they share the work."""
        self.points, self.scores, self.entropy = map(self.predictor.whole, (self.points, self.scores, self.entropy))

    def stages(self, found: Predictions) -> list[Predictions]:
        """What each stack alone would have said, the last being `found`."""
        spec = self.predictor.spec
        matrices = geometry.image_from_crop(found.boxes, spec.codec.size, spec.padding)
        stages = []
        for n, (points, scores) in enumerate(zip(self.points, self.scores, strict=True), 1):
            present = scores >= spec.codec.threshold
            ranked = person_score(scores, spec.calibration_after(n))
            keypoints = geometry.apply(matrices, points)
            stages.append(replace(found, keypoints=keypoints, scores=scores, present=present, score=ranked))
        return [*stages, found]


def entropy(maps: Tensor) -> Tensor:
    """How much in doubt heatmaps (..., h, w) are, in nats (...): 0 for one cell, ln(h w) for no idea at all.

    Each map is taken as a distribution, negative values as 0.
    """
    mass = maps.float().clamp_min(0).flatten(-2)
    total = mass.sum(-1, keepdim=True)
    mass = torch.where(total > 0, mass / total.clamp_min(1e-30), torch.full_like(mass, 1 / mass.shape[-1]))
    return -torch.special.xlogy(mass, mass).sum(-1)


def latency(predictor: Predictor, seconds: float = 0.3) -> float:
    """Milliseconds from one crop to its heatmaps: the median of what `seconds` of trying gave."""
    w, h = predictor.spec.codec.size
    crop = np.random.default_rng(0).integers(0, 256, (1, h, w, 3), np.uint8)
    took: list[float] = []
    began = time.perf_counter()
    while len(took) < 4 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        predictor.runtime(crop, predictor.flip).flatten()[0].item()  # waits for the device
        took.append(time.perf_counter() - start)
    return 1000 * float(np.median(took[1:]))  # the first one warms up


def stops(rule: Exit, scores: Floats, present: NDArray[np.bool_], points: Floats) -> NDArray[np.int64]:
    """After how many stacks (P,) a rule stops, from what all say: scores and present (S, P, K), points (S, P, K, 2)."""
    taken = np.full(scores.shape[1], len(scores), np.int64)
    for n in range(len(scores) - 1, 0, -1):
        before = points[n - 2] if n > 1 else None
        taken[rule.sure(scores[n - 1], present[n - 1], points[n - 1], before)] = n
    return taken


def _exits(
    people: People,
    places: Places,
    recorder: Recorder,
    stages: list[Predictions],
    gmacs: Floats,
    protocol: str,
    draws: Draws | None,
) -> tuple[ExitPoint, ...]:
    """AP and mean cost of both rules, for bounds that spread evenly over the crops."""
    spec = recorder.predictor.spec
    matrices = geometry.image_from_crop(places.boxes, spec.codec.size, spec.padding)
    last = geometry.apply(geometry.invert(matrices), stages[-1].keypoints)
    points = np.concatenate([recorder.points, last[None]])
    scores, present = np.stack([s.scores for s in stages]), np.stack([s.present for s in stages])
    truth, found = ground_truth(people, photographs(people, protocol)), []
    few = None if draws is None else draws.first()
    for rule in _rules(scores, present, points):
        taken = stops(rule, scores, present, points)
        mixed = _mixed(stages, taken - 1)
        scored = against(truth, places.answers(mixed), areas=1)
        name = "score" if rule.score is not None else "still"
        bound = float(rule.score if rule.score is not None else rule.still or 0)
        mean_gmac, mean_stacks = float(gmacs[taken - 1].mean()), float(taken.mean())
        drawn = {} if few is None else bootstrap.average_precision_samples(scored.matches, few.weights, ("AP",))
        sure = bootstrap.intervals(drawn).get("AP")
        found.append(ExitPoint(name, bound, defined(scored.figures["AP"]), mean_gmac, mean_stacks, sure))
    return tuple(found)


def _rules(scores: Floats, present: NDArray[np.bool_], points: Floats) -> list[Exit]:
    """Bounds at quantiles of the least sure present joint, and of the one that moves most."""
    weakest = np.where(present, scores, np.inf)[:-1].min(-1)
    moved = np.where(present[1:], np.linalg.norm(np.diff(points, axis=0), axis=-1), -np.inf)[:-1].max(-1)
    rules = [Exit(score=float(bound)) for bound in _quantiles(weakest)]
    return rules + [Exit(still=float(bound)) for bound in _quantiles(moved)]


def _quantiles(values: Floats) -> Floats:
    known = values[np.isfinite(values)]
    return np.unique(np.quantile(known, BOUNDS)) if len(known) else np.zeros(0)


def _mixed(stages: list[Predictions], which: NDArray[np.int64]) -> Predictions:
    """The predictions (P) of stage `which` (P,) each."""
    rows = np.arange(len(which))
    columns = {name: np.stack([getattr(s, name) for s in stages])[which, rows] for name in _SAID}
    return replace(stages[-1], **columns)


_SAID = ("keypoints", "scores", "present", "score")


def _digits(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
