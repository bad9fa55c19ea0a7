"""Photographs and boxes -> poses. Boxes and poses are image pixels, (x, y), pixel centres at +0.5; boxes xyxy."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes
from sandglass.core.image import Photo, decode_image, read_image, warp
from sandglass.core.pose import Floats, People, Pose, Predictions
from sandglass.inference.runtimes import Runtime, TorchRuntime, pick_device
from sandglass.models.checkpoint import load_checkpoint
from sandglass.models.codec import Codec
from sandglass.models.spec import ModelSpec

Image = str | Path | Photo
Progress = Callable[[int, int], None]  # done, total
AHEAD = 8  # photographs decoded before they are needed
MIN_BOX = 1.0  # pixels: a thinner box shows nobody
MAX_COORDINATE = 1e6  # pixels; also what NaN and infinity fail


@dataclass(frozen=True, eq=False)
class Found:
    """What the network says of B boxes, as arrays."""

    keypoints: Floats  # (B, K, 2) image pixels
    scores: Floats  # (B, K) in 0..1


class Predictor:
    """A trained model, ready to look at photographs.

    ``Predictor.load("model.safetensors")("photo.jpg")`` gives a list of `Pose`, one for every box, or one for
    the person whom the whole photograph shows.
    """

    def __init__(self, runtime: Runtime, spec: ModelSpec, *, flip: bool = True, batch: int = 32) -> None:
        self.runtime, self.spec, self.flip, self.batch = runtime, spec, flip, batch
        self.codec = Codec(spec.codec)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        flip: bool = True,
        threshold: float | None = None,
        batch: int = 32,
    ) -> "Predictor":
        """From a checkpoint. `threshold` replaces the score from which on a joint is present. Raises BadInput."""
        where = pick_device(device)
        network, spec = load_checkpoint(path, where)
        if threshold is not None:
            spec = replace(spec, codec=replace(spec.codec, threshold=threshold))
        return cls(TorchRuntime(network, spec, where), spec, flip=flip, batch=batch)

    @overload
    def __call__(self, image: Image, boxes: Sequence[Sequence[float]] | Floats | None = None) -> list[Pose]: ...

    @overload
    def __call__(self, image: list[Image], boxes: None = None) -> list[list[Pose]]: ...

    def __call__(self, image, boxes=None):  # type: ignore[no-untyped-def]
        """Poses in a photograph (a path, or RGB uint8 (H, W, 3)): one for each box (xyxy), in their order.

        Without boxes the whole photograph is taken to show one person, who is then looked at a second time in
        a box around what was found. A list of photographs gives a list of lists. Raises BadInput.
        """
        if isinstance(image, list):
            return [self(one) for one in image]
        photo = read_image(image) if isinstance(image, str | Path) else _check_photo(image)
        if boxes is None:
            return [self._whole(photo)]
        boxes = check_boxes(boxes, (photo.shape[1], photo.shape[0]), "boxes")
        return self.poses(boxes, self.look(photo, boxes))

    def look(self, photo: Photo, boxes: Floats) -> Found:
        """Keypoints and scores for boxes (B, 4) of one photograph."""
        matrices = geometry.image_from_crop(boxes, self.spec.codec.size, self.spec.padding)
        crops = [warp(photo, matrix, self.spec.codec.size) for matrix in matrices]
        return self._locate(crops, matrices)

    def poses(self, boxes: Floats, found: Found) -> list[Pose]:
        """Arrays as poses, one for each box."""
        present = found.scores >= self.spec.codec.threshold
        score = person_score(found.scores, present)
        return [
            Pose(found.keypoints[i], found.scores[i], present[i], boxes[i], float(score[i])) for i in range(len(boxes))
        ]

    def maps(self, crops: NDArray[np.uint8]) -> Tensor:
        """Heatmaps (B, S, K, h, w) of every stack for crops (B, H, W, 3), in the batches that fit the device."""
        parts = [self.runtime(crops[i : i + self.batch], self.flip) for i in range(0, len(crops), self.batch)]
        return torch.cat(parts)

    def _locate(self, crops: Sequence[Photo], matrices: Floats) -> Found:
        k = len(self.spec.skeleton)
        if not len(crops):
            return Found(np.zeros((0, k, 2)), np.zeros((0, k)))
        keypoints, scores = [], []
        for start in range(0, len(crops), self.batch):
            maps = self.runtime(np.stack(crops[start : start + self.batch]), self.flip)
            points, score = self.codec.decode(maps[:, -1])
            keypoints.append(points.double().cpu().numpy())
            scores.append(score.double().cpu().numpy())
        return Found(geometry.apply(matrices, np.concatenate(keypoints)), np.concatenate(scores))

    def _whole(self, photo: Photo) -> Pose:
        box = np.array([[0, 0, photo.shape[1], photo.shape[0]]], np.float64)
        first = self.look(photo, geometry.grow(box, 1 / self.spec.padding))  # its padded crop is the photograph
        seen = first.scores[0] >= max(self.spec.codec.threshold, 0.5 * float(first.scores.max()))
        if seen.sum() >= 3:
            points = first.keypoints[0][seen]
            low, high = points.min(0), points.max(0)
            room = 0.15 * float((high - low).max()) + MIN_BOX
            near = geometry.clip(np.concatenate([low - room, high + room])[None], (photo.shape[1], photo.shape[0]))
            if (near[0, 2:] - near[0, :2] >= MIN_BOX).all():  # else what was seen lies beside a narrow photograph
                box = near
        return self.poses(box, self.look(photo, box))[0]

    def predict(self, people: People, on_progress: Progress | None = None) -> Predictions:
        """Look into the labelled box of everybody in a data set: one row a person, in their order.

        Raises BadInput naming a photograph that cannot be read.
        """
        return self.predict_boxes(people, people.image, people.boxes, people.ids, on_progress)

    def predict_boxes(
        self,
        people: People,
        images: NDArray[np.int64],
        boxes: Floats,
        ids: NDArray[np.int64] | None = None,
        on_progress: Progress | None = None,
    ) -> Predictions:
        """Look into boxes (P, 4) of photographs of a data set; `images` (P,) are rows of its table of images.

        `ids` are the people whose boxes these are, by default nobody's. Photographs are decoded ahead by a
        thread, each once; batches run across photographs. `on_progress` is told (done, total). Raises BadInput.
        """
        keypoints = np.zeros((len(boxes), len(self.spec.skeleton), 2))
        scores = np.zeros(keypoints.shape[:2])
        done = 0
        for rows, crops, matrices in self._batches(people, images, boxes):
            found = self._locate(crops, matrices)
            keypoints[rows], scores[rows] = found.keypoints, found.scores
            done += len(rows)
            if on_progress is not None:
                on_progress(done, len(boxes))
        present = scores >= self.spec.codec.threshold
        return Predictions(
            skeleton=self.spec.skeleton,
            image_ids=people.image_ids[images],
            keypoints=keypoints,
            scores=scores,
            present=present,
            boxes=boxes,
            score=person_score(scores, present),
            people=np.full(len(boxes), -1) if ids is None else ids,
        )

    def _batches(
        self, people: People, images: NDArray[np.int64], boxes: Floats
    ) -> Iterator[tuple[NDArray[np.int64], list[Photo], Floats]]:
        """(rows, crops, image_from_crop) in batches, sorted by photograph."""
        size = self.spec.codec.size
        matrices = geometry.image_from_crop(boxes, size, self.spec.padding)
        order = np.argsort(images, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(images[order])) + 1) if len(order) else []
        rows: list[int] = []
        crops: list[Photo] = []
        photos = _photos(people, [int(images[group[0]]) for group in groups])
        for group, photo in zip(groups, photos, strict=True):
            for row in group:
                rows.append(int(row))
                crops.append(warp(photo, matrices[row], size))
                if len(rows) == self.batch:
                    yield np.array(rows), crops, matrices[rows]
                    rows, crops = [], []
        if rows:
            yield np.array(rows), crops, matrices[rows]


def _photos(people: People, images: Sequence[int]) -> Iterator[Photo]:
    """The decoded photographs of rows in the table of images; a few ahead, so that memory stays bounded."""

    def read(image: int) -> Photo:
        path, (w, h) = people.image_paths[image], people.image_sizes[image]
        return decode_image(read_bytes(path), str(path), (int(w), int(h)))

    with ThreadPoolExecutor(1, thread_name_prefix="sandglass-photos") as pool:
        ahead = deque(pool.submit(read, image) for image in images[:AHEAD])
        for i in range(len(images)):
            yield ahead.popleft().result()
            if i + AHEAD < len(images):
                ahead.append(pool.submit(read, images[i + AHEAD]))


def person_score(scores: Floats, present: NDArray[np.bool_]) -> Floats:
    """Mean score (B,) of the joints that are present; of all, where none is. It ranks people in AP."""
    counted = np.where(present.any(-1, keepdims=True), present, True)
    return (scores * counted).sum(-1) / counted.sum(-1)


def _check_photo(photo: Photo) -> Photo:
    if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        found = f"{photo.dtype} {photo.shape}" if isinstance(photo, np.ndarray) else type(photo).__name__
        raise BadInput(f"an image must be an RGB uint8 array (H, W, 3) or a path, not {found}")
    if 0 in photo.shape:
        raise BadInput(f"the image is empty: {photo.shape}")
    return photo


def check_boxes(boxes: Iterable[Sequence[float]] | Floats, size: tuple[int, int], name: str) -> Floats:
    """Boxes (B, 4) xyxy that a photograph of `size` (w, h) can be cut by. Raises BadInput naming the box."""
    try:
        array = np.asarray(boxes if isinstance(boxes, np.ndarray) else list(boxes), np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros((1, 0))
    if array.shape != (0,) and (array.ndim != 2 or array.shape[-1] != 4):
        raise BadInput(f"{name}: give a list of boxes, each of four numbers (x1, y1, x2, y2)")
    array = array.reshape(-1, 4)
    for i, box in enumerate(array):
        if not (np.abs(box) <= MAX_COORDINATE).all() or (box[2:] - box[:2] < MIN_BOX).any():
            raise BadInput(f"{name}: box {i} {box.tolist()} is empty or no number; give x1 < x2 and y1 < y2")
        if (geometry.clip(box, size)[2:] - geometry.clip(box, size)[:2] <= 0).any():
            raise BadInput(f"{name}: box {i} {box.tolist()} lies outside the photograph of {size[0]}x{size[1]} pixels")
    return array
