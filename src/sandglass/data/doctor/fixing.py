"""A healthier annotation file beside the old one: only cures that a program may apply. In the file, boxes are xywh."""

import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.coco import find_split
from sandglass.data.doctor.finding import SAFE, Finding
from sandglass.data.sets import SetSpec
from sandglass.data.untrusted import read_json, records


def check_target(target: Path, spec: SetSpec) -> None:
    """Refuse a place where no new file can be written: nothing is ever written over. Raises BadInput."""
    if spec.layout != "coco":
        raise BadInput(f"{spec}: only annotation files in COCO's layout can be rewritten; convert the set first")
    if target.suffix != ".json":
        raise BadInput(f"{target}: the new annotation file must be called .json")
    if target.exists() or target.resolve() == find_split(spec.folder, spec.split)[0].resolve():
        raise BadInput(f"{target}: is there already and is never written over; choose another name")


def fix(target: Path, spec: SetSpec, people: People, findings: Sequence[Finding], least: float) -> dict[str, int]:
    """Write the set's annotation file anew, with what is at least so sure put right; how many of each kind.

    Swapped pairs are exchanged, duplicates dropped, boxes grown to hold their joints; photographs that another set
    holds too, or nearly, are dropped with all of their people. All else stays as it is, also fields that nobody here
    knows. people: those of the set; findings about others are passed over. Raises BadInput.
    """
    check_target(target, spec)
    path, _ = find_split(spec.folder, spec.split)
    data = read_json(path)
    rows = {_number(row, "id"): row for row in records(data, "annotations", path)}
    images = {str(path): int(id) for path, id in zip(people.image_paths, people.image_ids, strict=True)}
    findings = [finding for finding in findings if finding.sure >= least]
    leaked = {images[photo] for photo in _leaked(findings, images)}
    done = dict.fromkeys(SAFE, 0) | {"leak": len(leaked)}
    dropped = set()
    for finding in findings:
        ours = finding.id is not None and finding.photo in images and finding.kind in SAFE
        row = rows.get(finding.id) if ours else None
        if row is None or _number(row, "image_id") in leaked:
            continue
        done[finding.kind] += 1
        if finding.kind == "duplicate":
            dropped.add(finding.id)
        elif finding.kind == "swap":
            _exchange(row, finding.exchange, people.skeleton)
        else:
            _grow(row)
    data["images"] = [row for row in data["images"] if _number(row, "id") not in leaked]
    data["annotations"] = [
        row
        for row in data["annotations"]
        if _number(row, "id") not in dropped and _number(row, "image_id") not in leaked
    ]
    write_whole(target, json.dumps(data))
    return done


def _number(row: dict[str, Any], name: str) -> int | None:
    """An id; None for what is none: the file may hold anything, and that stays as it is."""
    value = row.get(name)
    return value if type(value) is int else None


def _leaked(findings: Sequence[Finding], own: Container[str]) -> set[str]:
    """The photographs of the set that another set holds too, or nearly; and their copies within the set."""
    pairs = [(f.photo, f.like) for f in findings if f.kind == "leak"]
    leaked = {one for pair in pairs for one, other in (pair, pair[::-1]) if one in own and other not in own}
    for f in findings:
        if f.kind == "repeated photo" and f.like in leaked:
            leaked.add(f.photo)
    return leaked


def _exchange(row: dict[str, Any], joints: Sequence[int], skeleton: Skeleton) -> None:
    triples = np.array(row["keypoints"], object).reshape(-1, 3)
    for a in joints:
        b = skeleton.mirror[a]
        triples[[a, b]] = triples[[b, a]]
    row["keypoints"] = triples.ravel().tolist()


def _grow(row: dict[str, Any]) -> None:
    """A box that holds the labelled joints, whose pixels have their centres on whole numbers in the file."""
    triples = np.array(row["keypoints"], np.float64).reshape(-1, 3)
    points = triples[triples[:, 2] > 0, :2] + 0.5
    x, y, w, h = row["bbox"]
    low, high = np.minimum((x, y), points.min(0)), np.maximum((x + w, y + h), points.max(0))
    row["bbox"] = [*low.tolist(), *(high - low).tolist()]
