"""The command line: one verb a command, each in a module of its own that is imported when it is called.

Bad input, and words that cannot be read, end with one line on standard error and status 2.
"""

import os
import sys
from collections.abc import Sequence

PROG = "sandglass"
# Verb -> (module in this package, what `sandglass --help` says: the first line of the docstring of its `run`).
VERBS = {
    "demo": ("demo", "Draw people, train on them, score and show: the whole main job, without a download."),
    "train": ("train", "Train a recipe on one or several data sets in the COCO layout, or go on with a run."),
    "evaluate": (
        "evaluate",
        "Score a model on a data set, with intervals, kinds of mistakes, what each stack is worth, and a page.",
    ),
    "compare": ("compare", "Say whether one model is really better than another, on the same photographs."),
    "calibrate": (
        "calibrate",
        "Turn a model's joint scores into probabilities, fitted on half of a data set and tested on the other half.",
    ),
    "report": (
        "report",
        "Show a run or an evaluation as one page: scores, mistakes, stacks, calibration, curves, pictures.",
    ),
    "predict": (
        "predict",
        "Find the joints of people in photographs: an overlay for each, and predictions.json.",
    ),
    "video": (
        "video",
        "Follow people through a video or a webcam: skeletons drawn in, poses as JSON lines.",
    ),
    "serve": ("serve", "Serve a page and an HTTP API on which a model looks at photographs."),
    "export": (
        "export",
        "Write a model as one graph, from photograph and boxes to keypoints, and verify it before it is written.",
    ),
    "models": ("models", "What stacked hourglasses weigh and work: parameters and GMAC for 1, 2, 4 and 8 stacks."),
    "doctor": (
        "doctor",
        "Say whether this machine can do the work: versions, devices, memory, disk, extras, a model, a data set.",
    ),
    "ceiling": ("ceiling", "What each decoder could reach at best: ground truth through encode, decode, score."),
    "data draw": ("data_draw", "Draw people in the COCO layout: an endless, seeded data set, splits train and val."),
    "data pack": (
        "data_pack",
        "Cut the people of data sets out of their photographs into one file that training reads in their place.",
    ),
    "data skeleton": (
        "data_skeleton",
        "Show a skeleton for approval: joints, mirror twins as inferred from the names, OKS sigmas, and a diagram.",
    ),
    "data stats": (
        "data_stats",
        "Count what data sets hold: people by joints, people an image, box sizes, visibility, what the filter removes.",
    ),
    "data check": (
        "data_check",
        "Look for what is wrong with data sets: swapped sides, duplicates, leaks, broken photographs, doubtful labels.",
    ),
    "data convert": (
        "data_convert",
        "Write a data set down in another layout, and with the joints of another skeleton if wished.",
    ),
    "data get": (
        "data_get",
        "Fetch COCO 2017 from the source: only the photographs with usable people, never the whole archives.",
    ),
}
GROUPS = sorted({verb.split()[0] for verb in VERBS if " " in verb})


def choose(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that the words begin with ("" for none), and the words that are left."""
    for length in (2, 1):
        verb = " ".join(words[:length])
        if verb in VERBS:
            return verb, list(words[length:])
    return "", list(words)


def overview(group: str = "") -> str:
    """What `sandglass --help` prints: the verbs, or those of one group."""
    verbs = {verb: line for verb, (_, line) in VERBS.items() if verb.startswith(group)}
    width = max(map(len, verbs))
    rows = "\n".join(f"  {verb:{width}}  {line}" for verb, line in verbs.items())
    return (
        f"usage: {PROG} {group or 'VERB'} ...\n\n"
        "Train stacked hourglass networks from scratch to find the joints of people: one verb a command.\n\n"
        f"{rows}\n\n{PROG} VERB --help shows what a verb takes."
    )


def gather(arguments: Sequence[str], flag: str) -> list[str]:
    """Repeated flags as one: `--data a --data b` means `--data a b`."""
    kept: list[str] = []
    values: list[str] = []
    place = None
    taking = False
    for argument in arguments:
        if argument == flag or argument.startswith(f"{flag}="):
            place = len(kept) if place is None else place
            values += [argument.removeprefix(f"{flag}=")] if "=" in argument[: len(flag) + 1] else []
            taking = argument == flag
        elif taking and not argument.startswith("--"):
            values.append(argument)
        else:
            taking = False
            kept.append(argument)
    return kept if place is None else [*kept[:place], flag, *values, *kept[place:]]


def call(words: Sequence[str]) -> int:
    """Run the verb that the words name; returns the exit status. Raises what the verb raises."""
    verb, rest = choose(words)
    if verb:
        from importlib import import_module

        from sandglass.cli.usage import Misuse, understood
        from sandglass.core.errors import plain

        run = import_module(f"{PROG}.cli.{VERBS[verb][0]}").run
        try:
            asked_for = understood(run, f"{PROG} {verb}", gather(gather(rest, "--data"), "--set"))
        except Misuse as error:
            print(f"{PROG} {verb}: {plain(str(error))}; see {PROG} {verb} --help", file=sys.stderr)
            return 2
        asked_for()
        return 0
    group = rest[0] if rest and rest[0] in GROUPS else ""
    asked = rest[1:] if group else rest
    if asked and asked[0] in ("--help", "-h"):
        print(overview(group))
        return 0
    if asked == ["--version"] and not group:
        from sandglass import __version__

        print(f"{PROG} {__version__}")
        return 0
    if not asked:
        print(overview(group), file=sys.stderr)
        return 2
    from sandglass.core.errors import BadInput

    known = ", ".join(verb.removeprefix(f"{group} ") for verb in VERBS if verb.startswith(group))
    raise BadInput(f"'{asked[0]}' is no command of {PROG}{' ' * bool(group)}{group}; known are {known}")


def main() -> int:
    """The entry point; returns the exit status."""
    from sandglass.core.errors import BadInput

    try:
        return call(sys.argv[1:])
    except BadInput as error:
        print(f"{PROG}: {error}", file=sys.stderr)
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush goes nowhere
        return 141
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"{PROG}: {place}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 2
