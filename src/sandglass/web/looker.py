"""A predictor as the server uses it: an upload in, data out. Image pixels, (x, y), centres at +0.5; boxes are xyxy."""

import base64
import time
from copy import copy

import numpy as np

from sandglass import __version__
from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.image import Photo, decode_image, warp
from sandglass.core.pose import Floats, Pose
from sandglass.draw.people import LEFT, RIGHT, TINTS, limb_side
from sandglass.inference.predictor import Predictor, check_boxes
from sandglass.inference.ranking import person_score
from sandglass.web.answers import HeatmapAnswer, ModelAnswer, PoseAnswer, PredictAnswer, SkeletonAnswer
from sandglass.web.bounds import Bounds, check_photo
from sandglass.web.uploads import HeatmapOptions, PredictOptions

FACTS = ("recipe", "steps", "images", "people")  # of a training's summary; the rest may hold names of folders
FIGURES = ("AP", "AP50", "PCK@0.2")
NAME = "the photograph"  # what messages call the upload


class Looker:
    """Answers for one model. Not for several threads at once: the worker is the only one that calls it."""

    def __init__(self, predictor: Predictor, name: str, bounds: Bounds) -> None:
        self.name, self.bounds = name, bounds
        self.spec = predictor.spec
        plain = copy(predictor)
        plain.flip = False
        self.predictors = {True: predictor, False: plain}
        w, h = self.spec.codec.size
        self.stacks = int(plain.maps(np.zeros((1, h, w, 3), np.uint8)).shape[1])  # also warms the network up

    def poses(self, data: bytes, options: PredictOptions) -> PredictAnswer:
        """The people in an encoded photograph. Raises BadInput and HTTPException."""
        began = time.perf_counter()
        photo, boxes = self._open(data, options.boxes)
        threshold = self.spec.codec.threshold if options.threshold is None else options.threshold
        found = self.predictors[options.flip](photo, boxes)
        return PredictAnswer(
            width=photo.shape[1],
            height=photo.shape[0],
            poses=[self._pose(pose, threshold) for pose in found],
            threshold=threshold,
            runtime=self.predictors[options.flip].runtime.name,
            milliseconds=_since(began),
        )

    def heatmaps(self, data: bytes, options: HeatmapOptions) -> HeatmapAnswer:
        """What every stack sees of one person. Raises BadInput and HTTPException."""
        began = time.perf_counter()
        photo, boxes = self._open(data, None if options.box is None else [options.box])
        if boxes is None:
            boxes = np.array([[0, 0, photo.shape[1], photo.shape[0]]], np.float64)
        predictor, codec = self.predictors[options.flip], self.spec.codec
        image_from_crop = geometry.image_from_crop(boxes[0], codec.size, self.spec.padding)
        maps = predictor.maps(warp(photo, image_from_crop, codec.size)[None])[0]  # (S, K, h, w)
        keypoints, scores = [], []
        for s in range(len(maps)):
            points, said, _ = predictor.read(maps[None, s], s + 1)
            keypoints.append(geometry.apply(image_from_crop, points[0]).round(2).tolist())
            scores.append(said[0].round(4).tolist())
        peaks = maps.max((2, 3))
        bright = 255 * np.maximum(maps, 0) / np.maximum(peaks, 1e-12)[..., None, None]
        crop_from_map = np.array([[codec.stride, 0, 0], [0, codec.stride, 0]], np.float64)
        return HeatmapAnswer(
            stacks=len(maps),
            shape=codec.shape,
            image_from_map=geometry.compose(image_from_crop, crop_from_map).tolist(),
            peaks=peaks.astype(float).round(5).tolist(),
            keypoints=keypoints,
            scores=scores,
            maps=base64.b64encode(np.rint(np.clip(bright, 0, 255)).astype(np.uint8).tobytes()).decode(),
            milliseconds=_since(began),
        )

    def _pose(self, pose: Pose, threshold: float) -> PoseAnswer:
        present = pose.scores >= threshold
        score = person_score(pose.scores[None], self.spec.calibration)
        return PoseAnswer(
            keypoints=pose.keypoints.round(2).tolist(),
            scores=pose.scores.round(4).tolist(),
            present=present.tolist(),
            box=tuple(pose.box.round(2).tolist()),
            score=round(float(score[0]), 4),
        )

    def _open(self, data: bytes, boxes: list[tuple[float, float, float, float]] | None) -> tuple[Photo, Floats | None]:
        if boxes is not None and len(boxes) > self.bounds.people:
            raise BadInput(f"{len(boxes)} boxes; send at most {self.bounds.people} at once")
        check_photo(data, self.bounds)
        photo = decode_image(data, NAME)
        if boxes is None:
            return photo, None
        return photo, check_boxes(boxes, (photo.shape[1], photo.shape[0]), "boxes")

    def model(self) -> ModelAnswer:
        """What `GET /model` answers."""
        skeleton, summary = self.spec.skeleton, self.spec.summary
        facts = {key: summary[key] for key in FACTS if isinstance(summary.get(key), int | float | str)}
        scores = summary.get("scores")
        if isinstance(scores, dict):
            facts |= {key: round(scores[key], 3) for key in FIGURES if isinstance(scores.get(key), float)}
        return ModelAnswer(
            version=__version__,
            name=self.name,
            runtime=self.predictors[True].runtime.name,
            network=self.spec.network,
            stacks=self.stacks,
            size=self.spec.codec.size,
            threshold=self.spec.codec.threshold,
            skeleton=SkeletonAnswer(
                name=skeleton.name,
                joints=list(skeleton.joints),
                sides=[skeleton.side(k) for k in range(len(skeleton))],
                edges=list(skeleton.edges),
                edge_sides=[limb_side(skeleton, a, b) for a, b in skeleton.edges],
            ),
            facts=facts,
            colours={"left": _hex(LEFT), "right": _hex(RIGHT)},
            people=[_hex(tint) for tint in TINTS],
            upload_bytes=self.bounds.upload_bytes,
            pixels=self.bounds.pixels,
            boxes=self.bounds.people,
        )


def _since(began: float) -> float:
    return round(1000 * (time.perf_counter() - began), 1)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()
