"""A generated video whose truth is known, through the whole chain: drawn video and JSON lines out."""

import json

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.pose import Pose
from sandglass.core.skeleton import COCO17
from sandglass.inference.following import Follower
from sandglass.inference.recording import boxes_from_detector, boxes_from_file, check_outputs, record
from sandglass.inference.smoothing import SmoothingConfig
from sandglass.inference.video import open_video

K, FRAMES = len(COCO17), 60
SPREAD = np.random.default_rng(1).permutation(K)
FIGURE = np.stack([np.linspace(-10, 10, K)[SPREAD], np.linspace(-30, 30, K)], -1)
BACK = np.array([-1, 1]) * FIGURE


@pytest.fixture
def film(tmp_path_factory, write_film, backend):
    """Two grey bars that cross; read and written by OpenCV, then by PyAV."""
    pictures = np.zeros((FRAMES, 96, 160, 3), np.uint8)
    for i, image in enumerate(pictures):
        for x in where(i):
            image[18:78, int(x) - 10 : int(x) + 10] = 90
    return write_film(tmp_path_factory.mktemp("film") / "in.mp4", pictures)


def where(i):
    """The centres of the two people: they cross in the middle of the film."""
    return 30 + 1.6 * i, 130 - 1.6 * i


def pose_at(x, figure, noise):
    box = np.array([x - 12.0, 16.0, x + 12.0, 80.0])
    return Pose(figure + np.array([x, 48]) + noise, np.full(K, 0.9), np.ones(K, bool), box, 0.9)


class Seer:
    """Answers with the truth and seeded noise, the two people in changing order."""

    def __init__(self, noise=0.6):
        self.rng, self.noise, self.i = np.random.default_rng(4), noise, 0

    def __call__(self, photo, boxes):
        (a, b), self.i = where(self.i), self.i + 1
        poses = [pose_at(x, figure, self.rng.normal(0, self.noise, (K, 2))) for x, figure in ((a, FIGURE), (b, BACK))]
        return poses if self.i % 3 else poses[::-1]


def rows_of(path):
    return [json.loads(row) for row in path.read_text("utf-8").splitlines()]


def test_the_truth_comes_back_calmer_with_its_identities_and_times(film, tmp_path):
    follower, heard = Follower(COCO17, Seer(), smoothing=SmoothingConfig()), []
    out, lines = tmp_path / "new" / "out.mp4", tmp_path / "poses.jsonl"
    done, last = record(open_video(film), follower, out, lines, lambda *told: heard.append(told))
    assert done == FRAMES and last == pytest.approx((FRAMES - 1) / 30, abs=1e-5)
    assert heard[-1] == (FRAMES, FRAMES) and len(heard) == FRAMES
    rows, source = rows_of(lines), [frame.time for frame in open_video(film).frames()]
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert [row["time"] for row in rows] == pytest.approx(source, abs=1e-6)
    first = {person["id"]: abs(person["keypoints"][0] + 0.5 - 30 - FIGURE[0, 0]) < 20 for person in rows[0]["people"]}
    left = next(number for number, near in first.items() if near)
    errors = []
    for row in rows:
        assert sorted(person["id"] for person in row["people"]) == [1, 2]
        for person in row["people"]:
            x = where(row["frame"])[person["id"] != left]
            figure = FIGURE if person["id"] == left else BACK
            points = np.array(person["keypoints"]).reshape(K, 3)[:, :2] + 0.5
            errors.append(np.linalg.norm((points - figure - [x, 48]).mean(0)))  # of the body: noise averages out
    # At first the filter must learn the speed; then it is no further behind than its bound, in body sizes, and noise.
    assert max(errors) < 0.05 * 36 and max(errors[40:]) < 0.027 * 36 + 0.5
    assert follower.smooth.value < 0.7 * follower.raw.value and follower.identities == {1, 2}


def test_the_drawn_video_shows_people_and_keeps_times(film, tmp_path):
    out = tmp_path / "out.mp4"
    record(open_video(film), Follower(COCO17, Seer()), out)
    before, after = list(open_video(film).frames()), list(open_video(out).frames())
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before], abs=1e-4)
    for i in (0, 20, 50):
        changed = np.abs(after[i].image.astype(int) - before[i].image).max(-1) > 60
        assert changed[18:78].sum() > 100 and not changed[:, : int(min(where(i))) - 20].any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_lines_follow_their_schema(film, tmp_path):
    record(open_video(film), Follower(COCO17, Seer(0.0)), lines=tmp_path / "poses.jsonl")
    for row in rows_of(tmp_path / "poses.jsonl"):
        assert list(row) == ["frame", "time", "people"]
        for person in row["people"]:
            assert list(person) == ["id", "score", "box", "keypoints", "present"]
            assert len(person["keypoints"]) == 3 * K and person["present"] == [1] * K
            assert person["box"][2:] == [24, 64] and person["score"] == 0.9


def test_a_failure_half_way_leaves_nothing(film, tmp_path):
    class Tired(Seer):
        def __call__(self, photo, boxes):
            if self.i == 20:
                raise BadInput("half way")
            return super().__call__(photo, boxes)

    (tmp_path / "poses.jsonl").write_text("what was there before\n")
    with pytest.raises(BadInput, match="half way"):
        record(open_video(film), Follower(COCO17, Tired()), tmp_path / "out.mp4", tmp_path / "poses.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["poses.jsonl"]
    assert (tmp_path / "poses.jsonl").read_text() == "what was there before\n"


def test_a_video_that_breaks_half_way_leaves_nothing(film, tmp_path):
    data = bytearray(film.read_bytes())
    data[400:] = bytes(len(data) - 400)  # a header that promises more than there is
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with pytest.raises(BadInput):
        record(open_video(broken), Follower(COCO17, Seer()), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]


def test_outputs_are_checked_first(tmp_path):
    with pytest.raises(BadInput, match="nothing to write"):
        check_outputs(None, None)
    with pytest.raises(BadInput, match="name another file for the poses"):
        check_outputs(None, tmp_path)
    with pytest.raises(BadInput, match="name another file for the poses"):
        check_outputs(tmp_path / "a.mp4", tmp_path / "a.mp4")


def test_boxes_come_by_the_number_of_the_frame_or_from_any_callable(tmp_path):
    path, photo = tmp_path / "boxes.json", np.zeros((96, 160, 3), np.uint8)
    path.write_text('{"0": [[10, 20, 30, 40]], "2": [], "3": [[500, 500, 9, 9]]}')
    boxes = boxes_from_file(path)
    assert np.array_equal(boxes(photo, 0), [[10, 20, 40, 60]])  # type: ignore[arg-type]
    assert boxes(photo, 1) is None and boxes(photo, 2).shape == (0, 4)  # type: ignore[union-attr]
    with pytest.raises(BadInput, match=r"boxes\.json: frame 3: box 0 .* lies outside"):
        boxes(photo, 3)
    found = boxes_from_detector(lambda photo: (np.array([[1.0, 2, 3, 4]]), np.ones(1)))
    assert np.array_equal(found(photo, 7), [[1, 2, 3, 4]])  # type: ignore[arg-type]
