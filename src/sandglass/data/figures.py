"""Drawn people: an endless, seeded data set that needs no download. Image pixels, centres at +0.5; boxes are xyxy.

The same seed and index give the same picture on any machine: nothing depends on threads, on the other pictures
or on how many there are. Bump VERSION whenever a drawing changes.
"""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core.cores import cpu_count
from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole
from sandglass.core.image import Photo, write_image
from sandglass.core.skeleton import COCO17
from sandglass.data.coco import annotation_file
from sandglass.data.drawing import scenery
from sandglass.data.drawing.annotator import Figure, annotate, seen
from sandglass.data.drawing.body import draw_build, draw_posture, joints, place_bones, turn
from sandglass.data.drawing.canvas import View
from sandglass.data.drawing.flesh import clothe
from sandglass.data.drawing.looks import draw_look

Floats = NDArray[np.float64]
Rng = np.random.Generator

VERSION = 1


@dataclass(frozen=True, eq=False)
class Picture:
    """One drawn photograph with its P people, the farthest first.

    keypoints: (P, K, 2), zero where visibility is 0. visibility: (P, K).
    boxes: (P, 4) the extent and areas: (P,) the size of what is seen of each person.
    """

    image: Photo
    keypoints: Floats
    visibility: NDArray[np.uint8]
    boxes: Floats
    areas: Floats


def draw_picture(seed: int, index: int) -> Picture:
    """The picture that belongs to a seed and an index, both in 0 ... 2^64 - 1: about 1-4 people, 256-400 px wide."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    canvas = scenery.draw_background(rng, size)
    light = rng.normal([0, 0.55, 0.55], [0.55, 0.3, 0.35])
    light /= np.linalg.norm(light)
    camera = turn(x=float(np.clip(rng.normal(7, 10), -20, 45))), turn(z=float(rng.normal(0, 4)))
    figures = _place(rng, [_draw_figure(rng, camera, float(side)) for side in _draw_sides(rng)], size)
    drawn = []
    for slot, figure in enumerate(figures):
        if slot and rng.random() < 0.12:
            scenery.draw_occluder(canvas, rng, _box_of(figures[slot - 1]))
        if rng.random() < 0.55:
            scenery.draw_shadow(canvas, rng, _box_of(figure))
        canvas.faces(figure.mesh, figure.view, light, slot)
        drawn.append(int(np.count_nonzero(seen(canvas.tags(_box_of(figure) + _RIM), slot))))
    for _ in range(int(rng.choice(3, p=[0.55, 0.33, 0.12]))):
        scenery.draw_occluder(canvas, rng, _box_of(figures[int(rng.integers(len(figures)))]))
    tags = canvas.tags()
    labels = [annotate(rng, tags, slot, figure, drawn[slot]) for slot, figure in enumerate(figures)]
    keypoints, visibility, boxes, areas = (np.stack(rows) for rows in zip(*labels, strict=True))
    some = areas > 0
    image = scenery.develop(rng, canvas.photo())
    return Picture(image, keypoints[some], visibility[some], boxes[some], areas[some])


_SIZES = ((320, 256), (320, 240), (384, 288), (400, 300), (352, 288), (256, 320), (288, 352), (320, 320))
_RIM = np.array([-2.0, -2, 2, 2])  # OpenCV fills a little beyond the corners
_LONGER_SIDE = {1: (110, 330), 2: (85, 260), 3: (75, 200), 4: (65, 180)}  # of a body, pixels, by how many there are


def _draw_sides(rng: Rng) -> Floats:
    """The longer side of each body's extent in pixels, ascending; one picture in eight is a close-up."""
    people = int(rng.choice([1, 2, 3, 4], p=[0.38, 0.32, 0.18, 0.12]))
    low, high = np.log(_LONGER_SIDE[people])
    sides = np.exp(rng.uniform(low, high, people))
    if rng.random() < 0.12:
        sides[0] = rng.uniform(320, 560)
    return np.sort(sides)


def _draw_figure(rng: Rng, camera: tuple[Floats, Floats], side: float) -> Figure:
    """A person in a posture, seen from any side; two in five face the camera more or less."""
    build, posture, look = draw_build(rng), draw_posture(rng), draw_look(rng)
    bones = place_bones(build, posture)
    detail = int(side > 130) + int(side > 260)
    mesh = clothe(build, bones, look, posture.seated, detail)
    yaw = rng.normal(0, 40) if rng.random() < 0.4 else rng.uniform(-180, 180)
    pitched, rolled = camera
    turned = turn(z=float(rng.normal(0, 3))) @ rolled @ pitched @ turn(y=float(yaw))
    view = View(turned, distance=float(np.exp(rng.uniform(np.log(2.2), np.log(9)))))
    flat, _ = view.project(mesh.points)
    body = flat[mesh.faces[mesh.part > 0].ravel()]
    extent = np.concatenate([body.min(0), body.max(0)])
    view = replace(view, scale=side / float((extent[2:] - extent[:2]).max()))
    return Figure(mesh, view, joints(build, bones), bones, extent)


