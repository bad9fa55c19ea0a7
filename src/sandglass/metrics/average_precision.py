"""COCO's ten figures of average precision and recall, taken by hotcoco. Image pixels, pixel centres at +0.5."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import hotcoco
import numpy as np
from numpy.typing import NDArray

from sandglass.core.garbage import uncollected
from sandglass.core.pose import Floats, People, Predictions

MAX_DETECTIONS: Final = 20  # the best of each photograph; COCO's rule for keypoints
AREAS: Final = ("all", "medium", "large")  # 32^2..96^2 and above 96^2 square pixels
THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)  # of OKS
RECALLS: Final = np.linspace(0, 1, 101)  # where precision is read off

# figure -> (precision or recall, row of AREAS, rows of THRESHOLDS)
FIGURES: Final[Mapping[str, tuple[str, int, slice]]] = {
    "AP": ("precision", 0, slice(None)),
    "AP50": ("precision", 0, slice(0, 1)),
    "AP75": ("precision", 0, slice(5, 6)),
    "APM": ("precision", 1, slice(None)),
    "APL": ("precision", 2, slice(None)),
    "AR": ("recall", 0, slice(None)),
    "AR50": ("recall", 0, slice(0, 1)),
    "AR75": ("recall", 0, slice(5, 6)),
    "ARM": ("recall", 1, slice(None)),
    "ARL": ("recall", 2, slice(None)),
}


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of each of D detections, best first, in A area ranges at T OKS thresholds.

    Excused detections (of crowds, of people without labelled joints, of people or sizes outside the area
    range) count neither for nor against. M photographs, P detections before the best of each were taken.
    """

    image: NDArray[np.int64]  # (D,) rows of the evaluated photographs
    prediction: NDArray[np.int64]  # (D,) rows of the predictions
    found: NDArray[np.bool_]  # (A, T, D) it hit a person (who may be one that excuses it)
    excused: NDArray[np.bool_]  # (A, T, D)
    people: NDArray[np.int64]  # (A, M) people to be found on each photograph


@dataclass(frozen=True, eq=False)
class AveragePrecision:
    """The ten figures over M photographs, NaN where nobody was there to be found (see `reasons`).

    Where only the first `areas` of AREAS were looked at, the figures of the others are not there.
    """

    figures: Mapping[str, float]
    reasons: tuple[str, ...]  # one line for each area range without people
    people: int  # to be found, in all sizes
    image_ids: NDArray[np.int64]  # (M,) sorted
    rows: NDArray[np.int64]  # of the predictions on these photographs
    scorer: hotcoco.COCOeval
    areas: int = len(AREAS)

    def precision(self, threshold: float) -> Floats:
        """Interpolated precision (101,) at RECALLS, at one OKS threshold; NaN where nobody was there."""
        assert self.scorer.eval is not None
        row = int(np.abs(THRESHOLDS - threshold).argmin())
        values = np.asarray(self.scorer.eval["precision"])[row, :, 0, 0, 0]
        return np.where(values > -1, values, np.nan)

    @cached_property
    def matches(self) -> Matches:
        """What became of each detection; takes ten times as long as the figures, so only when asked for."""
        with uncollected():
            return _matches(self.scorer.eval_imgs, self.image_ids, self.rows, self.areas)


@dataclass(frozen=True, eq=False)
class Truth:
    """The people of M photographs as the scorer holds them: made once, predictions are scored against it many times."""

    people: People
    image_ids: NDArray[np.int64]  # (M,) sorted
    ground: hotcoco.COCO


def ground_truth(people: People, image_ids: NDArray[np.int64]) -> Truth:
    """Those of `people` who are on the photographs `image_ids` (M,)."""
    chosen = np.unique(image_ids)
    here = people.select(np.isin(people.image_ids[people.image], chosen))
    return Truth(here, chosen, hotcoco.COCO(_ground_truth(here, chosen)))


def average_precision(people: People, predictions: Predictions, image_ids: NDArray[np.int64]) -> AveragePrecision:
    """Score all `predictions` on the photographs `image_ids` (M,) against all `people` there, as COCO does.

    Crowds and people without labelled joints excuse what is found on them; the best 20 predictions of a
    photograph count; every joint's best guess counts, present or not. Any skeleton, by its own sigmas.
    """
    return against(ground_truth(people, image_ids), predictions)


