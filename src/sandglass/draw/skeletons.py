"""A skeleton as a diagram: joints, limbs, and who is whose mirror twin. The person faces you: their left is right."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sandglass.core.skeleton import Skeleton
from sandglass.draw.plot import BLUE, FAINT, GRID, INK, ORANGE, blank_figure, plain, set_title

if TYPE_CHECKING:  # matplotlib takes a third of a second to import: only who draws pays
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

COLOURS = {"left": BLUE, "right": ORANGE, "middle": INK}
MARKERS = {"left": "o", "right": "s", "middle": "D"}  # the second sign beside colour
ROUNDS = 300  # of the layout: each moves joints less than the one before


def skeleton_diagram(skeleton: Skeleton, places: Floats | None = None) -> "Figure":
    """The joints with their names and numbers, limbs as lines, twins joined by dashes.

    places: (K, 2), y downwards, where joints usually lie (see `usual_places`); NaN, or None for all, is laid out by
    the limbs alone.
    """
    points = layout(skeleton) if places is None else _filled(skeleton, places)
    figure = blank_figure((7.2, min(14.0, max(5.0, 0.32 * len(skeleton)))))
    axes = figure.add_subplot()
    axes.set_axis_off()
    for a, b in skeleton.pairs:
        axes.plot(*points[[a, b]].T, color=GRID, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for a, b in skeleton.edges:
        sides = {skeleton.side(a), skeleton.side(b)} - {"middle"}
        axes.plot(*points[[a, b]].T, color=COLOURS[sides.pop() if len(sides) == 1 else "middle"], linewidth=2, zorder=2)
    for j, joint in enumerate(skeleton.joints):
        side = skeleton.side(j)
        axes.plot(*points[j], MARKERS[side], color=COLOURS[side], markersize=7, markeredgecolor="white", zorder=3)
        _name(axes, points, j, plain(f"{j} {joint}"), COLOURS[side])
    axes.invert_yaxis()
    axes.margins(x=0.22, y=0.06)
    set_title(axes, f"{skeleton.name}: {len(skeleton)} joints, {len(skeleton.pairs)} left/right pairs")
    _legend(axes, {skeleton.side(j) for j in range(len(skeleton))})
    return figure


def _name(axes: "Axes", points: Floats, j: int, text: str, colour: str) -> None:
    """The joint's name, on the side that looks away from the middle."""
    from matplotlib.patheffects import withStroke

    outward = points[j, 0] >= np.median(points[:, 0])
    dx, align = (8, "left") if outward else (-8, "right")
    halo = [withStroke(linewidth=3, foreground="white")]
    font = {"color": colour, "fontsize": 8.5, "path_effects": halo}
    axes.annotate(text, points[j], (dx, 7), textcoords="offset points", ha=align, va="center", **font)


def _legend(axes: "Axes", sides: set[str]) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=COLOURS[side], marker=MARKERS[side], ls="none", label=side)
        for side in ("left", "middle", "right")
        if side in sides
    ]
    if len(sides) > 1:
        marks.append(Line2D([], [], color=GRID, linestyle=(0, (4, 3)), label="twins"))
    axes.legend(
        handles=marks,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=4,
        frameon=False,
        fontsize=8.5,
        labelcolor=FAINT,
    )


def usual_places(keypoints: Floats, visibility: NDArray[np.uint8], boxes: Floats) -> Floats:
    """The median place (K, 2) of each joint in its person's box, of side 1; NaN where it is never labelled.

    keypoints (N, K, 2), visibility (N, K), boxes (N, 4), in image pixels.
    """
    extent = np.maximum(boxes[:, None, 2:] - boxes[:, None, :2], 1e-9)
    inside = (keypoints - boxes[:, None, :2]) / extent
    places = np.full((keypoints.shape[1], 2), np.nan)
    for j in np.flatnonzero((visibility > 0).any(0)):
        places[j] = np.median(inside[visibility[:, j] > 0, j], axis=0)
    return places


def _filled(skeleton: Skeleton, places: Floats) -> Floats:
    free = layout(skeleton)
    spread = max(float(np.ptp(free)), 1e-9)
    return np.where(np.isfinite(places), places, (free - free.min(0)) / spread)


def layout(skeleton: Skeleton) -> Floats:
    """Places (K, 2), y downwards, at which joints are about as far apart as the limbs between them are many.

    Stress majorisation (Gansner et al. 2005, doi.org/10.1007/978-3-540-31843-9_25) by Guttman transforms; after each,
    twins are made to mirror one another, with the left ones at the right. The upper joints are at the top, or else
    the first.
    """
    k = len(skeleton)
    distance = _steps(skeleton)
    side = np.array([{"left": 1.0, "right": -1.0, "middle": 0.0}[skeleton.side(j)] for j in range(k)])
    points = _start(side, distance)
    weight = 1 / np.maximum(distance, 1) ** 2 * (1 - np.eye(k))
    solve = np.linalg.pinv(np.diag(weight.sum(1)) - weight)
    mirror = np.array(skeleton.mirror)
    for _ in range(ROUNDS if k > 1 else 0):
        apart = np.maximum(np.linalg.norm(points[:, None] - points[None], axis=-1), 1e-9)
        pull = -weight * distance / apart
        np.fill_diagonal(pull, 0)
        np.fill_diagonal(pull, -pull.sum(1))
        points = solve @ (pull @ points)
        if skeleton.pairs:
            flipped = points[mirror] * (-1, 1)
            points = (points + flipped) / 2
            points[:, 0] = np.where(side == 0, points[:, 0], side * np.abs(points[:, 0]))
    top = list(skeleton.upper) or [0]
    return points * (1, -1) if points[top, 1].mean() > points[:, 1].mean() else points


def _start(side: Floats, distance: Floats) -> Floats:
    """Where the layout begins: by the distance to the first joint, left and right apart; without sides, as a spiral."""
    k = len(side)
    if side.any():
        return np.stack([side * (1 + distance[0]), distance[0] + 0.1 * np.arange(k) / k], -1)
    turn = np.arange(k) * 2.399963  # the golden angle: no symmetry that could trap it
    return np.stack([np.cos(turn), np.sin(turn)], -1) * np.sqrt(np.arange(k) + 0.5)[:, None]


def _steps(skeleton: Skeleton) -> Floats:
    """The number of limbs (K, K) between any two joints; joints that none connect are as far as the longest way."""
    k = len(skeleton)
    reach = np.eye(k, dtype=bool)
    touch = reach.copy()
    for a, b in skeleton.edges:
        touch[a, b] = touch[b, a] = True
    distance = np.where(reach, 0.0, np.inf)
    for step in range(1, k):
        wider = (reach.astype(np.float32) @ touch.astype(np.float32)) > 0
        if (wider == reach).all():
            break
        distance[wider & ~reach], reach = step, wider
    longest = distance[np.isfinite(distance)].max()
    return np.where(np.isfinite(distance), distance, longest + 1)
