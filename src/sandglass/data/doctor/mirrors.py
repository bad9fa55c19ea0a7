"""Whether a skeleton's flip pairs are mirror partners, by what people look like. Image pixels.

A body and its mirror image are equally likely, so the distance of two joints is, on average, that of their twins.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.doctor.finding import Finding

ENOUGH = 100  # people who have both joints
CLEAR = 0.7  # another mirror must leave at most this much of the asymmetry ...
LEAST = 0.05  # ... and take away this much, per pair of joints, in body sizes

Mirror = tuple[int, ...]


def check_mirror(people: People) -> list[Finding]:
    """Pairs that are no mirror partners, with those that would be."""
    usable = people.select((people.labelled > 1) & ~people.crowd)
    table = distances(usable)
    given = people.skeleton.mirror
    best = repaired(table, given)
    found = []
    for a in (i for i, twin in enumerate(given) if best[i] != twin):
        here = (asymmetry(table, given, a), asymmetry(table, best, a))
        sure = float(1 - here[1] / max(here[0], 1e-9))
        what = f"{_twin(people.skeleton, given, a)}, but the people say {_twin(people.skeleton, best, a)}"
        found.append(Finding(kind="skeleton", source=people.source, sure=float(np.clip(sure, 0.5, 1)), what=what))
    return found


def _twin(skeleton: Skeleton, mirror: Mirror, joint: int) -> str:
    name, twin = skeleton.joints[joint], skeleton.joints[mirror[joint]]
    return f"{name} is its own twin" if twin == name else f"{name} is the twin of {twin}"


def distances(people: People) -> Floats:
    """The usual distance of each two joints, in units of the body's size: (K, K), NaN where few people have both."""
    labelled = people.visibility > 0
    count = np.maximum(labelled.sum(1), 1)[:, None]
    centre = np.where(labelled[..., None], people.keypoints, 0).sum(1) / count
    away = np.where(labelled[..., None], people.keypoints - centre[:, None], 0)
    size = np.sqrt(np.square(away).sum((1, 2)) / count[:, 0])
    k = labelled.shape[1]
    table = np.full((k, k), np.nan)
    for a, b in combinations(range(k), 2):
        both = labelled[:, a] & labelled[:, b] & (size > 0)
        if both.sum() >= ENOUGH:
            far = np.linalg.norm(people.keypoints[both, a] - people.keypoints[both, b], axis=-1) / size[both]
            table[a, b] = table[b, a] = np.median(far)
    return table


def asymmetry(table: Floats, mirror: Mirror, joint: int | None = None) -> float:
    """How far the distances (K, K) are from those of the twins, on average; of one joint's, or of all."""
    twins = np.array(mirror)
    apart = np.abs(table - table[np.ix_(twins, twins)])
    apart = apart if joint is None else apart[joint]
    return float(np.nanmean(apart)) if np.isfinite(apart).any() else 0.0


def repaired(table: Floats, mirror: Mirror) -> Mirror:
    """The mirror that exchanging partners, two pairs at a time, arrives at; the given one where none is clearly better.

    Joints without a known distance keep their twins: they would look symmetric with anything.
    """
    known = np.isfinite(table).sum(1) > 0
    best, cost = mirror, asymmetry(table, mirror)
    while True:
        options = [(asymmetry(table, other), other) for other in _neighbours(best, known)]
        least, other = min(options, default=(np.inf, best))
        if least > cost * CLEAR or cost - least < LEAST / len(mirror):
            return best
        best, cost = other, least


def _neighbours(mirror: Mirror, known: NDArray[np.bool_]) -> Iterator[Mirror]:
    """Every mirror in which two pairs (or joints that are their own twins) have other partners."""
    pairs = [(i, twin) for i, twin in enumerate(mirror) if i <= twin and known[i] and known[twin]]
    for (a, b), (c, d) in combinations(pairs, 2):
        if a == b and c == d:
            yield _with(mirror, (a, c))
        elif a != b and c != d:
            yield _with(mirror, (a, c), (b, d))
            yield _with(mirror, (a, d), (b, c))
        else:
            single, (x, y) = (a, (c, d)) if a == b else (c, (a, b))
            yield _with(mirror, (single, x), (y, y))
            yield _with(mirror, (single, y), (x, x))


def _with(mirror: Mirror, *pairs: tuple[int, int]) -> Mirror:
    twins: NDArray[np.int64] = np.array(mirror)
    for a, b in pairs:
        twins[a], twins[b] = b, a
    return tuple(twins.tolist())
