"""Photographs and boxes -> poses. Boxes and poses are image pixels, (x, y), pixel centres at +0.5; boxes xyxy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.image import Photo, read_image, warp
from sandglass.core.pose import Floats, People, Pose, Predictions
from sandglass.data.photos import read_photo
from sandglass.inference.ahead import ahead
from sandglass.inference.engines import Maps, Precision, Runtime
from sandglass.inference.exits import Exit
from sandglass.inference.opening import open_model
from sandglass.inference.ranking import ranked
from sandglass.models.reading import CodecConfig, Reading
from sandglass.models.shipped import DEFAULT_MODEL
from sandglass.models.spec import ModelSpec

if TYPE_CHECKING:  # torch is imported where it runs the network: elsewhere nobody waits for it
    from sandglass.inference.runtimes import TorchRuntime

Image = str | Path | Photo
Progress = Callable[[int, int], None]  # done, total
Watch = Callable[[NDArray[np.int64], Maps], None]  # rows (B,) of the boxes, heatmaps (B, S, K, h, w)
GROUP = 16  # photographs of a list that are looked at together
MIN_BOX = 1.0  # pixels: a thinner box shows nobody
MAX_COORDINATE = 1e6  # pixels; also what NaN and infinity fail


@dataclass(frozen=True, eq=False)
class Found:
    """What the network says of B boxes, as arrays."""

    keypoints: Floats  # (B, K, 2) image pixels
    scores: Floats  # (B, K) in 0..1
    spread: Floats  # (B, K, 2, 2) how far off each joint may be: covariance, square image pixels
    stacks: NDArray[np.int64]  # (B,) how many of the network's stacks looked

    def part(self, start: int, stop: int) -> "Found":
        """The boxes start <= i < stop."""
        return Found(*(getattr(self, field.name)[start:stop] for field in fields(self)))


class Predictor:
    """A trained model, ready to look at photographs.

    ``Predictor.load("model.safetensors")("photo.jpg")`` gives a list of `Pose`, one for every box, or one for
    the person whom the whole photograph shows.
    """

    def __init__(
        self, runtime: Runtime, spec: ModelSpec, *, flip: bool = True, batch: int = 32, early: Exit | None = None
    ) -> None:
        if early is not None and not _can_stop(runtime):
            raise BadInput(f"{runtime.name} runs all stacks at once; early exit needs the network in PyTorch")
        self.runtime, self.spec, self.flip, self.batch, self.early = runtime, spec, flip, batch, early

    @classmethod
    def load(
        cls,
        path: str | Path = DEFAULT_MODEL,
        *,
        device: str = "auto",
        flip: bool = True,
        threshold: float | None = None,
        batch: int = 32,
        stacks: int | None = None,
        early: Exit | None = None,
        runtime: str = "auto",
        precision: Precision = "auto",
        photos: int | None = None,
    ) -> "Predictor":
        """From a checkpoint, an exported file (.onnx, .xml), or the model that ships with sandglass. Raises BadInput.

        `threshold` replaces the score from which on a joint is present.
        `runtime` is torch, onnxruntime or openvino; auto takes the fastest that is installed, and torch where the
        device is no cpu or `early` needs it. `runtime.name` says which it was. `photos`, where it is known how many
        will be looked at, lets auto leave a checkpoint in torch when converting it takes longer than that. Exported
        files and the model that ships run without torch, and so start in a fraction of the time.
        `precision` is OpenVINO's: auto multiplies in bf16 where the processor has units for it.
        The scores of a calibrated checkpoint, and so its threshold, are probabilities that a joint is right.
        `stacks` cuts the network after so many; with `early` each crop is looked at until the network is sure.
        """
        engine, spec = open_model(
            path, runtime, device, precision, stacks=stacks, stepwise=early is not None, photos=photos
        )
        if threshold is not None:
            spec = replace(spec, codec=replace(spec.codec, threshold=threshold))
        return cls(engine, spec, flip=flip, batch=batch, early=early)

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
            groups = [image[i : i + GROUP] for i in range(0, len(image), GROUP)]
            return [
                poses for some in groups for poses in self.several([_open(one) for one in some], [None] * len(some))
            ]
        photo = _open(image)
        if boxes is not None:
            boxes = check_boxes(boxes, (photo.shape[1], photo.shape[0]), "boxes")
        return self.several([photo], [boxes])[0]

    def several(self, photos: Sequence[Photo], boxes: Sequence[Floats | None]) -> list[list[Pose]]:
        """Poses in photographs that are looked at together: their crops share the batches.

        `boxes` has an entry a photograph, (B, 4), or None where the whole photograph shows one person.
        """
        whole = [i for i, some in enumerate(boxes) if some is None]
        frames = [geometry.grow(_frame(photos[i]), 1 / self.spec.padding) for i in whole]  # padded: the photograph
        given = list(boxes)
        for i, first in zip(whole, self._look([photos[i] for i in whole], frames), strict=True):
            given[i] = self._near(first, photos[i])
        wanted = [some for some in given if some is not None]
        return [self.poses(some, found) for some, found in zip(wanted, self._look(photos, wanted), strict=True)]

    def look(self, photo: Photo, boxes: Floats) -> Found:
        """Keypoints and scores for boxes (B, 4) of one photograph."""
        return self._look([photo], [boxes])[0]

    def _look(self, photos: Sequence[Photo], boxes: Sequence[Floats]) -> list[Found]:
        every = np.concatenate([np.zeros((0, 4)), *boxes])
        matrices = geometry.image_from_crop(every, self.spec.codec.size, self.spec.padding)
        owners = [photo for photo, some in zip(photos, boxes, strict=True) for _ in some]
        crops = [warp(photo, matrix, self.spec.codec.size) for photo, matrix in zip(owners, matrices, strict=True)]
        found = self._locate(crops, matrices)
        starts = np.cumsum([0, *map(len, boxes)])
        return [found.part(start, stop) for start, stop in pairwise(starts.tolist())]

    def poses(self, boxes: Floats, found: Found) -> list[Pose]:
        """Arrays as poses, one for each box."""
        present = found.scores >= self.spec.codec.threshold
        score = ranked(self.spec, found.scores, found.stacks)
        return [
            Pose(found.keypoints[i], found.scores[i], present[i], boxes[i], float(score[i]), found.spread[i])
            for i in range(len(boxes))
        ]

    def maps(self, crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Heatmaps (B, S, K, h, w) of every stack for crops (B, H, W, 3), in the batches that fit the device."""
        parts = [self.runtime(crops[i : i + self.batch], self.flip) for i in range(0, len(crops), self.batch)]
        return np.concatenate([part if isinstance(part, np.ndarray) else part.float().cpu().numpy() for part in parts])

    def read(self, maps: Maps, stacks: int) -> tuple[Floats, Floats, Floats]:
        """Points (B, K, 2) in crop pixels, scores (B, K), spread (B, K, 2, 2) of heatmaps (B, K, h, w) after so many
        stacks. The scores of a calibrated model are probabilities, by that stack's own calibration.
        """
        points, scores, spread = _read(maps, self.spec.codec.after(stacks))
        calibration = self.spec.calibration_after(stacks)
        return points, scores if calibration is None else calibration.probabilities(scores), spread

    def _locate(self, crops: Sequence[Photo], matrices: Floats, watch: Watch | None = None) -> Found:
        """`watch` is shown the heatmaps (B, S, K, h, w) of each batch, and its rows."""
        found = _nothing(len(crops), len(self.spec.skeleton))
        for start in range(0, len(crops), self.batch):
            batch = np.stack(crops[start : start + self.batch])
            rows = np.arange(start, start + len(batch))
            if self.early is not None:
                assert watch is None, "who stops early has no maps of later stacks to show"
                self._until_sure(found, rows, batch)
                continue
            maps = self.runtime(batch, self.flip)
            self._write(found, rows, maps[:, -1], maps.shape[1])
            if watch is not None:
                watch(rows, maps)
        linear = matrices[:, None, :, :2]
        spread = linear @ found.spread @ linear.swapaxes(-1, -2)
        return replace(found, keypoints=geometry.apply(matrices, found.keypoints), spread=spread)

    def _until_sure(self, found: Found, rows: NDArray[np.int64], batch: NDArray[np.uint8]) -> None:
        """Look at crops, which are `rows` of a Found, each until a stack is sure of it."""
        assert self.early is not None
        early, runtime = self.early, cast("TorchRuntime", self.runtime)

        def visit(left: NDArray[np.int64], maps: Maps) -> NDArray[np.bool_]:
            some = rows[left]
            looked = int(found.stacks[some[0]])
            before = found.keypoints[some] if looked else None
            self._write(found, some, maps, looked + 1)
            scores = found.scores[some]
            return early.sure(scores, scores >= self.spec.codec.threshold, found.keypoints[some], before)

        runtime.until(batch, self.flip, visit)

    def _write(self, found: Found, rows: NDArray[np.int64], maps: Maps, stacks: int) -> None:
        """Read one stack's heatmaps (B, K, h, w) into rows of a Found, in crop pixels."""
        found.keypoints[rows], found.scores[rows], found.spread[rows] = self.read(maps, stacks)
        found.stacks[rows] = stacks

    def _near(self, first: Found, photo: Photo) -> Floats:
        """A box (1, 4) around what a first look at a whole photograph found; the photograph, where that was little."""
        box = _frame(photo)
        seen = first.scores[0] >= max(self.spec.codec.threshold, 0.5 * float(first.scores.max()))
        if seen.sum() >= 3:
            points = first.keypoints[0][seen]
            low, high = points.min(0), points.max(0)
            room = 0.15 * float((high - low).max()) + MIN_BOX
            near = geometry.clip(np.concatenate([low - room, high + room])[None], (photo.shape[1], photo.shape[0]))
            if (near[0, 2:] - near[0, :2] >= MIN_BOX).all():  # else what was seen lies beside a narrow photograph
                box = near
        return box

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
        watch: Watch | None = None,
    ) -> Predictions:
        """Look into boxes (P, 4) of photographs of a data set; `images` (P,) are rows of its table of images.

        `ids` are the people whose boxes these are, by default nobody's. Photographs are decoded ahead by a
        thread, each once; batches run across photographs. `on_progress` is told (done, total), `watch` is shown
        rows and heatmaps (see `Watch`). Raises BadInput.
        """
        keypoints = np.zeros((len(boxes), len(self.spec.skeleton), 2))
        scores = np.zeros(keypoints.shape[:2])
        stacks = np.zeros(len(boxes), np.int64)
        done = 0
        for rows, crops, matrices in self._batches(people, images, boxes):
            see = None if watch is None else lambda some, maps, rows=rows: watch(rows[some], maps)
            found = self._locate(crops, matrices, see)
            keypoints[rows], scores[rows], stacks[rows] = found.keypoints, found.scores, found.stacks
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
            score=ranked(self.spec, scores, stacks),
            people=np.full(len(boxes), -1) if ids is None else ids,
        )

    def whole(self, noted: Floats) -> Floats:
        """What a `watch` has noted down in an array of zeros: by this predictor, and by those that share its work."""
        return noted

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
        photos = ahead(partial(read_photo, people), [int(images[group[0]]) for group in groups])
        for group, photo in zip(groups, photos, strict=True):
            for row in group:
                rows.append(int(row))
                crops.append(warp(photo, matrices[row], size))
                if len(rows) == self.batch:
                    yield np.array(rows), crops, matrices[rows]
                    rows, crops = [], []
        if rows:
            yield np.array(rows), crops, matrices[rows]


