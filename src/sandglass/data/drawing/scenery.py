"""Where drawn people stand, and what stands in front of them. Points are pixels, (x, y), pixel centres at +0.5."""

import math
from collections.abc import Callable
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core.image import Photo
from sandglass.data.drawing.canvas import GROUND, OBJECT, Canvas
from sandglass.data.drawing.looks import cloth

Floats = NDArray[np.float64]
Rng = np.random.Generator
Painter = Callable[[Canvas, Rng, Floats, float, int], None]  # canvas, chance, where, how large, tag


def draw_background(rng: Rng, size: tuple[int, int]) -> Canvas:
    """A canvas of `size` (w, h): shades, noise at several scales, a floor, then clutter."""
    w, h = size
    image = _shades(rng, size)
    for cells, strength in ((5, 0.4), (20, 0.3), (80, 0.25)):
        strength *= rng.random() ** 1.5
        if strength > 0.03:
            noise = _noise(rng, (cells, cells * h // w + 1), size, strength)
            image = cv2.addWeighted(image, 1.0, noise, 1.0, -127.0 * strength)
    canvas = Canvas(image)  # type: ignore[arg-type]
    ground = _floor(canvas, rng) if rng.random() < 0.65 else 0.7 * h
    for _ in range(int(rng.integers(0, 3))):
        _surface(canvas, rng)
    for _ in range(int(rng.integers(2, 13))):
        where = np.array([w, h]) * rng.uniform(-0.05, 1.05, 2)
        size_here = h * math.exp(rng.uniform(math.log(0.04), math.log(0.30)))
        painter = _CLUTTER[int(rng.integers(len(_CLUTTER)))]
        if painter is _case and rng.random() < 0.8:  # furniture stands on the floor
            where[1] = rng.uniform(ground, h) - 0.6 * size_here
        painter(canvas, rng, where, size_here, GROUND)
    return canvas


def draw_shadow(canvas: Canvas, rng: Rng, box: Floats) -> None:
    """A soft dark spot on the floor below the person in `box`."""
    w, h = box[2:] - box[:2]
    where = np.array([(box[0] + box[2]) / 2 + 0.15 * w * rng.normal(), box[3] - 0.02 * h])
    half = np.array([0.6 * w, 0.06 * h + 0.04 * w]) * rng.uniform(0.7, 1.3)
    canvas.darken(where, half, float(rng.uniform(0.2, 0.6)))


def draw_occluder(canvas: Canvas, rng: Rng, box: Floats) -> None:
    """Something in front of a part of the person in `box`."""
    low, high = box[:2], box[2:]
    where = low + (high - low) * rng.uniform([0.0, 0.15], [1.0, 1.1])
    size = float((high - low).max() * rng.uniform(0.10, 0.28))
    painter = _CLUTTER[int(rng.integers(len(_CLUTTER)))]
    painter(canvas, rng, where, size, OBJECT)


def _shades(rng: Rng, size: tuple[int, int]) -> Photo:
    """A wall, a sky or a meadow out of focus: one colour or two, running smoothly into each other."""
    low, high = _muted(rng), _muted(rng)
    high = low + (high - low) * rng.random()
    down = np.linspace(0, 1, 3)[:, None, None]
    small = low * down + high * (1 - down) + rng.normal(0, 1, (3, 3, 3)) * rng.uniform(0, 28)
    return cv2.resize(np.clip(small, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _noise(rng: Rng, cells: tuple[int, int], size: tuple[int, int], strength: float) -> Photo:
    """Clouds of one scale around 127 * strength, more grey than coloured."""
    grey = rng.integers(0, 256, (cells[1], cells[0], 1))
    small = strength * (0.93 * grey + 0.07 * rng.integers(0, 256, (cells[1], cells[0], 3)))
    return cv2.resize(small.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _muted(rng: Rng) -> Floats:
    """The colour of a wall or of the ground: like cloth, but mostly greyer and seldom dark."""
    colour = cloth(rng)
    grey = colour.mean()
    return grey + (colour - grey) * rng.random() + max(0.0, rng.uniform(40, 110) - grey)


def _floor(canvas: Canvas, rng: Rng) -> float:
    """A floor, perhaps of boards; returns how far down it begins."""
    w, h = canvas.width, canvas.height
    ground = h * rng.uniform(0.4, 0.85)
    left, right = ground + rng.normal(0, 0.03, 2) * h
    colour = _muted(rng) * 0.85
    canvas.polygon(np.array([[0, left], [w, right], [w, h], [0, h]]), colour)
    vanish, top = w * rng.random(), max(left, right) + 0.5
    for x in np.linspace(-w, 2 * w, int(rng.integers(0, 12))):
        start = vanish + 0.25 * (x - vanish)
        canvas.polygon(np.array([[start, top], [start + 1, top], [x + 4, h], [x, h]]), colour * 0.88)
    return ground


def _surface(canvas: Canvas, rng: Rng) -> None:
    """A wall, curtain or carpet: stripes or checks in a four-cornered region."""
    w, h = canvas.width, canvas.height
    low = rng.uniform(-0.2, 0.7, 2) * (w, h)
    span = rng.uniform(0.25, 0.9, 2) * (w, h)
    turned = np.radians(rng.normal(0, 12))
    across = np.array([np.cos(turned), np.sin(turned)]) * span[0]
    down = np.array([-np.sin(turned), np.cos(turned)]) * span[1]
    one, two = _muted(rng), cloth(rng)
    two = one + (two - one) * rng.uniform(0.1, 1) ** 1.5
    canvas.polygon(np.array([low, low + across, low + across + down, low + down]), one)
    columns, rows = int(rng.integers(3, 16)), int(rng.integers(2, 8))
    checks = rng.random() < 0.45
    width = rng.uniform(0.2, 0.9)
    for column in range(columns):
        a, b = low + across * (column / columns), low + across * ((column + width) / columns)
        if not checks:
            canvas.polygon(np.array([a, b, b + down, a + down]), two)
            continue
        for row in range(rows):
            c, d = down * (row / rows), down * ((row + width) / rows)
            canvas.polygon(np.array([a + c, b + c, b + d, a + d]), two)


def _polygon(canvas: Canvas, rng: Rng, where: Floats, size: float, tag: int) -> None:
    corners = int(rng.integers(3, 8))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = size * rng.uniform(0.4, 1.0, corners)
    canvas.polygon(where + np.column_stack([np.cos(angle), np.sin(angle)]) * reach[:, None], cloth(rng), tag)


def _oval(where: Floats, half: Floats, turned: float, corners: int = 24) -> Floats:
    angle = np.arange(corners) * (2 * np.pi / corners)
    x, y = half[0] * np.cos(angle), half[1] * np.sin(angle)
    cos, sin = np.cos(turned), np.sin(turned)
    return where + np.column_stack([cos * x - sin * y, sin * x + cos * y])


def _ball(canvas: Canvas, rng: Rng, where: Floats, size: float, tag: int) -> None:
    """A shaded oval; also mistakable for a head."""
    half, turned, colour = size * rng.uniform(0.25, 0.8, 2), float(rng.uniform(0, np.pi)), _paint(rng)
    for k, shade in enumerate((0.75, 0.86, 0.97, 1.07)):
        off = np.array([-0.09, -0.12]) * k * half
        canvas.polygon(_oval(where + off, half * (1 - 0.18 * k), turned), np.clip(colour * shade, 0, 255), tag)


def _stick(canvas: Canvas, rng: Rng, where: Floats, size: float, tag: int) -> None:
    """A shaded rod with round ends, in the colours of limbs and cloth: like an arm, but nobody's."""
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    thick = size * rng.uniform(0.06, 0.2)
    thin = thick * rng.uniform(0.5, 1)
    colour = _paint(rng)
    turned = np.linspace(-np.pi / 2, np.pi / 2, 6)[:, None]
    for k, shade in enumerate((0.72, 0.88, 1.02)):
        a, b, shift = thick * (1 - 0.3 * k), thin * (1 - 0.3 * k), -0.2 * k * thick * across
        end = where + along * size + b * (np.cos(turned) * along + np.sin(turned) * across)
        start = where - along * size - a * (np.cos(turned) * along + np.sin(turned) * across)
        canvas.polygon(np.concatenate([end, start]) + shift, np.clip(colour * shade, 0, 255), tag)


def _case(canvas: Canvas, rng: Rng, where: Floats, size: float, tag: int) -> None:
    """A cupboard, table or crate: three sides of a box, with panels or legs."""
    w, h = size * rng.uniform(0.4, 1.2, 2)
    deep = size * rng.uniform(0.1, 0.5)
    slant = np.array([(1 if rng.random() < 0.5 else -1) * deep, -0.6 * deep])
    colour = cloth(rng)
    front = where + np.array([[-w, -h], [w, -h], [w, h], [-w, h]])
    side = front[[1, 2]] if slant[0] > 0 else front[[0, 3]]
    canvas.polygon(np.concatenate([front[:2], (front[:2] + slant)[::-1]]), np.clip(colour * 1.12, 0, 255), tag)
    canvas.polygon(np.concatenate([side, (side + slant)[::-1]]), colour * 0.62, tag)
    canvas.polygon(front, colour * 0.85, tag)
    panels = int(rng.integers(0, 4))
    for k in range(panels):
        top = where + np.array([-0.9 * w, -h + 2 * h * (k + 0.1) / panels])
        span = np.array([1.8 * w, 1.7 * h / panels])
        canvas.polygon(top + span * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), colour * 0.72, tag)


def _bush(canvas: Canvas, rng: Rng, where: Floats, size: float, tag: int) -> None:
    """Leaves: many small ovals of one hue."""
    colour = cloth(rng)
    for _ in range(int(rng.integers(8, 22))):
        spot = where + rng.normal(0, 0.4, 2) * size
        half = size * rng.uniform(0.06, 0.22, 2)
        shade = rng.uniform(0.6, 1.15)
        canvas.polygon(_oval(spot, half, float(rng.uniform(0, np.pi)), 10), np.clip(colour * shade, 0, 255), tag)


def _post(canvas: Canvas, rng: Rng, where: Floats, size: float, tag: int) -> None:
    """A post or rail across the whole picture, or bars of a fence."""
    thick = 0.16 * size * rng.uniform(0.4, 1.3)
    upright = rng.random() < 0.7
    colour = cloth(rng)
    reach = max(canvas.width, canvas.height)
    slope = rng.normal(0, 0.04)
    for k in range(int(rng.integers(1, 4))):
        middle = where + (np.array([1.0, 0]) if upright else np.array([0, 1.0])) * k * size * 0.7
        along = np.array([slope, 1.0]) if upright else np.array([1.0, slope])
        across = np.array([along[1], -along[0]]) * thick / 2
        for part, shade in (((-1, 1), 0.8), ((-0.6, 0.2), 1.0)):
            a, b = part[0] * across, part[1] * across
            corners = np.array([middle - reach * along + a, middle + reach * along + a])
            canvas.polygon(np.concatenate([corners, (corners - a + b)[::-1]]), np.clip(colour * shade, 0, 255), tag)


def _paint(rng: Rng) -> Floats:
    """Now and then the colour of skin, so that skin alone does not betray a person."""
    if rng.random() < 0.4:
        return np.array([235.0, 185, 150]) * rng.uniform(0.3, 1.05) + rng.normal(0, 8, 3)
    return cloth(rng)


_CLUTTER: tuple[Painter, ...] = (_polygon, _ball, _stick, _stick, _case, _bush, _post)

# A byte's place among 256 becomes a normal deviate: noise for a whole photo at the price of random bytes.
_DEVIATES = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)], np.float32)


def develop(rng: Rng, image: Photo) -> Photo:
    """What the camera and the light do to the whole picture: uneven light, tint, contrast, blur, grain."""
    h, w = image.shape[:2]
    light = rng.uniform(0.75, 1.25, (3, 4, 1)) * rng.uniform(0.92, 1.08, 3) * rng.uniform(0.78, 1.15)
    field = cv2.resize(np.clip(light * 128, 0, 255).astype(np.uint8), (w, h), interpolation=cv2.INTER_LINEAR)
    image = cv2.multiply(image, field, scale=1 / 128)  # type: ignore[assignment]
    gamma, lift = np.exp(rng.normal(0, 0.18)), rng.uniform(0, 40) * (rng.random() < 0.3)
    table = lift + (255 - lift) * (np.arange(256) / 255) ** gamma
    image = cv2.LUT(image, np.clip(np.rint(table), 0, 255).astype(np.uint8))  # type: ignore[assignment]
    if rng.random() < 0.05:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    if rng.random() < 0.45:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.3)))  # type: ignore[assignment]
    grain = np.clip(np.rint(128 + _DEVIATES * rng.uniform(1, 9)), 0, 255).astype(np.uint8)
    noise = cv2.LUT(rng.integers(0, 256, (h, w, 3), dtype=np.uint8), grain)
    return cv2.addWeighted(image, 1.0, noise, 1.0, -128.0)  # type: ignore[return-value]
