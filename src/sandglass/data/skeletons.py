"""Skeletons in TOML files, those of well-known data sets by name, and people moved from one skeleton to another."""

import json
import logging
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes
from sandglass.core.pose import People
from sandglass.core.skeleton import COCO17, DEFAULT_SIGMA, Skeleton, infer_mirror, one_sided, words

SKELETON_FILE = "skeleton.toml"  # in a data set's folder: the skeleton of all its splits
FIELDS = ("name", "joints", "edges", "mirror", "sigmas", "upper")
MAX_BYTES = 2**20

log = logging.getLogger(__name__)


def _body(name: str, joints: tuple[str, ...], edges: tuple[tuple[int, int], ...], lower: str) -> Skeleton:
    """A human skeleton with COCO's sigmas where it shares a joint, the default elsewhere."""
    sigmas = dict(zip(COCO17.joints, COCO17.sigmas, strict=True))
    upper = tuple(i for i, joint in enumerate(joints) if joint.rpartition("_")[2] not in lower.split())
    own = tuple(sigmas.get(joint, DEFAULT_SIGMA) for joint in joints)
    return Skeleton(name, joints, edges, infer_mirror(joints), own, upper)


_LOWER = "hip knee ankle pelvis"

MPII16 = _body(
    "mpii16",
    ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
     "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (10, 11), (11, 12), (12, 7), (7, 13),
     (13, 14), (14, 15)),
    _LOWER,
)  # fmt: skip

LSP14 = _body(
    "lsp14",
    ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
     "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13), (2, 8),
     (3, 9)),
    _LOWER,
)  # fmt: skip

CROWDPOSE14 = _body(
    "crowdpose14",
    ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
     "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck"),
    ((10, 8), (8, 6), (11, 9), (9, 7), (6, 7), (0, 6), (1, 7), (0, 13), (1, 13), (0, 2), (2, 4), (1, 3), (3, 5),
     (12, 13)),
    _LOWER,
)  # fmt: skip

KNOWN = {skeleton.name: skeleton for skeleton in (COCO17, MPII16, LSP14, CROWDPOSE14)}


def find_skeleton(name: str | Path) -> Skeleton:
    """The skeleton called `name`, a key of KNOWN, or that of a .toml file. Raises BadInput."""
    if str(name) in KNOWN:
        return KNOWN[str(name)]
    if Path(name).suffix.lower() != ".toml":
        raise BadInput(f"'{name}' is no skeleton; give a .toml file, or one of {', '.join(KNOWN)}")
    return read_skeleton(Path(name))


def read_skeleton(path: Path) -> Skeleton:
    """The skeleton of a TOML file: `joints` and, if wished, name, edges, mirror, sigmas and upper.

    See `Skeleton.from_dict`; the file's name is the skeleton's unless it gives one. Joints whose names tell a side
    but have no twin are logged. Raises BadInput.
    """
    data = read_bytes(path)
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path}: larger than {MAX_BYTES >> 20} MiB; a skeleton takes a few lines")
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid TOML ({error})") from None
    if unknown := sorted(table.keys() - set(FIELDS)):
        raise BadInput(f"{path}: '{unknown[0]}' is no field of a skeleton; known are {', '.join(FIELDS)}")
    try:
        skeleton = Skeleton.from_dict({"name": path.stem} | table)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    if lonely := one_sided(skeleton):
        log.warning("%s: %s; correct the names, or give `mirror`", path, _lonely(lonely))
    return skeleton


def _lonely(joints: tuple[str, ...]) -> str:
    named = ", ".join(joints[:3]) + (", ..." if len(joints) > 3 else "")
    return f"no twin was found for {named}, whose {'name tells' if len(joints) == 1 else 'names tell'} a side"


def to_toml(skeleton: Skeleton) -> str:
    """The skeleton as a TOML file that `read_skeleton` gives back, edges and pairs by name."""
    name = skeleton.joints.__getitem__
    parts: dict[str, Any] = {
        "name": skeleton.name,
        "joints": list(skeleton.joints),
        "edges": [[name(a), name(b)] for a, b in skeleton.edges],
        "mirror": [[name(a), name(b)] for a, b in skeleton.pairs],
        "sigmas": list(skeleton.sigmas),
        "upper": [name(j) for j in skeleton.upper],
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in parts.items()]
    return "".join(lines).replace("\x7f", "\\u007f")  # JSON's strings and arrays are TOML's, but for this character


def skeleton_of(folder: Path) -> Skeleton | None:
    """The skeleton that lies in a data set's folder, if one does. Raises BadInput."""
    path = folder / SKELETON_FILE
    return read_skeleton(path) if path.is_file() else None


def convert(people: People, skeleton: Skeleton) -> People:
    """The same people with the joints of another skeleton, found by name; a joint that they lack is not labelled.

    Names agree when their words do ("LeftEye", "left_eye"). Raises BadInput where not one joint does.
    """
    at = {words(joint): i for i, joint in enumerate(people.skeleton.joints)}
    source = [at.get(words(joint)) for joint in skeleton.joints]
    if not any(i is not None for i in source):
        raise BadInput(
            f"{people.source}: not one joint of '{people.skeleton.name}' is called as one of '{skeleton.name}'; "
            f"it has {', '.join(people.skeleton.joints[:4])}, ..."
        )
    taken = np.array([i or 0 for i in source])
    known = np.array([i is not None for i in source])
    return replace(
        people,
        skeleton=skeleton,
        keypoints=np.where(known[:, None], people.keypoints[:, taken], 0.0),
        visibility=np.where(known, people.visibility[:, taken], 0).astype(np.uint8),
    )
