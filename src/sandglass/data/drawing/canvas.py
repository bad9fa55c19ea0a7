"""A picture being drawn, twice as fine as it will be. Points are final pixels, (x, y), pixel centres at +0.5."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core.image import Photo
from sandglass.data.drawing.mesh import Mesh, cross

Floats = NDArray[np.float64]

FINE = 2  # drawn so many times finer, then averaged: soft edges without a shift
_BITS = 4  # of OpenCV's fixed-point coordinates
PARTS = 24  # tags that each person takes
GROUND, OBJECT = 255, 254  # tags of what is no person


@dataclass(frozen=True, eq=False)
class View:
    """A camera of its own for each person: turns space, shrinks by distance, lands on the photo.

    camera_from_world: (3, 3); x right, y up, z towards the viewer.
    distance: from the camera to the person's origin, in statures.
    """

    camera_from_world: Floats
    distance: float
    scale: float = 1.0  # pixels a stature
    centre: tuple[float, float] = (0.0, 0.0)  # where the person's origin lands

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixels (..., 2) and depth (...) away from the camera, of points (..., 3) in space."""
        seen = points @ self.camera_from_world.T
        depth = self.distance - seen[..., 2]
        flat = seen[..., :2] * (self.distance * self.scale / depth)[..., None]
        return flat * (1, -1) + self.centre, depth


class Canvas:
    """Colours, and for each pixel the tag of what is seen there."""

    def __init__(self, background: Photo) -> None:
        self.height, self.width = background.shape[:2]
        big = cv2.resize(background, (self.width * FINE, self.height * FINE), interpolation=cv2.INTER_LINEAR)
        self.pixels: NDArray[np.uint8] = cv2.cvtColor(big, cv2.COLOR_RGB2RGBA)  # type: ignore[assignment]  # the fourth channel, 255, is the tag GROUND

    def polygon(self, points: Floats, colour: Floats | tuple[float, ...], tag: int = GROUND) -> None:
        """Fill a polygon (n, 2), convex or not."""
        cv2.fillPoly(self.pixels, [_fixed(points)], (*map(float, colour), tag), cv2.LINE_8, _BITS)

    def darken(self, where: Floats, half: Floats, strength: float) -> None:
        """An oval shadow with soft edges."""
        reach = np.maximum(np.ceil(half * FINE).astype(int), 2)
        low = np.floor(where * FINE).astype(int) - reach
        y, x = np.ogrid[-reach[1] : reach[1], -reach[0] : reach[0]]
        inside = np.maximum(1 - (x / reach[0]) ** 2 - (y / reach[1]) ** 2, 0).astype(np.float32)
        top, left = np.maximum(-low[::-1], 0)
        part = self.pixels[max(low[1], 0) : low[1] + 2 * reach[1], max(low[0], 0) : low[0] + 2 * reach[0], :3]
        dark = 1 - strength * inside[top : top + part.shape[0], left : left + part.shape[1], None]
        part[:] = (part * dark).astype(np.uint8)

    def faces(self, mesh: Mesh, view: View, light: Floats, slot: int) -> None:
        """Draw a person's faces, the farthest first. Their tags are slot * PARTS + part, things are OBJECT."""
        flat, depth = view.project(mesh.points)
        corners, far = flat[mesh.faces], depth[mesh.faces].sum(1) / 4
        a, b = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
        towards = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0  # y runs down in the photo
        facing = mesh.outward @ view.camera_from_world[2] >= 0
        seen = np.flatnonzero((towards | mesh.thin) & facing)
        order = seen[np.argsort(mesh.lift[seen] - far[seen], kind="stable")]
        shade = _shade(mesh.points @ view.camera_from_world.T, mesh.faces[order], towards[order], light)
        colours = np.clip(mesh.colour[order] * shade[:, None], 0, 255)
        tags = np.where(mesh.part[order] == 0, OBJECT, slot * PARTS + mesh.part[order])
        fill, pixels = cv2.fillConvexPoly, self.pixels
        rows = np.column_stack([colours, tags]).tolist()
        for four, colour in zip(_fixed(flat)[mesh.faces[order]], rows, strict=True):
            fill(pixels, four, colour, cv2.LINE_8, _BITS)

    def tags(self, box: Floats | None = None) -> NDArray[np.uint8]:
        """What is seen at each of (FINE * H, FINE * W) fine pixels; with a box, only there."""
        if box is None:
            return np.ascontiguousarray(self.pixels[..., 3])
        limit = np.array([self.width, self.height]) * FINE
        low = np.clip(np.floor(box[:2] * FINE).astype(int), 0, limit)
        high = np.clip(np.ceil(box[2:] * FINE).astype(int), low, limit)
        return np.ascontiguousarray(self.pixels[low[1] : high[1], low[0] : high[0], 3])

    def photo(self) -> Photo:
        """The picture (H, W, 3), each pixel the average of FINE x FINE."""
        colours = cv2.cvtColor(self.pixels, cv2.COLOR_RGBA2RGB)
        return cv2.resize(colours, (self.width, self.height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _fixed(points: Floats) -> NDArray[np.int32]:
    """OpenCV counts a pixel's centre as a whole number, we as +0.5."""
    return np.rint((np.clip(points, -4000, 4000) * FINE - 0.5) * (1 << _BITS)).astype(np.int32)


def _shade(points: Floats, faces: NDArray[np.intp], towards: NDArray[np.bool_], light: Floats) -> Floats:
    """Brightness (Q,) of faces lit from `light`, with some of the sky's light from above; insides are dark."""
    a, b, c, d = points[faces.T]
    normal = cross(c - a, d - b)
    normal /= np.maximum(np.sqrt((normal**2).sum(1, keepdims=True)), 1e-12)
    lit = 0.72 + 0.34 * (normal @ light) + 0.10 * normal[:, 1]
    return np.where(towards, np.clip(lit, 0.38, 1.2), 0.5)
