"""`sandglass train`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sandglass.cli.terminal import OneSet, Sets, Size


def run(
    recipe: Positional[str] = "",
    data: Sets = (),
    val: OneSet = "",
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
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
) -> None:
    """Train a recipe on one or several data sets in the COCO layout, or go on with a run.

    Args:
        recipe: classic (the system that sandglass rebuilds), swift (learns fastest) or figures (the demo's).
        data: What to learn from; several sets are mixed by weight. A .toml file may list them.
        val: What to score on, along the way and at the end.
        out: Folder of the run: model.safetensors (best), last.safetensors, metrics.jsonl, config.json.
        resume: Folder of a run to go on with; --steps or --minutes move its end, --lr its rate.
        steps: Optimiser steps until the end.
        minutes: Wall clock until the end, evaluations included.
        seed: Of the weights, the order of examples and their augmentation.
        size: Of the crop that the network sees, in place of the recipe's.
        stacks: Number of hourglasses, in place of the recipe's.
        channels: Width of the network, in place of the recipe's.
        batch: People a step, in place of the recipe's.
        lr: Peak learning rate, in place of the recipe's.
        settings: Any other field of the recipe, as config.json names them: loss.name=mse, model.options.blocks=2.
        device: auto, cpu, cuda, cuda:1, mps.
        threads: CPU threads for the network; 0 takes the cores that this process may use, at most 16.
        workers: Threads that decode photographs; 0 takes half of those cores.
    """
    from dataclasses import replace

    from sandglass.core.config import altered
    from sandglass.core.errors import BadInput
    from sandglass.recipes import find_recipe, resized
    from sandglass.training.config import RunConfig
    from sandglass.training.train import train as work

    if resume is not None:
        given = (recipe, data, val, out, seed, size, stacks, channels, batch, settings)
        if any(value not in ("", (), 0, None) for value in given):
            raise BadInput("--resume takes recipe, data, folder, seed and sizes from the run; leave them out")
        config = resized(RunConfig.load(resume), lr=lr)
        schedule = config.schedule.until(steps, minutes)
        config = replace(config, schedule=schedule, device=device, threads=threads, workers=workers)
        work(config, resume, resume=True)
        return
    if not recipe or not data or out is None:
        raise BadInput(
            "a run needs a recipe, --data and --out, as in: sandglass train swift --data coco@train --out run"
        )
    config = resized(find_recipe(recipe), size=size, stacks=stacks, channels=channels, batch=batch, lr=lr)
    config = altered(config, settings)
    schedule = config.schedule.until(steps, minutes)
    config = replace(
        config, train=data, val=val, seed=seed, schedule=schedule, device=device, threads=threads, workers=workers
    )
    work(config, out)
