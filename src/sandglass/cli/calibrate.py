"""`sandglass calibrate`."""

from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal, bar


def run(
    model: Positional[Path],
    data: OneSet,
    out: Path,
    threshold: float = 0.5,
    seed: int = 0,
    flip: bool = True,
    skeleton: str = "",
    device: str = "auto",
) -> None:
    """Turn a model's joint scores into probabilities, fitted on half of a data set and tested on the other half.

    Args:
        model: A checkpoint, model.safetensors.
        data: People whom the model was not trained on.
        out: The calibrated checkpoint; the same network, with two numbers more for each joint, stack and purpose.
        threshold: Probability from which on a joint of the new checkpoint counts as present.
        seed: Draws the halves.
        flip: Average the heatmaps of each crop and of its mirror image; predict in the same way afterwards.
        skeleton: A .toml file (or a known name) whose joints count in place of the data's own.
        device: auto, cpu, cuda, mps.
    """
    from dataclasses import replace

    from sandglass.core.files import check_writable
    from sandglass.data.sets import read_set
    from sandglass.evaluation.calibrate import calibrate, trial_table
    from sandglass.inference.predictor import Predictor
    from sandglass.models.checkpoint import load_checkpoint, save_checkpoint

    console = Terminal()
    check_writable(out.parent)
    predictor = Predictor.load(model, flip=flip, device=device)
    codec = replace(predictor.spec.codec, threshold=threshold)  # refuses, before any work, what is no probability
    people = read_set(data, skeleton)
    with bar(console, "looking at people") as progress:
        trials = calibrate(predictor, people, seed=seed, on_progress=progress)
    console.print(trial_table(trials, people))
    network, _ = load_checkpoint(model)
    told = {"calibrated": f"{trials[0].fitted:,} people of {data}, seed {seed}, flip {'on' if flip else 'off'}"}
    spec = replace(trials[0].spec(predictor.spec), codec=codec)
    save_checkpoint(out, network, spec, {**spec.summary, **told})
    console.print(f"wrote {out}; a joint is present from a probability of {threshold:g} on", highlight=False)
