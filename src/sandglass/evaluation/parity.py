"""Does an exported file say what the model says? Both look at the same people; image pixels."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.pose import People, Predictions
from sandglass.data.photos import read_photo
from sandglass.evaluation.protocols import fingerprint, people_to_predict
from sandglass.evaluation.scores import score
from sandglass.inference.engines import Run
from sandglass.inference.predictor import Predictor

PROTOCOL: Final = "coco-gt"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What an exported file may differ by.

    mean, p99: over all joints; shares of the crop's shorter side, or crop pixels where `pixels` is set.
    moved: share of the present joints that lie more than MOVED elsewhere. A joint that the network sees in
        two places equally well may go from one to the other when a grey level is rounded differently.
    ap: how much lower AP may be.
    """

    mean: float
    p99: float
    moved: float
    ap: float
    pixels: bool = False


MOVED: Final = 1 / 128  # of the crop's side
# fp32: a wrong half-pixel shows in both, in a crop of any size. A little is rounding: where a peak is flat, and where
# two are of one height. int16: the same, for nobody shall see a difference. int8: 1.4 to 1.7 times what swift-s was
# measured at with crops of 128 pixels (LOG.md, "Eight bits, once more").
BOUNDS: Final[Mapping[str, Bounds]] = {
    "fp32": Bounds(mean=0.1, p99=0.25, moved=0.005, ap=0.002, pixels=True),
    "int16": Bounds(mean=0.1, p99=0.25, moved=0.005, ap=0.002, pixels=True),
    "int8": Bounds(mean=2.0 / 128, p99=45 / 128, moved=0.2, ap=0.005),
}


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an exported file is from the model, on one data set. Pixels are the crop's unless they say photo."""

    data: str
    fingerprint: str  # of the labels
    people: int
    protocol: str
    side: int  # the shorter one of the crop, pixels
    mean_pixels: float
    max_pixels: float
    p99_pixels: float
    mean_photo_pixels: float
    max_photo_pixels: float
    moved: float  # share of the present joints that lie more than MOVED of the crop's side elsewhere
    max_score: float  # largest difference of a joint's score
    ap: float | None  # of the model
    ap_exported: float | None

    @property
    def lost_ap(self) -> float:
        """How much lower the exported file's AP is; 0 where there is none."""
        return (self.ap or 0.0) - (self.ap_exported or 0.0)

    def check(self, bounds: Bounds) -> None:
        """Raise BadInput beyond the bounds."""
        unit = 1 if bounds.pixels else self.side
        over = [
            f"{name} {value:.3g} > {bound:g}"
            for name, value, bound in (
                ("mean difference in crop pixels", self.mean_pixels, bounds.mean * unit),
                ("99 % of them", self.p99_pixels, bounds.p99 * unit),
                ("share of moved joints", self.moved, bounds.moved),
                ("loss of AP", self.lost_ap, bounds.ap),
            )
            if not value <= bound
        ]
        if over:
            raise BadInput(
                f"the exported graph does not say what the model says ({'; '.join(over)}; {self.people} people of "
                f"{self.data}); nothing was written"
            )

    def to_dict(self) -> dict[str, float | str | None]:
        """For the card."""
        plain = {name: round(value, 5) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return {**plain, "lost_ap": round(self.lost_ap, 5)}


def parity(
    predictor: Predictor, exported: Run, people: People, on_progress: Callable[[int, int], None] | None = None
) -> Parity:
    """Hold a whole exported graph against the model, in the labelled boxes of a data set. Raises BadInput.

    Where the set's joints are not the model's, there is no AP.
    """
    asked = people_to_predict(people, PROTOCOL)
    # Boxes are single precision in an exported graph.
    boxes = asked.boxes.astype(np.float32).astype(np.float64)
    wanted = predictor.predict_boxes(asked, asked.image, boxes, asked.ids)
    found = predicted(exported, wanted, asked, on_progress)
    scale = geometry.scale_of(geometry.image_from_crop(boxes, predictor.spec.codec.size, predictor.spec.padding))
    photo = np.linalg.norm(found.keypoints - wanted.keypoints, axis=-1)  # (N, K)
    crop = photo / scale[:, None]
    side = min(predictor.spec.codec.size)
    if predictor.spec.skeleton.joints == people.skeleton.joints:
        ap, ap_exported = (score(people, said, PROTOCOL, intervals=0).figures["AP"] for said in (wanted, found))
    else:
        ap = ap_exported = None
    return Parity(
        data=people.source,
        fingerprint=fingerprint(people),
        people=len(asked),
        protocol=PROTOCOL,
        side=side,
        mean_pixels=float(crop.mean()),
        max_pixels=float(crop.max()),
        p99_pixels=float(np.quantile(crop, 0.99)),
        mean_photo_pixels=float(photo.mean()),
        max_photo_pixels=float(photo.max()),
        moved=float((crop[wanted.present] > MOVED * side).mean()) if wanted.present.any() else 0.0,
        max_score=float(np.abs(found.scores - wanted.scores).max()),
        ap=ap,
        ap_exported=ap_exported,
    )


def predicted(
    exported: Run, wanted: Predictions, people: People, on_progress: Callable[[int, int], None] | None = None
) -> Predictions:
    """What a whole exported graph says of the boxes of `wanted`, photograph by photograph. Raises BadInput."""
    answers: list[np.ndarray] = [np.zeros_like(part) for part in (wanted.keypoints, wanted.scores, wanted.present)]
    answers.append(np.zeros_like(wanted.score))
    done = 0
    for image in np.unique(people.image):
        rows = np.flatnonzero(people.image == image)
        photo = read_photo(people, int(image))
        for answer, found in zip(answers, exported([photo, wanted.boxes[rows].astype(np.float32)]), strict=True):
            answer[rows] = found
        done += len(rows)
        if on_progress is not None:
            on_progress(done, len(people))
    keypoints, scores, present, score = answers
    return Predictions(
        skeleton=wanted.skeleton,
        image_ids=wanted.image_ids,
        keypoints=keypoints,
        scores=scores.clip(0, 1),
        present=present,
        boxes=wanted.boxes,
        score=score.clip(0, 1),
        people=wanted.people,
    )
