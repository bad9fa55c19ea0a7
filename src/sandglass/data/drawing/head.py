"""Head, face, hair and hats of a drawn person, as a mesh. Frame and unit as in body.py."""

import numpy as np
from numpy.typing import NDArray

from sandglass.data.drawing.body import EAR, EYE, NOSE, SIDES, Bones, Build, turn
from sandglass.data.drawing.looks import Look
from sandglass.data.drawing.mesh import Builder, Part, stretch

Floats = NDArray[np.float64]

# The head, upwards, for a head of size 1: height, half breadth, half depth, ahead.
_HEAD = np.array([
    [-.070, .008, .010, .020], [-.062, .024, .028, .015], [-.047, .034, .042, .009], [-.026, .041, .050, .004],
    [0, .0455, .0555, 0], [.024, .047, .059, -.003], [.044, .043, .054, -.005], [.059, .029, .037, -.006],
    [.067, .005, .007, -.006],
])  # fmt: skip


def add_head(mesh: Builder, build: Build, bones: Bones, look: Look) -> None:
    """Skull and neck, then the face, then hair and hat."""
    _skull(mesh, build, bones, look)
    _face(mesh, build, bones, look)
    _hair(mesh, build, bones, look)


def _skull(mesh: Builder, build: Build, bones: Bones, look: Look) -> None:
    skull, size = bones.skull, build.head
    up, breadth, depth, ahead = _HEAD.T * size
    centres = bones.head + stretch(up, skull[:, 1]) + stretch(ahead, skull[:, 2])
    mesh.tube(
        Part.HEAD, centres, stretch(breadth, skull[:, 0]), stretch(depth, skull[:, 2]), look.paint.skin, mesh.wide
    )
    top = bones.head + skull @ (size * np.array([0, -0.03, -0.010]))
    base = bones.throat - bones.chest @ np.array([0, 0.012, 0.004])
    share = np.linspace(0, 1, 4)[:, None]
    radius = 0.034 * build.girth**0.5 * np.array([1.25, 1.0, 0.95, 0.95])[:, None]
    side, front = ((1 - share) * bones.chest[:, k] + share * skull[:, k] for k in (0, 2))
    mesh.tube(Part.NECK, (1 - share) * base + share * top, radius * side, radius * front, look.paint.skin)


def _face(mesh: Builder, build: Build, bones: Bones, look: Look) -> None:
    """Eyes, brows, nose, mouth, ears, sometimes glasses and a beard, each where the label says."""
    size, skull = build.head, bones.skull

    def at(x: float, y: float, z: float) -> Floats:
        return bones.head + size * (skull @ np.array([x, y, z]))

    eyes, ears = (Part.LEFT_EYE, Part.RIGHT_EYE), (Part.LEFT_EAR, Part.RIGHT_EAR)
    for i, side in enumerate(SIDES):
        frame = skull @ turn(y=24 * side)
        x, y, z = EYE * (side, 1, 1)
        mesh.dome(eyes[i], at(x, y, z), frame, (0.0100 * size, 0.0062 * size, 0.002), look.paint.white, 0.016)
        mesh.dome(eyes[i], at(x, y, z + 0.001), frame, (0.0050 * size, 0.0058 * size, 0.003), look.paint.iris, 0.018)
        brow = (0.0125 * size, 0.0028 * size, 0.003)
        mesh.dome(Part.HEAD, at(x * 1.05, y + 0.0165, z), frame, brow, look.paint.brow, 0.016)
        if look.head.glasses:
            mesh.dome(eyes[i], at(x, y, z + 0.006), frame, (0.0165 * size, 0.012 * size, 0.002), look.paint.lens, 0.020)
        x, y, z = EAR * (side, 1, 1)
        ear = (0.0055 * size, 0.0170 * size, 0.0110 * size)
        mesh.ball(ears[i], at(x, y, z), skull @ turn(y=-20 * side), ear, look.paint.flush)
    _nose(mesh, size, skull, at(*NOSE), look)
    mesh.dome(Part.HEAD, at(0, -0.040, 0.0490), skull, (0.0150 * size, 0.0045 * size, 0.004), look.paint.lips, 0.014)
    if look.head.beard:
        _beard(mesh, size, bones, look)


def _beard(mesh: Builder, size: float, bones: Bones, look: Look) -> None:
    skull = bones.skull
    angle = np.arange(mesh.wide) * (2 * np.pi / mesh.wide)
    up, breadth, depth, ahead = _HEAD[:5].T * size * np.array([[1.03], [1.05], [1.05], [1]])
    centres = bones.head + stretch(up, skull[:, 1]) + stretch(ahead, skull[:, 2])
    middle = ((up[:-1] + up[1:]) / 2 / size)[:, None]
    keep = (np.cos(angle + np.pi / mesh.wide)[None] > -0.2) & (middle < -0.03 - 0.012 * np.cos(angle)[None] ** 2)
    sides, fronts = stretch(breadth, skull[:, 0]), stretch(depth, skull[:, 2])
    mesh.tube(Part.HEAD, centres, sides, fronts, look.paint.hair, mesh.wide, keep=keep, lift=0.004)


