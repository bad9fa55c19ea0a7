"""What the API answers about a photograph: poses and heatmaps lie where the network sees them."""

import base64
import json

import numpy as np
import pytest
from PIL import Image as Pillow

from sandglass.core import geometry


def test_boxes_give_one_pose_each_where_the_network_sees_it(client, picture, standing, ask) -> None:
    boxes = [[20, 10, 100, 90], [100.5, 40, 180.5, 120]]
    answer = ask(client, picture(), boxes=json.dumps(boxes)).json()
    assert (answer["width"], answer["height"], answer["runtime"]) == (200, 160, "still on nothing")
    assert len(answer["poses"]) == 2
    for box, pose in zip(boxes, answer["poses"], strict=True):
        expected = np.array(box[:2]) + standing * 80
        np.testing.assert_allclose(pose["keypoints"], expected, atol=0.05)
        assert pose["box"] == box
        assert pose["present"] == [score >= 0.2 for score in pose["scores"]]
        assert 0 < sum(pose["present"]) < 17


def test_whole_photograph_shows_one(client, picture, ask) -> None:
    assert len(ask(client, picture()).json()["poses"]) == 1


def test_threshold_decides_who_is_present_and_nothing_else(client, picture, ask) -> None:
    low, high = (ask(client, picture(), threshold=t, boxes="[[0,0,80,80]]").json()["poses"][0] for t in ("0", "0.8"))
    assert all(low["present"]) and 0 < sum(high["present"]) < 6
    assert low["keypoints"] == high["keypoints"] and low["scores"] == high["scores"]
    assert high["score"] == low["score"]


def test_no_boxes_no_poses(client, picture, ask) -> None:
    assert ask(client, picture(), boxes="[]").json()["poses"] == []


def test_exif_orientation_is_honoured(client, picture, ask) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    answer = ask(client, picture((200, 160), "JPEG", exif=exif)).json()
    assert (answer["width"], answer["height"]) == (160, 200)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_kinds_of_picture(client, picture, kind: str, ask) -> None:
    assert ask(client, picture(kind=kind)).status_code == 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncated_picture(client, picture, kind: str, ask, line) -> None:
    data = picture(kind=kind)
    line(ask(client, data[: len(data) // 2]), 415 if kind == "WEBP" else 422)  # a WebP's header holds its length


def test_heatmaps_of_every_stack_peak_where_that_stack_says(client, picture, standing, ask) -> None:
    answer = ask(client, picture(), "/heatmaps", box="[20, 10, 100, 90]").json()
    (h, w), stacks = answer["shape"], answer["stacks"]
    maps = np.frombuffer(base64.b64decode(answer["maps"]), np.uint8).reshape(stacks, 17, h, w)
    assert stacks == 3 and (maps.max((2, 3)) == 255).all()
    last = np.array(answer["keypoints"][-1])
    np.testing.assert_allclose(last, np.array([20, 10]) + standing * 80, atol=0.05)
    mirror = [0, *np.arange(1, 17).reshape(-1, 2)[:, ::-1].ravel()]
    assert np.abs(np.array(answer["keypoints"][0]) - last[mirror]).max() < 0.5  # its first stack takes left for right
    cells = np.stack(np.divmod(maps[-1].reshape(17, -1).argmax(1), w)[::-1], -1) + 0.5
    seen = geometry.apply(np.array(answer["image_from_map"]), cells)
    assert np.abs(seen - last).max() <= 0.51 * answer["image_from_map"][0][0]
    np.testing.assert_allclose(answer["scores"][-1], np.array(answer["peaks"][-1]), atol=0.08)


def test_model_tells_no_path(client) -> None:
    text = client.get("/model").text
    model = json.loads(text)
    assert "secret" not in text
    assert (model["stacks"], model["threshold"], len(model["skeleton"]["joints"])) == (3, 0.2, 17)
    assert model["facts"] == {"recipe": "still", "steps": 3, "AP": 0.5}
    assert len(model["skeleton"]["edge_sides"]) == len(model["skeleton"]["edges"])
