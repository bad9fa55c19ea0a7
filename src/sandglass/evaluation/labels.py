"""Labels judged by a model, and shown: whose sides it sees exchanged, whom it doubts most. Image pixels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.image import Photo, read_image, write_image
from sandglass.core.pose import Floats, People, Predictions
from sandglass.data.doctor.finding import Finding, ranked
from sandglass.data.photos import read_photo
from sandglass.draw.people import close_up, draw_pose
from sandglass.draw.sheets import gallery, place
from sandglass.evaluation.evaluate import check_skeleton
from sandglass.inference.predictor import Predictor, Progress
from sandglass.metrics.oks import nearness

GAIN = 0.25  # OKS that exchanging must bring, of the joints that have a twin
DOUBT = 0.6  # from which a person's labels are reported: the mean, over joints, of sureness times distance
ENOUGH = 3  # labelled joints that a judgement needs
TILE = 320  # pixels


def check_labels(
    predictor: Predictor, people: People, findings: Sequence[Finding] = (), on_progress: Progress | None = None
) -> list[Finding]:
    """What a model says against the labels of people whose photographs can be read. Raises BadInput.

    Photographs that `findings` name as broken or of another size are passed over.
    """
    check_skeleton(predictor, people)
    broken = {finding.photo for finding in findings if finding.kind in ("photo", "size")}
    there = np.array([str(path) not in broken for path in people.image_paths], bool)
    asked = people.select((people.labelled >= ENOUGH) & ~people.crowd & there[people.image])
    return judge(asked, predictor.predict(asked, on_progress))


def judge(people: People, predictions: Predictions) -> list[Finding]:
    """Findings from one prediction a person, in their order: exchanged sides, else labels that are far off."""
    as_is, exchanged = both_ways(people, predictions)
    doubts = joint_doubts(people, predictions)
    labelled = people.visibility > 0
    doubt = np.where(labelled, doubts, 0).sum(1) / np.maximum(labelled.sum(1), 1)
    swapped = (exchanged - as_is >= GAIN) & (exchanged >= 0.5)
    found = []
    for i in np.flatnonzero(swapped | (doubt >= DOUBT)):
        if swapped[i]:
            what = f"the model sees left and right exchanged: OKS {as_is[i]:.2f}, exchanged {exchanged[i]:.2f}"
            pairs = tuple(a for a, b in people.skeleton.pairs if labelled[i, a] or labelled[i, b])
            sure = min(0.99, 0.5 + float(exchanged[i] - as_is[i]) / 2)
            found.append(_of(people, int(i), "swap", what, sure, pairs))
        else:
            worst = people.skeleton.joints[int(np.where(labelled[i], doubts[i], -1).argmax())]
            what = f"the model sees {worst} and others elsewhere"
            found.append(_of(people, int(i), "doubtful", what, float(doubt[i])))
    return found


def _of(people: People, i: int, kind: str, what: str, sure: float, exchange: tuple[int, ...] = ()) -> Finding:
    person = people[i]
    where = str(person.image_path)
    return Finding(kind=kind, source=people.source, id=person.id, photo=where, sure=sure, what=what, exchange=exchange)


def both_ways(people: People, predictions: Predictions) -> tuple[Floats, Floats]:
    """OKS of the joints that have a twin, as labelled and with all sides exchanged: (N,) each, 0 without such."""
    twins = np.array(people.skeleton.mirror)
    sided = twins != np.arange(len(twins))
    labelled = (people.visibility > 0) & sided
    values = []
    for order in (np.arange(len(twins)), twins):
        found = predictions.keypoints[:, order]
        near = nearness(found, people.keypoints, people.areas, people.skeleton.sigmas)
        values.append(np.where(labelled, near, 0).sum(1) / np.maximum(labelled.sum(1), 1))
    return values[0], values[1]


def joint_doubts(people: People, predictions: Predictions) -> Floats:
    """How sure the model is that a joint lies elsewhere than labelled: its score times its distance, (N, K) in 0..1."""
    near = nearness(predictions.keypoints, people.keypoints, people.areas, people.skeleton.sigmas)
    return predictions.scores * (1 - near)


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """One swap a person: where geometry and a model agree that there is one, the surer is kept and is surer still."""
    kept: dict[tuple[str, int | None], Finding] = {}
    others = []
    for finding in findings:
        if finding.kind != "swap":
            others.append(finding)
            continue
        key = (finding.source, finding.id)
        before = kept.get(key)
        if before is not None:
            surer, other = sorted((before, finding), key=lambda one: -one.sure)
            finding = replace(surer, sure=1 - (1 - surer.sure) * (1 - other.sure))
        kept[key] = finding
    return others + list(kept.values())


def write_gallery(path: Path, sets: Sequence[People], findings: Sequence[Finding], most: int = 48) -> int:
    """The surest findings about people, each with the labels drawn, and about photographs that are alike, side by
    side, as one picture; how many it shows.

    Photographs that cannot be read are passed over; without any there is no picture. Raises BadInput.
    """
    rows = {(people.source, int(id)): (people, i) for people in sets for i, id in enumerate(people.ids)}
    tiles, captions = [], []
    for finding in ranked([f for f in findings if f.like or (f.id is not None and f.kind != "field")]):
        if len(tiles) == most:
            break
        try:
            tiles.append(_pair(finding) if finding.like else _tile(*rows[finding.source, finding.id or 0]))
        except BadInput:
            continue
        who = "" if finding.like else f" {finding.id}"
        what = f"{Path(finding.like).name}, {Path(finding.photo).name}" if finding.like else finding.what
        captions.append(f"{finding.kind}, {finding.sure:.2f}, {finding.source}{who}\n{what}")
    if tiles:
        write_image(path, gallery(tiles, 6, captions))
    return len(tiles)


def _pair(finding: Finding) -> Photo:
    """The earlier photograph, and the one that is like it."""
    return np.hstack([place(read_image(path), (TILE // 2, TILE)) for path in (finding.like, finding.photo)])


def _tile(people: People, i: int) -> Photo:
    person = people[i]
    tile, points = close_up(read_photo(people, int(people.image[i])), person.box, person.keypoints, side=TILE)
    return draw_pose(tile, points, person.visibility > 0, people.skeleton, scale=TILE / 2)
