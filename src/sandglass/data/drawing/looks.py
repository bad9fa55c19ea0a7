"""What a drawn person looks like: skin, hair, clothes, shoes, the same on both sides. Colours are RGB in 0..255."""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Paint:
    """The colour of everything."""

    skin: Floats
    flush: Floats  # nose and ears
    lips: Floats
    white: Floats  # of the eye
    iris: Floats
    brow: Floats
    hair: Floats
    shirt: Floats
    shirt2: Floats  # of the pattern
    trousers: Floats
    shoes: Floats
    sole: Floats
    socks: Floats
    gloves: Floats
    thing: Floats
    lens: Floats
    hat: Floats


@dataclass(frozen=True)
class Cut:
    """The shape of the clothes. Heights on the trunk are shares of it, from the hips."""

    pattern: str
    yoke: float  # where the two colours of such a shirt meet
    sleeve: float  # negative for none, 1 to the elbow, 2 to the wrist
    leg: float  # of the trousers: 1 to the knee, 2 to the ankle; with a skirt, what it covers
    sock: float  # where it begins on the shin
    skirt: float  # its length in thighs, 0 for none
    hem: float  # of the shirt
    belt: bool
    collar: float
    neckline: float
    loose: float  # how much wider than the limb the cloth is


@dataclass(frozen=True)
class HeadCut:
    """Hair and what is worn on the head."""

    hairdo: str
    hair_length: float
    puff: float  # how much wider than the skull
    fringe: float
    beard: bool
    glasses: bool
    hat: str


@dataclass(frozen=True, eq=False)
class Look:
    """Nothing in it tells left from right: only the hand that holds something differs, and by chance."""

    paint: Paint
    cut: Cut
    head: HeadCut
    rucksack: bool
    held: str
    hand: int  # 0 left, 1 right
    seat: str


_SKINS = np.array([
    [250, 222, 200], [236, 190, 158], [205, 150, 112], [160, 108, 74], [110, 70, 48], [66, 42, 32],
], np.float64)  # fmt: skip
_HAIRS = np.array([
    [24, 20, 20], [44, 32, 26], [82, 54, 34], [126, 88, 52], [196, 158, 96], [226, 202, 150], [142, 62, 30],
    [150, 148, 146], [222, 220, 218], [150, 60, 120],
], np.float64)  # fmt: skip
_HAIR_WEIGHTS = np.array([5, 4, 4, 2, 2, 1, 1, 1, 0.7, 0.3])
_PATTERNS = {"plain": 8.0, "hoops": 3, "pinstripes": 1, "checks": 1.5, "yoke": 2, "print": 3, "number": 1, "open": 2.5,
             "buttons": 1.5}  # fmt: skip


def draw_look(rng: Rng) -> Look:
    """Clothes and colours by chance: from plain to loud, from winter coat to swimming trunks."""
    cut = _draw_cut(rng)
    return Look(
        paint=_draw_paint(rng, dress=cut.skirt > 0 and rng.random() < 0.6),
        cut=cut,
        head=_draw_head(rng),
        rucksack=bool(rng.random() < 0.07),
        held=_named(rng, {"nothing": 8, "ball": 0.5, "bag": 0.7, "phone": 0.6, "stick": 0.6}),
        hand=int(rng.integers(2)),
        seat=_named(rng, {"chair": 3, "bench": 2, "none": 2}),
    )


