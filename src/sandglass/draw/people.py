"""Skeletons over photographs. Points are image pixels, (x, y), pixel centres at +0.5; images (H, W, 3) RGB uint8."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.image import Photo, warp
from sandglass.core.pose import Floats, Pose
from sandglass.core.skeleton import Skeleton

Colour = tuple[int, int, int]

# Blue against orange differ in every kind of colour blindness; the midline tells one person from another.
LEFT: Colour = (58, 160, 255)
RIGHT: Colour = (255, 146, 0)
TINTS: tuple[Colour, ...] = ((245, 245, 240), (250, 232, 80), (255, 150, 216), (104, 224, 150), (196, 176, 255))

CASING: Colour = (20, 20, 20)
MARK: Colour = (255, 255, 255)
HALF = float(np.sqrt(2 * np.log(2)))  # standard deviations at which a contour of a Gaussian holds half of it
BEYOND = 1e5  # pixels: as far as an ellipse is drawn

SHIFT = 4  # OpenCV draws at sixteenths of a pixel
LEGIBLE_SIDE = 640  # a photograph is drawn on at this length of its longer side, at least
LEGIBLE_PERSON = 120  # and so that its smallest person is this large (the square root of the box), if it may be
LARGEST_SIDE = 1600
LARGEST_FACTOR = 8.0


def draw_pose(
    image: Photo,
    keypoints: Floats,
    present: NDArray[np.bool_],
    skeleton: Skeleton,
    *,
    scores: Floats | None = None,
    spread: Floats | None = None,
    box: Floats | None = None,
    scale: float | None = None,
    tint: Colour = TINTS[0],
) -> Photo:
    """A copy of `image` with one person's joints that are `present` and the limbs between them.

    Left is blue, right orange; the midline and the outline of `box` (4,) have the person's `tint`.
    keypoints (K, 2), present (K,); with `scores` (K,) in 0..1 a doubtful joint's dot is smaller; with `spread`
    (K, 2, 2), covariances, an ellipse around each joint holds it in half of all cases. Lines are as
    thick as `scale` asks for, the person's size in pixels: by default the square root of the box's area, or of
    the joints' extent. Joints that are not finite, or further outside than the picture is long, are left out.
    """
    image = image.copy()
    _paint(image, keypoints, present, skeleton, _Manner(scores, spread, box, scale, tint))
    return image


@dataclass(frozen=True, eq=False)
class _Manner:
    """How one person is drawn; see `draw_pose`."""

    scores: Floats | None
    spread: Floats | None
    box: Floats | None
    scale: float | None
    tint: Colour


def mark_mistake(image: Photo, found: Floats, place: Floats, scale: float) -> None:
    """Ring a joint that was found wrongly, and lead a line from there to its place, in place: points (2,)."""
    if not (_near(found, image) and _near(place, image)):
        return
    width = float(np.clip(scale / 48, 1.4, 7.0))
    for colour, rim in ((CASING, 1.0), (MARK, 0.0)):
        _capsule(image, found, place, 0.22 * width + rim, colour)
        _ring(image, found, 1.9 * width, 0.45 * width + 2 * rim, colour)
        _disc(image, place, 0.5 * width + rim, colour)


def draw_poses(
    image: Photo, poses: Sequence[Pose], skeleton: Skeleton, *, boxes: bool = False, enlarge: bool = True
) -> Photo:
    """A copy of `image` with every pose; neighbours in the list have midlines of different tints.

    A small photograph, or one of small people, is enlarged first (see `legible`) unless `enlarge` is False.
    Small people are drawn over large ones.
    """
    sizes = [person_size(pose.keypoints, pose.present, pose.box) for pose in poses]
    image, factor = legible(image, sizes) if enlarge else (image.copy(), 1.0)
    for i in np.argsort([-size for size in sizes], kind="stable"):
        pose = poses[i]
        box = pose.box * factor if boxes else None
        spread = None if pose.spread is None else pose.spread * factor**2
        manner = _Manner(pose.scores, spread, box, sizes[i] * factor, TINTS[i % len(TINTS)])
        _paint(image, pose.keypoints * factor, pose.present, skeleton, manner)
    return image


def legible(image: Photo, sizes: Sequence[float] = ()) -> tuple[Photo, float]:
    """The picture, large enough to draw people of `sizes` (pixels) on, and the factor that points grow by.

    It only grows: to 640 pixels on its longer side, and until its smallest person is 120 pixels large, but
    not beyond 1,600 pixels or 8 times. Always a copy.
    """
    longer = max(image.shape[:2])
    known = [size for size in sizes if size > 0]
    wanted = max(LEGIBLE_SIDE / longer, LEGIBLE_PERSON / min(known) if known else 1.0)
    factor = max(1.0, min(wanted, LARGEST_SIDE / longer, LARGEST_FACTOR))
    if factor == 1.0:
        return image.copy(), 1.0
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), factor  # type: ignore[return-value]


def close_up(image: Photo, box: Floats, keypoints: Floats, *, side: int = 320) -> tuple[Photo, Floats]:
    """A square tile of `side` pixels around a box, and the points (..., 2) in it: for galleries of people."""
    image_from_tile = geometry.image_from_crop(box, (side, side), 1.35)
    if not geometry.scale_of(image_from_tile) > 0:  # a box without extent has nothing to look into
        return np.zeros((side, side, 3), np.uint8), np.full_like(keypoints, np.nan)
    return warp(image, image_from_tile, (side, side)), geometry.apply(geometry.invert(image_from_tile), keypoints)


def person_size(keypoints: Floats, present: NDArray[np.bool_], box: Floats | None = None) -> float:
    """The square root of the area of the box, or of the present joints' extent: pixels, 0 where unknown."""
    if box is not None and np.isfinite(box).all():
        return float(np.sqrt(geometry.area(box)))
    seen = keypoints[present & np.isfinite(keypoints).all(-1)]
    if len(seen) < 2:
        return 0.0
    extent = np.ptp(seen, axis=0)
    return float(max(np.sqrt(extent[0] * extent[1]), extent.max() / 2))  # arms hanging down leave no width


