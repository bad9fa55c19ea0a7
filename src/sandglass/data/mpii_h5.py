"""MPII Human Pose as the HDF5 derivative of the first stacked hourglass, annot/train.h5. Pixel centres at +0.5.

https://github.com/princeton-vl/pose-hg-train. As in the other derivatives (see `mpii`), pixels count from 1. Its makers
widened `scale` by a quarter, and moved `center` down by 15 pixels at scale 1 before: here that is undone. A joint at
(0, 0) is not labelled; `visible` tells the hidden ones, and `normalize` is the length for PCKh.
"""

from pathlib import Path
from typing import Any

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.labels import Labels, people_of, photographs
from sandglass.data.mpii import squares
from sandglass.data.skeletons import MPII16
from sandglass.data.untrusted import LIMIT, brief, refuse
from sandglass.data.yolo import read_text

MAX_PEOPLE = 10**6
MAX_NAME = 1024  # letters
DOWN, WIDER = 15, 1.25  # what the file's makers did to centres and scales


def is_mpii_h5(folder: Path, split: str) -> bool:
    """Whether there is an HDF5 file of this split."""
    return (folder / "annot" / f"{split}.h5").is_file()


def read_mpii_h5(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `<folder>/annot/<split>.h5`, photographs in `<folder>/images/`. Raises BadInput.

    Where the file has no `imgname`, the photographs are the lines of `<split>_images.txt` beside it.
    """
    path, skeleton = folder / "annot" / f"{split}.h5", skeleton or MPII16
    labels = _labels(path, len(skeleton))
    return people_of(labels, path, folder / "images", f"{folder.resolve().name}@{split}", skeleton)


def _labels(path: Path, k: int) -> Labels:
    try:
        import h5py
    except ImportError:
        raise BadInput(f"{path}: reading .h5 files needs h5py; install it: pip install 'sandglass[hdf5]'") from None
    try:
        with h5py.File(path, "r") as file:
            pictures = _names(file, path)
            n = len(pictures)
            points, visible = _numbers(file, "part", (n, k, 2), path), _numbers(file, "visible", (n, k), path)
            centre, scale = _numbers(file, "center", (n, 2), path), _numbers(file, "scale", (n,), path)
            heads = _numbers(file, "normalize", (n,), path)
    except BadInput:
        raise
    except Exception as error:  # HDF5 raises whatever a mangled file makes it raise
        raise BadInput(f"{path}: not an HDF5 file that can be read ({type(error).__name__}); fetch it again") from None
    refuse(scale <= 0, lambda i: f"{path}: person {i}", lambda i: f"has the scale {scale[i]:g}; it must be positive")
    height = scale / WIDER
    centre = centre - np.stack([np.zeros(n), DOWN * height], axis=1)
    names, image = photographs(pictures)
    shown = (points > 0).any(-1)
    return Labels(
        names,
        np.zeros((len(names), 2), np.int64),
        image,
        points - 0.5,
        np.where(shown, np.where(visible > 0, 2, 1), 0),
        squares(centre - 0.5, height),
        np.where(heads > 0, heads, np.nan),
    )


def _table(file: Any, name: str, path: Path) -> Any:
    """A plain table of the file itself: HDF5 can also show what lies in other files, and unpack without a bound."""
    from h5py import Dataset, h5l  # type: ignore[attr-defined]  # compiled

    links = file.id.links
    if not links.exists(name.encode()) or links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise BadInput(f"{path}: has no table `{name}` of its own; fetch it again")
    table = file[name]
    if not isinstance(table, Dataset) or table.external or table.is_virtual:
        raise BadInput(f"{path}: has no table `{name}` of its own; fetch it again")
    if table.id.get_create_plist().get_nfilters():
        raise BadInput(f"{path}: its `{name}` is compressed; unpack it: h5repack -f NONE {path.name} plain.h5")
    return table


def _numbers(file: Any, name: str, shape: tuple[int, ...], path: Path) -> Floats:
    table = _table(file, name, path)
    if table.shape != shape or table.dtype.kind not in "iuf":
        raise _other(table, name, f"numbers of the shape {shape}", path)
    values = np.asarray(table[()], np.float64)
    if not (np.abs(values) <= LIMIT).all():
        raise BadInput(f"{path}: `{name}` holds numbers that are not finite; fetch it again")
    return values


def _other(table: Any, name: str, needed: str, path: Path) -> BadInput:
    return BadInput(f"{path}: `{name}` is {brief(str(table.dtype))} of the shape {table.shape}; {needed} are needed")


def _names(file: Any, path: Path) -> list[str]:
    """The photograph of each person: texts, or rows of their letters' codes with zeros behind."""
    from h5py import check_string_dtype

    if not file.id.links.exists(b"imgname"):
        return read_text(path.with_name(f"{path.stem}_images.txt")).splitlines()
    table = _table(file, "imgname", path)
    text = check_string_dtype(table.dtype)
    lengths = (text.length or 0,) if text else table.shape[1:]
    fits = len(lengths) == 1 and lengths[0] <= MAX_NAME and table.ndim == (1 if text else 2)
    if not fits or len(table) > MAX_PEOPLE or not (text or table.dtype.kind in "iuf"):
        raise _other(table, "imgname", f"names of at most {MAX_PEOPLE} people", path)
    rows = (table[i][:MAX_NAME] for i in range(len(table))) if text else table[()].astype(np.uint8)
    return [bytes(row).split(b"\0")[0].decode("utf-8", "replace") for row in rows]
