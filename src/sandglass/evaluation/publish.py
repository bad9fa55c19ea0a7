"""Everything that an evaluation leaves in its folder: scores, predictions, pictures, and the page that shows them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandglass.core.files import write_whole
from sandglass.core.image import write_image
from sandglass.core.pose import People, Predictions
from sandglass.data.results import write_results
from sandglass.draw.charts import to_png, training_curves
from sandglass.evaluation.pictures import overlays, sheets
from sandglass.evaluation.protocols import find_protocol
from sandglass.evaluation.report import read_journal, write_report
from sandglass.evaluation.scores import Scores
from sandglass.inference.predictor import Predictor
from sandglass.models.spec import ModelSpec


def publish(
    out: Path,
    predictor: Predictor,
    people: People,
    scores: Scores,
    predictions: Predictions,
    *,
    journal: Path | None = None,
    title: str = "",
    command: str = "",
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Write scores.json, scores.csv, predictions.json, pictures/ and report.html into `out`; returns the page.

    `people` is the whole data set, `journal` the metrics.jsonl of the training, where there is one. Raises BadInput.
    """
    scores.write(out)
    write_results(out / "predictions.json", predictions)
    asked = people.select(find_protocol(scores.protocol).asked(people))
    wide, photos = sheets(predictor, asked, predictions), overlays(people, predictions)
    pictures = out / "pictures"
    for i, (caption, image) in enumerate(wide):
        write_image(pictures / f"{i + 1:02d}-{_slug(caption)}.png", image)
    for name, image in photos:
        write_image(pictures / f"photo-{Path(name).stem}.jpg", image)
    if journal is not None:
        write_whole(pictures / "curves.png", to_png(training_curves(read_journal(journal), scores.protocol)))
    return write_report(
        out,
        title=title or f"{scores.source}, {scores.protocol}",
        scores=scores.to_dict() | {"source": scores.source},
        journal=journal,
        sheets=wide,
        pictures=photos,
        facts={**model_facts(predictor.spec), "runtime": predictor.runtime.name, **(facts or {})},
        command=command,
    )


def model_facts(spec: ModelSpec) -> dict[str, str]:
    """What a model is, in words: for reports."""
    codec, summary = spec.codec, spec.summary
    options = ", ".join(f"{name} {value}" for name, value in spec.options.items())
    found = {
        "network": f"{spec.network}: {options}",
        "crop": f"{codec.size[0]} x {codec.size[1]} pixels (width x height), {spec.padding:g} x the box",
        "codec": f"{codec.kind}, sigma {', '.join(f'{s:g}' for s in codec.sigmas)} cells, decoder {codec.decoder}",
        "skeleton": f"{spec.skeleton.name}, {len(spec.skeleton)} joints",
    }
    return found | {f"training: {name}": _fact(summary[name]) for name in _TOLD if name in summary}


_TOLD = ("recipe", "train", "people", "steps", "images", "seconds")


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower().split(":")[0].split("(")[0]).strip("-")
