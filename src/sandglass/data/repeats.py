"""OKS sigmas from people who were labelled more than once. Image pixels; boxes are xyxy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton

SAME = 0.5  # boxes of one photograph that share so much of their union are the same person's
ENOUGH = 20  # degrees of freedom that a joint's sigma needs: the estimate is then good to about 16 %


@dataclass(frozen=True, eq=False)
class Repeats:
    """What repeated labels say about each joint.

    sigmas: (K,) NaN where there are too few. freedom: (K,) repeated labels, less one for each person and joint.
    """

    skeleton: Skeleton
    people: int  # labelled more than once
    sigmas: Floats
    freedom: NDArray[np.int64]

    @property
    def measured(self) -> Skeleton:
        """The skeleton with what was measured in place of its own sigmas; twins share what both say."""
        own = np.array(self.skeleton.sigmas)
        return replace(self.skeleton, sigmas=tuple(np.where(np.isnan(self.sigmas), own, self.sigmas).round(4).tolist()))


def estimate(sets: Sequence[People]) -> Repeats:
    """Sigmas from sets that label the same photographs, or from one that labels people twice.

    COCO's definition (cocodataset.org/#keypoints-eval): sigma_k^2 = E[d^2 / s^2], with s^2 the person's area and d
    the distance of a label from the joint's place. That place is not known, only the mean of the R labels that a
    person got: so each person adds R - 1 degrees of freedom, not R. A left and a right joint are one estimate.
    Labels are of the same person when they are on the same photograph (by its file's name) and their boxes share
    half of their union with the first's. Raises BadInput where nobody was labelled twice.
    """
    skeleton = sets[0].skeleton
    if any(people.skeleton.joints != skeleton.joints for people in sets):
        raise BadInput(f"{sets[0].source} and {sets[-1].source} have different joints; repeat the labels of one set")
    points, labelled, areas, groups = _joined(sets)
    squares, freedom, repeated = np.zeros(len(skeleton)), np.zeros(len(skeleton), np.int64), 0
    for rows in groups:
        seen = labelled[rows]  # (R, K)
        count = seen.sum(0)
        mean = np.where(seen[..., None], points[rows], 0).sum(0) / np.maximum(count, 1)[:, None]
        distance = np.square(points[rows] - mean).sum(-1) / areas[rows].mean()
        squares += np.where(seen & (count > 1), distance, 0).sum(0)
        freedom += np.maximum(count - 1, 0)
        repeated += 1
    if not repeated:
        raise BadInput(f"{sets[0].source}: nobody is labelled more than once; give the files of several annotators")
    twins = list(skeleton.mirror)
    paired = np.array([i != twin for i, twin in enumerate(twins)])
    squares, freedom = squares + paired * squares[twins], freedom + paired * freedom[twins]
    known = (freedom >= ENOUGH) & (squares > 0)
    sigmas = np.where(known, np.sqrt(squares / np.maximum(freedom, 1)), np.nan)
    return Repeats(skeleton, repeated, sigmas, freedom)


def _joined(sets: Sequence[People]) -> tuple[Floats, NDArray[np.bool_], Floats, list[NDArray[np.int64]]]:
    """Keypoints, labelled and areas of all sets in one, and the rows of each person labelled more than once."""
    usable = [people.select(~people.crowd & (people.labelled > 0) & (people.areas > 0)) for people in sets]
    names = [people.image_paths[row].name for people in usable for row in people.image]
    boxes = np.concatenate([people.boxes for people in usable])
    groups: list[NDArray[np.int64]] = []
    photographs: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        photographs.setdefault(name, []).append(row)
    for rows in photographs.values():
        left = np.array(rows)
        while len(left):
            same = geometry.overlap(boxes[left[:1]], boxes[left])[0] >= SAME
            same[0] = True
            if same.sum() > 1:
                groups.append(left[same])
            left = left[~same]
    points = np.concatenate([people.keypoints for people in usable])
    labelled = np.concatenate([people.visibility > 0 for people in usable])
    return points, labelled, np.concatenate([people.areas for people in usable]), groups
