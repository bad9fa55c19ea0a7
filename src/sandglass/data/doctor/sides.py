"""Left and right by the geometry of the others. For each left/right pair, d is the arrow from one joint to its twin.

The arrows of two pairs of one body mostly point the same way: whose shoulders are turned one way, has his elbows turned
so. The squared lengths that exchanging one of the two pairs would add are 4 d_p . d_q, whatever the skeleton, and the
same for a body that is turned or seen in a mirror. How much each pair of pairs says is learnt from the set itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandglass.core.pose import Floats, People
from sandglass.data.doctor.finding import Finding

ENOUGH = 100  # people who teach what is usual; below, nobody is judged
RIDGE = 1.0  # of the weights: what a pair that is seldom labelled says counts little
HALF = 0.3  # agreement at which a pair has said half of what it can say
NEWTON_STEPS = 20
PRIOR = 0.005  # of all people are swapped in part, before anybody is looked at: legs do cross, and arms
ROUNDS = 4  # groups of pairs that are exchanged in one person


@dataclass(frozen=True, eq=False)
class Sides:
    """weights: (P, P) how much the agreement of two pairs speaks for both: log odds. groups: (G, P) pairs that are
    exchanged together, as an arm is."""

    weights: Floats
    groups: NDArray[np.bool_]


def agreement(people: People) -> Floats:
    """How much each two of the P pairs of each person point the same way: (N, P, P), in -1..1, 0 where unlabelled.

    In units of the person's own extent, and bent: beyond HALF more adds ever less.
    """
    pairs = np.array(people.skeleton.pairs, np.int64).reshape(-1, 2)
    labelled = people.visibility > 0
    count = np.maximum(labelled.sum(1), 1)[:, None]
    centre = np.where(labelled[..., None], people.keypoints, 0).sum(1) / count
    away = np.where(labelled[..., None], people.keypoints - centre[:, None], 0)
    extent = np.square(away).sum((1, 2)) / count[:, 0]
    both = labelled[:, pairs[:, 0]] & labelled[:, pairs[:, 1]]
    arrows = np.where(both[..., None], people.keypoints[:, pairs[:, 0]] - people.keypoints[:, pairs[:, 1]], 0)
    same = np.einsum("npi,nqi->npq", arrows, arrows) / np.maximum(extent, 1e-9)[:, None, None]
    same[:, np.arange(len(pairs)), np.arange(len(pairs))] = 0
    return same / (np.abs(same) + HALF)


def learn(people: People) -> Sides | None:
    """What is usual in a set; None where too few people have two pairs labelled.

    The pseudo-likelihood of an Ising model (Besag 1975, doi.org/10.2307/2987782): each pair's sign is a logistic
    regression on its agreement with the others. Some swaps among the people only lower the weights a little.
    """
    same = agreement(people)
    if (np.abs(same).sum((1, 2)) > 0).sum() < ENOUGH:
        return None
    weights = np.stack([_regress(same[:, p]) for p in range(same.shape[1])])
    weights = (weights + weights.T) / 2
    return Sides(weights, _groups(weights))


def _regress(x: Floats) -> Floats:
    """Weights w (P,) that make sigmoid(x w) likely to be 1, by Newton's method: x (N, P)."""
    weights = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        right = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (1 - right) - RIDGE * weights
        curve = (x * (right * (1 - right))[:, None]).T @ x + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _groups(weights: Floats) -> NDArray[np.bool_]:
    """Single pairs, and what hangs together on either side of each link of the strongest tree over the pairs."""
    p = len(weights)
    links, inside = [], [0]
    while len(inside) < p:  # Prim
        rest = [i for i in range(p) if i not in inside]
        table = weights[np.ix_(inside, rest)]
        a, b = np.unravel_index(table.argmax(), table.shape)
        links.append((inside[a], rest[b]))
        inside.append(rest[b])
    masks = list(np.eye(p, dtype=bool))
    for cut in links:
        mask = np.zeros(p, bool)
        mask[cut[1]] = True
        for a, b in links:  # in the order of growth: what hangs below `cut` comes after it
            mask[b] |= mask[a] and (a, b) != cut
        masks.append(mask)
    return np.unique(np.array(masks), axis=0)


def judge(people: People, sides: Sides) -> tuple[NDArray[np.bool_], Floats]:
    """Which pairs to exchange (N, P), the fewer of two equal choices, and how sure that any are: (N,) in 0..1.

    Exchanging everything changes no agreement: a whole body that is labelled the wrong way round is not seen here.
    """
    evidence = agreement(people) * sides.weights / 2
    signs = np.ones(evidence.shape[:2])
    moves = np.where(sides.groups, -1.0, 1.0)  # (G, P)
    for _ in range(ROUNDS):
        field = np.einsum("npq,np,nq->npq", evidence, signs, signs)
        gain = np.stack([np.einsum("npq,p,q->n", field, move, move) for move in moves], 1) - field.sum((1, 2))[:, None]
        best = gain.argmax(1)
        better = gain[np.arange(len(gain)), best] > 1e-9
        signs = np.where(better[:, None], signs * moves[best], signs)
    odds = np.einsum("npq,np,nq->n", evidence, signs, signs) - evidence.sum((1, 2)) + np.log(PRIOR / (1 - PRIOR))
    exchanged = (signs < 0) & (np.abs(evidence).sum(2) > 0)
    other = (signs > 0) & (np.abs(evidence).sum(2) > 0)
    flip = exchanged.sum(1) > other.sum(1)
    exchanged = np.where(flip[:, None], other, exchanged)
    return exchanged, np.where(exchanged.any(1), 1 / (1 + np.exp(-odds)), 0.0)


def check_sides(people: People, least: float = 0.5) -> list[Finding]:
    """People whose sides are swapped in part, from a sureness of `least` on; and pairs that are so in the whole set."""
    usable = people.select((people.labelled > 0) & ~people.crowd)
    sides = learn(usable)
    if sides is None:
        return []
    found = _whole_set(usable)
    exchanged, sure = judge(usable, sides)
    pairs, joints = people.skeleton.pairs, people.skeleton.joints
    for i in np.flatnonzero(sure >= least).tolist():
        some = [pairs[p] for p in np.flatnonzero(exchanged[i])]
        named = ", ".join(joints[a] for a, _ in some)
        person = usable[i]
        found.append(
            Finding(
                kind="swap",
                source=people.source,
                id=person.id,
                photo=str(person.image_path),
                sure=float(sure[i]),
                what=f"{named} exchanged with their twins, against the rest of the body",
                exchange=tuple(a for a, _ in some),
            )
        )
    return found


def _whole_set(people: People) -> list[Finding]:
    """Pairs whose left lies where the others' right lies, in most people: a wrong name in the file."""
    mean = agreement(people).sum(0)
    signs = np.ones(len(mean))
    for _ in range(len(mean)):
        turned = (mean * signs).sum(1) * signs < 0
        if not turned.any():
            break
        signs[np.argmin((mean * signs).sum(1) * signs)] *= -1
    wrong = signs < 0 if (signs < 0).sum() * 2 <= len(signs) else signs > 0
    joints, pairs = people.skeleton.joints, people.skeleton.pairs
    return [
        Finding(
            kind="sides",
            source=people.source,
            sure=0.95,
            what=f"{joints[pairs[p][0]]} and {joints[pairs[p][1]]} lie on each other's side in most people",
        )
        for p in np.flatnonzero(wrong)
    ]
