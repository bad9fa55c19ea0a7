"""A drawn person's bones and how they bend. x runs to the person's own left, y up, z ahead; the unit is the stature."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core.skeleton import COCO17

Floats = NDArray[np.float64]
Rng = np.random.Generator
Range = tuple[float, float]

SIDES = (1.0, -1.0)  # left first, as in COCO: left is +x


@dataclass(frozen=True, eq=False)
class Build:
    """Lengths of one person's bones, in statures. After Drillis & Contini 1966, with the spread of real people."""

    shoulder: float  # half the breadth between the shoulder joints
    hip: float  # half the breadth between the hip joints
    trunk: float  # from the line of the hips to the line of the shoulders
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    neck: float  # from the line of the shoulders to the middle of the head
    head: float  # 1 is an adult's
    girth: float  # 1 is slim
    curve: float  # 0 straight ... 1 waist and bust


@dataclass(frozen=True, eq=False)
class Posture:
    """Joint angles in degrees. Rows of `arms` and `legs`: left, right; all angles mean the same on both sides.

    arms: (2, 4) forward, outward, turned inward, elbow bent.
    legs: (2, 5) forward, outward, turned outward, knee bent, toes down.
    spine: bent forward, to the left, turned to the left. head: likewise, but nod first.
    root: the whole body pitched forward, rolled to the left.
    """

    arms: Floats
    legs: Floats
    spine: Floats
    head: Floats
    root: Floats
    seated: bool


@dataclass(frozen=True, eq=False)
class Bones:
    """Where the bones lie. Points (2, 3) and frames (2, 3, 3) hold the left side first.

    A frame's columns are the directions of x, y and z of the part that it carries.
    """

    pelvis: Floats  # (3, 3)
    chest: Floats  # (3, 3)
    skull: Floats  # (3, 3)
    throat: Floats  # (3,) between the shoulders
    head: Floats  # (3,) the middle of the head
    shoulders: Floats
    elbows: Floats
    wrists: Floats
    hips: Floats
    knees: Floats
    ankles: Floats
    upper_arms: Floats
    forearms: Floats
    hands: Floats
    thighs: Floats
    shins: Floats
    feet: Floats


# Of the face, in head units from the middle of the head; they lie where the flesh draws them.
EYE = np.array([0.0195, 0.003, 0.0505])
EAR = np.array([0.0485, -0.006, -0.006])
NOSE = np.array([0.0, -0.017, 0.0675])

# Ranges of the arm's angles: forward, outward, inward, elbow. With how often each is taken.
_ARMS: dict[str, tuple[float, tuple[Range, ...]]] = {
    "hanging": (5.0, ((-22, 28), (4, 20), (-20, 50), (0, 45))),
    "on the hip": (1.0, ((-30, 0), (35, 55), (75, 100), (85, 112))),
    "overhead": (1.6, ((135, 178), (-5, 30), (-30, 30), (0, 75))),
    "sideways": (1.0, ((-15, 30), (60, 115), (-40, 50), (0, 60))),
    "waving": (0.9, ((-5, 25), (60, 110), (-115, -70), (60, 120))),
    "reaching": (1.4, ((45, 110), (-8, 30), (-20, 60), (0, 65))),
    "holding": (1.8, ((5, 50), (2, 22), (10, 60), (65, 120))),
    "at the face": (0.9, ((35, 75), (5, 40), (15, 60), (118, 146))),
    "behind": (0.6, ((-52, -22), (6, 25), (20, 75), (5, 70))),
    "anywhere": (1.0, ((-50, 175), (-10, 120), (-80, 90), (0, 145))),
}

# Ranges of the legs' angles: forward, outward, turned, knee, toes. Which leg comes first is chance; None: both alike.
_STRAIGHT: tuple[Range, ...] = ((-8, 12), (0, 10), (0, 25), (0, 14), (-6, 6))
_LEGS: dict[str, tuple[float, tuple[Range, ...], tuple[Range, ...] | None]] = {
    "standing": (4.5, _STRAIGHT, _STRAIGHT),
    "one leg at ease": (1.2, _STRAIGHT, ((8, 30), (2, 20), (5, 35), (15, 50), (0, 25))),
    "walking": (3.0, ((12, 34), (-2, 6), (0, 12), (2, 22), (-15, 8)),
                ((-28, -8), (-2, 6), (0, 12), (10, 45), (0, 30))),
    "running": (1.5, ((40, 85), (-2, 8), (0, 10), (45, 110), (-5, 25)),
                ((-32, -8), (-2, 8), (0, 10), (20, 110), (10, 45))),
    "sitting": (2.6, ((70, 98), (0, 22), (-5, 25), (55, 105), (-5, 15)), None),
    "squatting": (0.7, ((85, 122), (8, 35), (0, 30), (95, 140), (-30, -10)), None),
    "lunging": (0.8, ((55, 92), (0, 20), (0, 25), (60, 100), (-10, 5)), ((-30, 0), (0, 20), (0, 25), (5, 60), (0, 35))),
    "kicking": (0.7, ((35, 100), (0, 35), (0, 30), (0, 60), (0, 40)), _STRAIGHT),
    "apart": (0.9, ((-10, 20), (15, 45), (5, 30), (0, 45), (-5, 30)), None),
    "kneeling": (0.5, ((-5, 25), (0, 12), (0, 12), (95, 135), (20, 45)),
                 ((20, 95), (0, 15), (0, 15), (85, 125), (0, 25))),
    "on the floor": (0.6, ((75, 125), (0, 35), (0, 40), (0, 125), (0, 25)), None),
}  # fmt: skip

