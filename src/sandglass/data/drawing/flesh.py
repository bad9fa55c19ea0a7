"""Trunk, limbs and clothes on a drawn person's bones, as a mesh. Frame and unit as in body.py."""

import numpy as np
from numpy.typing import NDArray

from sandglass.data.drawing.body import Bones, Build
from sandglass.data.drawing.head import add_head
from sandglass.data.drawing.looks import Look
from sandglass.data.drawing.mesh import Builder, Mesh, Part, stretch

Floats = NDArray[np.float64]

# Limbs, from joint to joint: how far along (1 is the next joint), half breadth, half depth, how far ahead.
_UPPER_ARM = np.array([
    [-.17, .001, .001, 0], [-.15, .015, .016, 0], [-.09, .026, .028, 0], [0, .032, .034, 0], [.2, .032, .034, 0],
    [.42, .030, .032, 0], [.66, .026, .027, 0], [1, .023, .024, 0], [1.08, .017, .018, 0], [1.11, .001, .001, 0],
])  # fmt: skip
_FOREARM = np.array([
    [-.12, .001, .001, 0], [-.08, .016, .017, 0], [0, .0225, .0235, 0], [.25, .025, .025, 0], [.55, .022, .021, 0],
    [.85, .0165, .016, 0], [1, .016, .015, 0], [1.08, .013, .012, 0], [1.09, .001, .001, 0],
])  # fmt: skip
_THIGH = np.array([
    [-.20, .001, .001, 0], [-.16, .028, .034, 0], [-.06, .046, .056, 0], [.1, .054, .061, 0], [.35, .050, .056, .003],
    [.6, .042, .047, .003], [.8, .036, .039, .001], [1, .033, .035, 0], [1.07, .025, .028, 0], [1.10, .001, .001, 0],
])  # fmt: skip
_SHIN = np.array([
    [-.10, .001, .001, 0], [-.07, .024, .026, 0], [0, .032, .033, 0], [.22, .036, .040, -.006],
    [.42, .034, .037, -.007], [.65, .026, .027, -.003], [.88, .0195, .021, 0], [1, .019, .021, 0],
    [1.06, .017, .019, 0], [1.09, .001, .001, 0],
])  # fmt: skip
# The hand, likewise; its flat side faces the thigh when the arm hangs.
_HAND = np.array([
    [-.06, .001, .001, 0], [-.05, .012, .013, 0], [.12, .013, .019, 0], [.35, .014, .024, .001], [.6, .012, .022, .001],
    [.85, .009, .017, 0], [1, .003, .006, 0], [1, .001, .001, 0],
])  # fmt: skip
# The shoe, from heel to toe: ahead of the ankle, up, half breadth, half height.
_SHOE = np.array([
    [-.040, -.024, .001, .001], [-.034, -.021, .021, .022], [-.008, -.015, .026, .030], [.03, -.022, .027, .024],
    [.065, -.029, .031, .016], [.090, -.032, .026, .012], [.102, -.034, .008, .006], [.103, -.034, .001, .001],
])  # fmt: skip
# The trunk, upwards: height above the hips (1 is the shoulders), half breadth, half depth, ahead, share of the chest.
_TRUNK = np.array([
    [-.19, .030, .030, 0, 0], [-.14, .070, .052, -.004, 0], [-.04, .092, .070, -.006, 0], [.1, .094, .071, -.004, 0],
    [.24, .088, .064, .002, .2], [.38, .084, .060, .004, .5], [.52, .090, .063, .004, .8], [.66, .099, .069, .003, 1],
    [.8, .106, .070, 0, 1], [.92, .108, .060, -.003, 1], [.99, .098, .048, -.004, 1], [1.05, .066, .040, -.003, 1],
    [1.10, .038, .034, -.002, 1],
])  # fmt: skip


def clothe(build: Build, bones: Bones, look: Look, seated: bool, detail: int = 1) -> Mesh:
    """All faces of one person, with what is worn, held and sat on. detail: 0 coarse, 1, 2 fine."""
    mesh = Builder(detail)
    _trunk(mesh, build, bones, look)
    for i in range(2):
        _arm(mesh, build, bones, look, i)
        _leg(mesh, build, bones, look, i)
    if look.cut.skirt:
        _skirt(mesh, build, bones, look)
    add_head(mesh, build, bones, look)
    _things(mesh, build, bones, look, seated)
    return mesh.build()


def _limb(
    mesh: Builder, part: Part, joint: Floats, frame: Floats, length: float, profile: Floats, girth: float,
    colour: Floats,
) -> None:  # fmt: skip
    along, breadth, depth, ahead = profile.T
    centres = joint - stretch(length * along, frame[:, 1]) + stretch(ahead * girth, frame[:, 2])
    sides, fronts = stretch(breadth * girth, frame[:, 0]), stretch(depth * girth, frame[:, 2])
    mesh.tube(part, centres, sides, fronts, colour)


