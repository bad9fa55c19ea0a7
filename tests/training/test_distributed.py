"""Two processes do what one does. The tests with `two` or `torchrun` start real ones, on the CPU."""

import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data.augment import AugmentConfig
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.loader import Loader, Order
from sandglass.data.sets import read_set
from sandglass.inference.predictor import Predictor
from sandglass.inference.runtimes import TorchRuntime
from sandglass.inference.world import World
from sandglass.models.checkpoint import load_checkpoint
from sandglass.training.config import RunConfig
from sandglass.training.distributed import Pulse, check_batch
from sandglass.training.step import OptimiserConfig
from sandglass.training.train import train

STEPS = 20
# Of one process with the same batch, over STEPS steps of SGD in fp32, where only sums are taken in another order.
# Adam and Muon divide by a gradient's size, and carry the last bit further: 1e-4 of the loss and more.
SAME_LOSS, SAME_GRADIENT = 2e-6, 2e-3
RANKS = Path(__file__).with_name("ranks.py")
Torchrun = Callable[..., subprocess.Popen[str]]


def journal(folder: Path, key: str) -> dict[int, float]:
    """Step -> loss, or gradient norm."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [(row["step"], row[key]) for row in rows if key in row]
    assert [step for step, _ in found] == list(range(1, len(found) + 1)), "each step stands in the journal once"
    return dict(found)


def gap(a: Path, b: Path, key: str = "loss") -> float:
    """The largest difference in the steps that both runs took, as a share."""
    one, two = journal(a, key), journal(b, key)
    return max(abs(one[step] - two[step]) / one[step] for step in one.keys() & two.keys())


def same(a: Path, b: Path) -> bool:
    assert journal(a, "loss").keys() == journal(b, "loss").keys()
    return gap(a, b) < SAME_LOSS and gap(a, b, "grad_norm") < SAME_GRADIENT


@dataclass(frozen=True)
class Two:
    """What two processes left: a folder a run, beside those of one process, and what each rank says of itself."""

    folder: Path
    ranks: tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def jobs(drawn: Path, tiny_run: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs' configs, and what one process makes of some of them."""
    folder = tmp_path_factory.mktemp("two")
    base = tiny_run(drawn, steps=STEPS, batch=8, log_every=1, optimiser=OptimiserConfig(name="sgd", lr=0.02))
    base = replace(base, model=replace(base.model, options={**base.model.options, "channels": 16}))
    constant = replace(base, schedule=replace(base.schedule, decay="constant", steps=10))
    short, parts = replace(base, schedule=base.schedule.until(6, 0)), replace(base, accumulate=2)
    configs = {
        "sync": replace(base, val=f"{drawn}@val"),
        "local": replace(short, batch_norm="local"),
        "parts": replace(parts, schedule=short.schedule),
        "half": replace(constant, schedule=constant.schedule.until(5, 0)),
        "from one": constant,
        "odd": replace(short, batch=9),
        "one fault": short,
        "taken": short,
        "stopped": short,
        "diverged": short,
        "started": replace(short, init=str(folder / "one" / "last.safetensors")),
        "clocks": replace(base, schedule=base.schedule.until(0, 1.0)),
        "dies": replace(base, save_minutes=1e-9),
    }
    for name, config in configs.items():
        config.save(folder / "jobs" / name)
    alone = {
        "one": configs["sync"],
        "one constant": constant,
        "one parts": configs["parts"],
        "taken": short,
        "from one": configs["half"],
        "one started": configs["started"],
    }
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)
        for name, config in alone.items():
            train(config, folder / name, console=Console(file=io.StringIO()))
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def two(jobs: Path, torchrun: Torchrun) -> Two:
    process = torchrun(RANKS, "checks", jobs)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    first, second = (json.loads((jobs / f"rank{rank}.json").read_text()) for rank in (0, 1))
    return Two(jobs, (first, second))


def test_two_processes_have_the_losses_and_gradients_of_one(two: Two) -> None:
    """By default, where batch norm is over all of a batch; without that they have not."""
    assert same(two.folder / "sync", two.folder / "one")
    assert gap(two.folder / "local", two.folder / "one") > 5 * SAME_LOSS
    assert gap(two.folder / "local", two.folder / "one", "grad_norm") > 5 * SAME_GRADIENT