def _place(rng: Rng, figures: list[Figure], size: tuple[int, int]) -> list[Figure]:
    """Give each person a place. The smallest came first, so larger ones stand in front; most avoid each other."""
    placed: list[Figure] = []
    for figure in figures:
        spread = (figure.extent[2:] - figure.extent[:2]) * figure.view.scale
        corners = [_corner(rng, spread, np.array(size)) for _ in range(3)]
        if rng.random() < 0.7:
            corners.sort(key=lambda corner, spread=spread: _covered(corner, spread, placed))
        x, y = corners[0] - figure.view.scale * figure.extent[:2]
        placed.append(replace(figure, view=replace(figure.view, centre=(float(x), float(y)))))
    return placed


def _corner(rng: Rng, spread: Floats, size: Floats) -> Floats:
    """The upper left corner of a body's extent."""
    room = size - spread
    inside = rng.uniform(np.minimum(room, 0), np.maximum(room, 0))
    if room[1] < -0.15 * size[1]:  # a close-up: from the head down
        inside[1] = rng.uniform(-0.03, 0.12) * size[1]
    beyond = rng.uniform(-0.4 * spread, [size[0] - 0.6 * spread[0], size[1] - 0.5 * spread[1]])
    return beyond if rng.random() < 0.2 else inside


def _covered(corner: Floats, spread: Floats, placed: list[Figure]) -> float:
    """Square pixels that a body's extent shares with those that are placed already."""
    shared = 0.0
    for other in placed:
        box = _box_of(other)
        both = np.minimum(corner + spread, box[2:]) - np.maximum(corner, box[:2])
        shared += max(float(both[0]), 0.0) * max(float(both[1]), 0.0)
    return shared


def _box_of(figure: Figure) -> Floats:
    return figure.extent * figure.view.scale + np.tile(figure.view.centre, 2)


ENOUGH = 5  # labelled joints that make a person count
_CHUNK = 8  # pictures that a worker draws at a time
_NAME = "{:06d}.jpg"


