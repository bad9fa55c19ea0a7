"""What fits is found by doubling; a compiler is used where it works and pays, and leaves the network as it was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sandglass.core.errors import BadInput
from sandglass.data.augment import Painter
from sandglass.models.codec import Codec
from sandglass.models.zoo import build
from sandglass.training import fitting
from sandglass.training.config import RunConfig
from sandglass.training.fitting import compile_where_it_pays, largest_batch, made_up, out_of_memory, scaled
from sandglass.training.step import OptimiserConfig, Step, optimiser
from sandglass.training.train import train

TinyRun = Callable[..., RunConfig]
CPU = torch.device("cpu")
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


def make_step(config: RunConfig) -> Step:
    torch.manual_seed(0)
    network, model = build(config.model), config.model
    painter = Painter(config.augment, model.codec.size, model.mean, model.std, CPU)
    optim = optimiser(config.optimiser, network)
    return Step(
        network, Codec(model.codec), painter, config.loss, optim, stacks=1, clip=0.0, precision="fp32", device=CPU
    )


@pytest.mark.parametrize(("holds", "most", "found"), [(1, 99, 0), (2, 99, 2), (3, 99, 2), (63, 99, 32), (64, 99, 64),
                                                      (999, 99, 64), (999, 128, 128), (999, 1, 0)])  # fmt: skip
def test_the_largest_power_of_two_that_fits(holds: int, most: int, found: int) -> None:
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        if size > holds:
            raise torch.cuda.OutOfMemoryError(FULL)

    assert largest_batch(attempt, most) == found
    assert max(tried, default=0) <= min(most, max(2, 2 * holds))


def test_another_error_is_no_lack_of_memory() -> None:
    def attempt(_: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        largest_batch(attempt, 64)
    assert out_of_memory(torch.cuda.OutOfMemoryError(FULL)) and out_of_memory(RuntimeError("MPS backend out of memory"))
    assert not out_of_memory(ValueError("out of memory"))


def test_the_rate_follows_the_batch() -> None:
    assert scaled(OptimiserConfig(name="muon", lr=0.01), 64, 16).lr == pytest.approx(0.02)
    assert scaled(OptimiserConfig(name="sgd", lr=0.01), 64, 16).lr == pytest.approx(0.04)
    assert scaled(OptimiserConfig(name="adamw", lr=0.01), 16, 16) == OptimiserConfig(name="adamw", lr=0.01)


def test_no_batch_is_looked_for_on_a_cpu(tiny_run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--batch 0 looks for .* give --batch on a CPU"):
        train(tiny_run(steps=2, fit_batch=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_made_up_batch_has_the_shape_of_a_real_one(tiny_run: TinyRun) -> None:
    config = tiny_run(steps=2)
    batch = made_up(config, 3)
    w, h = config.crop.cut_size
    assert batch.cuts.shape == (3, h, w, 3) and batch.keypoints.shape == (3, 17, 2) and len(batch) == 3
    loss, count = make_step(config).forward(batch)
    assert loss.isfinite() and count > 0


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """`compiler(f)`: torch.compile makes f of a network."""
    return lambda make: monkeypatch.setattr(torch, "compile", lambda network, **_: make(network))


def state_of(step: Step) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in step.network.state_dict().items()}


def test_a_compiled_network_is_called_and_the_trial_leaves_no_trace(tiny_run: TinyRun, compiler: Any) -> None:
    config = tiny_run(steps=2)
    step, calls = make_step(config), []
    compiler(lambda network: lambda x: (calls.append(1), network(x))[1])
    before = state_of(step)
    assert compile_where_it_pays(step, "on", made_up(config, 2)).startswith("compiled: forward and backward are ")
    after = state_of(step)
    assert all(torch.equal(before[name], after[name]) for name in before), "running statistics too"
    assert all(p.grad is None for p in step.network.parameters())
    trials = len(calls)
    step([made_up(config, 2)], 0.1)
    assert len(calls) == trials + 1


def test_a_compiler_that_fails_is_told_in_a_line_and_not_used(tiny_run: TinyRun, compiler: Any) -> None:
    def broken(_: Any) -> Any:
        raise OSError("no C++ compiler\nand a long story")

    config = tiny_run(steps=2)
    step = make_step(config)
    compiler(broken)
    before = state_of(step)
    told = compile_where_it_pays(step, "on", made_up(config, 2))
    assert told == "not compiled: OSError, no C++ compiler"
    compiler(lambda _: broken)  # it fails at the first call
    assert compile_where_it_pays(step, "on", made_up(config, 2)) == told
    assert step.model is step.network
    assert all(torch.equal(before[name], tensor) for name, tensor in state_of(step).items())


@pytest.mark.parametrize(("seconds", "used"), [((0.2, 0.1), True), ((0.1, 0.2), False)])
def test_on_its_own_choice_the_faster_is_kept(
    seconds: tuple[float, float], used: bool, tiny_run: TinyRun, compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, times = tiny_run(steps=2), iter(seconds)
    step = make_step(config)
    compiler(lambda network: lambda x: network(x))
    monkeypatch.setattr(fitting, "_seconds", lambda *_: next(times))
    monkeypatch.setattr(step, "device", type("Gpu", (), {"type": "cuda"}))
    monkeypatch.setattr(fitting, "_run", lambda *_: None)
    monkeypatch.setattr("sandglass.data.augment.Batch.to", lambda batch, _: batch)
    told = compile_where_it_pays(step, "auto", made_up(config, 2))
    assert (step.model is not step.network) == used
    assert ("2.00 x as fast" in told) if used else ("not compiled: forward and backward would be 0.50 x" in told)


@pytest.mark.parametrize("choice", ["auto", "off"])
def test_nothing_is_compiled_on_a_cpu_unless_it_is_asked_for(choice: str, tiny_run: TinyRun, compiler: Any) -> None:
    compiler(lambda _: pytest.fail("compiled"))
    step = make_step(tiny_run(steps=2))
    assert compile_where_it_pays(step, choice, made_up(tiny_run(steps=2), 2)) == ""
    assert step.model is step.network


def test_out_of_memory_in_a_run_is_one_line_with_the_cure(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = Step.forward, []

    def forward(self: Step, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise torch.cuda.OutOfMemoryError(FULL)
        return plain(self, batch)

    monkeypatch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(Step, "forward", forward)
        with pytest.raises(BadInput) as caught:
            train(tiny_run(steps=4), tmp_path)
    message = str(caught.value)
    assert message.startswith("out of memory on cpu at step 3, with 4 people at once; go on with ")
    assert f"--resume {tmp_path} --accumulate 2, or" in message and "\n" not in message
    train(replace(RunConfig.load(tmp_path), accumulate=2), tmp_path, resume=True)
