"""Many photographs on disk -> overlays and one results file on disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sandglass.core.errors import BadInput
from sandglass.core.image import SUFFIXES, Photo, read_image, write_image
from sandglass.core.pose import Floats, Pose
from sandglass.data.formats import WRITERS, Format
from sandglass.data.results import boxes_of_photo, names_of_photo, read_photo_boxes
from sandglass.data.untrusted import brief
from sandglass.draw.people import draw_poses
from sandglass.inference.ahead import ahead
from sandglass.inference.detectors import Detector
from sandglass.inference.poses import as_predictions, distinct
from sandglass.inference.predictor import Predictor, check_boxes

Picture = Literal["jpg", "png", "webp"]
Entry = tuple[Photo, Floats | None] | BadInput  # a photograph and its boxes, or why it cannot be used
GROUP = 16  # photographs
GROUP_PIXELS = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written of many photographs: files of poses (see data/formats.py), and the kind of the overlays.

    doubt: whether an ellipse around each joint shows how far off it may be.
    """

    formats: tuple[Format, ...] = ("coco",)
    picture: Picture = "jpg"
    doubt: bool = False


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
    detector: Detector | None = None,
    output: Output | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[int, list[str]]:
    """Write an overlay for each photograph and predictions.json; returns the number of poses and what was refused.

    Where the file of boxes names none, `detector` finds them, and poses that show the same person twice are left out.
    `output` chooses other files than the overlays as JPEG and predictions.json; `say` hears of boxes that are of none.

    A photograph that cannot be used is told in the returned list and left out; the others are done. Image ids are
    the file's number where its name is one and no other's, else counted from 1. Raises BadInput; also where no
    photograph can be used, or the file of boxes names none of them, and then nothing is written.
    """
    by_photo = _boxes_by_photo(boxes, photos, say) if boxes is not None else {}
    output = output or Output()
    names = overlay_names(photos, output.picture)
    taken = {path.resolve() for path in photos} & {(out / name).resolve() for name in names}
    if taken:
        raise BadInput(f"{min(taken)}: the overlay would replace the photograph; choose another output folder")
    ids = image_ids(photos)
    refused: list[str] = []
    kept: list[tuple[int, list[Pose]]] = []

    def read(path: Path) -> Entry:
        return _read(path, by_photo, f"{boxes}: {path.name}", detector)

    def overlay(i: int, photo: Photo, poses: Sequence[Pose]) -> None:
        shown = poses if output.doubt else [replace(pose, spread=None) for pose in poses]
        write_image(out / names[i], draw_poses(photo, shown, predictor.spec.skeleton))

    with ThreadPoolExecutor(1, thread_name_prefix="sandglass-overlays") as writer:
        drawn: list[Future[None]] = []
        done = 0
        for group in _groups(ahead(read, photos)):
            opened = [(done + i, *entry) for i, entry in enumerate(group) if not isinstance(entry, BadInput)]
            refused += [str(entry) for entry in group if isinstance(entry, BadInput)]
            found = predictor.several([photo for _, photo, _ in opened], [wanted for _, _, wanted in opened])
            if detector is not None:
                found = [distinct(poses, predictor.spec.skeleton) for poses in found]
            for future in drawn:  # those of the group before: at most two groups are in memory
                future.result()
            drawn = [
                writer.submit(overlay, i, photo, poses) for (i, photo, _), poses in zip(opened, found, strict=True)
            ]
            kept += [(ids[i], poses) for (i, _, _), poses in zip(opened, found, strict=True)]
            done += len(group)
            if on_progress is not None:
                on_progress(done, len(photos))
        for future in drawn:
            future.result()
    if not kept:
        many = f"none of the {len(refused)} photographs could be used; the first: " if len(refused) > 1 else ""
        raise BadInput(many + refused[0])
    named = {ids[i]: path.name for i, path in enumerate(photos)}
    for file, write in (WRITERS[form] for form in output.formats):
        write(out / file, as_predictions(kept, predictor.spec.skeleton), named)
    return sum(len(poses) for _, poses in kept), refused


def _boxes_by_photo(boxes: Path, photos: Sequence[Path], say: Callable[[str], None]) -> dict[str, Floats]:
    """The boxes of a file by photograph; it says how many of these are not among `photos`. Raises BadInput for all."""
    by_photo = read_photo_boxes(boxes)
    wanted = {name for photo in photos for name in names_of_photo(photo)}
    others = [name for name in by_photo if name not in wanted]
    if len(others) == len(by_photo):
        told = f"none of the {len(others)} photographs that it names is looked at" if others else "names no photographs"
        first = f" (the first: {brief(others[0])})" if others else ""
        cure = f"call them by file name, such as {brief(photos[0].name)}, or by image id"
        raise BadInput(f"{boxes}: {told}{first}; {cure}")
    if others:
        count = f"{len(others)} of the {len(by_photo)} photographs that it names"
        say(f"{boxes}: {count} were not looked at (the first: {brief(others[0])})")
    return by_photo


def _read(path: Path, by_photo: Mapping[str, Floats], where: str, detector: Detector | None) -> Entry:
    try:
        photo, wanted = read_image(path), boxes_of_photo(by_photo, path)
        if wanted is None and detector is not None:
            wanted, where = detector(photo)[0], f"{path}: the detector's"
        if wanted is not None:
            wanted = check_boxes(wanted, (photo.shape[1], photo.shape[0]), where)
        return photo, wanted
    except BadInput as error:
        return error


def _groups(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Photographs that are looked at together: so many that a batch is full, and no more than memory likes."""
    group: list[Entry] = []
    pixels = 0
    for entry in entries:
        group.append(entry)
        pixels += 0 if isinstance(entry, BadInput) else entry[0].size // 3
        if len(group) == GROUP or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def overlay_names(photos: Sequence[Path], picture: Picture = "jpg") -> list[str]:
    """A file name for each overlay; photographs of one name from different folders are numbered."""
    names: dict[str, None] = {}
    for path in photos:
        name, n = f"{path.stem}.{picture}", 2
        while name in names:
            name, n = f"{path.stem}-{n}.{picture}", n + 1
        names[name] = None
    return list(names)


def image_ids(photos: Sequence[Path]) -> list[int]:
    """COCO's image id, which its file names spell, where every name spells one of its own; else 1, 2, 3 ..."""
    spelt = [int(path.stem) if path.stem.isascii() and path.stem.isdecimal() else -1 for path in photos]
    good = len(set(spelt)) == len(spelt) and all(0 <= number < 2**53 for number in spelt)
    return spelt if good else list(range(1, len(photos) + 1))
