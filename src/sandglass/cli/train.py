"""`sandglass train`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sandglass.cli.terminal import OneSet, Sets, Size, Terminal


def run(
    recipe: Positional[str] = "",
    data: Sets = (),
    val: OneSet = "",
    skeleton: str = "",
    init: str = "",
    out: Path | None = None,
    resume: Path | None = None,
    steps: int = 0,
    minutes: float = 0.0,
    seed: int = 0,
    size: Size | None = None,
    stacks: int | None = None,
    channels: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    settings: Annotated[tuple[str, ...], arg(name="set", metavar="FIELD=VALUE")] = (),
    accumulate: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    compile: Literal["auto", "on", "off"] | None = None,
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
) -> None:
    """Train a recipe on one or several data sets in the COCO layout, or go on with a run.

    Args:
        recipe: classic (the system that sandglass rebuilds), swift (learns fastest) or figures (the demo's).
        data: What to learn from; several sets are mixed by weight. A .toml file may list them.
        val: What to score on, along the way and at the end.
        skeleton: A .toml file with joints, edges, mirror and sigmas, or a known name: in place of the data's own.
        init: A model to start from, in place of random weights: a checkpoint, or a model that ships (swift-s, swift-m).
        out: Folder of the run: model.safetensors (best), last.safetensors, metrics.jsonl, config.json.
        resume: Folder of a run to go on with; --steps or --minutes move its end, --lr its rate.
        steps: Optimiser steps until the end.
        minutes: Wall clock until the end, evaluations included.
        seed: Of the weights, the order of examples and their augmentation.
        size: Of the crop that the network sees, in place of the recipe's.
        stacks: Number of hourglasses, in place of the recipe's.
        channels: Width of the network, in place of the recipe's.
        batch: People a step, in place of the recipe's; 0 looks for the most that the GPU holds.
        lr: Peak learning rate, in place of the recipe's.
        settings: Any other field of the recipe, as config.json names them: loss.name=mse, model.options.blocks=2.
        accumulate: Parts that a batch is computed in, one after the other, where memory is short.
        precision: Of the arithmetic; auto takes bf16 where the chip multiplies it in hardware.
        compile: By torch.compile; auto tries it on a GPU and keeps what is faster.
        device: auto, cpu, cuda, cuda:1, mps; under torchrun auto, cpu or cuda, and each process takes its own.
        threads: CPU threads for the network; 0 takes what the workers leave of the cores that this process may use,
            at most 16.
        workers: Threads that decode photographs; 0 takes a quarter of those cores, beside a GPU half.
    """
    from dataclasses import replace
    from typing import Any

    from sandglass.core.config import altered
    from sandglass.core.errors import BadInput
    from sandglass.recipes import find_recipe, resized
    from sandglass.training.config import RunConfig
    from sandglass.training.train import train as work

    hardware: dict[str, Any] = {"device": device, "threads": threads, "workers": workers}
    asked = {"accumulate": accumulate, "precision": precision, "compile": compile}
    hardware |= {name: value for name, value in asked.items() if value is not None}
    if resume is not None:
        given = (recipe, data, val, skeleton, init, out, seed, size, stacks, channels, batch, settings)
        if any(value not in ("", (), 0, None) for value in given):
            raise BadInput("--resume takes recipe, data, folder, seed and sizes from the run; leave them out")
        config = resized(RunConfig.load(resume), lr=lr)
        schedule = config.schedule.until(steps, minutes)
        work(replace(config, schedule=schedule, **hardware), resume, resume=True, console=Terminal())
        return
    if not recipe or not data or out is None:
        raise BadInput(
            "a run needs a recipe, --data and --out, as in: sandglass train swift --data coco@train --out run"
        )
    config = resized(find_recipe(recipe), size=size, stacks=stacks, channels=channels, batch=batch, lr=lr)
    config = altered(config, settings)
    schedule = config.schedule.until(steps, minutes)
    work(
        replace(config, train=data, val=val, skeleton=skeleton, init=init, seed=seed, schedule=schedule, **hardware),
        out,
        console=Terminal(),
    )
