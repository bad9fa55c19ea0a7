"""A YOLOX in ONNX whose answer is known: what it is shown, how its answer is read, what is refused."""

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.inference.detectors import Yolox, unlike

RNG = np.random.default_rng(2)
SIZE = (96, 64)  # (w, h)
CELLS = [(stride, x, y) for stride in (8, 16, 32) for y in range(64 // stride) for x in range(96 // stride)]


def says(*found):
    """A raw answer (1, N, 7) that holds (cell, box xyxy, objectness, person)."""
    answer = np.zeros((1, len(CELLS), 7), np.float32)
    answer[..., 6] = 1.0  # of the second class everything is full
    for cell, box, objectness, person in found:
        stride, x, y = CELLS[cell]
        centre, extent = (np.array(box[:2]) + box[2:]) / 2, np.subtract(box[2:], box[:2])
        answer[0, cell] = [*(centre / stride - [x, y]), *np.log(extent / stride), objectness, person, 1 - person]
    return answer


def detector(*found):
    shown = []
    return Yolox(lambda given: [shown.append(given[0]) or says(*found)], SIZE), shown  # type: ignore[func-returns-value]


@pytest.mark.parametrize("cell", [0, 50, 96, 110, 120, 125])
def test_boxes_come_back_in_the_photographs_pixels(cell):
    find, _ = detector((cell, (10, 8, 40, 60), 0.9, 0.8))
    boxes, scores = find(np.zeros((128, 192, 3), np.uint8))
    assert boxes == pytest.approx(np.array([[20, 16, 80, 120]]), abs=1e-3) and scores == pytest.approx([0.72])
    boxes, _ = find(np.zeros((128, 64, 3), np.uint8))  # half its height, then 32 pixels wide
    assert boxes == pytest.approx(np.array([[20, 16, 64, 120]]), abs=1e-3)  # cut at its edge


def test_the_network_is_shown_what_yolox_was_trained_on():
    find, shown = detector()
    photo = np.full((128, 64, 3), (10, 20, 30), np.uint8)
    boxes, scores = find(photo)
    assert boxes.shape == (0, 4) and scores.shape == (0,)
    (image,) = shown
    assert image.shape == (1, 3, 64, 96) and image.dtype == np.float32
    assert (image[0, :, :, :32] == np.array([30, 20, 10])[:, None, None]).all()  # blue first, not scaled
    assert (image[0, :, :, 32:] == 114).all()


def test_doubles_and_doubtful_people_and_things_are_left_out():
    find, _ = detector(
        (0, (10, 8, 40, 60), 0.8, 0.9),
        (9, (11, 8, 41, 60), 0.9, 0.9),  # the same person, found better
        (20, (60, 8, 90, 60), 0.7, 0.9),
        (30, (2, 2, 8, 8), 0.5, 0.5),  # 0.25 is not enough
        (40, (40, 2, 60, 20), 1.0, 0.0),  # a thing
    )
    boxes, scores = find(np.zeros((64, 96, 3), np.uint8))
    assert boxes == pytest.approx(np.array([[11, 8, 41, 60], [60, 8, 90, 60]]), abs=1e-3)
    assert scores == pytest.approx([0.81, 0.63])


def test_a_mad_network_does_no_harm():
    def mad(_):
        answer = np.full((1, len(CELLS), 7), 1e30, np.float32)
        answer[0, ::3] = np.nan
        answer[0, 1::3, 2] = -1e30
        return [answer]

    boxes, scores = Yolox(mad, SIZE)(np.zeros((64, 96, 3), np.uint8))
    assert np.isfinite(boxes).all() and (boxes[:, 2:] - boxes[:, :2] >= 1).all() and (scores <= 1).all()


def test_unlike_keeps_the_best_of_each_heap():
    low = RNG.uniform(0, 60, (40, 2))
    boxes, scores = np.concatenate([low, low + RNG.uniform(10, 40, (40, 2))], 1), RNG.uniform(0, 1, 40)
    kept: list[int] = []
    for i in sorted(range(40), key=lambda i: -scores[i]):
        apart = True
        for j in kept:
            w = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            h = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            shared = max(w, 0) * max(h, 0)
            areas = [(boxes[n, 2] - boxes[n, 0]) * (boxes[n, 3] - boxes[n, 1]) for n in (i, j)]
            apart &= shared / (sum(areas) - shared) <= 0.3
        kept += [i] if apart else []
    assert unlike(boxes, scores, 0.3).tolist() == kept and len(kept) < 40
    assert unlike(np.zeros((0, 4)), np.zeros(0)).shape == (0,)


@pytest.fixture
def graph(tmp_path):
    """`graph(answer, size)`: an .onnx that takes a picture and gives a known answer."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    def build(answer, size=SIZE):
        nodes = [
            helper.make_node("ReduceMin", ["images"], ["least"], keepdims=0),
            helper.make_node("Mul", ["least", "none"], ["nothing"]),
            helper.make_node("Add", ["nothing", "answer"], ["output"]),
        ]
        constants = [
            numpy_helper.from_array(answer, "answer"),
            numpy_helper.from_array(np.array(0, np.float32), "none"),
        ]
        given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size[1], size[0]])
        said = helper.make_tensor_value_info("output", TensorProto.FLOAT, list(answer.shape))
        made = helper.make_graph(nodes, "yolox", [given], [said], constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, str(tmp_path / "yolox.onnx"))
        return tmp_path / "yolox.onnx"

    return build


def test_a_file_is_run_by_onnx_runtime(graph):
    find = Yolox.load(graph(says((50, (10, 8, 40, 60), 0.9, 0.8))))
    boxes, scores = find(np.full((64, 96, 3), 7, np.uint8))
    assert boxes == pytest.approx(np.array([[10, 8, 40, 60]]), abs=1e-3) and scores == pytest.approx([0.72])


def test_another_kind_of_file_is_refused(graph, tmp_path):
    with pytest.raises(BadInput, match=r"no such detector; give YOLOX as \.onnx, its weights are at github"):
        Yolox.load(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(BadInput, match="is no ONNX file that can be run"):
        Yolox.load(tmp_path / "text.onnx")
    with pytest.raises(BadInput, match="no YOLOX, its input is"):
        Yolox.load(graph(np.zeros((1, 25, 7), np.float32)))
