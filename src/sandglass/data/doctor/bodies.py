"""What cannot be, by the labels alone: joints outside, people twice, limbs too long. Image pixels; boxes are xyxy."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People
from sandglass.data.doctor.finding import Finding

EDGE = 1.0  # pixels that a joint may lie outside its photograph: labels are rounded
ROOM = 0.1  # of a box's longer side that a joint may lie outside it: tools draw boxes around what is seen
ALIKE = 0.9  # OKS from which two people of one photograph are the same
SHARED = 3  # labelled joints that two people must share to be compared
ENOUGH = 100  # people with a limb who teach how long it is
FAR = 5.0  # spreads (median to ninth decile) beyond the usual length, in logarithms, from which a limb cannot be


def check_bodies(people: People) -> list[Finding]:
    """All that this file looks for."""
    return [*check_outside(people), *check_twice(people), *check_limbs(people)]


def _of(people: People, i: int, kind: str, what: str, sure: float = 1.0) -> Finding:
    person = people[i]
    path = str(person.image_path)
    return Finding(kind=kind, source=people.source, id=person.id, photo=path, sure=float(sure), what=what)


def check_outside(people: People) -> list[Finding]:
    """Labelled joints outside the photograph, else outside the person's box."""
    labelled = people.visibility > 0
    sizes = people.image_sizes[people.image][:, None].astype(np.float64)
    beyond = labelled & (_distance(people.keypoints, np.zeros_like(sizes), sizes) > EDGE)
    boxes = people.boxes[:, None]
    room = ROOM * np.maximum(1.0, (people.boxes[:, 2:] - people.boxes[:, :2]).max(1))[:, None]
    outside = labelled & ~beyond & (_distance(people.keypoints, boxes[..., :2], boxes[..., 2:]) > room)
    found = []
    for kind, table, place in (("outside photo", beyond, "photograph"), ("outside box", outside, "box")):
        for i in np.flatnonzero(table.any(1) & ~people.crowd):
            names = ", ".join(people.skeleton.joints[k] for k in np.flatnonzero(table[i]))
            found.append(_of(people, int(i), kind, f"{names} outside the {place}"))
    return found


def _distance(points: Floats, low: Floats, high: Floats) -> Floats:
    """How far points (N, K, 2) lie outside boxes with the corners (N, 1, 2), along the worse axis: (N, K)."""
    return np.maximum(low - points, points - high).max(-1)


def check_twice(people: People) -> list[Finding]:
    """People of one photograph whose labels are alike; the one with fewer labelled joints is named, else the later."""
    usable = np.flatnonzero((people.labelled >= SHARED) & ~people.crowd)
    order = usable[np.argsort(people.image[usable], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(people.image[order])) + 1)
    pairs = [pair for group in groups if len(group) > 1 for pair in combinations(group.tolist(), 2)]
    found = []
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    values = alike(people, a, b)
    for i in np.flatnonzero(values > ALIKE):
        less, more = sorted((int(a[i]), int(b[i])), key=lambda row: (people.labelled[row], -row))
        what = f"the same person as annotation {people.ids[more]} (OKS {values[i]:.2f})"
        found.append(_of(people, less, "duplicate", what, values[i]))
    return found


def alike(people: People, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
    """OKS of pairs of people (M,) over the joints that both have, by the mean of their areas; 0 where they share few:
    fewer than SHARED, or less than half of those of either."""
    both = (people.visibility[a] > 0) & (people.visibility[b] > 0)
    squares = np.square(people.keypoints[a] - people.keypoints[b]).sum(-1)
    area = np.maximum((people.areas[a] + people.areas[b]) / 2, 1e-9)[:, None]
    near = np.exp(-squares / (2 * (2 * np.array(people.skeleton.sigmas)) ** 2 * area))
    shared = both.sum(1)
    enough = (shared >= SHARED) & (2 * shared >= np.maximum(people.labelled[a], people.labelled[b]))
    return np.where(enough, (near * both).sum(1) / np.maximum(shared, 1), 0.0)


def check_limbs(people: People) -> list[Finding]:
    """Limbs that are too long for the rest of their body. Short ones are usual: they point at the camera."""
    edges = np.array(people.skeleton.edges, np.int64).reshape(-1, 2)
    there = (people.visibility[:, edges] > 0).all(2) & ~people.crowd[:, None]
    edges, there = edges[there.sum(0) >= ENOUGH], there[:, there.sum(0) >= ENOUGH]
    if len(edges) < 3:
        return []
    lengths = np.log(np.linalg.norm(np.diff(people.keypoints[:, edges], axis=2)[:, :, 0], axis=-1) + 1.0)
    lengths = np.where(there, lengths, np.nan)
    judged = there.sum(1) >= 3  # else there is no rest of the body
    lengths, there, rows = lengths[judged], there[judged], np.flatnonzero(judged)
    size = np.nanmedian(lengths - np.nanmedian(lengths, axis=0), axis=1)
    ratio = lengths - size[:, None]
    middle, high = np.nanquantile(ratio, [0.5, 0.9], axis=0)
    excess = (ratio - middle) / np.maximum(high - middle, 0.1)
    found = []
    for i in np.flatnonzero((np.where(there, excess, 0) > FAR).any(1)):
        e = int(np.nanargmax(excess[i]))
        a, b = (people.skeleton.joints[k] for k in edges[e])
        times = np.exp(ratio[i, e] - middle[e])
        what = f"{a} to {b} is {times:.1f} times as long as usual for this body"
        found.append(_of(people, int(rows[i]), "limb", what, excess[i, e] / (excess[i, e] + 1)))
    return found