def test_local_batch_norm_is_that_of_one_process_in_parts(two: Two) -> None:
    """Each rank by its own half: what one process does that computes a batch in two parts."""
    assert same(two.folder / "local", two.folder / "one parts")


def test_all_start_from_one_model(two: Two) -> None:
    """In its losses, which are not those of drawn weights, and in one line."""
    assert same(two.folder / "started", two.folder / "one started")
    assert gap(two.folder / "started", two.folder / "sync") > 5 * SAME_LOSS
    first, second = (told["started"]["text"] for told in two.ranks)
    assert first.count("starting from") == 1 and second == ""


def test_parts_of_a_batch_are_shared_each(two: Two) -> None:
    assert same(two.folder / "parts", two.folder / "one parts")


def test_batch_norm_over_ranks_is_that_of_the_whole_batch(two: Two) -> None:
    for told in two.ranks:
        assert max(told["batch norm"].values()) < 1e-4, told["batch norm"]


@pytest.mark.parametrize("name", ["sync", "local", "parts", "half", "from one", "started", "stopped", "clocks"])
def test_all_ranks_hold_the_same(name: str, two: Two) -> None:
    """The running statistics of 'local' are each rank's own; evaluation takes rank 0's."""
    first, second = (told[name] for told in two.ranks)
    held = {"step", "weights"} if name == "local" else {"step", "weights", "statistics", "average"}
    assert {key: first[key] for key in held} == {key: second[key] for key in held}
    assert name != "local" or first["statistics"] != second["statistics"]


def test_rank_0_alone_writes_and_speaks(two: Two) -> None:
    first, second = (told["sync"]["text"] for told in two.ranks)
    assert second == ""
    assert "2 processes, 2 on this machine: each takes 4 of 8 people; batch norm (sync) over the" in first
    assert "batch norm (local) over each process's own people" in two.ranks[0]["local"]["text"]
    files = {"config.json", "metrics.jsonl", "model.safetensors", "last.safetensors"}
    assert files <= {path.name for path in (two.folder / "sync").iterdir()}
    rows = [json.loads(line) for line in (two.folder / "sync" / "metrics.jsonl").read_text().splitlines()]
    assert sum("AP" in row for row in rows) == 1 and [row["images"] for row in rows if "loss" in row][-1] == 8 * STEPS


@pytest.mark.parametrize("name", ["half", "from one"])
def test_a_run_goes_on_with_another_number_of_processes(name: str, two: Two) -> None:
    """One after two, and two after one: the examples go on in their order."""
    if name == "half":
        config = RunConfig.load(two.folder / "jobs" / "from one")
        train(config, two.folder / name, resume=True, console=Console(file=io.StringIO()))
    assert same(two.folder / name, two.folder / "one constant")


@pytest.mark.parametrize("batch", ["threes", "one", "none"])
def test_shared_evaluation_is_that_of_one_process_to_the_bit(batch: str, two: Two) -> None:
    people = read_set(RunConfig.load(two.folder / "jobs" / "sync").train[0])
    network, spec = load_checkpoint(two.folder / "sync" / "last.safetensors")
    predictor = Predictor(TorchRuntime(network, spec, torch.device("cpu")), spec, batch=32 if batch == "one" else 3)
    expected = predictor.predict(people.select(np.arange(0)) if batch == "none" else people)
    assert (len(expected) == 0) == (batch == "none")
    for rank in (0, 1):
        found = np.load(two.folder / f"predictions{rank}.npz")
        for field in ("keypoints", "scores", "present", "score", "people", "image_ids"):
            np.testing.assert_array_equal(found[f"{batch} {field}"], getattr(expected, field))


def test_scores_along_the_way_are_those_of_one_process(two: Two) -> None:
    rows = []
    for name in ("sync", "one"):
        lines = (two.folder / name / "metrics.jsonl").read_text().splitlines()
        rows.append(next(row for row in map(json.loads, lines) if "AP" in row))
    assert rows[0]["people"] == rows[1]["people"] == 4
    assert rows[0]["PCK@0.2"] == pytest.approx(rows[1]["PCK@0.2"], abs=1e-6)


