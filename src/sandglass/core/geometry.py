"""Affine maps and boxes in the plane. Points are (x, y), a pixel's centre lies at +0.5; boxes are xyxy."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def apply(matrix: Array, points: NDArray[np.floating]) -> Array:
    """Move points (..., 2) by one (2, 3) affine, or by a stack (B, 2, 3) with points (B, ..., 2)."""
    linear, shift = matrix[..., :2], matrix[..., 2]
    if matrix.ndim == 3:
        extra = (1,) * (points.ndim - 2)
        linear, shift = linear.reshape(-1, *extra, 2, 2), shift.reshape(-1, *extra, 2)
    return np.asarray((linear @ points[..., None])[..., 0] + shift, np.float64)


def compose(outer: Array, inner: Array) -> Array:
    """The affine (..., 2, 3) that first applies `inner`, then `outer`: c_from_a = compose(c_from_b, b_from_a)."""
    linear = outer[..., :2] @ inner[..., :2]
    shift = (outer[..., :2] @ inner[..., 2:])[..., 0] + outer[..., 2]
    return np.concatenate([linear, shift[..., None]], axis=-1)


def invert(matrix: Array) -> Array:
    """The inverse (..., 2, 3): a_from_b = invert(b_from_a). Raises numpy.linalg.LinAlgError if flat."""
    linear = np.asarray(np.linalg.inv(matrix[..., :2]), np.float64)
    return np.concatenate([linear, -(linear @ matrix[..., 2:])], axis=-1)


def scale_of(matrix: Array) -> Array:
    """How much an affine (..., 2, 3) stretches lengths: the square root of its determinant's size."""
    return np.sqrt(np.abs(np.linalg.det(matrix[..., :2])))


def image_from_crop(box: Array, size: tuple[int, int], padding: float) -> Array:
    """The affine that carries crop pixels to image pixels, for boxes (..., 4) and a crop of `size` (w, h).

    The crop shows the box's centre in its middle, at one scale for both axes: the smallest region of the
    crop's aspect that holds the box, made `padding` times as large.
    """
    w, h = size
    box = np.asarray(box, np.float64)
    centre = (box[..., :2] + box[..., 2:]) / 2
    extent = box[..., 2:] - box[..., :2]
    scale = padding * np.maximum(extent[..., 0] / w, extent[..., 1] / h)  # image pixels a crop pixel
    matrix = np.zeros((*box.shape[:-1], 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale
    matrix[..., 2] = centre - scale[..., None] * np.array([w / 2, h / 2])
    return matrix


def area(boxes: NDArray[np.floating]) -> Array:
    """Areas of boxes (..., 4), in square pixels; zero for a box that is turned inside out."""
    extent = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(extent[..., 0] * extent[..., 1], np.float64)


def overlap(a: NDArray[np.floating], b: NDArray[np.floating]) -> Array:
    """Intersection over union of every box in a (N, 4) with every box in b (M, 4): (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = area(np.concatenate([low, high], axis=-1))
    union = area(a)[:, None] + area(b)[None] - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0.0)


def clip(boxes: NDArray[np.floating], size: tuple[int, int]) -> Array:
    """Boxes (..., 4) cut to a picture of `size` (w, h)."""
    w, h = size
    return np.clip(np.asarray(boxes, np.float64), 0, [w, h, w, h])


def grow(boxes: NDArray[np.floating], factor: float) -> Array:
    """Boxes (..., 4) made `factor` times as large around their centres."""
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2 * factor
    return np.concatenate([centre - half, centre + half], -1)
