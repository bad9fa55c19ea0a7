"""The tables of MODEL_CARD.md, from the JSON file that ships beside the weights. See ship.py."""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandglass.core.errors import BadInput

Facts = Mapping[str, Any]
WATTS_PER_CORE, KG_PER_KWH = 10, 0.4  # assumed for the cost: a server core under load, a grid of middling carbon
WIDTH = 120  # columns of the card
PLACE = "src/sandglass/models/weights"


def render(text: str, facts: Facts) -> str:
    """A card with everything between `<!-- NAME -->` and `<!-- /NAME -->` written anew. Raises BadInput.

    A name that is not known, or one of BLOCKS that is missing, is a mistake in the card.
    """
    names = re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE)
    if sorted(names) != sorted(BLOCKS):
        raise BadInput(f"the card must hold each of the blocks {', '.join(BLOCKS)} once, not {', '.join(names)}")
    for name, write in BLOCKS.items():
        new = f"<!-- {name} -->\n{write(facts)}\n<!-- /{name} -->"
        text, count = re.subn(rf"<!-- {name} -->\n.*?<!-- /{name} -->", lambda _, new=new: new, text, flags=re.DOTALL)
        if count != 1:
            raise BadInput(f"the card's block {name} has no end <!-- /{name} -->")
    return text


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def told(found: Facts | None, sign: str = "", digits: int = 3) -> str:
    """0.207 (0.182 … 0.234)"""
    if not found:
        return ""
    form = f"{sign}.{digits}f"
    return f"{found['value']:{form}} ({found['low']:{form}} … {found['high']:{form}})"


