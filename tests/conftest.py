"""What tests share: where the real photographs are, a tiny drawn data set in the COCO layout,
and people and answers made of arrays."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before NumPy and torch start: tests are guests on their machine

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from sandglass.core import geometry
from sandglass.core.image import Photo
from sandglass.core.pose import People, Predictions
from sandglass.core.skeleton import COCO17

cv2.setNumThreads(2)
settings.register_profile("guest", deadline=None)  # a busy machine is no failure
settings.load_profile("guest")

REPOSITORY = Path(__file__).resolve().parent.parent

# A standing person seen from the front, in a box of 1 x 1: its left is on the picture's right.
STANDING = np.array([
    [0.50, 0.08], [0.54, 0.06], [0.46, 0.06], [0.60, 0.08], [0.40, 0.08],
    [0.72, 0.22], [0.28, 0.22], [0.86, 0.38], [0.14, 0.38], [0.92, 0.54], [0.08, 0.54],
    [0.64, 0.54], [0.36, 0.54], [0.66, 0.76], [0.34, 0.76], [0.68, 0.96], [0.32, 0.96],
])  # fmt: skip


@pytest.fixture(scope="session")
def loud_network() -> Callable[..., Any]:
    """Draws the network of a ModelSpec: loud random answers, batch norms that have seen something."""
    import torch

    from sandglass.models.zoo import build

    def draw(spec: Any) -> torch.nn.Module:
        torch.manual_seed(1)
        network = build(spec)
        with torch.no_grad():
            for stack in network.stacks:  # type: ignore[union-attr]
                stack.heatmaps.weight.normal_(std=0.2)
            w, h = spec.codec.size
            network.train()(torch.randn(8, 3, h, w))
        return network.eval()

    return draw


@pytest.fixture(params=["OpenCV", "PyAV"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reads and writes videos: a test that asks for this runs with each of the two, PyAV where it is installed."""
    from sandglass.inference import video_av

    if request.param == "PyAV":
        pytest.importorskip("av", reason="PyAV is not installed (its wheels hold GPL libraries)")
    else:
        monkeypatch.setattr(video_av, "installed", lambda: False)
    return request.param


@pytest.fixture(scope="session")
def write_film() -> Callable[..., Path]:
    """`write_film(path, pictures)`: pictures of one size as a video, 30 a second, by OpenCV alone."""

    def write(path: Path, pictures: Any) -> Path:
        pictures = list(pictures)
        code, size = cv2.VideoWriter.fourcc(*"mp4v"), pictures[0].shape[1::-1]
        video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 30.0, size)
        for picture in pictures:
            video.write(np.ascontiguousarray(picture[..., ::-1]))
        video.release()
        return path

    return write


