"""What a COCO annotator would write about a drawn person. Image pixels, pixel centres at +0.5; boxes are xyxy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core.skeleton import COCO17
from sandglass.data.drawing.body import Bones, turn
from sandglass.data.drawing.canvas import FINE, PARTS, View
from sandglass.data.drawing.mesh import Mesh, Part

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Figure:
    """A person before it is drawn, in the unit of its view: one stature is about 1."""

    mesh: Mesh
    view: View
    joints: Floats  # (K, 3)
    bones: Bones
    extent: Floats  # (4,) xyxy of the whole body at scale 1, centre 0


def seen(tags: NDArray[np.uint8], slot: int) -> NDArray[np.bool_]:
    """Where the person in a slot is seen, of tags as `Canvas` keeps them."""
    return (tags > slot * PARTS) & (tags < (slot + 1) * PARTS)


def _own_parts() -> tuple[frozenset[int], ...]:
    """For each joint, the parts whose sight counts as seeing it."""
    more = {
        "nose": ("NOSE", "HEAD"), "eye": ("_EYE", "HEAD"), "ear": ("_EAR", "HEAD"),
        "shoulder": ("_UPPER_ARM", "TRUNK"), "elbow": ("_UPPER_ARM", "_FOREARM"), "wrist": ("_FOREARM", "_HAND"),
        "hip": ("_THIGH", "TRUNK", "SKIRT"), "knee": ("_THIGH", "_SHIN", "SKIRT"), "ankle": ("_SHIN", "_FOOT"),
    }  # fmt: skip
    found = []
    for name in COCO17.joints:
        side, _, kind = name.rpartition("_")
        found.append(frozenset(Part[side.upper() + part if part.startswith("_") else part] for part in more[kind]))
    return tuple(found)


_OWN = _own_parts()


def _turned(figure: Figure) -> Floats:
    """How far each joint of face and trunk faces the viewer (K,): 1 fully, 0 edge on, -1 away; 1 for the limbs."""
    bones, view = figure.bones, figure.view.camera_from_world[2]
    skull, chest, pelvis = (view @ frame for frame in (bones.skull, bones.chest, bones.pelvis))
    facing = np.ones(len(COCO17))
    for k, name in enumerate(COCO17.joints):
        side = {"left": 1.0, "right": -1.0, "middle": 0.0}[COCO17.side(k)]
        if name == "nose":
            facing[k] = skull[2]
        elif name.endswith("eye"):
            facing[k] = skull @ turn(y=24 * side)[:, 2]
        elif name.endswith("ear"):
            facing[k] = side * skull[0]
        elif name.endswith(("shoulder", "hip")):
            facing[k] = side * (chest if name.endswith("shoulder") else pelvis)[0]
    return facing


def annotate(
    rng: Rng, tags: NDArray[np.uint8], slot: int, figure: Figure, drawn: int
) -> tuple[Floats, NDArray[np.uint8], Floats, float]:
    """Keypoints, visibility, box and area of one person, as a COCO annotator would give them.

    2: the joint's own limb, trunk or face is seen at its place. (A shoulder or hip on the side that is turned
    away by more than some 50 degrees is behind the trunk, whatever the trunk's colour.)
    1: hidden, but an annotator can tell where it is: behind the own body (85 of 100), behind others and things
    (60 of 100) while at least a quarter of the person is seen and the joint lies within a tenth of its box.
    0: outside the photo; of a face turned away (all but 12 of 100); and every other hidden joint.
    """
    mask = seen(tags, slot)
    area = int(np.count_nonzero(mask))
    chance = rng.random(len(COCO17))
    keypoints, _ = figure.view.project(figure.joints)
    if not area:
        return keypoints * 0, np.zeros(len(COCO17), np.uint8), np.zeros(4), 0.0
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / FINE
    margin = 0.1 * (box[2:] - box[:2])
    near = (keypoints >= box[:2] - margin) & (keypoints <= box[2:] + margin)
    guessed = np.all(near, axis=1) if area >= 0.25 * drawn else np.zeros(len(near), bool)
    height, width = tags.shape
    spot = np.floor(keypoints * FINE).astype(int)
    inside = ((spot >= 0) & (spot < (width, height))).all(1)
    facing = _turned(figure)
    visibility = np.zeros(len(COCO17), np.uint8)
    for k in np.flatnonzero(inside).tolist():
        part = int(tags[spot[k, 1], spot[k, 0]]) - slot * PARTS
        visibility[k] = _visibility(k, part, float(facing[k]), bool(guessed[k]), float(chance[k]))
    return np.where(visibility[:, None] > 0, keypoints, 0.0), visibility, box, area / FINE**2


def _visibility(joint: int, part: int, facing: float, guessed: bool, chance: float) -> int:
    """The rule of `annotate`. `part` is what is seen at the joint, of this person if 0 < part < PARTS."""
    own = 0 < part < PARTS
    if joint in _FACE:
        if part in _OWN[joint] and (facing > 0.1 or part != Part.HEAD):
            return 2
        if facing < -0.05:
            return int(own and chance < 0.12)
    elif part in _OWN[joint] and (facing > -0.75 or part not in (Part.TRUNK, Part.SKIRT)):
        return 2
    if own:
        return int(chance < 0.85)
    return int(guessed and chance < 0.60)


_FACE = frozenset(k for k, name in enumerate(COCO17.joints) if name.endswith(("nose", "eye", "ear")))