def _dressed(
    profile: Floats, ends: float, cloth: Floats, stripe: Floats, striped: bool, skin: Floats, loose: float
) -> tuple[Floats, Floats]:
    """A limb's profile and ring colours: cloth, a little wider than the limb, as far along as it `ends`."""
    middle = (profile[:-1, 0] + profile[1:, 0]) / 2
    worn = middle < ends
    cloths = np.where((np.arange(len(middle)) % 2 == 1)[:, None] & striped, stripe, cloth)
    wider = profile.copy()
    wider[:-1, 1:3] *= np.where(worn, np.where(middle < 0.12, (loose + 2) / 3, loose), 1.0)[:, None]
    return wider, np.where(worn[:, None], cloths, skin)[:, None]


def _arm(mesh: Builder, build: Build, bones: Bones, look: Look, i: int) -> None:
    parts = ((Part.LEFT_UPPER_ARM, Part.LEFT_FOREARM, Part.LEFT_HAND),
             (Part.RIGHT_UPPER_ARM, Part.RIGHT_FOREARM, Part.RIGHT_HAND))[i]  # fmt: skip
    girth = build.girth**0.7
    sleeves = (look.paint.shirt, look.paint.shirt2, look.cut.pattern == "hoops", look.paint.skin, look.cut.loose)
    profile, colour = _dressed(_UPPER_ARM, look.cut.sleeve, *sleeves)
    _limb(mesh, parts[0], bones.shoulders[i], bones.upper_arms[i], build.upper_arm, profile, girth, colour)
    profile, colour = _dressed(_FOREARM, look.cut.sleeve - 1, *sleeves)
    _limb(mesh, parts[1], bones.elbows[i], bones.forearms[i], build.forearm, profile, girth, colour)
    hand = bones.hands[i]
    _limb(mesh, parts[2], bones.wrists[i], hand, build.hand, _HAND, 1.0, look.paint.gloves)
    along = np.array([0.1, 0.3, 0.5, 0.62]) * build.hand
    ahead, radius = np.array([0.010, 0.026, 0.034, 0.036]), np.array([0.010, 0.009, 0.007, 0.002])
    thumb = bones.wrists[i] - stretch(along, hand[:, 1]) + stretch(ahead, hand[:, 2])
    mesh.tube(parts[2], thumb, stretch(radius, hand[:, 0]), stretch(radius, hand[:, 2]), look.paint.gloves, 8)


def _leg(mesh: Builder, build: Build, bones: Bones, look: Look, i: int) -> None:
    parts = ((Part.LEFT_THIGH, Part.LEFT_SHIN, Part.LEFT_FOOT), (Part.RIGHT_THIGH, Part.RIGHT_SHIN, Part.RIGHT_FOOT))[i]
    girth = build.girth**0.8
    trousers = (look.paint.trousers, look.paint.trousers, False, look.paint.skin, look.cut.loose)
    profile, colour = _dressed(_THIGH, look.cut.leg, *trousers)
    _limb(mesh, parts[0], bones.hips[i], bones.thighs[i], build.thigh, profile, girth, colour)
    profile, colour = _dressed(_SHIN, look.cut.leg - 1, *trousers)
    socks = (_SHIN[:-1, 0] > look.cut.sock) & (_SHIN[:-1, 0] >= look.cut.leg - 1)
    colour = np.where(socks[:, None, None], look.paint.socks, colour)
    _limb(mesh, parts[1], bones.knees[i], bones.shins[i], build.shin, profile, girth, colour)
    foot, scale = bones.feet[i], build.foot / 0.135
    ahead, up, breadth, height = _SHOE.T * scale
    centres = bones.ankles[i] + stretch(ahead, foot[:, 2]) + stretch(up, foot[:, 1])
    under = np.cos(np.arange(mesh.slim) * (2 * np.pi / mesh.slim)) < -0.6
    colour = np.where(under[:, None], look.paint.sole, look.paint.shoes)
    mesh.tube(parts[2], centres, stretch(breadth, foot[:, 0]), stretch(height, foot[:, 1]), colour)


def _trunk(mesh: Builder, build: Build, bones: Bones, look: Look) -> None:
    """From crotch to collar: an oval tube that bends from the frame of the pelvis into that of the chest."""
    rows = np.arange(0, len(_TRUNK) - 0.49, 0.5)
    height, breadth, depth, ahead, share = (np.interp(rows, np.arange(len(_TRUNK)), c) for c in _TRUNK.T)
    waist = np.exp(-(((height - 0.36) / 0.2) ** 2))
    breadth = breadth * (1 - 0.14 * build.curve * waist)
    breadth = breadth * np.where(height > 0.6, build.shoulder / 0.110, build.hip / 0.060)
    bust = np.exp(-(((height - 0.70) / 0.10) ** 2)) * build.curve
    belly = np.exp(-(((height - 0.30) / 0.22) ** 2)) * max(build.girth - 1.1, 0)
    thick = np.where(height < 0.9, build.girth**0.8 * (look.cut.loose + 1) / 2, 1.0)
    depth, ahead = depth * thick + 0.010 * bust + 0.02 * belly, ahead + 0.010 * bust + 0.02 * belly
    breadth = breadth * np.where(height < 0.8, thick, 1.0)
    low = stretch(height * build.trunk, bones.pelvis[:, 1])
    high = bones.throat + stretch((height - 1) * build.trunk, bones.chest[:, 1])
    mix = share[:, None]
    side, front = ((1 - mix) * bones.pelvis[:, k] + mix * bones.chest[:, k] for k in (0, 2))
    centres = (1 - mix) * low + mix * high + ahead[:, None] * front
    segments = mesh.wide
    mesh.tube(
        Part.TRUNK, centres, breadth[:, None] * side, depth[:, None] * front,
        _shirt(look, (height[:-1] + height[1:]) / 2, segments), segments, lift=0.015,  # over the tops of the thighs
    )  # fmt: skip


