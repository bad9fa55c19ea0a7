"""`sandglass data check`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from sandglass.cli.terminal import Terminal, bar

if TYPE_CHECKING:
    from sandglass.core.pose import People
    from sandglass.data.doctor.finding import Finding
    from sandglass.data.sets import SetSpec

ManySets = Annotated[tuple[str, ...], arg(metavar="FOLDER@SPLIT")]


def run(
    data: Positional[ManySets],
    model: Path | None = None,
    out: Path | None = None,
    fix: Path | None = None,
    sure: float = 0.8,
    photos: bool = True,
    only: tuple[str, ...] = (),
    most: int = 20,
    device: str = "auto",
) -> None:
    """Look for what is wrong with data sets: swapped sides, duplicates, leaks, broken photographs, doubtful labels.

    The exit status is 0 where nothing is found, 1 where something is, 2 where the sets cannot be read at all.

    Args:
        data: What to look at; the same photograph in two of them, or nearly the same, is a leak. A pack is read
            whole, and must be what was written.
        model: A checkpoint, whose disagreement with the labels is reported too.
        out: Folder for findings.json, findings.csv and gallery.png, the people concerned with their labels drawn.
        fix: A new annotation file (.json) of the first set, with swapped sides exchanged, duplicates dropped, boxes
            grown, and without the photographs that the further sets hold too, or nearly; never written over another.
            Named like a split, beside a link to the photographs, it is one.
        sure: Least sureness, 0 ... 1, of findings that are told and put right.
        photos: Read and decode every photograph.
        only: Kinds of findings to tell of, in place of all.
        most: Findings that are listed in the terminal; the gallery shows as many, and at least 48.
        device: auto, cpu, cuda, mps: of the model.
    """
    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable
    from sandglass.data.doctor.check import check_set
    from sandglass.data.doctor.finding import CURES, counts, worst, write_findings
    from sandglass.data.doctor.fixing import check_target
    from sandglass.data.doctor.fixing import fix as write_fixed
    from sandglass.data.doctor.photographs import check_photographs
    from sandglass.data.sets import check_named_once, parse_sets

    console = Terminal()
    specs = parse_sets(data)
    check_named_once(specs)
    specs = _without_packs(console, specs)
    if not specs:
        return
    if unknown := [kind for kind in only if kind not in CURES]:
        raise BadInput(f"--only {unknown[0]}: no such kind of finding; known are {', '.join(CURES)}")
    if fix is not None:
        check_target(fix, specs[0])
    if out is not None:
        check_writable(out)
    checked = [check_set(spec) for spec in specs]
    sets, findings = [people for people, _ in checked], [f for _, found in checked for f in found]
    if photos:
        with bar(console, "looking at photographs") as progress:
            findings += check_photographs(sets, progress)
    if model is not None:
        findings = _with_model(console, model, device, sets, findings)
    findings = [f for f in findings if f.sure >= sure and (not only or f.kind in only)]
    if out is not None:
        from sandglass.evaluation.labels import write_gallery

        write_findings(out, findings)
        write_gallery(out / "gallery.png", sets, findings, max(48, most))
    if fix is not None:
        done = write_fixed(fix, specs[0], sets[0], findings, sure)
        told = ", ".join(f"{count} {kind}" for kind, count in done.items())
        console.print(f"{fix}: a new annotation file, put right: {told}", highlight=False, soft_wrap=True)
    if not findings:
        console.print(f"{sum(map(len, sets)):,} people: nothing found that is {sure:g} sure", highlight=False)
        return
    console.print(counts(findings))
    console.print(worst(findings, most))
    sys.exit(1)


def _without_packs(console: Terminal, specs: Sequence["SetSpec"]) -> list["SetSpec"]:
    """The other sets, once the packs among them were read whole. Raises BadInput."""
    from sandglass.data.pack import check_content, open_pack
    from sandglass.data.sets import PACK

    for spec in (spec for spec in specs if spec.layout == PACK):
        pack = open_pack(spec.folder)
        check_content(pack)
        console.print(f"{spec}: {len(pack.ids):,} people, every byte as it was written", highlight=False)
    return [spec for spec in specs if spec.layout != PACK]


def _with_model(
    console: Terminal, model: Path, device: str, sets: Sequence["People"], findings: list["Finding"]
) -> list["Finding"]:
    """The findings, and those of a model."""
    from sandglass.evaluation.labels import check_labels, merged
    from sandglass.inference.predictor import Predictor

    predictor = Predictor.load(model, device=device)
    for people in sets:
        with bar(console, f"asking the model about {people.source}") as progress:
            findings = findings + check_labels(predictor, people, findings, progress)
    return merged(findings)