def test_what_cannot_be_is_said_once_and_all_ranks_leave(two: Two) -> None:
    first, second = two.ranks
    assert first["odd"]["end"] == (
        "a batch of 9 cannot be split evenly over 2 processes; give a --batch that is a multiple of 2"
    )
    assert "already holds a run; choose another --out" in first["taken"]["end"]
    assert second["odd"]["end"] == second["taken"]["end"] == "exit 2"
    assert second["one fault"]["end"] == "rank 1 alone finds a fault" and first["one fault"]["end"] == "exit 2"


def test_a_loss_that_is_no_number_on_one_rank_is_told_by_the_first_with_the_whole_batch(two: Two) -> None:
    first, second = (told["diverged"]["end"] for told in two.ranks)
    assert "the loss is nan" in first and "at step 1," in first and second == "exit 2"
    ids = json.loads(first.partition("annotations ")[2].partition("]")[0] + "]")
    assert len(ids) == len(set(ids)) == 8, "everybody in the batch, of whichever rank"


def test_a_signal_to_one_rank_stops_all_and_saves(two: Two) -> None:
    """At the end of the step after the one in which it came."""
    assert [told["stopped"]["end"] for told in two.ranks] == ["exit 143"] * 2
    assert [told["stopped"]["step"] for told in two.ranks] == [4, 4]
    state = two.folder / "stopped" / "state.safetensors"
    assert state.is_file() and "go on with: sandglass train --resume" in two.ranks[0]["stopped"]["text"]


def test_all_ranks_go_by_the_clock_of_the_first(two: Two) -> None:
    """A minute of ten seconds a step, and the step that was under way when it ended; by rank 1's it were 2 steps."""
    assert [told["clocks"]["step"] for told in two.ranks] == [7, 7]


def test_a_rank_that_dies_is_restarted_with_all_and_one_that_fails_ends_the_job(two: Two, torchrun: Torchrun) -> None:
    """Killed in step 5, the job goes on from step 4, to the bit; its error in step 10 is shown at the end."""
    process = torchrun(RANKS, "dies", two.folder, restarts=1)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "2 processes, 2 on this machine: each takes 4 of 8 people; batch norm (sync) over the" in output
    assert "from step 4" in output
    done, undisturbed = (journal(two.folder / name, "loss") for name in ("dies", "sync"))
    assert done == {step: undisturbed[step] for step in range(1, 10)}
    assert "exitcode: -9" in errors
    summary = errors.rpartition("Root Cause")[2]
    assert "rank      : 1" in summary and "RuntimeError: the second life of rank 1 is over" in summary


# Without torchrun.


def test_alone_the_pulse_is_not_a_step_late() -> None:
    pulse = Pulse(World())
    assert pulse(3.5, 0) == (3.5, 0) and pulse(4.0, 15) == (4.0, 15)


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_shares_of_the_ranks_are_the_batch(start: int, workers: int, tiny_coco: Path) -> None:
    crops = PersonCrops(read_set(f"{tiny_coco}@train"), CropConfig(size=(64, 64)))
    loader = Loader([crops], Order([len(crops)], [1.0], 0), AugmentConfig(flip=0.5), crops.config, COCO17, 0, workers)
    whole = loader.batches(start, 6)
    shares = [loader.batches(start, 6, rank, 3) for rank in range(3)]
    for _ in range(3):
        batch, parts = next(whole), [next(share) for share in shares]
        for field in ("cuts", "keypoints", "grid", "index"):
            assert torch.equal(getattr(batch, field), torch.cat([getattr(part, field) for part in parts]))
    for generator in (whole, *shares):
        generator.close()


@pytest.mark.parametrize(("accumulate", "message"), [(1, "a batch of 6 cannot"), (2, "a batch of 6 in 2 parts cannot")])
def test_a_batch_that_cannot_be_split_is_told(accumulate: int, message: str) -> None:
    with pytest.raises(
        BadInput, match=rf"{message} be split evenly over 4 processes; .* multiple of {4 * accumulate}$"
    ):
        check_batch(World(size=4), 6, accumulate)
    check_batch(World(size=4), 8, accumulate)
