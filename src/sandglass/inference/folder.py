"""Many photographs on disk -> overlays and one results file on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.image import SUFFIXES, read_image, write_image
from sandglass.core.pose import Pose, Predictions
from sandglass.core.skeleton import Skeleton
from sandglass.data.results import boxes_of_photo, read_photo_boxes, write_results
from sandglass.draw.people import draw_poses
from sandglass.inference.predictor import Predictor, check_boxes


def find_photos(places: Sequence[Path]) -> list[Path]:
    """The photographs that paths name: files as they are, folders by their pictures, sorted. Raises BadInput."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise BadInput(f"{place}: no photographs in this folder; they end in {', '.join(sorted(SUFFIXES))}")
            found += inside
        elif place.exists():
            found.append(place)
        else:
            raise BadInput(f"{place}: no such photograph or folder; check the path")
    if not found:
        raise BadInput("no photographs are named; give files or folders")
    return found


def predict_photos(
    predictor: Predictor,
    photos: Sequence[Path],
    out: Path,
    boxes: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[int, list[str]]:
    """Write an overlay for each photograph and predictions.json; returns the number of poses and what was refused.

    A photograph that cannot be used is told in the returned list and left out; the others are done. Image ids are
    the file's number where its name is one and no other's, else counted from 1. Raises BadInput.
    """
    by_photo = read_photo_boxes(boxes) if boxes is not None else {}
    names = overlay_names(photos)
    taken = {path.resolve() for path in photos} & {(out / name).resolve() for name in names}
    if taken:
        raise BadInput(f"{min(taken)}: the overlay would replace the photograph; choose another output folder")
    ids = image_ids(photos)
    refused: list[str] = []
    kept: list[tuple[int, list[Pose]]] = []
    for i, path in enumerate(photos):
        try:
            photo = read_image(path)
            wanted = boxes_of_photo(by_photo, path)
            if wanted is not None:
                wanted = check_boxes(wanted, (photo.shape[1], photo.shape[0]), f"{boxes}: {path.name}")
            poses = predictor(photo, wanted)
        except BadInput as error:
            refused.append(str(error))
            continue
        kept.append((ids[i], poses))
        write_image(out / names[i], draw_poses(photo, poses, predictor.spec.skeleton))
        if on_progress is not None:
            on_progress(i + 1, len(photos))
    named = {ids[i]: path.name for i, path in enumerate(photos)}
    write_results(out / "predictions.json", as_predictions(kept, predictor.spec.skeleton), named)
    return sum(len(poses) for _, poses in kept), refused


def overlay_names(photos: Sequence[Path]) -> list[str]:
    """A file name for each overlay; photographs of one name from different folders are numbered."""
    names: list[str] = []
    for path in photos:
        name, n = f"{path.stem}.jpg", 2
        while name in names:
            name, n = f"{path.stem}-{n}.jpg", n + 1
        names.append(name)
    return names


def image_ids(photos: Sequence[Path]) -> list[int]:
    """COCO's image id, which its file names spell, where every name spells one of its own; else 1, 2, 3 ..."""
    spelt = [int(path.stem) if path.stem.isascii() and path.stem.isdecimal() else -1 for path in photos]
    good = len(set(spelt)) == len(spelt) and all(0 <= number < 2**53 for number in spelt)
    return spelt if good else list(range(1, len(photos) + 1))


def as_predictions(found: Sequence[tuple[int, Sequence[Pose]]], skeleton: Skeleton) -> Predictions:
    """Poses by image id as arrays."""
    rows = [(image_id, pose) for image_id, poses in found for pose in poses]
    k = len(skeleton)
    return Predictions(
        skeleton=skeleton,
        image_ids=np.array([image_id for image_id, _ in rows], np.int64),
        keypoints=np.array([pose.keypoints for _, pose in rows]).reshape(-1, k, 2),
        scores=np.array([pose.scores for _, pose in rows]).reshape(-1, k),
        present=np.array([pose.present for _, pose in rows], bool).reshape(-1, k),
        boxes=np.array([pose.box for _, pose in rows]).reshape(-1, 4),
        score=np.array([pose.score for _, pose in rows]),
        people=np.full(len(rows), -1, np.int64),
    )