_ARM_LIMITS = np.array([[-60, 180], [-15, 135], [-120, 105], [0, 148]])
_LEG_LIMITS = np.array([[-40, 130], [-15, 60], [-25, 55], [0, 142], [-30, 50]])


def draw_build(rng: Rng) -> Build:
    """A person's measures. Lengths vary by some per cent, girth and breadth by more; one in seven is a child."""

    def near(value: float, spread: float = 0.05) -> float:
        return value * float(np.clip(rng.normal(1, spread), 1 - 2.5 * spread, 1 + 2.5 * spread))

    child = rng.random() < 0.14
    young = rng.uniform(0.3, 1.0) if child else 0.0
    girth = float(np.clip(np.exp(rng.normal(0.06, 0.15)), 0.8, 1.4))
    return Build(
        shoulder=near(0.110, 0.06),
        hip=near(0.060, 0.06),
        trunk=near(0.285) * (1 + 0.06 * young),
        upper_arm=near(0.176) * (1 - 0.10 * young),
        forearm=near(0.148) * (1 - 0.10 * young),
        hand=near(0.098),
        thigh=near(0.244) * (1 - 0.12 * young),
        shin=near(0.240) * (1 - 0.12 * young),
        foot=near(0.135),
        neck=near(0.110, 0.04) * (1 + 0.22 * young),
        head=near(1.06, 0.04) * (1 + 0.45 * young),
        girth=girth,
        curve=float(rng.random()) * (1 - young),
    )


def draw_posture(rng: Rng) -> Posture:
    """Joint angles within the limits of the body: standing, walking, sitting, arms anywhere, rarely lying."""
    name = _chosen(rng, {key: weight for key, (weight, _, _) in _LEGS.items()})
    _, first, second = _LEGS[name]
    legs = np.stack([_within(rng, first), _within(rng, second or first)])
    arms = _draw_arms(rng, swinging=name in ("walking", "running"), bent=name == "running")
    if rng.random() < 0.5:
        legs, arms = legs[::-1], arms[::-1]
    spine = rng.normal([4, 0, 0], [8, 6, 10])
    head = rng.normal([3, 0, 0], [13, 7, 26])
    root = rng.normal([2, 0], [4, 3])
    if name == "running":
        root[0] += rng.uniform(2, 16)
    if name == "squatting":
        spine[0] += rng.uniform(10, 40)
    chance = rng.random()
    seated = name in ("sitting", "on the floor")
    if chance < 0.07 and not seated:  # bending down
        spine[0] += rng.uniform(25, 60)
        root[0] += rng.uniform(0, 35)
    elif chance < 0.12:  # lying, falling, hanging
        pitched, rolled = (-90.0, 90.0, 0.0)[int(rng.integers(3))], (-80.0, 80.0, 0.0)[int(rng.integers(3))]
        root = np.array([pitched, rolled]) + rng.normal(0, 20, 2)
        seated = False
    return Posture(
        arms=np.clip(arms, *_ARM_LIMITS.T),
        legs=np.clip(legs, *_LEG_LIMITS.T),
        spine=np.clip(spine, [-25, -25, -35], [75, 25, 35]),
        head=np.clip(head, [-40, -25, -65], [40, 25, 65]),
        root=root,
        seated=seated,
    )


def _draw_arms(rng: Rng, swinging: bool, bent: bool) -> Floats:
    """Both arms; they do the same, or each its own, or swing against the legs."""
    if swinging and rng.random() < 0.7:
        swing, elbow = (rng.uniform(20, 55), (60, 110)) if bent else (rng.uniform(8, 35), (5, 45))
        rows = [[sign * swing, rng.uniform(4, 16), rng.uniform(-5, 35), rng.uniform(*elbow)] for sign in (-1, 1)]
        return np.array(rows)
    weights = {key: weight for key, (weight, _) in _ARMS.items()}
    left = _chosen(rng, weights)
    right = left if rng.random() < 0.45 else _chosen(rng, weights)
    return np.stack([_within(rng, _ARMS[left][1]), _within(rng, _ARMS[right][1])])


