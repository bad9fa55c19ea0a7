"""What can be chosen after training: how much of the photograph is shown, flip test, decoder, blur, ranking.

    python runs/test_time.py PEOPLE [--model swift-m]        PEOPLE holds coco/ and lsp/ in the COCO layout

A choice is changed alone (crop and blur together too), the others stay the model's own, and is compared with the model
as it is: AP on coco@val, PCK@0.2 on coco@val and on lsp@test, by a bootstrap that draws the same photographs for both.
The network looks once at every crop; what is read from its maps in different ways is kept. The last line is the table
as JSON.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from sandglass.core import geometry
from sandglass.core.cores import cpu_count
from sandglass.core.pose import Floats, People, Predictions
from sandglass.data.sets import read_set
from sandglass.evaluation.compare import Comparison, compare
from sandglass.evaluation.protocols import people_to_predict
from sandglass.inference.predictor import Predictor
from sandglass.inference.ranking import person_score
from sandglass.models.checkpoint import read_spec
from sandglass.models.codec import DECODERS, Codec, CodecConfig
from sandglass.models.shipped import DEFAULT_MODEL
from sandglass.models.spec import ModelSpec

PADDINGS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5)
BOTH = (1.05, 1.1, 1.15)  # where crop and blur are changed together
BLURS = (0.5, 1.0, 1.5)
SETS = {"coco@val": ("AP", "PCK@0.2"), "lsp@test": ("PCK@0.2",)}


@dataclass(frozen=True)
class Choice:
    """One way of using a model: its spec, changed, and whether it looks at the mirror image too."""

    name: str
    spec: ModelSpec
    flip: bool = True
    rank: Callable[[Floats], Floats] = person_score  # joint scores (B, K) -> what ranks people (B,)

    @property
    def look(self) -> tuple[float, bool]:
        """What decides about the maps; the rest only reads them."""
        return self.spec.padding, self.flip


def choices(spec: ModelSpec) -> list[Choice]:
    """The model as it is, then each choice alone; those that need the same maps stand together."""

    def codec(**changed: Any) -> ModelSpec:
        new: CodecConfig = replace(spec.codec, **changed)
        return replace(spec, codec=new)

    found = [Choice("as it is", spec)]
    found += [Choice(f"decoder {name}", codec(decoder=name)) for name in DECODERS if name != spec.codec.decoder]
    found += [Choice(f"blur of {blur:g} cells", codec(smooth=blur)) for blur in BLURS]
    found += [Choice("ranked by all joints alike", spec, rank=alike)]
    found += [
        Choice("ranked by the joints that are present", spec, rank=partial(of_the_present, at=spec.codec.threshold))
    ]
    found += [Choice("no flip test", spec, flip=False)]
    for padding in PADDINGS:
        if padding == spec.padding:
            continue  # its blurs are above
        found += [Choice(f"crop {padding:g} x the box", replace(spec, padding=padding))]
        for blur in BLURS if padding in BOTH else ():
            found += [Choice(f"crop {padding:g} x, blur of {blur:g}", replace(codec(smooth=blur), padding=padding))]
    return found


def alike(scores: Floats) -> Floats:
    """The plain mean of joint scores (B, K)."""
    return scores.mean(-1)


def of_the_present(scores: Floats, at: float) -> Floats:
    """The mean of the joint scores (B, K) from `at` on; of all, where there is none."""
    counted = np.where((scores >= at).any(-1, keepdims=True), scores >= at, True)
    return (scores * counted).sum(-1) / counted.sum(-1)


def answers(model: str, people: People, wanted: list[Choice], device: str) -> Iterator[Predictions]:
    """What each choice finds in the labelled boxes."""
    asked = people_to_predict(people, "coco-gt")
    maps, before = torch.empty(0), None
    for choice in wanted:
        if choice.look != before:
            maps, before = look(model, asked, choice, device), choice.look
        yield read(maps, asked, choice)


def look(model: str, asked: People, choice: Choice, device: str) -> torch.Tensor:
    """The last stack's maps (N, K, h, w) of everybody."""
    loaded = Predictor.load(model, device=device, runtime="torch")
    predictor = Predictor(loaded.runtime, choice.spec, flip=choice.flip)
    h, w = choice.spec.codec.shape
    maps = torch.empty(len(asked), len(asked.skeleton), h, w)

    def keep(rows: Any, seen: Any) -> None:
        maps[torch.as_tensor(rows)] = torch.as_tensor(seen[:, -1]).cpu()

    predictor.predict_boxes(asked, asked.image, asked.boxes, asked.ids, watch=keep)
    return maps


def read(maps: torch.Tensor, asked: People, choice: Choice) -> Predictions:
    """Maps as poses in image pixels, ranked as the Predictor ranks them."""
    spec = choice.spec
    points, scored = Codec(spec.codec).decode(maps)
    matrices = geometry.image_from_crop(asked.boxes, spec.codec.size, spec.padding)
    scores = scored.double().numpy()
    present = scores >= spec.codec.threshold
    return Predictions(
        skeleton=spec.skeleton,
        image_ids=asked.image_ids[asked.image],
        keypoints=geometry.apply(matrices, points.double().numpy()),
        scores=scores,
        present=present,
        boxes=asked.boxes,
        score=choice.rank(scores),
        people=asked.ids,
    )


def measured(model: str, folder: Path, device: str, only: str) -> dict[str, dict[str, Comparison]]:
    """For each choice and data set, how it compares with the model as it is."""
    wanted = choices(replace(read_spec(model), calibration=None))
    wanted = wanted[:1] + [choice for choice in wanted[1:] if only in choice.name]
    found: dict[str, dict[str, Comparison]] = {choice.name: {} for choice in wanted[1:]}
    for name in SETS:
        people = read_set(f"{folder}/{name}")
        seen = answers(model, people, wanted, device)
        first = next(seen)
        for choice, predictions in zip(wanted[1:], seen, strict=True):
            found[choice.name][name] = compare(people, first, predictions, "coco-gt")
            print(f"{name}: {choice.name}", file=sys.stderr, flush=True)
    return found


def rows(found: Mapping[str, Mapping[str, Comparison]]) -> list[dict[str, Any]]:
    """One a choice: figure on set -> its value before and after, and the difference with its interval."""
    told = []
    for name, of in found.items():
        row: dict[str, Any] = {"choice": name}
        for data, figures in SETS.items():
            plain = of[data].to_dict()["figures"]
            row |= {f"{figure} on {data}": plain[figure] for figure in figures if figure in plain}
        told.append(row)
    return told


def show(told: list[dict[str, Any]]) -> None:
    heads = [key for key in told[0] if key != "choice"]
    table = Table(title="More than the model as it is, with 95 % intervals; * where they leave out 0")
    for heading in ("", *heads):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("as it is", *(f"{told[0][head]['a']:.4f}" for head in heads), end_section=True)
    for row in told:
        cells = ["{difference:+.4f} ({low:+.4f} … {high:+.4f})".format_map(row[head]) for head in heads]
        table.add_row(row["choice"], *(c + "*" * row[h]["real"] for c, h in zip(cells, heads, strict=True)))
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="folder that holds the data sets")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a checkpoint, or a model that ships with sandglass")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="choices whose name holds this text")
    given = parser.parse_args()
    torch.set_num_threads(given.threads or cpu_count())
    told = rows(measured(given.model, given.people, given.device, given.only))
    show(told)
    print(json.dumps({"model": given.model, "choices": told}))


if __name__ == "__main__":
    main()
