"""What a codec could reach at best: ground truth through encode, decode, score. Image pixels, centres at +0.5."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.table import Table

from sandglass.core import geometry
from sandglass.core.pose import People, Predictions
from sandglass.evaluation.protocols import people_to_predict
from sandglass.evaluation.scores import Scores, score
from sandglass.models.codec import DECODERS, Codec, CodecConfig

CHUNK = 256  # people whose heatmaps exist at a time


def round_trip(people: People, codec: Codec, padding: float = 1.25) -> Predictions:
    """The labelled joints of `people` as the codec gives them back.

    A joint outside the crop has no heatmap: it comes back as the crop's middle, with score 0.
    """
    matrices = geometry.image_from_crop(people.boxes, codec.config.size, padding)
    crop = geometry.apply(geometry.invert(matrices), people.keypoints)
    points, scores = np.zeros_like(crop), np.zeros(crop.shape[:2])
    for start in range(0, len(people), CHUNK):
        rows = slice(start, start + CHUNK)
        maps, _ = codec.encode(torch.from_numpy(crop[rows]), torch.from_numpy((people.visibility[rows] > 0) * 1.0))
        found, value = codec.decode(maps[:, -1])
        points[rows], scores[rows] = found.numpy(), value.numpy()
    return Predictions(
        skeleton=people.skeleton,
        image_ids=people.image_ids[people.image],
        keypoints=geometry.apply(matrices, points),
        scores=scores,
        present=scores > 0,
        boxes=people.boxes,
        score=np.ones(len(people)),
        people=people.ids,
    )


@dataclass(frozen=True)
class Ceiling:
    """codec: scores when only joints within the crops count. crop: when all do. error: mean, crop pixels."""

    codec: Scores
    crop: Scores
    error: float
    outside: float  # share of labelled joints that lie outside their crop


def ceiling(people: People, config: CodecConfig, padding: float = 1.25) -> Ceiling:
    """What a codec could reach by coco-gt if the network were perfect. Raises BadInput for an empty set."""
    matrices = geometry.image_from_crop(people.boxes, config.size, padding)
    truth = geometry.apply(geometry.invert(matrices), people.keypoints)
    inside = ((truth >= 0) & (truth < np.array(config.size))).all(-1)
    labelled = people.visibility > 0
    within = replace(people, visibility=np.where(inside, people.visibility, 0).astype(np.uint8))
    asked = people_to_predict(people, "coco-gt")
    predictions = round_trip(asked, Codec(config), padding)
    rows = np.isin(people.ids, asked.ids)
    distance = np.linalg.norm(predictions.keypoints - asked.keypoints, axis=-1)
    distance = distance / geometry.scale_of(matrices[rows])[:, None]
    found = predictions.select(np.isin(asked.ids, people_to_predict(within, "coco-gt").ids))
    return Ceiling(
        codec=score(within, found, "coco-gt", intervals=0),
        crop=score(people, predictions, "coco-gt", intervals=0),
        error=float(distance[(labelled & inside)[rows]].mean()),
        outside=float((labelled & ~inside)[rows].sum() / labelled[rows].sum()),
    )


def ceiling_table(people: People, size: tuple[int, int], sigma: float, padding: float = 1.25) -> Table:
    """AP and error of every decoder on its own encoding."""
    looks = f"{size[0]} x {size[1]}, {padding:g} x the box, sigma {sigma:g} cells"
    table = Table(title=f"{people.source}: the ceiling of each codec at {looks}")
    for heading in ("decoder", "AP", "mean error, crop px", "AP, all joints", "joints outside the crop"):
        table.add_column(heading, justify="left" if heading == "decoder" else "right")
    for decoder in DECODERS:
        found = ceiling(people, CodecConfig(size=size, sigmas=(sigma,), decoder=decoder), padding)
        table.add_row(
            decoder,
            f"{found.codec.figures['AP'] or 0:.4f}",
            f"{found.error:.4f}",
            f"{found.crop.figures['AP'] or 0:.4f}",
            f"{found.outside:.2%}",
        )
    return table