def _paint(
    image: Photo,
    keypoints: Floats,
    present: NDArray[np.bool_],
    skeleton: Skeleton,
    manner: _Manner,
) -> None:
    scores, box, scale, tint = manner.scores, manner.box, manner.scale, manner.tint
    k = len(skeleton)
    assert keypoints.shape == (k, 2), keypoints.shape
    assert present.shape == (k,), present.shape
    scale = person_size(keypoints, present, box) if scale is None else scale
    width = float(np.clip(scale / 48, 1.4, 7.0))
    rim = max(0.9, 0.28 * width)
    casing = _dark(tint)
    colours = {"left": LEFT, "right": RIGHT, "middle": tint}
    shown = present & _near(keypoints, image)
    if box is not None:
        _outline(image, box, max(1, round(width / 3)), tint)
    limbs = [(a, b) for a, b in skeleton.edges if shown[a] and shown[b]]
    for a, b in limbs:
        _capsule(image, keypoints[a], keypoints[b], width / 2 + rim, casing)
    for a, b in limbs:
        _capsule(image, keypoints[a], keypoints[b], width / 2, colours[limb_side(skeleton, a, b)])
    if manner.spread is not None:
        for j in np.flatnonzero(shown):
            _ellipse(image, keypoints[j], manner.spread[j], width, colours[skeleton.side(int(j))])
    sure = np.ones(k) if scores is None else np.clip(np.nan_to_num(scores), 0, 1)
    for j in np.flatnonzero(shown):
        radius = width * (0.55 + 0.45 * sure[j])
        _disc(image, keypoints[j], radius + rim, casing)
        _disc(image, keypoints[j], radius, colours[skeleton.side(int(j))])


def _dark(tint: Colour) -> Colour:
    """The casing of a tint: what makes a line stand out on a light photograph."""
    r, g, b = (int(0.3 * (v - 0.72 * min(tint))) for v in tint)
    return r, g, b


def limb_side(skeleton: Skeleton, a: int, b: int) -> str:
    """'left' or 'right' where one end of a limb is and the other isn't opposite; else 'middle'."""
    sides = {skeleton.side(a), skeleton.side(b)} - {"middle"}
    return sides.pop() if len(sides) == 1 else "middle"


def _near(points: Floats, image: Photo) -> NDArray[np.bool_]:
    """Whether OpenCV's fixed-point numbers can hold the points (..., 2): (...)."""
    reach = max(image.shape[:2])
    size = np.array([image.shape[1], image.shape[0]])
    with np.errstate(invalid="ignore"):
        return ((points > -reach) & (points < size + reach)).all(-1)


def _fixed(points: Floats) -> NDArray[np.int32]:
    """OpenCV counts a pixel's centre as a whole number, we as +0.5."""
    return np.round((points - 0.5) * (1 << SHIFT)).astype(np.int32)


def _capsule(image: Photo, a: Floats, b: Floats, radius: float, colour: Colour) -> None:
    """A line with round ends, as a polygon: OpenCV's own lines have whole-number widths only."""
    along = np.arctan2(b[1] - a[1], b[0] - a[0])
    turn = along + np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    cap = radius * np.stack([np.cos(turn), np.sin(turn)], -1)  # (9, 2) the half circle behind a
    cv2.fillConvexPoly(image, _fixed(np.concatenate([a + cap, b - cap])), colour, cv2.LINE_AA, SHIFT)


def _disc(image: Photo, centre: Floats, radius: float, colour: Colour) -> None:
    x, y = (int(v) for v in _fixed(centre))
    cv2.circle(image, (x, y), round(radius * (1 << SHIFT)), colour, cv2.FILLED, cv2.LINE_AA, SHIFT)


def _ring(image: Photo, centre: Floats, radius: float, width: float, colour: Colour) -> None:
    x, y = (int(v) for v in _fixed(centre))
    cv2.circle(image, (x, y), round(radius * (1 << SHIFT)), colour, max(1, round(width)), cv2.LINE_AA, SHIFT)


def _ellipse(image: Photo, centre: Floats, covariance: Floats, width: float, colour: Colour) -> None:
    """The contour that holds half of a Gaussian, if it is not hidden under the joint's dot."""
    if not np.isfinite(covariance).all():
        return
    variances, axes = np.linalg.eigh(covariance)
    radii = HALF * np.sqrt(np.maximum(variances, 0))
    if radii[1] <= 1.5 * width:
        return
    turn = np.linspace(0, 2 * np.pi, 49)[:-1]
    around = np.stack([np.cos(turn), np.sin(turn)], -1) * np.maximum(radii, 0.5 * width)
    contour = _fixed(np.clip(centre + around @ axes.T, -BEYOND, BEYOND))
    for shade, thickness in ((CASING, width / 5 + 1), (colour, width / 5)):
        cv2.polylines(image, [contour], True, shade, max(1, round(thickness)), cv2.LINE_AA, SHIFT)


def _outline(image: Photo, box: Floats, width: int, tint: Colour) -> None:
    corners = box.reshape(2, 2)
    if not _near(corners, image).all():
        return
    (x0, y0), (x1, y1) = _fixed(corners).tolist()
    cv2.rectangle(image, (x0, y0), (x1, y1), _dark(tint), width + 2, cv2.LINE_AA, SHIFT)
    cv2.rectangle(image, (x0, y0), (x1, y1), tint, width, cv2.LINE_AA, SHIFT)
