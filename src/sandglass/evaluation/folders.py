"""The report of a folder that lies on disk: of an evaluation, or of a training run, which is evaluated first."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.data.results import read_results
from sandglass.data.sets import parse_set, read_set
from sandglass.data.untrusted import read_json
from sandglass.evaluation.journals import read_journal
from sandglass.evaluation.ledger import survey
from sandglass.evaluation.protocols import check
from sandglass.evaluation.publish import RECORD_FILE, Record, illustrate, model_facts, publish
from sandglass.evaluation.report import write_report
from sandglass.evaluation.sections import Report
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import read_spec
from sandglass.models.shipped import find_model

# A run's files, as training writes them: training stands above this floor.
MODEL_FILE, JOURNAL_FILE, CONFIG_FILE = "model.safetensors", "metrics.jsonl", "config.json"


def make_report(
    folders: Sequence[Path],
    out: Path,
    *,
    data: str = "",
    device: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the report of `folders[0]` into `out`, with the curves of the other folders' runs; returns the page.

    An evaluation's folder is shown as it was scored. A run's folder is evaluated on `data`, by default the set that
    the run was validated on; without any, only its curves are shown. Raises BadInput.
    """
    check_writable(out)
    folder, *others = folders
    command = shlex.join(["sandglass", "report", *map(str, folders), *(["--data", data] if data else [])])
    runs = {name: journal_of(other) for name, other in zip(_names(others), others, strict=True)}
    if (folder / RECORD_FILE).is_file():
        return _again(folder, out, data, device, runs)
    if not (folder / MODEL_FILE).is_file():
        raise BadInput(f"{folder}: neither a run ({MODEL_FILE}) nor an evaluation ({RECORD_FILE}); give one of them")
    data = data or _configured(folder, "val")
    if not data:
        return _curves_only(folder, out, runs, command)
    skeleton = _configured(folder, "skeleton")
    predictor, people = Predictor.load(folder / MODEL_FILE, device=device), read_set(data, skeleton)
    again = shorter(folder / MODEL_FILE, predictor)
    scores, predictions, ledger = survey(predictor, people, shorter=again, on_progress=on_progress)
    title = folder.resolve().name
    record = describe(folder / MODEL_FILE, data, scores.protocol, command, title=title, skeleton=skeleton)
    return publish(out, predictor, people, scores, predictions, record=record, ledger=ledger, runs=runs)


def describe(model: Path, data: str, protocol: str, command: str, *, title: str = "", **given: Any) -> Record:
    """The record of an evaluation of a model on a data set; paths as the current folder sees them."""
    model = find_model(model).resolve()
    journal = model.parent / JOURNAL_FILE
    named = parse_set(data)
    name = model.parent.name if model.name == MODEL_FILE else model.stem
    return Record(
        title=title or f"{name} on {named.folder.resolve().name}@{named.split}",
        command=command,
        protocol=protocol,
        model=str(model),
        data=f"{named.folder.resolve()}@{named.split}",
        journal=str(journal) if journal.is_file() else "",
        **given,
    )


def shorter(model: Path, predictor: Predictor) -> Callable[[int], Predictor] | None:
    """The same model cut after fewer stacks, for the ledger's stopwatch; None for an exported file, which has all."""
    model = find_model(model)
    if model.suffix != ".safetensors":
        return None
    device = str(getattr(predictor.runtime, "device", "cpu"))
    return lambda stacks: Predictor.load(model, device=device, flip=predictor.flip, stacks=stacks)


def journal_of(folder: Path) -> Path:
    """The journal of a run, or of the run whose model an evaluation's folder scored. Raises BadInput."""
    if (folder / JOURNAL_FILE).is_file():
        return folder / JOURNAL_FILE
    if (folder / RECORD_FILE).is_file() and (journal := Record.load(folder).journal):
        return Path(journal)
    raise BadInput(f"{folder}: no {JOURNAL_FILE} here; give the folder of a run")


def _again(folder: Path, out: Path, data: str, device: str, runs: Mapping[str, Path]) -> Path:
    """The report of an evaluation from what it left: nothing is predicted but the pictures' heatmaps."""
    record = Record.load(folder)
    people = read_set(data or record.data, record.skeleton)
    scores, kept = _table(folder / "scores.json"), folder / "report.json"
    predictions = read_results(folder / "predictions.json", people.skeleton)
    check(people, predictions, record.protocol)
    ledger = _table(kept).get("ledger") if kept.is_file() else None
    predictor = None
    if record.model and Path(record.model).is_file():
        predictor = Predictor.load(record.model, device=device, flip=record.flip, stacks=record.stacks or None)
    if record.journal and not Path(record.journal).is_file():
        record = Record(**{**vars(record), "journal": ""})
    return illustrate(out, predictor, people, scores, predictions, record=record, ledger=ledger, runs=runs)


def _curves_only(folder: Path, out: Path, runs: Mapping[str, Path], command: str) -> Path:
    """A run without a data set to score it on: what it wrote down on its way."""
    spec = read_spec(folder / MODEL_FILE)
    rows = {"this run": read_journal(journal_of(folder))}
    rows |= {name: read_journal(path) for name, path in runs.items()}
    scores = dict(spec.summary.get("scores") or {})
    return write_report(
        out,
        Report(title=folder.resolve().name, scores=scores, runs=rows, facts=model_facts(spec), command=command),
    )


def _configured(folder: Path, field: str) -> str:
    path = folder / CONFIG_FILE
    return str(_table(path).get(field) or "") if path.is_file() else ""


def _table(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise BadInput(f"{path}: holds no JSON object; evaluate again")
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder's run: its own, with its parent's where two are the same."""
    short = [folder.resolve().name for folder in folders]
    return [
        name if short.count(name) == 1 and name != "this run" else str(folder)
        for name, folder in zip(short, folders, strict=True)
    ]
