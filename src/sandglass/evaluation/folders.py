"""The report of a folder that lies on disk: of an evaluation, or of a training run, which is evaluated first."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.core.pose import People
from sandglass.data.results import read_results
from sandglass.data.sets import parse_set, read_set
from sandglass.data.untrusted import read_json
from sandglass.evaluation.compare import check_labels, read_evaluation
from sandglass.evaluation.journals import read_journal
from sandglass.evaluation.ledger import survey
from sandglass.evaluation.protocols import check, fingerprint
from sandglass.evaluation.publish import RECORD_FILE, Record, digest, illustrate, model_facts, publish
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
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the report of `folders[0]` into `out`, with the curves of the other folders' runs; returns the page.

    An evaluation's folder is shown as it was scored. A run's folder is evaluated on `data`, by default the set that
    the run was validated on, and again when its model or the labels are others than those that were scored; without
    any, only its curves are shown. `say` is told what a reader of the page would not expect. Raises BadInput.
    """
    check_writable(out)
    folder, *others = folders
    command = shlex.join(["sandglass", "report", *map(str, folders), *(["--data", data] if data else [])])
    runs = {name: journal_of(other) for name, other in zip(_names(others), others, strict=True)}
    before = Record(skeleton=_configured(folder, "skeleton"))
    if (folder / RECORD_FILE).is_file():
        before = Record.load(folder)
        people = read_set(data or before.data, before.skeleton)
        outdated = _outdated(folder, before, people)
        if not outdated:
            return _again(folder, out, people, before, device, runs, say)
        say(f"{folder} is scored anew: {outdated}")
    if not (folder / MODEL_FILE).is_file():
        raise BadInput(f"{folder}: neither a run ({MODEL_FILE}) nor an evaluation ({RECORD_FILE}); give one of them")
    data = data or before.data or _configured(folder, "val")
    if not data:
        return _curves_only(folder, out, runs, command)
    return _scored(folder, out, data, before, command, device, runs, on_progress)


def _scored(
    folder: Path,
    out: Path,
    data: str,
    before: Record,
    command: str,
    device: str,
    runs: Mapping[str, Path],
    on_progress: Callable[[int, int], None] | None,
) -> Path:
    """The report of a run, from its model as it is now, looked at as it was `before`."""
    model = folder / MODEL_FILE
    taken: dict[str, Any] = {name: getattr(before, name) for name in ("flip", "stacks", "skeleton", "boxes")}
    taken |= {"sha256": digest(model), "title": folder.resolve().name}  # before it is read: training may go on
    predictor = Predictor.load(model, device=device, flip=before.flip, stacks=before.stacks or None)
    people, boxes = read_set(data, before.skeleton), Path(before.boxes) if before.boxes else None
    cut = shorter(model, predictor)
    found = survey(predictor, people, before.protocol, boxes=boxes, shorter=cut, on_progress=on_progress)
    scores, predictions, ledger = found
    record = describe(model, data, scores.protocol, command, **taken)
    return publish(out, predictor, people, scores, predictions, record=record, ledger=ledger, runs=runs)


def _is_of_run(folder: Path, record: Record) -> bool:
    """Whether an evaluation is one of the run in whose folder it lies, wherever the folder was moved from."""
    return (folder / MODEL_FILE).is_file() and Path(record.model).name == MODEL_FILE


def _outdated(folder: Path, record: Record, people: People) -> str:
    """Why an evaluation is not what is asked for, where it can be made anew: of a run; else "".

    Raises BadInput for labels that another evaluation was not made on.
    """
    if not _is_of_run(folder, record):
        check_labels(read_evaluation(folder), people)
        return ""
    if not record.sha256:
        return "of which model its scores are was not kept"
    if digest(folder / MODEL_FILE) != record.sha256:
        return f"{MODEL_FILE} is another than the one that its scores are of"
    evaluation = read_evaluation(folder)
    if fingerprint(people) != evaluation.fingerprint:
        return f"its scores are of other labels ({evaluation.source}) than those of {people.source}"
    return ""


def describe(model: Path, data: str, protocol: str, command: str, *, title: str = "", **given: Any) -> Record:
    """The record of an evaluation of a model on a data set; paths as the current folder sees them.

    `given` are further fields of `Record`; without `sha256` the model's file is read for it, as it is now.
    """
    model = find_model(model).resolve()
    given["sha256"] = given.get("sha256") or digest(model)
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


def _again(
    folder: Path,
    out: Path,
    people: People,
    record: Record,
    device: str,
    runs: Mapping[str, Path],
    say: Callable[[str], None],
) -> Path:
    """The report of an evaluation from what it left: nothing is predicted but the pictures' heatmaps."""
    scores, kept = _table(folder / "scores.json"), folder / "report.json"
    predictions = read_results(folder / "predictions.json", people.skeleton)
    check(people, predictions, record.protocol)
    ledger = _table(kept).get("ledger") if kept.is_file() else None
    if _is_of_run(folder, record):
        record = replace(record, model=str(folder / MODEL_FILE), journal=str(folder / JOURNAL_FILE))
    predictor, model = None, Path(record.model)
    if record.model and model.is_file():
        if record.sha256 and digest(model) != record.sha256:
            say(
                f"warning: {model} is another model than the one that was scored into {folder}; the page shows those "
                "scores, without heatmaps; evaluate again"
            )
        else:
            predictor = Predictor.load(model, device=device, flip=record.flip, stacks=record.stacks or None)
    if record.journal and not Path(record.journal).is_file():
        record = replace(record, journal="")
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
