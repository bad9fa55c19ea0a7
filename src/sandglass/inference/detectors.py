"""Finding people's boxes. Boxes are xyxy image pixels, pixel centres at +0.5; images (H, W, 3) RGB uint8.

Any callable from a photograph to boxes and scores is a detector. One comes with sandglass: a runner for YOLOX
(Ge et al. 2021, arxiv.org/abs/2107.08430; code and weights Apache-2.0) as an ONNX file. Its weights do not; they are
the `.onnx` files under github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0 (yolox_tiny.onnx: 20 MB),
which the user downloads and names by path. They were trained on COCO.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.image import Photo
from sandglass.core.pose import Floats
from sandglass.inference.engines import Arrays, Run

STRIDES = (8, 16, 32)  # pixels a cell of YOLOX's three grids
GREY = 114  # what YOLOX fills the rest of its square with
PERSON_CLASS = 0  # COCO's first
LEAST_SCORE = 0.3
MOST_OVERLAP = 0.65  # IoU beyond which two boxes are one person
MAX_PEOPLE = 100
LARGEST = 1e4  # pixels: exp() of a broken network's answer ends here
WEIGHTS = "github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0"


class Detector(Protocol):
    """A photograph -> boxes (B, 4), each at least a pixel wide and high, and scores (B,) in 0..1."""

    def __call__(self, photo: Photo) -> tuple[Floats, Floats]: ...


class Yolox:
    """YOLOX in ONNX, as its own `tools/export_onnx.py` writes it; its first class is a person.

    Input (1, 3, H, W) float32: BGR 0..255, scaled to fit, grey below or to the right. Output (1, N, 5 + C): centre
    and log size in cells of the grids with strides 8, 16, 32, objectness, C class scores.
    """

    def __init__(self, run: Run, size: tuple[int, int], least: float = LEAST_SCORE) -> None:
        self.run, self.size, self.least = run, size, least
        self.cells, self.strides = _grids(size)

    @classmethod
    def load(cls, path: str | Path, least: float = LEAST_SCORE) -> "Yolox":
        """From a local .onnx file. Raises BadInput: no such file, no ONNX Runtime, another kind of network."""
        path = Path(path)
        if not path.is_file():
            raise BadInput(f"{path}: no such detector; give YOLOX as .onnx, its weights are at {WEIGHTS}")
        try:
            import onnxruntime
        except ImportError:
            raise BadInput("a detector needs ONNX Runtime; pip install 'sandglass[onnx]'") from None
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise BadInput(f"{path}: is no ONNX file that can be run ({type(error).__name__}); {WEIGHTS}") from None
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shape, given = (list(inputs[0].shape), list(outputs[0].shape)) if len(inputs) == 1 else ([], [])
        fits = len(shape) == 4 and shape[1] == 3 and all(isinstance(n, int) and 32 <= n <= 4096 for n in shape[2:])
        size = (shape[3], shape[2]) if fits else (0, 0)
        if not fits or len(given) != 3 or given[1] != len(_grids(size)[0]):
            raise BadInput(f"{path}: no YOLOX, its input is {shape} and its output {given}; weights: {WEIGHTS}")

        def run(given: Sequence[NDArray[Any]]) -> Arrays:
            return session.run(None, {inputs[0].name: given[0]})  # type: ignore[return-value]

        return cls(run, size, least)

    def __call__(self, photo: Photo) -> tuple[Floats, Floats]:
        """Boxes (B, 4) of people and their scores (B,), best first."""
        w, h = photo.shape[1], photo.shape[0]
        factor = min(self.size[0] / w, self.size[1] / h)
        inside = max(1, round(w * factor)), max(1, round(h * factor))
        square = np.full((self.size[1], self.size[0], 3), GREY, np.uint8)
        square[: inside[1], : inside[0]] = cv2.resize(photo, inside, interpolation=cv2.INTER_LINEAR)
        network = np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None], np.float32)
        said = np.asarray(self.run([network])[0][0], np.float64)  # (N, 5 + C)
        boxes, scores = self._people(said)
        boxes = geometry.clip(boxes * np.tile([w / inside[0], h / inside[1]], 2), (w, h))
        whole = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
        return boxes[whole], scores[whole]

    def _people(self, said: Floats) -> tuple[Floats, Floats]:
        """Boxes in pixels of the network's input, without doubles."""
        scores = said[:, 4] * said[:, 5 + PERSON_CLASS]
        rows = np.flatnonzero((scores >= self.least) & np.isfinite(said[:, :5]).all(1))
        centre = (said[rows, :2] + self.cells[rows]) * self.strides[rows]
        with np.errstate(over="ignore"):
            half = np.minimum(np.exp(said[rows, 2:4]) * self.strides[rows], LARGEST) / 2
        boxes, scores = np.concatenate([centre - half, centre + half], 1), np.minimum(scores[rows], 1)
        kept = unlike(boxes, scores)
        return boxes[kept], scores[kept]


def _grids(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Columns and rows (N, 2) of YOLOX's cells for an input of `size` (w, h), and their strides (N, 1)."""
    cells, strides = [np.zeros((0, 2))], [np.zeros((0, 1))]
    for stride in STRIDES:
        y, x = np.mgrid[: size[1] // stride, : size[0] // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], -1).astype(np.float64))
        strides.append(np.full((x.size, 1), float(stride)))
    return np.concatenate(cells), np.concatenate(strides)


def unlike(boxes: Floats, scores: Floats, overlap: float = MOST_OVERLAP) -> NDArray[np.int64]:
    """The rows to keep, best first: those that overlap no better one by more (IoU), at most 100."""
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left) and len(kept) < MAX_PEOPLE:
        kept.append(int(left[0]))
        left = left[1:][geometry.overlap(boxes[left[:1]], boxes[left[1:]])[0] <= overlap]
    return np.array(kept, np.int64)