def against(truth: Truth, predictions: Predictions, areas: int = len(AREAS)) -> AveragePrecision:
    """`average_precision` of predictions, of which those on other photographs do not count.

    With `areas` 1 only people of all sizes together are looked at, in a third of the time.
    """
    people, chosen = truth.people, truth.image_ids
    rows = np.flatnonzero(np.isin(predictions.image_ids, chosen))
    scorer = hotcoco.COCOeval(truth.ground, truth.ground.load_res(_results(predictions.select(rows))), "keypoints")
    scorer.params.kpt_oks_sigmas = list(people.skeleton.sigmas)
    scorer.params.img_ids = chosen.tolist()
    scorer.params.max_dets = [MAX_DETECTIONS]
    scorer.params.area_rng, scorer.params.area_rng_lbl = scorer.params.area_rng[:areas], list(AREAS[:areas])
    scorer.evaluate()
    scorer.accumulate()
    tables = scorer.eval
    assert tables is not None
    precision = np.asarray(tables["precision"])[:, :, 0, :, 0]  # (T, R, A), -1 where nobody was there
    recall = np.asarray(tables["recall"])[:, 0, :, 0]  # (T, A)
    figures = {}
    for name, (kind, area, levels) in FIGURES.items():
        if area >= areas:
            continue
        values = precision[levels, :, area] if kind == "precision" else recall[levels, area]
        figures[name] = float(values.mean()) if (values > -1).all() else float("nan")
    return AveragePrecision(figures, _reasons(figures), _countable(people), chosen, rows, scorer, areas)


def _countable(people: People) -> int:
    return int(((people.labelled > 0) & ~people.crowd).sum())


def _reasons(figures: Mapping[str, float]) -> tuple[str, ...]:
    if np.isnan(figures["AP"]):
        return ("no AP or AR: nobody on these photographs has a labelled joint",)
    lines = []
    if np.isnan(figures.get("APM", 0)):
        lines.append("no APM or ARM: nobody here is of medium size (32^2 to 96^2 square pixels)")
    if np.isnan(figures.get("APL", 0)):
        lines.append("no APL or ARL: nobody here is large (above 96^2 square pixels)")
    return tuple(lines)


def _ground_truth(people: People, image_ids: NDArray[np.int64]) -> dict[str, Any]:
    """The people as a COCO file would hold them. Ids count from 1: pycocotools takes an id of 0 for no match."""
    points = _triples(people.keypoints, people.visibility)
    boxes = np.concatenate([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], 1)
    columns = zip(
        people.image_ids[people.image].tolist(),
        points.tolist(),
        boxes.tolist(),
        people.areas.tolist(),
        people.crowd.tolist(),
        people.labelled.tolist(),
        strict=True,
    )
    annotations = [
        {
            "id": i,
            "image_id": image,
            "category_id": 1,
            "keypoints": keypoints,
            "num_keypoints": labelled,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
        }
        for i, (image, keypoints, box, area, crowd, labelled) in enumerate(columns, 1)
    ]
    images = [{"id": i, "width": 1, "height": 1} for i in image_ids.tolist()]
    category = {"id": 1, "name": "person", "keypoints": list(people.skeleton.joints), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def _results(predictions: Predictions) -> list[dict[str, Any]]:
    points = _triples(predictions.keypoints, np.ones(predictions.scores.shape))
    columns = zip(predictions.image_ids.tolist(), points.tolist(), predictions.score.tolist(), strict=True)
    return [{"image_id": i, "category_id": 1, "keypoints": k, "score": s} for i, k, s in columns]


def _triples(keypoints: Floats, third: NDArray[Any]) -> Floats:
    """COCO's flat x, y, v lists (N, 3K), in its pixel indices."""
    return np.concatenate([keypoints - 0.5, third[..., None]], -1).reshape(len(keypoints), 3 * keypoints.shape[1])


def _matches(
    cells: list[dict[str, Any] | None], image_ids: NDArray[np.int64], rows: NDArray[np.int64], areas: int
) -> Matches:
    """hotcoco keeps one dict for each area range and photograph that holds anything; as arrays, best first."""
    ranges = {tuple(bounds): a for a, bounds in enumerate(hotcoco.Params("keypoints").area_rng)}
    row = {image: i for i, image in enumerate(image_ids.tolist())}
    counts = np.zeros((areas, len(image_ids)), np.int64)
    parts: list[list[tuple[int, dict[str, Any]]]] = [[] for _ in range(areas)]
    for cell in cells:
        if cell is not None:
            area, image = ranges[tuple(cell["aRng"])], row[cell["image_id"]]
            counts[area, image] = len(cell["gtIgnore"]) - sum(cell["gtIgnore"])
            if cell["dtIds"]:
                parts[area].append((image, cell))
    for part in parts:
        part.sort(key=lambda item: item[0])

    def stack(name: str) -> NDArray[np.bool_]:
        empty = [np.zeros((len(THRESHOLDS), 0), bool)]
        return np.stack([np.concatenate(empty + [np.array(c[name]) for _, c in part], axis=1) for part in parts])

    first = parts[0]  # the same detections, in the same order, stand in every area range
    image = np.repeat([i for i, _ in first], [len(c["dtIds"]) for _, c in first]).astype(np.int64)
    ids = np.array([i for _, c in first for i in c["dtIds"]], np.int64)
    order = np.argsort(-np.array([s for _, c in first for s in c["dtScores"]], np.float64), kind="stable")
    found, excused = stack("dtMatched")[..., order], stack("dtIgnore")[..., order]
    return Matches(image[order], rows[ids[order] - 1], found, excused, counts)
