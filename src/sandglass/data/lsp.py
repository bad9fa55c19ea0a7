"""Leeds Sports Pose and its extension, from the official joints.mat. Image pixels, pixel centres at +0.5.

The files count pixels from 1, as MATLAB does: everything gets -0.5. In LSP every joint is labelled and the third
number says hidden; in the extension it says labelled. Boxes are the joints' extent and a tenth beyond.
"""

from pathlib import Path

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.pose import Floats, People
from sandglass.core.skeleton import Skeleton
from sandglass.data.labels import Labels, people_of
from sandglass.data.matlab import MatFile
from sandglass.data.skeletons import LSP14
from sandglass.data.untrusted import LIMIT

FILE = "joints.mat"
HALF = 1000  # of LSP's 2,000 people; the first thousand are its train split


def is_lsp(folder: Path, split: str) -> bool:
    """Whether there is a joints.mat."""
    return (folder / FILE).is_file()


def read_lsp(folder: Path, split: str, skeleton: Skeleton | None = None) -> People:
    """The people of `<folder>/joints.mat`, photographs `<folder>/images/im0001.jpg` (im00001.jpg in the extension).

    LSP has the splits train (1 ... 1000) and test (the rest), the extension only train. Raises BadInput.
    """
    path = folder / FILE
    joints = _joints(path)
    extended = joints.shape[:2] == (14, 3)  # LSP itself is (3, 14, N)
    points = joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0)  # (N, 14, 3)
    splits = {"train": slice(None)} if extended else {"train": slice(0, HALF), "test": slice(HALF, None)}
    if split not in splits:
        raise BadInput(f"{path}: has no split '{split}'; its splits are: {', '.join(splits)}")
    chosen = np.arange(len(points))[splits[split]]
    points, third = points[chosen, :, :2] - 0.5, points[chosen, :, 2] > 0
    labels = Labels(
        [f"im{i + 1:0{5 if extended else 4}d}.jpg" for i in chosen],
        np.zeros((len(chosen), 2), np.int64),
        np.arange(len(chosen)),
        points,
        np.where(third, 2, 0) if extended else np.where(third, 1, 2),
        np.full((len(chosen), 4), np.nan),
    )
    return people_of(labels, path, folder / "images", f"{folder.resolve().name}@{split}", skeleton or LSP14)


def _joints(path: Path) -> Floats:
    file = MatFile(path, FILE.removesuffix(".mat"))
    joints = file.numbers(file.root)
    if joints.ndim != 3 or joints.shape[:2] not in ((14, 3), (3, 14)):
        raise BadInput(f"{path}: `joints` has the shape {joints.shape}; 3 x 14 x people are needed")
    if not (np.abs(joints) <= LIMIT).all():
        raise BadInput(f"{path}: `joints` holds numbers that are not finite; fetch it again")
    return joints
