"""Many small four-sided faces in space, and how tubes, domes and boxes become faces. Frame and unit as in body.py."""

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Part(IntEnum):
    """What a face belongs to. THING is what a person sits on, wears on the back or holds: not of the silhouette."""

    THING = 0
    TRUNK = auto()
    SKIRT = auto()
    NECK = auto()
    HEAD = auto()
    HAIR = auto()
    LEFT_EYE = auto()
    RIGHT_EYE = auto()
    LEFT_EAR = auto()
    RIGHT_EAR = auto()
    NOSE = auto()
    LEFT_UPPER_ARM = auto()
    RIGHT_UPPER_ARM = auto()
    LEFT_FOREARM = auto()
    RIGHT_FOREARM = auto()
    LEFT_HAND = auto()
    RIGHT_HAND = auto()
    LEFT_THIGH = auto()
    RIGHT_THIGH = auto()
    LEFT_SHIN = auto()
    RIGHT_SHIN = auto()
    LEFT_FOOT = auto()
    RIGHT_FOOT = auto()


@dataclass(frozen=True, eq=False)
class Mesh:
    """Q faces between V points; a face's four corners run counter-clockwise seen from outside.

    points: (V, 3). faces: (Q, 4) of points. colour: (Q, 3) in 0..255. part: (Q,) of Part.
    lift: (Q,) how much nearer than it is a face counts when faces are sorted: eyes before skin.
    outward: (Q, 3) a face is drawn only if this does not point away from the viewer; zero for most.
    thin: (Q,) seen from both sides (hair, skirts).
    """

    points: Floats
    faces: NDArray[np.intp]
    colour: Floats
    part: NDArray[np.uint8]
    lift: Floats
    outward: Floats
    thin: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Tube:
    """R rings of corners around an axis, joined by faces; half axes `sides` and `fronts` (R, 3)."""

    part: Part
    centres: Floats
    sides: Floats
    fronts: Floats
    colour: Floats  # (3,) or (R - 1, 1 or segments, 3)
    lift: float
    outward: Floats
    thin: bool
    keep: NDArray[np.bool_] | None  # (R - 1, segments), which faces there are


class Builder:
    """Collects tubes by their number of segments, and turns all of a kind into faces at once."""

    def __init__(self, detail: int) -> None:
        self.kinds: dict[int, list[_Tube]] = {}
        self.slim, self.wide = ((8, 14), (12, 20), (16, 28))[detail]  # segments of a limb, of trunk and head

    def tube(
        self, part: Part, centres: Floats, sides: Floats, fronts: Floats, colour: Floats, segments: int | None = None,
        *, lift: float = 0.0, outward: Floats | None = None, thin: bool = False, keep: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        """One tube; the angle of its segments runs from front to side."""
        outward = np.zeros(3) if outward is None else outward
        tube = _Tube(part, centres, sides, fronts, colour, lift, outward, thin, keep)
        self.kinds.setdefault(segments or self.slim, []).append(tube)

    def dome(
        self, part: Part, centre: Floats, frame: Floats, half: tuple[float, float, float], colour: Floats,
        lift: float = 0.012,
    ) -> None:  # fmt: skip
        """Half an ellipsoid that bulges along the frame's z: an eye, a mouth; gone when it points away."""
        height, width = np.array([-0.2, 0.55, 1.0]), np.array([1.0, 0.8, 0.05])
        self.tube(
            part, centre + stretch(height * half[2], frame[:, 2]), stretch(width * half[0], frame[:, 0]),
            stretch(width * half[1], frame[:, 1]), colour, 8, lift=lift, outward=frame[:, 2],
        )  # fmt: skip

    def ball(self, part: Part, centre: Floats, frame: Floats, half: tuple[float, float, float], colour: Floats) -> None:
        """An ellipsoid of half axes `half` along the frame."""
        height = np.array([-1.0, -0.88, -0.5, 0.0, 0.5, 0.88, 1.0])
        width = np.sqrt(np.maximum(1 - height**2, 0.003))
        self.tube(
            part, centre + stretch(height * half[1], frame[:, 1]), stretch(width * half[0], frame[:, 0]),
            stretch(width * half[2], frame[:, 2]), colour,
        )  # fmt: skip

    def box(self, part: Part, centre: Floats, frame: Floats, half: tuple[float, float, float], colour: Floats) -> None:
        """A box of half axes `half` along the frame."""
        height, width = np.array([-1.0, -1.0, -0.3, 0.3, 1.0, 1.0]), np.sqrt(2) * np.array([0.01, 1, 1, 1, 1, 0.01])
        self.tube(
            part, centre + stretch(height * half[1], frame[:, 1]), stretch(width * half[0], frame[:, 0]),
            stretch(width * half[2], frame[:, 2]), colour, 4,
        )  # fmt: skip

    def build(self) -> Mesh:
        """Everything that was collected, as one mesh."""
        meshes = [_joined(tubes, segments) for segments, tubes in self.kinds.items()]
        offset = np.cumsum([0] + [len(mesh.points) for mesh in meshes])
        faces = [mesh.faces + start for mesh, start in zip(meshes, offset, strict=False)]
        names = ("points", "colour", "part", "lift", "outward", "thin")
        return Mesh(faces=np.concatenate(faces), **{n: np.concatenate([getattr(m, n) for m in meshes]) for n in names})


def _joined(tubes: list[_Tube], segments: int) -> Mesh:
    """The faces of all tubes that have the same number of segments."""
    centres, sides, fronts = (np.concatenate([getattr(t, n) for t in tubes]) for n in ("centres", "sides", "fronts"))
    angle = np.arange(segments) * (2 * np.pi / segments) + (np.pi / 4 if segments == 4 else 0)  # boxes stand square
    points = centres[:, None] + np.sin(angle)[:, None] * sides[:, None] + np.cos(angle)[:, None] * fronts[:, None]
    rings = np.array([len(t.centres) for t in tubes])
    last = np.cumsum(rings) - 1
    first = last - rings + 1
    row = np.delete(np.arange(len(centres)), last)[:, None] * segments
    here = np.arange(segments)
    after = (here + 1) % segments
    faces = np.stack([row + here, row + after, row + segments + after, row + segments + here], axis=2)
    middle = first + rings // 2
    hand = (cross(sides[middle], centres[last] - centres[first]) * fronts[middle]).sum(1)
    wrong = np.repeat(hand < 0, rings - 1)
    faces[wrong] = faces[wrong][..., ::-1]
    keep = np.concatenate([np.ones((len(t.centres) - 1, segments), bool) if t.keep is None else t.keep for t in tubes])
    colour = np.concatenate([np.broadcast_to(t.colour, (len(t.centres) - 1, segments, 3)) for t in tubes])
    tube = np.repeat(np.arange(len(tubes)), rings - 1)[:, None] + np.zeros(segments, int)
    tube = tube[keep]
    return Mesh(
        points=points.reshape(-1, 3),
        faces=faces[keep],
        colour=colour[keep],
        part=np.array([t.part for t in tubes], np.uint8)[tube],
        lift=np.array([t.lift for t in tubes])[tube],
        outward=np.stack([t.outward for t in tubes])[tube],
        thin=np.array([t.thin for t in tubes])[tube],
    )


def stretch(lengths: Floats, direction: Floats) -> Floats:
    """One direction (3,) at many lengths: (n, 3)."""
    return lengths[:, None] * direction


def cross(a: Floats, b: Floats) -> Floats:
    """The cross product of rows (n, 3); numpy's own is slow for few rows."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)