def _shirt(look: Look, height: Floats, segments: int) -> Floats:
    """The colours of the trunk (R - 1, segments, 3): trousers, hem, pattern, opening at the throat."""
    angle = (np.arange(segments) + 0.5) * (2 * np.pi / segments)
    ahead = np.cos(angle)[None]
    row, column = np.arange(len(height))[:, None], np.arange(segments)[None]
    marked = {
        "hoops": row % 4 < 2,
        "pinstripes": column % 2 == 0,
        "checks": (row // 2 + column) % 2 == 0,
        "yoke": height[:, None] > look.cut.yoke,
        "print": (ahead > 0.72) & (np.abs(height[:, None] - 0.66) < 0.13),
        "number": (ahead < -0.80) & (np.abs(height[:, None] - 0.62) < 0.17),
        "open": ahead > 0.90,
        "buttons": (ahead > 0.975) & (row % 3 == 0),
        "plain": np.zeros((1, 1), bool),
    }[look.cut.pattern]
    marked = np.broadcast_to(marked, (len(height), segments))
    colour = np.where(marked[..., None], look.paint.shirt2, look.paint.shirt)
    bare = height[:, None] > look.cut.collar - 0.10 * look.cut.neckline * np.maximum(ahead - 0.3, 0)
    colour = np.where(bare[..., None], look.paint.skin, colour)
    below = (height[:, None] < look.cut.hem) & np.ones((1, segments), bool)
    belt = below & (height[:, None] > look.cut.hem - 0.09) & look.cut.belt
    colour = np.where(below[..., None], look.paint.trousers, colour)
    return np.where(belt[..., None], look.paint.shoes, colour)


def _skirt(mesh: Builder, build: Build, bones: Bones, look: Look) -> None:
    """From the waist around both thighs, as wide as they are apart."""
    along = np.array([-0.28, -0.05, 0.25, 0.6, 1.0]) * look.cut.skirt
    left, right = (bones.hips[i] + stretch(along * build.thigh, -bones.thighs[i][:, 1]) for i in range(2))
    flare = 1 + 0.25 * np.clip(along, 0, None)
    across = bones.pelvis[:, 0]
    half = (left - right) / 2
    length = np.linalg.norm(half, axis=1)
    reach = (np.maximum(length, 0.045) + 0.050 * build.girth * flare)[:, None]
    sides = reach * (0.5 * across + 0.5 * half / np.maximum(length, 1e-6)[:, None])
    down = -(bones.thighs[0][:, 1] + bones.thighs[1][:, 1])
    front = np.cross(down, across)
    fronts = -stretch(0.078 * build.girth * flare, front / max(float(np.linalg.norm(front)), 1e-6))
    mesh.tube(Part.SKIRT, (left + right) / 2, sides, fronts, look.paint.trousers, mesh.wide, thin=True, lift=0.02)


# Half axes of what a hand may hold.
_HELD = {
    "ball": (0.06, 0.06, 0.06),
    "bag": (0.03, 0.09, 0.08),
    "phone": (0.006, 0.035, 0.018),
    "stick": (0.009, 0.009, 0.26),
}


def _things(mesh: Builder, build: Build, bones: Bones, look: Look, seated: bool) -> None:
    """A rucksack, something in the hand, a seat. They hide joints but belong to nobody's silhouette."""
    colour, thickness = look.paint.thing, build.girth**0.5
    if look.rucksack:
        centre = bones.throat + bones.chest @ np.array([0, -0.13, -0.115 * thickness])
        mesh.ball(Part.THING, centre, bones.chest, (0.085, 0.125, 0.055), colour)
    if look.held != "nothing":
        hand, wrist = bones.hands[look.hand], bones.wrists[look.hand]
        hanging = 0.09 if look.held == "bag" else 0.0
        make = mesh.ball if look.held == "ball" else mesh.box
        make(Part.THING, wrist - (0.8 * build.hand + hanging) * hand[:, 1], hand, _HELD[look.held], colour)
    if seated and look.seat != "none":
        wide = 0.30 if look.seat == "bench" else 0.15
        under = bones.pelvis @ np.array([0, -0.085 * thickness, 0.02])
        upright = np.eye(3)
        mesh.box(Part.THING, under - (0, 0.10, 0), upright, (wide, 0.085, 0.13), colour)
        if look.seat == "chair":
            back = under + np.array([0, 0.14, -0.14 * thickness])
            mesh.box(Part.THING, back, upright, (wide * 0.9, 0.16, 0.015), colour)