def _read(maps: Maps, config: CodecConfig) -> tuple[Floats, Floats, Floats]:
    """What heatmaps (B, K, h, w) say, where they are: points, scores, spread, in crop pixels."""
    if isinstance(maps, np.ndarray):
        reading = Reading(config)
        points, scores = reading.decode(maps)
        return points.astype(float), scores.astype(float), reading.spread(maps, points).astype(float)
    from sandglass.models.codec import Codec

    codec = Codec(config)
    places, said = codec.decode(maps)
    points, scores, spread = (part.double().cpu().numpy() for part in (places, said, codec.spread(maps, places)))
    return points, scores, spread


def _can_stop(runtime: Runtime) -> bool:
    from sandglass.inference.runtimes import can_stop

    return can_stop(runtime)


def _nothing(count: int, joints: int) -> Found:
    """What has been found before the first look."""
    places, spread = np.zeros((count, joints, 2)), np.zeros((count, joints, 2, 2))
    return Found(places, np.zeros((count, joints)), spread, np.zeros(count, np.int64))


def _frame(photo: Photo) -> Floats:
    """The box (1, 4) of a whole photograph."""
    return np.array([[0, 0, photo.shape[1], photo.shape[0]]], np.float64)


def _open(image: Image) -> Photo:
    return read_image(image) if isinstance(image, str | Path) else _check_photo(image)


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