def network(facts: Facts) -> str:
    spec, codec = facts["spec"], facts["spec"]["codec"]
    options = spec["options"]
    (w, h), cells = codec["size"], [side // codec["stride"] for side in codec["size"]]
    shape = f"{options['stacks']} hourglass{'es' * (options['stacks'] > 1)}, {options['channels']} channels growing by "
    shape += f"{options.get('growth', 0)} at each of {options['depth']} halvings"
    maps = "distributions over" if codec["kind"] == "distribution" else "heatmaps of"
    honest = "calibrated" if spec.get("calibration") else "not calibrated (see below)"
    file, joints = f"`{PLACE}/{facts['model']}.safetensors`", len(spec["skeleton"]["joints"])
    blur = f" after a blur of {codec['smooth']:g} cells" if codec["smooth"] else ""
    rows = [
        ["network", f"{shape}; {facts['parameters'] / 1e6:.2f} M parameters, {facts['gmac']:.3f} GMAC a look"],
        ["file", f"{file}, {facts['bytes'] / 1e6:.1f} MB, SHA-256 `{facts['sha256'][:16]}…`"],
        ["input", f"crop of {w} × {h} pixels, {spec['padding']:g} × the box"],
        ["output", f"{joints} {maps} {cells[0]} × {cells[1]} cells; decoder `{codec['decoder']}`{blur}"],
        ["scores of joints", f"{honest}; a joint below {codec['threshold']:g} counts as absent"],
    ]
    return table(["", ""], rows)


def scores(facts: Facts) -> str:
    heads = ["AP", "AP50", "AP75", "AR", "PCK@0.2", "PCKh@0.5"]
    rows = []
    for name, of in facts["sets"].items():
        cells = [told(of["figures"].get(head)) for head in heads]
        rows.append([f"`{name}`: {of['people']:,} people, {of['images']:,} photographs", *cells])
    return table(["", *heads], rows)


def first(facts: Facts) -> Facts:
    """The set whose details are told."""
    return next(iter(facts["sets"].values()))


def joints(facts: Facts) -> str:
    found = first(facts)["joints"]
    pairs: dict[str, dict[str, Facts]] = {}
    for name, of in found.items():
        side, _, rest = name.partition("_")
        pairs.setdefault(rest or name, {})[side if rest else ""] = of
    rows = []
    for name, sides in pairs.items():
        one = sides.get("")
        cells = [told(one), ""] if one else [told(sides["left"]), told(sides["right"])]
        rows.append([name, *cells, f"{sum(of['joints'] for of in sides.values()):,}"])
    return table(["PCK@0.2", "left", "right", "labelled"], rows)


def mistakes(facts: Facts) -> str:
    meaning = {
        "jitter": "near its place, not near enough",
        "inversion": "on the joint's mirror twin",
        "swap": "on another person",
        "miss": "near nothing of these",
        "scoring": "people ranked wrongly",
    }
    found = first(facts)["mistakes"]
    order = sorted(found, key=lambda kind: -found[kind]["gain"]["value"])
    rows = [[f"{k}: {meaning[k]}", told(found[k].get("share")), told(found[k]["gain"], "+")] for k in order]
    return table(["kind", "share of the labelled joints", "AP if only that were mended"], rows)


def groups(facts: Facts) -> str:
    heads = {"size": "size", "overlap": "overlap with others", "joints": "labelled joints"}
    rows = []
    for of, found in first(facts)["groups"].items():
        for name, group in found.items():
            if group["people"]:
                ap = "" if group["AP"] is None else f"{group['AP']:.3f}"
                rows.append([heads.get(of, of), name, f"{group['people']:,}", ap])
    return table(["", "", "people", "AP"], rows)


def failures(facts: Facts) -> str:
    heads = ["image", "person", "OKS", "good", "jitter", "inversion", "swap", "miss"]
    rows = [[f"{row[head.lower()]}" for head in heads] for row in first(facts)["failures"]]
    return table(heads, rows)


def calibration(facts: Facts) -> str:
    found, name = first(facts)["calibration"], next(iter(facts["sets"]))
    before, after = (" and ".join(f"{error:.3f}" for error in found[side]) for side in ("before", "after"))
    text = f"Expected calibration error of the joints' scores on the halves of `{name}`: {before}; after a calibration "
    return wrapped(text + f"that was fitted on the other half: {after}.")


def speed(facts: Facts) -> str:
    found = {name: took for name, took in facts["speed"].items() if isinstance(took, dict)}
    slow = found["PyTorch fp32"]["ms"]
    rows = []
    for name, took in found.items():
        part = f"{took['network']:.1f}" if "network" in took else ""
        rows.append([name, f"{took['ms']:.1f}", part, f"{slow / took['ms']:.2f}"])
    threads = facts["speed"]["threads"]
    count = f"{threads} thread{'s' * (threads > 1)}"
    return table([f"{count}, batch 1", "ms a person", "of that, the network", "× PyTorch"], rows)


def cost(facts: Facts) -> str:
    summary = facts["summary"]
    stages = summary.get("stages", [])
    cores = max([stage["threads"] for stage in stages] or [1]) or 1
    hours = summary["seconds"] / 3600
    energy = hours * cores * WATTS_PER_CORE / 1000
    text = f"{summary['steps']:,} steps, {summary['images']:,} pictures, {hours:.1f} hours of {cores} shared CPU core"
    text += "s" * (cores > 1)
    text += f", in {len(stages)} sittings, each from the model of the one before it" if len(stages) > 1 else ""
    text += f". Energy was not measured: at {WATTS_PER_CORE} W a core and {KG_PER_KWH:g} kg CO₂ a kWh, both assumed, "
    text += f"it was {energy:.2f} kWh and {1000 * energy * KG_PER_KWH:.0f} g of CO₂. The trials cost more."
    return wrapped(text)


def again(facts: Facts) -> str:
    """The commands that runs/again.py runs, to be read."""
    lines = ["```", "python runs/again.py PEOPLE OUT", "```"]
    stages = facts["summary"].get("stages", [])
    told = []
    for i, stage in enumerate(stages):
        words = [f"`sandglass train {stage['recipe']} --data {' '.join(stage['train'])} --seed {stage['seed']} --steps "
                 f"{stage['steps']}"]  # fmt: skip
        words += [f"--set {' '.join(stage['settings'])}"] if stage["settings"] else []
        words += ["--init (the model before)"] if i else []
        told.append(wrapped(f"{i + 1}. " + " ".join(words) + "`"))
    return "\n".join([*lines, *([""] if told else []), *told])


BLOCKS: dict[str, Callable[[Facts], str]] = {
    "network": network,
    "scores": scores,
    "joints": joints,
    "mistakes": mistakes,
    "groups": groups,
    "failures": failures,
    "calibration": calibration,
    "speed": speed,
    "cost": cost,
    "again": again,
}
