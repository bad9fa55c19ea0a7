"""Everything that an evaluation leaves in its folder: scores, predictions, pictures, and the report that shows them."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sandglass.core.config import from_plain, to_plain
from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.core.image import write_image
from sandglass.core.pose import People, Predictions
from sandglass.data.results import write_results
from sandglass.data.untrusted import read_json
from sandglass.draw.charts import training_curves
from sandglass.draw.plot import to_png
from sandglass.evaluation.findings import calibration
from sandglass.evaluation.galleries import galleries
from sandglass.evaluation.journals import read_journal
from sandglass.evaluation.ledger import Ledger
from sandglass.evaluation.page import Picture
from sandglass.evaluation.pictures import album, overlays, sheets
from sandglass.evaluation.protocols import find_protocol, photographs
from sandglass.evaluation.report import write_report
from sandglass.evaluation.scores import Scores, resampled
from sandglass.evaluation.sections import PICTURES, Report
from sandglass.inference.folder import overlay_names
from sandglass.inference.predictor import Predictor
from sandglass.metrics.diagnosis import diagnose
from sandglass.models.spec import ModelSpec

RECORD_FILE = "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Record:
    """How an evaluation was made: what its report tells, and what is needed to make the report again.

    model, journal: paths, the latter of the training's metrics.jsonl; sha256: of the model, see `digest`; boxes: the
    detector's file; data: as FOLDER@SPLIT. "" where there is none, or where an older version did not keep it.
    stacks: the network was cut after so many, 0: not. skeleton: in place of the data's own, as `read_set` takes it.
    calibrated: the model's joint scores were fitted to be probabilities.
    """

    title: str = ""
    command: str = ""
    protocol: str = "coco-gt"
    model: str = ""
    sha256: str = ""
    boxes: str = ""
    data: str = ""
    journal: str = ""
    flip: bool = True
    stacks: int = 0
    skeleton: str = ""
    calibrated: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write evaluation.json. Raises BadInput."""
        write_whole(folder / RECORD_FILE, json.dumps(to_plain(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """The record of an evaluation's folder. Raises BadInput."""
        try:
            return from_plain(cls, read_json(folder / RECORD_FILE))
        except BadInput as error:
            raise BadInput(f"{folder / RECORD_FILE}: {str(error).removeprefix(f'{folder / RECORD_FILE}: ')}") from None


def digest(model: Path) -> str:
    """The SHA-256 of a model's file; of OpenVINO's .xml, of that and the weights beside it. "" if it cannot be read."""
    total = hashlib.sha256()
    try:
        for part in (model, model.with_suffix(".bin")) if model.suffix == ".xml" else (model,):
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
    except OSError:  # whoever takes it for a model says why
        return ""
    return total.hexdigest()


def publish(
    out: Path,
    predictor: Predictor,
    people: People,
    scores: Scores,
    predictions: Predictions,
    *,
    record: Record,
    ledger: Ledger | None = None,
    runs: Mapping[str, Path] | None = None,
) -> Path:
    """Write scores.json, scores.csv, predictions.json, evaluation.json, pictures/ and the report into `out`.

    `people` is the whole data set; `runs` are journals of other trainings, to be drawn beside this one's. Returns
    the path of the page. Raises BadInput.
    """
    facts = {**model_facts(predictor.spec), "runtime": predictor.runtime.name, **record.facts}
    record = replace(record, facts=facts, calibrated=predictor.spec.calibration is not None)
    scores.write(out)
    write_results(out / "predictions.json", predictions)
    record.save(out)
    told = None if ledger is None else ledger.to_dict()
    return illustrate(out, predictor, people, scores.to_dict(), predictions, record=record, ledger=told, runs=runs)


def illustrate(
    out: Path,
    predictor: Predictor | None,
    people: People,
    scores: Mapping[str, Any],
    predictions: Predictions,
    *,
    record: Record,
    ledger: Mapping[str, Any] | None = None,
    runs: Mapping[str, Path] | None = None,
) -> Path:
    """Write the report and pictures/ of an evaluation; `scores` and `ledger` as their files hold them.

    Without a predictor there are no heatmaps, without photographs no pictures. Raises BadInput.
    """
    asked = people.select(find_protocol(record.protocol).asked(people))
    draws = resampled(people, record.protocol)
    calibrated = record.calibrated or (predictor is not None and predictor.spec.calibration is not None)
    book = album(people, asked, predictions)
    wide, wrong, photos = sheets(predictor, book), galleries(book), overlays(predictor, book)
    journals = ({"this run": Path(record.journal)} if record.journal else {}) | dict(runs or {})
    rows = {name: read_journal(path) for name, path in journals.items()}
    files = _write_pictures(out / PICTURES, [*wide, *wrong.values()], photos)
    if record.journal:
        files.append("curves.png")
        write_whole(out / PICTURES / files[-1], to_png(training_curves(rows["this run"], record.protocol)))
    report = Report(
        title=record.title or f"{scores.get('source', '')}, {record.protocol}",
        scores=scores,
        runs=rows,
        ledger=ledger,
        mistakes=diagnose(people, predictions, photographs(people, record.protocol), draws).to_dict(),
        calibration=calibration(asked, predictions, draws, calibrated=calibrated),
        galleries=wrong,
        sheets=wide,
        pictures=photos,
        files=files,
        facts=record.facts,
        command=record.command,
    )
    return write_report(out, report)


def _write_pictures(folder: Path, wide: list[Picture], photos: list[Picture]) -> list[str]:
    """Every picture at full size, as a file; their names, which `report.OWN` knows."""
    names = [f"{i + 1:02d}-{_slug(caption)}.png" for i, (caption, _) in enumerate(wide)]
    different = overlay_names([Path(name) for name, _ in photos])  # photographs of one name in different folders
    names += [f"photo-{name}" for name in different]
    for name, (_, image) in zip(names, [*wide, *photos], strict=True):
        write_image(folder / name, image)
    return names


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


_TOLD = ("recipe", "init", "train", "people", "steps", "images", "seconds", "cut")


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower().split(":")[0].split("(")[0]).strip("-")
