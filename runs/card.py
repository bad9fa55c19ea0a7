"""The tables of MODEL_CARD.md, from the JSON files that ship beside the weights: one for each model. See ship.py."""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sandglass.core.errors import BadInput

Facts = Mapping[str, Any]
Models = Mapping[str, Facts]  # by name, in the order in which they are told
WATTS_PER_CORE, KG_PER_KWH = 10, 0.4  # assumed for the cost: a server core under load, a grid of middling carbon
WIDTH = 120  # columns of the card
PLACE = "src/sandglass/models/weights"


def render(text: str, models: Models) -> str:
    """A card with everything between `<!-- NAME -->` and `<!-- /NAME -->` written anew. Raises BadInput.

    A name that is not known, or one of BLOCKS that is missing, is a mistake in the card.
    """
    names = re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE)
    if sorted(names) != sorted(BLOCKS):
        raise BadInput(f"the card must hold each of the blocks {', '.join(BLOCKS)} once, not {', '.join(names)}")
    for name, write in BLOCKS.items():
        new = f"<!-- {name} -->\n{write(models)}\n<!-- /{name} -->"
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


def first(facts: Facts) -> Facts:
    """The set whose details are told."""
    return next(iter(facts["sets"].values()))


def beside(models: Models, rows: Callable[[Facts], Mapping[str, str]]) -> str:
    """A table with a column for each model: what `rows` tells of it, by the name of the row."""
    columns = [rows(facts) for facts in models.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    return table(["", *models], [[name, *(column.get(name, "") for column in columns)] for name in names])


def paragraphs(models: Models, write: Callable[[Facts], str]) -> str:
    return "\n\n".join(wrapped(f"`{name}`: {write(facts)}") for name, facts in models.items())


def network(models: Models) -> str:
    return beside(models, network_rows)


def network_rows(facts: Facts) -> dict[str, str]:
    spec, codec = facts["spec"], facts["spec"]["codec"]
    options = spec["options"]
    (w, h), cells = codec["size"], [side // codec["stride"] for side in codec["size"]]
    shape = f"{options['stacks']} hourglass{'es' * (options['stacks'] > 1)}, {options['channels']} channels growing by "
    maps = "distributions over" if codec["kind"] == "distribution" else "heatmaps of"
    blur = f" after a blur of {codec['smooth']:g} cells" if codec["smooth"] else ""
    honest = "calibrated" if spec.get("calibration") else "not calibrated (see below)"
    return {
        "network": f"{shape}{options.get('growth', 0)} at each of {options['depth']} halvings",
        "parameters, GMAC a look": f"{facts['parameters'] / 1e6:.2f} M, {facts['gmac']:.3f}",
        f"file in `{PLACE}`": f"`{facts['model']}.safetensors`, {facts['bytes'] / 1e6:.1f} MB",
        "SHA-256": f"`{facts['sha256'][:16]}…`",
        "input": f"crop of {w} × {h} pixels, {spec['padding']:g} × the box",
        "output": f"{len(spec['skeleton']['joints'])} {maps} {cells[0]} × {cells[1]} cells",
        "decoder": f"`{codec['decoder']}`{blur}",
        "scores of joints": f"{honest}; a joint below {codec['threshold']:g} counts as absent",
    }


def scores(models: Models) -> str:
    heads = ["AP", "AP50", "AP75", "AR", "PCK@0.2", "PCKh@0.5"]
    rows = []
    for data, of in next(iter(models.values()))["sets"].items():
        for name, facts in models.items():
            cells = [told(facts["sets"][data]["figures"].get(head)) for head in heads]
            rows.append([f"`{data}`: {of['people']:,} people, {of['images']:,} photographs", f"`{name}`", *cells])
        for name, facts in models.items():
            if rest := facts["sets"][data].get("apart"):
                cells = [told(rest["figures"].get(head)) for head in heads]
                rows.append(
                    [f"… without {rest['photographs']} that are nearly ones it learnt from", f"`{name}`", *cells]
                )
    for name, facts in models.items():
        if of := facts.get("learnt"):
            cells = [told(of["figures"].get(head)) for head in heads]
            source = f"`{of['data']}`: {of['people']:,} people, {of['images']:,} photographs, which it learnt from"
            rows.append([source, f"`{name}`", *cells])
    return table(["", "", *heads], rows)


def stages(models: Models) -> str:
    """What every stack adds, of the models that have several."""
    rows = []
    for name, facts in models.items():
        for stage in facts.get("ledger", {}).get("stages", []):
            cells = [told(with_ends(stage, figure)) for figure in ("AP", "PCK@0.2")]
            cells += [f"{stage['inversions']:.3f}", f"{stage['entropy']:.2f}", f"{stage['gmac']:.3f}"]
            rows.append([f"`{name}`", str(stage["stack"]), *cells, f"{stage['milliseconds']:.1f}"])
    heads = ["", "stacks", "AP", "PCK@0.2", "inverted joints", "entropy of the maps", "GMAC", "ms, PyTorch"]
    return table(heads, rows) if rows else "Every model has one stack."


def with_ends(stage: Facts, figure: str) -> Facts:
    low, high = stage["intervals"][figure]
    return {"value": stage["figures"][figure], "low": low, "high": high}


def joints(models: Models) -> str:
    columns: dict[str, list[str]] = {}
    for facts in models.values():
        pairs: dict[str, dict[str, Facts]] = {}
        for name, of in first(facts)["joints"].items():
            side, _, rest = name.partition("_")
            pairs.setdefault(rest or name, {})[side if rest else ""] = of
        for name, sides in pairs.items():
            cells = [told(sides[""]), ""] if "" in sides else [told(sides["left"]), told(sides["right"])]
            columns.setdefault(name, [f"{sum(of['joints'] for of in sides.values()):,}"]).extend(cells)
    heads = [f"{side}, {name}" for name in models for side in ("left", "right")]
    return table(["PCK@0.2", "labelled", *heads], [[name, *cells] for name, cells in columns.items()])


def mistakes(models: Models) -> str:
    meaning = {
        "jitter": "near its place, not near enough",
        "inversion": "on the joint's mirror twin",
        "swap": "on another person",
        "miss": "near nothing of these",
        "scoring": "people ranked wrongly",
    }
    found = [first(facts)["mistakes"] for facts in models.values()]
    order = sorted(found[0], key=lambda kind: -found[0][kind]["gain"]["value"])
    rows = [
        [f"{k}: {meaning[k]}", *(cell for of in found for cell in (told(of[k].get("share")), told(of[k]["gain"], "+")))]
        for k in order
    ]
    heads = [head for name in models for head in (f"share of the joints, {name}", f"AP if mended, {name}")]
    return table(["kind", *heads], rows)


def groups(models: Models) -> str:
    heads = {"size": "size", "overlap": "overlap with others", "joints": "labelled joints"}
    found = [first(facts)["groups"] for facts in models.values()]
    rows = []
    for of, some in found[0].items():
        for name, group in some.items():
            if group["people"]:
                cells = [told(one[of][name]["AP"]) or "too few to tell" for one in found]
                rows.append([heads.get(of, of), name, f"{group['people']:,}", *cells])
    return table(["", "", "people", *(f"AP, {name}" for name in models)], rows)


def failures(models: Models) -> str:
    heads = ["image", "person", "OKS", "good", "jitter", "inversion", "swap", "miss"]
    rows = [
        [f"`{name}`", *(f"{row[head.lower()]}" for head in heads)]
        for name, facts in models.items()
        for row in first(facts)["failures"]
    ]
    return table(["", *heads], rows)


def calibration(models: Models) -> str:
    def write(facts: Facts) -> str:
        found, name = first(facts)["calibration"], next(iter(facts["sets"]))
        before, after = (" and ".join(f"{error:.3f}" for error in found[side]) for side in ("before", "after"))
        text = f"expected calibration error of the joints' scores on the halves of `{name}`: {before}; after a "
        return f"{text}calibration that was fitted on the other half: {after}."

    return paragraphs(models, write)


def speed(models: Models) -> str:
    found = [{k: took for k, took in facts["speed"].items() if isinstance(took, dict)} for facts in models.values()]
    rows = []
    for name in dict.fromkeys(name for of in found for name in of):
        cells = []
        for of in found:
            took = of.get(name, {})
            cells += [f"{took[part]:.1f}" if part in took else "" for part in ("ms", "network")]
            cells.append(f"{of['PyTorch fp32']['ms'] / took['ms']:.2f}" if took else "")
        rows.append([name, *cells])
    counts = {facts["speed"]["threads"] for facts in models.values()}
    heads = [f"{head}, {name}" for name in models for head in ("ms a person", "network alone", "× PyTorch")]
    return table([f"{_list(counts)} thread{'s' * (max(counts) > 1)}, batch 1", *heads], rows)


def _list(counts: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(counts)))


def cost(models: Models) -> str:
    def write(facts: Facts) -> str:
        summary = facts["summary"]
        sittings = summary.get("stages", [])
        cores = max([stage["threads"] for stage in sittings] or [1]) or 1
        hours = summary["seconds"] / 3600
        energy = hours * cores * WATTS_PER_CORE / 1000
        text = f"{summary['steps']:,} steps, {summary['images']:,} pictures, {hours:.1f} hours of {cores} shared CPU "
        text += "core" + "s" * (cores > 1)
        text += f", in {len(sittings)} sittings, each from the model before it" if len(sittings) > 1 else ""
        return f"{text}; {energy:.2f} kWh and {1000 * energy * KG_PER_KWH:.0f} g of CO₂."

    basis = f"Energy was not measured: {WATTS_PER_CORE} W a core, {KG_PER_KWH:g} kg CO₂ a kWh are assumed. The trials "
    return f"{paragraphs(models, write)}\n\n{wrapped(basis + 'cost more.')}"


def again(models: Models) -> str:
    """The commands that runs/again.py runs, to be read."""
    lines = ["```", *(f"python runs/again.py PEOPLE OUT --model {name}" for name in models), "```"]
    for name, facts in models.items():
        sittings = facts["summary"].get("stages", [])
        lines += ["", f"`{name}`:", ""] if sittings else []
        lines += [wrapped(f"{i + 1}. {command(stage, i)}") for i, stage in enumerate(sittings)]
    return "\n".join(lines)


def command(stage: Facts, earlier: int) -> str:
    text = f"`sandglass train {stage['recipe']} --data {' '.join(stage['train'])} --seed {stage['seed']} --steps "
    text += f"{stage['steps']}"
    text += f" --set {' '.join(stage['settings'])}" if stage["settings"] else ""
    return text + (" --init (the model before)`" if earlier else "`")


BLOCKS: dict[str, Callable[[Models], str]] = {
    "network": network,
    "scores": scores,
    "stages": stages,
    "joints": joints,
    "mistakes": mistakes,
    "groups": groups,
    "failures": failures,
    "calibration": calibration,
    "speed": speed,
    "cost": cost,
    "again": again,
}