def _chosen(rng: Rng, weights: dict[str, float]) -> str:
    steps = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(steps, rng.random() * steps[-1]))]


def _within(rng: Rng, ranges: tuple[Range, ...]) -> Floats:
    low, high = np.array(ranges, np.float64).T
    return rng.uniform(low, high)


def turn(x: float = 0, y: float = 0, z: float = 0) -> Floats:
    """The rotation (3, 3) by degrees: first about y (a twist of the limb itself), then about x, then about z."""
    x, y, z = math.radians(x), math.radians(y), math.radians(z)
    cx, cy, cz, sx, sy, sz = math.cos(x), math.cos(y), math.cos(z), math.sin(x), math.sin(y), math.sin(z)
    return np.array([
        [cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy],
        [sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy],
        [-cx * sy, sx, cx * cy],
    ])  # fmt: skip


def place_bones(build: Build, posture: Posture) -> Bones:
    """Forward kinematics: from the pelvis at the origin outwards."""
    pelvis = turn(x=posture.root[0], z=-posture.root[1])
    chest = pelvis @ turn(x=posture.spine[0], y=posture.spine[2], z=-posture.spine[1])
    waist = pelvis @ np.array([0, 0.35 * build.trunk, 0])
    throat = waist + chest @ np.array([0, 0.65 * build.trunk, 0])
    skull = chest @ turn(y=posture.head[2]) @ turn(x=posture.head[0] - 0.4 * posture.spine[0], z=-posture.head[1])
    neck_top = throat + chest @ np.array([0, 0.45 * build.neck, 0.012])
    head = neck_top + skull @ np.array([0, 0.55 * build.neck + 0.02 * (build.head - 1), 0.008])
    arms = [_arm(build, posture.arms[i], side, chest, throat) for i, side in enumerate(SIDES)]
    legs = [_leg(build, posture.legs[i], side, pelvis) for i, side in enumerate(SIDES)]
    shoulders, elbows, wrists, upper_arms, forearms, hands = (np.stack(x) for x in zip(*arms, strict=True))
    hips, knees, ankles, thighs, shins, feet = (np.stack(x) for x in zip(*legs, strict=True))
    return Bones(
        pelvis, chest, skull, throat, head, shoulders, elbows, wrists, hips, knees, ankles,
        upper_arms, forearms, hands, thighs, shins, feet,
    )  # fmt: skip


def _arm(build: Build, angles: Floats, side: float, chest: Floats, throat: Floats) -> tuple[Floats, ...]:
    forward, outward, inward, bent = angles
    lift = max(0.0, (max(forward, outward) - 60) / 120)  # the collarbone follows an arm that is raised
    shoulder = throat + chest @ np.array([side * build.shoulder * (1 - 0.12 * lift), 0.03 * lift, 0])
    upper = chest @ turn(x=-forward, y=-side * inward, z=side * outward)
    fore = upper @ turn(x=-bent)
    elbow = shoulder - build.upper_arm * upper[:, 1]
    wrist = elbow - build.forearm * fore[:, 1]
    hand = fore @ turn(x=-8, z=-side * 6)
    return shoulder, elbow, wrist, upper, fore, hand


def _leg(build: Build, angles: Floats, side: float, pelvis: Floats) -> tuple[Floats, ...]:
    forward, outward, outturned, bent, toes = angles
    hip = pelvis @ np.array([side * build.hip, 0, 0])
    thigh = pelvis @ turn(x=-forward, y=side * outturned, z=side * outward)
    shin = thigh @ turn(x=bent)
    knee = hip - build.thigh * thigh[:, 1]
    ankle = knee - build.shin * shin[:, 1]
    return hip, knee, ankle, thigh, shin, shin @ turn(x=toes)


def joints(build: Build, bones: Bones) -> Floats:
    """The COCO joints in space, (K, 3) in the order of COCO17."""
    mirror = np.array([-1.0, 1.0, 1.0])
    face = {"nose": NOSE, "left_eye": EYE, "right_eye": EYE * mirror, "left_ear": EAR, "right_ear": EAR * mirror}
    at = {name: bones.head + build.head * (bones.skull @ point) for name, point in face.items()}
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        at[f"left_{name}"], at[f"right_{name}"] = getattr(bones, f"{name}s")
    return np.stack([at[name] for name in COCO17.joints])