@pytest.fixture(scope="session")
def slow_bilinear() -> Callable[..., NDArray[np.float64]]:
    """The obvious resampling: (image, image_from_crop (2, 3), size (w, h)) -> (h, w, 3)."""

    def resample(image: Photo, matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Each crop pixel by itself: where its centre falls, the four image pixels around, black outside."""
        w, h = size
        out = np.zeros((h, w, 3))
        for row in range(h):
            for column in range(w):
                x, y = geometry.apply(matrix, np.array([column + 0.5, row + 0.5])) - 0.5
                left, top = int(np.floor(x)), int(np.floor(y))
                for j, part_y in ((top, 1 - (y - top)), (top + 1, y - top)):
                    for i, part_x in ((left, 1 - (x - left)), (left + 1, x - left)):
                        if 0 <= i < image.shape[1] and 0 <= j < image.shape[0]:
                            out[row, column] += part_y * part_x * image[j, i]
        return out

    return resample


@pytest.fixture(scope="session")
def people_folder() -> Path:
    """The folder of real data sets in the COCO layout (coco, lsp, mpii, ...) that may lie beside the repository."""
    folder = REPOSITORY.parent / "shared" / "people"
    if not (folder / "coco" / "annotations").is_dir():
        pytest.skip("the real photographs are not here (../shared/people)")
    return folder


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., subprocess.Popen[str]]:
    """`torchrun(script or "-m", ...)`: two processes on this machine's CPU."""
    return _torchrun


def _torchrun(*words: object, restarts: int = 0) -> subprocess.Popen[str]:
    command = Path(sys.executable).with_name("torchrun")
    line = [command, "--nproc_per_node=2", f"--max-restarts={restarts}", f"--master-port={_free_port()}", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "250", "SANDGLASS_TIMEOUT": "120"}
    return subprocess.Popen(
        [str(word) for word in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def tiny_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set with the splits train (3 pictures, 5 people) and val (2 pictures, 3 people). Do not write there.

    All people have 17 joints, but that train holds one more with 3 labelled joints and one crowd region.
    """
    folder = tmp_path_factory.mktemp("tiny")
    train = [[(20, 15, 90, 170), (130, 30, 80, 150)], [(60, 10, 110, 180)], [(10, 40, 70, 140), (150, 20, 85, 160)]]
    val = [[(40, 20, 100, 165)], [(15, 25, 80, 160), (140, 35, 75, 145)]]
    for split, pictures, first in (("train", train, 1), ("val", val, 101)):
        data = _drawn_split(folder / split, pictures, first)
        if split == "train":
            few = _person(90, 1, (100.0, 5.0, 60.0, 120.0))
            few["keypoints"][9:] = [0] * 42
            crowd = _person(91, 2, (0.0, 0.0, 240.0, 200.0)) | {"iscrowd": 1, "keypoints": [0] * 51}
            data["annotations"] += [few | {"num_keypoints": 3}, crowd | {"num_keypoints": 0}]
        path = folder / "annotations" / f"person_keypoints_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data))
    return folder


def _drawn_split(folder: Path, pictures: list[list[tuple[int, int, int, int]]], first: int) -> dict[str, Any]:
    folder.mkdir()
    images, annotations = [], []
    for i, boxes in enumerate(pictures):
        image = np.random.default_rng(first + i).integers(60, 120, (200, 240, 3), np.uint8)
        name = f"{first + i:06d}.png"
        for box in boxes:
            annotations.append(_person(first + len(annotations), first + i, box))
            _draw(image, np.array(annotations[-1]["keypoints"]).reshape(-1, 3)[:, :2])
        cv2.imwrite(str(folder / name), image)
        images.append({"id": first + i, "file_name": name, "width": 240, "height": 200})
    return {"images": images, "annotations": annotations, "categories": [_category()]}


def _person(id: int, image_id: int, box: tuple[float, float, float, float]) -> dict[str, Any]:
    x, y, w, h = box
    points = (STANDING * (w, h) + (x, y) - 0.5).round(2)  # in the file a pixel's centre is a whole number
    flat = np.concatenate([points, np.full((17, 1), 2)], axis=1).ravel().tolist()
    person = {"id": id, "image_id": image_id, "category_id": 1, "iscrowd": 0, "num_keypoints": 17}
    return person | {"keypoints": flat, "bbox": [x, y, w, h], "area": 0.5 * w * h}


def _draw(image: Any, points: Any) -> None:
    """Limbs in one colour for each side, joints as white dots (in the file's pixels, as OpenCV counts)."""
    colours = {"left": (40, 200, 40), "right": (40, 40, 230), "middle": (230, 160, 40)}
    for a, b in COCO17.edges:
        side = COCO17.side(a) if COCO17.side(a) == COCO17.side(b) else "middle"
        cv2.line(image, points[a].round().astype(int), points[b].round().astype(int), colours[side], 5, cv2.LINE_AA)
    for point in points:
        cv2.circle(image, point.round().astype(int), 3, (255, 255, 255), -1, cv2.LINE_AA)


def _category() -> dict[str, Any]:
    edges = [[a + 1, b + 1] for a, b in COCO17.edges]
    return {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": edges}


@pytest.fixture(scope="session")
def coco_val(people_folder: Path) -> dict[str, Any]:
    """The labels of 304 photographs of COCO val2017, crowds and unlabelled people among them."""
    return json.loads((people_folder / "coco/annotations/person_keypoints_val.json").read_text())


@pytest.fixture(scope="session")
def val2017(people_folder: Path) -> dict[str, Any]:
    """The labels of all 6,352 people of COCO val2017 who have a labelled joint."""
    return json.loads((people_folder / "coco_labels/person_keypoints_val2017.json").read_text())


@pytest.fixture(scope="session")
def make_people():
    """People from keypoints (N, K, 2) in image pixels; everything else has a plain default."""
    return _make_people


@pytest.fixture(scope="session")
def coco_people():
    """The people of a parsed COCO file, in file order."""
    return _coco_people


@pytest.fixture(scope="session")
def answer():
    """One prediction a person, in their labelled box: their own joints, moved by `shift`."""
    return _answer


@pytest.fixture(scope="session")
def simulate():
    """What a detector might say: noise of many sizes, people missed, people found twice."""
    return _simulate


def _make_people(keypoints: Any, *, skeleton: Any = COCO17, image: Any = None, image_ids: Any = None, **given: Any):
    keypoints = np.asarray(keypoints, np.float64)
    n = len(keypoints)
    image = np.arange(n) if image is None else np.asarray(image, np.int64)
    image_ids = np.arange(int(image.max(initial=-1)) + 1) + 100 if image_ids is None else np.asarray(image_ids)
    columns: dict[str, Any] = {
        "ids": np.arange(n) + 1,
        "boxes": np.concatenate([keypoints.min(1) - 5, keypoints.max(1) + 5], 1) if n else np.zeros((0, 4)),
        "visibility": np.full((n, len(skeleton)), 2, np.uint8),
        "areas": np.full(n, 5000.0),
        "crowd": np.zeros(n, bool),
        "head_sizes": np.full(n, np.nan),
    }
    columns |= {name: np.asarray(value, columns[name].dtype) for name, value in given.items()}
    paths = tuple(Path(f"{i}.jpg") for i in image_ids)
    sizes = np.full((len(image_ids), 2), 1000, np.int32)
    return People("made", skeleton, image_ids, paths, sizes, image, keypoints=keypoints, **columns)


def _coco_people(data: dict[str, Any]) -> People:
    labels = data["annotations"]
    row = {image["id"]: i for i, image in enumerate(data["images"])}
    points = np.array([a["keypoints"] for a in labels], np.float64).reshape(len(labels), 17, 3)
    boxes = np.array([a["bbox"] for a in labels], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return _make_people(
        points[..., :2] + 0.5,
        visibility=points[..., 2],
        boxes=boxes,
        image=[row[a["image_id"]] for a in labels],
        image_ids=list(row),
        ids=[a["id"] for a in labels],
        areas=[a["area"] for a in labels],
        crowd=[a["iscrowd"] for a in labels],
    )


def _answer(people: People, shift: Any = (0.0, 0.0)) -> Predictions:
    n, k = people.visibility.shape
    return Predictions(
        skeleton=people.skeleton,
        image_ids=people.image_ids[people.image],
        keypoints=people.keypoints + np.asarray(shift),
        scores=np.ones((n, k)),
        present=np.ones((n, k), bool),
        boxes=people.boxes,
        score=np.linspace(1, 0.5, n),
        people=people.ids,
    )


def _simulate(people: People, seed: int, everybody: bool = False) -> Predictions:
    rng = np.random.default_rng(seed)
    copies = np.where((people.labelled > 0) | everybody, rng.choice([0, 1, 1, 1, 1, 2], len(people)), 0)
    rows = np.repeat(np.arange(len(people)), copies)
    exact = _answer(people).select(rows)
    scale = np.sqrt(people.areas[rows]) * rng.choice([0.005, 0.02, 0.05, 0.1, 0.3], len(rows))
    noise = rng.normal(0, 1, exact.keypoints.shape) * scale[:, None, None]
    centre = people.boxes.reshape(-1, 2, 2).mean(1)[rows][:, None]
    points = np.where(people.visibility[rows][..., None] > 0, exact.keypoints, centre) + noise
    return replace(exact, keypoints=points, score=rng.random(len(rows)), people=np.full(len(rows), -1))


@pytest.fixture(scope="session")
def drawn_people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """Two dozen drawn people; joints outside the crop of 1.25 times their box count as unlabelled."""
    from sandglass.core import geometry
    from sandglass.data.coco import read_coco
    from sandglass.data.figures import write_figures

    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, "val", 24, seed=3, workers=1)
    people = read_coco(folder, "val")
    crop_from_image = geometry.invert(geometry.image_from_crop(people.boxes, (128, 128), 1.25))
    points = geometry.apply(crop_from_image, people.keypoints)
    inside = ((points >= 0) & (points < 128)).all(-1)
    return replace(people, visibility=np.where(inside, people.visibility, 0).astype(np.uint8))


@pytest.fixture(scope="session")
def oracle():
    """A predictor whose network knows the answer: it recognises a crop, and paints the labelled joints on it."""
    return _oracle


def _oracle(people: People, spec: Any, *, shift: float = 0.0, flip: bool = True) -> Any:
    """`shift` moves what the network says, in crop pixels to the right of the crop as it sees it."""
    import torch

    from sandglass.data.crops import CropConfig, PersonCrops
    from sandglass.inference.predictor import Predictor
    from sandglass.inference.runtimes import TorchRuntime
    from sandglass.models.codec import Codec

    crops = PersonCrops(people, CropConfig(size=spec.codec.size, padding=spec.padding, margin=1.0))
    images = torch.from_numpy(np.stack([crops[i].image for i in range(len(people))])).permute(0, 3, 1, 2) / 255
    images = (images - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(3, 1, 1)
    points, mirror = torch.from_numpy(crops.keypoints), torch.tensor(people.skeleton.mirror)
    width = torch.tensor([float(spec.codec.size[0]), 0.0])
    both = torch.cat([points, (width - points * torch.tensor([1.0, -1.0]))[:, mirror]])
    maps, _ = Codec(spec.codec).encode(both + torch.tensor([shift, 0.0]), torch.ones(both.shape[:2]))
    answers = maps if spec.codec.kind == "heatmap" else maps.clamp_min(1e-30).log()

    def thumbnails(x: Any) -> Any:
        return torch.nn.functional.adaptive_avg_pool2d(x, 8).flatten(1)

    known = thumbnails(torch.cat([images, images.flip(-1)]))

    class Knowing(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return answers[torch.cdist(thumbnails(x), known).argmin(1)]

    return Predictor(TorchRuntime(Knowing(), spec, torch.device("cpu")), spec, flip=flip, batch=7)
