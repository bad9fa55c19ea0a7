"""YOLO-pose text files <-> People. One line a person: class cx cy w h, then x y or x y v of each joint.

All but class and visibility are shares of the photograph's width and height. Boxes are continuous. Keypoints are
COCO's pixel indices divided by the size, as Ultralytics' converter writes them: they get +0.5 pixel on reading and
-0.5 on writing. With two numbers a joint, (0, 0) is the format's only way to say "not labelled".
"""

from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.files import read_bytes, write_whole
from sandglass.core.image import SUFFIXES
from sandglass.core.pose import People
from sandglass.core.skeleton import COCO17, Skeleton
from sandglass.data.labels import Labels, people_of, photo_size
from sandglass.data.skeletons import SKELETON_FILE, to_toml
from sandglass.data.untrusted import LIMIT

DECIMALS = 9  # written: a millionth of a pixel


def is_yolo(folder: Path, split: str) -> bool:
    """Whether there is a folder of label files of this split."""
    return (folder / "labels" / split).is_dir()


def read_yolo(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `<folder>/labels/<split>/*.txt`; photographs of the same names in `<folder>/images/<split>/`.

    The photographs must be there: without their sizes the labels have no meaning. Without a skeleton, 17 joints are
    COCO's. Raises BadInput naming file and line.
    """
    place, photos = folder / "labels" / split, folder / "images" / split
    if not photos.is_dir():
        raise BadInput(f"{photos}: no such folder; labels in shares of the photograph need the photographs")
    found = {path.stem: path.name for path in sorted(photos.iterdir()) if path.suffix.lower() in SUFFIXES}
    names, sizes, image, rows, where = [], [], [], [], []
    for path in sorted(place.glob("*.txt")):
        lines = [line.split() for line in read_text(path).splitlines()]
        size = photo_size(photos, found[path.stem]) if path.stem in found else None
        if size is None:
            raise BadInput(f"{path}: there is no photograph {photos / path.stem} of these labels; put it there")
        names.append(found[path.stem])
        sizes.append(size)
        for number, line in enumerate(lines, 1):
            if line:
                image.append(len(names) - 1)
                rows.append(_numbers(line, f"{path}: line {number}"))
                where.append(f"{path}: line {number}")
    skeleton = skeleton or _guessed(len(rows[0]) - 5 if rows else 0, folder)
    k = len(skeleton)
    for row, line in zip(rows, where, strict=True):
        if len(row) not in (5 + 2 * k, 5 + 3 * k) or len(row) != len(rows[0]):
            needed = f"{5 + 2 * k} or {5 + 3 * k}, the same in all lines"
            raise BadInput(f"{line}: {len(row)} numbers; the {k} joints of '{skeleton.name}' need {needed}")
    labels = _labels(np.array(rows).reshape(len(rows), -1), names, np.array(sizes), np.array(image, np.int64), k)
    return people_of(labels, place, photos, f"{folder.resolve().name}@{split}", skeleton)


def _labels(table: np.ndarray, names: list[str], sizes: np.ndarray, image: np.ndarray, k: int) -> Labels:
    sizes = sizes.reshape(-1, 2)
    size = sizes[image].astype(np.float64)  # (N, 2)
    boxes = np.zeros((len(image), 4))
    points = np.zeros((len(image), k, 3))
    if len(image):
        middle, half = table[:, 1:3] * size, table[:, 3:5] * size / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        joints = table[:, 5:].reshape(len(image), k, -1)
        points[..., :2] = joints[..., :2] * size[:, None]
        points[..., 2] = joints[..., 2] if joints.shape[2] == 3 else 2 * (joints != 0).any(-1)
    return Labels(names, sizes, image, points[..., :2] + 0.5, points[..., 2], boxes)


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [np.nan]
    if not all(abs(value) <= LIMIT for value in values):
        raise BadInput(f"{where}: holds something else than numbers; correct or remove it")
    return values


def read_text(path: Path) -> str:
    """A text file's content, "" for an empty one. Raises BadInput."""
    try:
        return read_bytes(path).decode("utf-8-sig") if path.stat().st_size else ""
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not a text in UTF-8; export it again") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _guessed(columns: int, folder: Path) -> Skeleton:
    if columns in (0, 2 * len(COCO17), 3 * len(COCO17)):
        return COCO17
    raise BadInput(
        f"{folder}: {columns} numbers of joints a person, and nothing says which joints they are; describe them in "
        f"{folder / SKELETON_FILE} (joints = [...]), or give --skeleton FILE"
    )


def write_yolo(people: People, folder: Path, split: str) -> int:
    """Write label files, data.yaml and skeleton.toml; returns how many people they cannot hold: crowds, and no joints.

    Coordinates are rounded to 1e-9 of the photograph. Raises BadInput.
    """
    kept = people.select(~people.crowd & (people.labelled > 0))
    size = kept.image_sizes[kept.image].astype(np.float64)
    low, high = kept.boxes[:, :2] / size, kept.boxes[:, 2:] / size
    shown = kept.visibility[..., None] > 0
    points = np.where(shown, (kept.keypoints - 0.5) / size[:, None], 0)
    joints = np.concatenate([points, kept.visibility[..., None]], axis=-1).reshape(len(kept), -1)
    table = np.concatenate([np.zeros((len(kept), 1)), (low + high) / 2, high - low, joints], axis=1).round(DECIMALS)
    lines: list[list[str]] = [[] for _ in people.image_paths]
    for row, values in zip(kept.image, table.tolist(), strict=True):
        lines[row].append(" ".join(f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") for value in values))
    for path, own in zip(people.image_paths, lines, strict=True):
        write_whole(folder / "labels" / split / f"{path.stem}.txt", "\n".join([*own, ""]) if own else "")
    mirror, k = list(people.skeleton.mirror), len(people.skeleton)
    paths = "path: .\ntrain: images/train\nval: images/val\n"
    write_whole(folder / "data.yaml", f"{paths}kpt_shape: [{k}, 3]\nflip_idx: {mirror}\nnames:\n  0: person\n")
    write_whole(folder / SKELETON_FILE, to_toml(people.skeleton))
    return len(people) - len(kept)