def _nose(mesh: Builder, size: float, skull: Floats, tip: Floats, look: Look) -> None:
    """A wedge from between the eyes down to the tip, where the label is, and back under it."""
    path = np.array([
        [0, 0.024, -0.014], [0, 0.010, -0.010], [0, 0.001, -0.004], [0, -0.007, -0.009], [0, -0.009, -0.016],
    ])  # fmt: skip
    breadth, depth = np.array([[0.004, 0.006, 0.009, 0.011, 0.006], [0.002, 0.004, 0.0045, 0.005, 0.002]]) * size
    centres = tip + size * (path @ skull.T)
    mesh.tube(
        Part.NOSE, centres, stretch(breadth, skull[:, 0]), stretch(depth, skull[:, 2]), look.paint.flush, 8,
        lift=0.012, outward=skull @ np.array([0, 0, 1.0]),
    )  # fmt: skip


# How far down the hair reaches on the head, by the angle from the face (degrees) round to the back.
_HAIRLINE_ANGLE = np.array([0, 45, 70, 88, 105, 130, 180])
_HAIRLINE = np.array([0.040, 0.036, 0.022, 0.006, 0.000, -0.036, -0.050])


def _hair(mesh: Builder, build: Build, bones: Bones, look: Look) -> None:
    """A shell over the skull down to the hairline; behind it long hair, a tail or a knot; or a hat."""
    if look.head.hairdo == "bald" and look.head.hat == "none":
        return
    skull, size, segments = bones.skull, build.head, mesh.wide
    angle = (np.arange(segments) + 0.5) * (2 * np.pi / segments)
    away = np.degrees(np.arccos(np.clip(np.cos(angle), -1, 1)))
    fine = np.interp(np.arange(0, len(_HEAD) - 0.49, 0.5), np.arange(len(_HEAD)), _HEAD[:, 0])
    breadth, depth, ahead = (np.interp(fine, _HEAD[:, 0], _HEAD[:, k]) for k in (1, 2, 3))
    middle = ((fine[:-1] + fine[1:]) / 2)[:, None]

    def shell(puff: float, lowest: Floats, colour: Floats, lift: float) -> None:
        up = np.where(fine > 0, fine * puff, fine) * size
        centres = bones.head + stretch(up, skull[:, 1]) + stretch(ahead * size - 0.002, skull[:, 2])
        sides, fronts = stretch(breadth * puff * size, skull[:, 0]), stretch(depth * puff * size, skull[:, 2])
        mesh.tube(Part.HAIR, centres, sides, fronts, colour, segments, keep=middle > lowest, lift=lift)

    line = np.interp(away, _HAIRLINE_ANGLE, _HAIRLINE)[None]
    if look.head.hairdo != "bald":
        shell(look.head.puff, line - 0.014 * look.head.fringe * (away < 60), look.paint.hair, 0.004)
    if look.head.hat != "none":
        shell(look.head.puff + 0.07, np.full((1, segments), 0.022), look.paint.hat, 0.008)
    if look.head.hat == "cap":
        brim = skull @ turn(x=12)
        centre = bones.head + size * (skull @ np.array([0, 0.030, 0.066]))
        mesh.ball(Part.HAIR, centre, brim, (0.040 * size, 0.004 * size, 0.036 * size), look.paint.hat)
    if look.head.hairdo == "long":
        _long_hair(mesh, size, bones, look)
    if look.head.hairdo in ("tail", "knot"):
        reach = 0.075 if look.head.hairdo == "tail" else 0.024
        centre = bones.head + size * (skull @ np.array([0, 0.030 - 0.7 * reach, -0.074 - 0.1 * reach]))
        mesh.ball(Part.HAIR, centre, skull @ turn(x=12), (0.022 * size, reach * size, 0.020 * size), look.paint.hair)


def _long_hair(mesh: Builder, size: float, bones: Bones, look: Look) -> None:
    skull = bones.skull
    down = np.linspace(0.03, -look.head.hair_length, 6)
    breadth = np.array([0.050, 0.054, 0.058, 0.060, 0.058, 0.048])
    centres = bones.head + size * (stretch(down, skull[:, 1]) - 0.012 * skull[:, 2])
    angle = (np.arange(mesh.wide) + 0.5) * (2 * np.pi / mesh.wide)
    keep = np.broadcast_to(np.cos(angle) < -0.05, (5, mesh.wide))
    sides, fronts = stretch(breadth * size, skull[:, 0]), stretch((breadth + 0.010) * size, skull[:, 2])
    mesh.tube(Part.HAIR, centres, sides, fronts, look.paint.hair, mesh.wide, keep=keep, thin=True)