def _draw_paint(rng: Rng, dress: bool) -> Paint:
    skin = _skin(rng)
    hair = np.clip(_HAIRS[_index(rng, _HAIR_WEIGHTS)] + rng.normal(0, 8, 3), 8, 240)
    bare = rng.random() < 0.05
    shirt = skin if bare else cloth(rng)
    shoes = skin * 0.97 if rng.random() < 0.12 else cloth(rng)
    return Paint(
        skin=skin,
        flush=np.clip(skin * (0.96, 0.88, 0.86), 0, 255),
        lips=np.clip(skin * (0.85, 0.55, 0.55), 0, 255),
        white=np.array([236.0, 234, 230]),
        iris=np.array([[30.0, 22, 18], [40, 60, 80], [40, 60, 40]][int(rng.integers(3))]),
        brow=hair * 0.8,
        hair=hair,
        shirt=shirt,
        shirt2=skin if bare else cloth(rng),
        trousers=shirt if dress else cloth(rng),
        shoes=shoes,
        sole=shoes if rng.random() < 0.4 else np.array([225.0, 225, 222]) * rng.uniform(0.3, 1),
        socks=cloth(rng),
        gloves=cloth(rng) if rng.random() < 0.06 else skin,
        thing=cloth(rng),
        lens=cloth(rng) * 0.3,
        hat=cloth(rng),
    )


def _draw_cut(rng: Rng) -> Cut:
    skirt = float(rng.uniform(0.55, 1.35)) if rng.random() < 0.13 else 0.0
    legs, sleeves = (0.3, 0.7, 0.95, 1.3, 2.2), (-1.0, 0.5, 0.7, 1.6, 2.2)
    return Cut(
        pattern=_named(rng, _PATTERNS),
        yoke=float(rng.uniform(0.35, 0.85)),
        sleeve=sleeves[_index(rng, np.array([1.2, 3, 1, 0.6, 4]))],
        leg=0.92 * skirt if skirt else legs[_index(rng, np.array([0.7, 1.5, 1, 0.6, 6]))],
        sock=(0.3, 0.6, 2.0)[int(rng.integers(3))],
        skirt=skirt,
        hem=float(rng.uniform(-0.1, 0.16)),
        belt=bool(rng.random() < 0.3),
        collar=float(rng.uniform(0.97, 1.08)),
        neckline=(0.0, 1.0, 2.5)[int(rng.integers(3))],
        loose=float(rng.uniform(1.0, 1.28)),
    )


def _draw_head(rng: Rng) -> HeadCut:
    return HeadCut(
        hairdo=_named(rng, {"short": 6, "long": 3, "tail": 1, "knot": 0.6, "bald": 0.8}),
        hair_length=float(rng.uniform(0.06, 0.19)),
        puff=(1.04, 1.08, 1.12, 1.3)[_index(rng, np.array([0.35, 0.35, 0.22, 0.08]))],
        fringe=float(rng.random() < 0.4),
        beard=bool(rng.random() < 0.14),
        glasses=bool(rng.random() < 0.1),
        hat=_named(rng, {"none": 8, "cap": 1, "beanie": 0.7}),
    )


def _skin(rng: Rng) -> Floats:
    place = rng.random() ** 1.2 * (len(_SKINS) - 1)
    steps = np.arange(len(_SKINS))
    skin = np.array([np.interp(place, steps, channel) for channel in _SKINS.T])
    return np.clip(skin + rng.normal(0, 5) + rng.normal(0, 4, 3), 15, 250)


def cloth(rng: Rng) -> Floats:
    """A colour of cloth or paint: a third are greys, the others of any hue, more muted than loud."""
    if rng.random() < 0.33:
        grey = (25.0, 60.0, 120.0, 190.0, 235.0)[int(rng.integers(5))] + rng.normal(0, 14)
        return np.clip(grey + rng.normal(0, 6, 3), 5, 250)
    hue, loudness, light = rng.random(3).tolist()
    return np.array(colorsys.hsv_to_rgb(hue, 0.2 + 0.75 * loudness, 0.2 + 0.78 * light**0.8)) * 255


def _index(rng: Rng, weights: Floats) -> int:
    steps = np.cumsum(weights)
    return int(np.searchsorted(steps, rng.random() * steps[-1]))


def _named(rng: Rng, weights: dict[str, float]) -> str:
    return list(weights)[_index(rng, np.array(list(weights.values())))]