def write_figures(
    folder: str | Path,
    split: str,
    people: int,
    seed: int,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Draw a data set in the COCO layout until it holds `people` people with at least five labelled joints.

    Writes `<folder>/<split>/000000.jpg` ... and, last, `<folder>/annotations/person_keypoints_<split>.json`. Each
    split has its own pictures. A folder that already holds the same people is left as it is. Returns how many
    such people there are, which the last picture may bring above `people`; `on_progress` hears it as it grows.

    workers: processes to draw with (default: the CPUs that this process may use, at most 8). They are spawned,
    so a script that calls this needs the usual `if __name__ == "__main__"`.
    Raises BadInput if the folder holds other pictures than drawn ones, or cannot be written.
    """
    _check(split, people, seed)
    target = Path(folder) / split
    labels = Path(folder) / "annotations" / f"person_keypoints_{split}.json"
    info = _info(split, people, seed)
    found = _already(labels, target, info)
    if found is not None:
        return found
    beside = target.with_name(f".{split}.part")
    shutil.rmtree(beside, ignore_errors=True)
    with closing(_draw_pages(beside, split, seed, people, workers)) as endless:
        pages = _draw_until(endless, people, on_progress or (lambda _: None))
    try:
        for extra in beside.glob("*.jpg"):  # what other workers drew beyond the last
            if int(extra.stem) >= len(pages):
                extra.unlink()
        labels.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(beside, target)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror}); choose another output folder") from None
    write_whole(labels, json.dumps(_coco(pages, info)))
    return sum(map(_enough, pages))


def replaces(folder: Path, split: str, people: int, seed: int) -> bool:
    """Whether there are other people than those that `write_figures` would draw, and leave in their place."""
    labels = annotation_file(folder, split)
    try:
        return labels.exists() and json.loads(labels.read_text())["info"] != _info(split, people, seed)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return True


def _info(split: str, people: int, seed: int) -> dict[str, Any]:
    return {"description": "drawn people, no photographs", "contributor": "sandglass figures", "version": str(VERSION),
            "seed": seed, "people": people, "split": split}  # fmt: skip


def _check(split: str, people: int, seed: int) -> None:
    if people < 1 or not 0 <= seed < 2**64:
        raise BadInput(f"cannot draw {people} people with seed {seed}; give at least 1 person and a seed in 0..2^64-1")
    if not split or split != Path(split).name or split.startswith("."):
        raise BadInput(f"'{split}' is no name for a split; give a plain word such as train or val")


def _draw_until(
    pages: Iterator[dict[str, Any]], people: int, on_progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    """As many pages as it takes."""
    total, drawn = 0, []
    for page in pages:
        drawn.append(page)
        total += _enough(page)
        on_progress(total)
        if total >= people:
            break
    return drawn


def _enough(page: dict[str, Any]) -> int:
    """How many people of a page count."""
    return sum(row["num_keypoints"] >= ENOUGH for row in page["people"])


def _already(labels: Path, target: Path, info: dict[str, Any]) -> int | None:
    """How many people the folder holds if it is what `info` asks for, else None. Refuses to replace the user's own."""
    try:
        held = json.loads(labels.read_text())
        if held["info"]["contributor"] != info["contributor"]:
            raise KeyError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        if labels.exists() or target.exists():
            message = f"{target}: holds something that was not drawn here; remove it or choose another folder"
            raise BadInput(message) from None
        return None
    there = {entry.name for entry in os.scandir(target)} if target.is_dir() else set()
    if held["info"] != info or not there.issuperset(image["file_name"] for image in held["images"]):
        return None
    return sum(person["num_keypoints"] >= ENOUGH for person in held["annotations"])


def _draw_pages(
    folder: Path, split: str, seed: int, people: int, workers: int | None
) -> Generator[dict[str, Any], None, None]:
    """The endless pages of a split, in order, each with its picture already on disk."""
    if workers is None:
        workers = _cpus() if people > 200 else 1
    if workers <= 1:
        yield from (_draw_page(folder, seed, _stream(split), number) for number in count())
        return
    starts = count(0, _CHUNK)
    with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        waiting = [pool.submit(_draw_chunk, str(folder), split, seed, next(starts)) for _ in range(2 * workers)]
        try:
            while True:
                pages = waiting.pop(0).result()
                waiting.append(pool.submit(_draw_chunk, str(folder), split, seed, next(starts)))
                yield from pages
        finally:
            pool.shutdown(cancel_futures=True)


def _cpus() -> int:
    """How many processes may draw: the CPUs that this one is allowed to use, at most 8."""
    return min(8, cpu_count())


def _stream(split: str) -> int:
    """The index of a split's first picture: four billion apart, so that no two splits share a picture."""
    return zlib.crc32(split.encode()) << 32


def _draw_chunk(folder: str, split: str, seed: int, start: int) -> list[dict[str, Any]]:
    """In a worker: the pages from `start` on."""
    return [_draw_page(Path(folder), seed, _stream(split), number) for number in range(start, start + _CHUNK)]


def _draw_page(folder: Path, seed: int, stream: int, number: int) -> dict[str, Any]:
    """Draw one picture, write it, and give its rows of the annotation file, still without ids."""
    picture = draw_picture(seed, stream + number)
    write_image(folder / _NAME.format(number), picture.image, quality=95)
    h, w = picture.image.shape[:2]
    people = []
    for points, visible, box, area in zip(
        picture.keypoints, picture.visibility, picture.boxes, picture.areas, strict=True
    ):
        labelled = visible[:, None] > 0
        triples = np.column_stack([np.where(labelled, np.round(points - 0.5, 2), 0.0), visible])
        keypoints = [value for x, y, v in triples.tolist() for value in (x, y, int(v))]
        bbox = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
        people.append({"keypoints": keypoints, "num_keypoints": int(labelled.sum()), "bbox": bbox, "area": float(area)})
    return {"width": w, "height": h, "people": people}


def _coco(pages: list[dict[str, Any]], info: dict[str, Any]) -> dict[str, Any]:
    """The COCO annotation file: pages numbered from 1, people likewise."""
    images, annotations = [], []
    for number, page in enumerate(pages):
        size = {"width": page["width"], "height": page["height"]}
        images.append({"id": number + 1, "file_name": _NAME.format(number), "license": 1} | size)
        for row in page["people"]:
            fixed = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0}
            annotations.append(fixed | row)
    person = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.joints),
              "skeleton": [[a + 1, b + 1] for a, b in COCO17.edges]}  # fmt: skip
    licences = [{"id": 1, "name": "free of rights: drawn by a program", "url": ""}]
    return {"info": info, "licenses": licences, "categories": [person], "images": images, "annotations": annotations}
