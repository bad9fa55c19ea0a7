"""A model's joint scores made honest: fitted on half of a set's photographs, tested on the other half.

Every stack is fitted: the same score means another thing after another stack, and who stops early goes by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich import box
from rich.table import Table

from sandglass.core.calibration import Calibration
from sandglass.core.errors import BadInput
from sandglass.core.pose import People, Predictions
from sandglass.evaluation.evaluate import check_skeleton
from sandglass.evaluation.ledger import Recorder
from sandglass.evaluation.protocols import people_to_predict
from sandglass.inference.predictor import Predictor, Progress
from sandglass.metrics.average_precision import average_precision
from sandglass.metrics.calibration import Reliability, fit, outcomes, reliability
from sandglass.models.spec import ModelSpec

PROTOCOL = "coco-gt"  # every labelled person's own box: nobody is left out because a detector was


@dataclass(frozen=True)
class Side:
    """What scores are worth on the half that they were not fitted on: as the network says them, or calibrated."""

    reliability: Reliability
    joints: tuple[Reliability, ...]  # K
    ap: float  # people ranked by mean score, or by expected OKS; NaN where undefined


@dataclass(frozen=True)
class Stack:
    """The calibration of one stack, and what it does to the half that it was not fitted on."""

    calibration: Calibration
    before: Side
    after: Side


@dataclass(frozen=True)
class Trial:
    """Calibrations fitted on `fitted` people, and what they do to the `tested` people of the other half."""

    fitted: int
    tested: int
    stacks: tuple[Stack, ...]

    @property
    def last(self) -> Stack:
        """What the model says in the end."""
        return self.stacks[-1]

    def spec(self, spec: ModelSpec) -> ModelSpec:
        """The spec of the calibrated model."""
        *earlier, last = (stack.calibration for stack in self.stacks)
        return replace(spec, calibration=last, earlier=tuple(earlier))


def calibrate(
    predictor: Predictor, people: People, *, seed: int = 0, on_progress: Progress | None = None
) -> tuple[Trial, Trial]:
    """Fit on one half of the photographs and test on the other, then the other way round.

    The halves are drawn by `seed` and share no photograph. The first trial's calibration is the one to ship: its
    figures were measured on people whom it has not seen. Whatever calibration the predictor holds is set aside.
    Raises BadInput for another skeleton, and for fewer than two photographs with labelled people.
    """
    check_skeleton(predictor, people)
    raw = replace(predictor.spec, calibration=None, earlier=())
    plain = Predictor(predictor.runtime, raw, flip=predictor.flip, batch=predictor.batch)
    asked = people_to_predict(people, PROTOCOL)
    images = np.unique(asked.image)
    if len(images) < 2:
        raise BadInput(f"{people.source}: all labelled people are on one photograph; calibrate on two or more")
    recorder = Recorder(plain, len(asked))
    found = plain.predict_boxes(asked, asked.image, asked.boxes, asked.ids, on_progress, recorder)
    stages = recorder.stages(found)
    first = np.isin(people.image, np.random.default_rng(seed).permutation(images)[: (len(images) + 1) // 2])
    there = np.isin(asked.ids, people.ids[first])
    return (
        _trial(asked.select(there), people.select(~first), [(s.select(there), s.select(~there)) for s in stages]),
        _trial(asked.select(~there), people.select(first), [(s.select(~there), s.select(there)) for s in stages]),
    )


def _trial(fitting: People, testing: People, stages: Sequence[tuple[Predictions, Predictions]]) -> Trial:
    """`stages`: what every stack says of the people to fit on, and of those to test on."""
    asked = people_to_predict(testing, PROTOCOL)
    stacks = tuple(_stack(fitting, said, testing, asked, predictions) for said, predictions in stages)
    return Trial(len(fitting), len(asked), stacks)


def _stack(fitting: People, said: Predictions, testing: People, asked: People, predictions: Predictions) -> Stack:
    found = fit(outcomes(fitting, said))
    probabilities = found.probabilities(predictions.scores)
    honest = replace(predictions, scores=probabilities, score=found.expected_oks(probabilities))
    return Stack(found, _side(testing, asked, predictions), _side(testing, asked, honest))


def _side(everybody: People, asked: People, predictions: Predictions) -> Side:
    found = outcomes(asked, predictions)
    joints = tuple(reliability(found, joint=k) for k in range(len(asked.skeleton)))
    scored = average_precision(everybody, predictions, asked.image_ids[np.unique(asked.image)])
    return Side(reliability(found), joints, scored.figures["AP"])


def trial_table(trials: tuple[Trial, Trial], people: People) -> Table:
    """For the terminal: calibration error of each joint and of all, and AP, before and after, on either half."""
    table = Table(title=f"{people.source}: calibration error on the half that was not fitted on", box=box.SIMPLE_HEAD)
    table.caption = "the first half's fit is kept. AP: people ranked by mean score, then by the OKS to be expected"
    table.caption_justify = "left"
    for heading in ("", "before", "after", "the other way: before", "after"):
        table.add_column(heading, justify="right" if heading else "left")
    for k, joint in enumerate(people.skeleton.joints):
        errors = [side.joints[k].error for trial in trials for side in (trial.last.before, trial.last.after)]
        table.add_row(joint, *map(_number, errors), end_section=k == len(people.skeleton) - 1)
    for n in range(len(trials[0].stacks) - 1):
        early = [side.reliability.error for t in trials for side in (t.stacks[n].before, t.stacks[n].after)]
        table.add_row(f"all joints, stack {n + 1}", *map(_number, early))
    sides = [side for trial in trials for side in (trial.last.before, trial.last.after)]
    whole = "all joints, last stack" if len(trials[0].stacks) > 1 else "all joints"
    table.add_row(whole, *(_number(side.reliability.error) for side in sides), style="bold")
    table.add_row("AP", *(_number(side.ap) for side in sides))
    return table


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
