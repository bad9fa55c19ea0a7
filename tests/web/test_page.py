"""The page in a headless Chromium: what a person does with mouse, keyboard and finger, and what stays silent."""

import json
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sandglass.draw.people import LEFT, RIGHT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
BOX = (60, 20, 140, 100)  # image pixels, of the second person below


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Any]:
    """`open_page(viewport=..., color_scheme=...)`: the page; at the end nothing was asked elsewhere, nothing failed."""
    contexts, wrong = [], []

    def watch(request: Any) -> None:
        if not request.url.startswith((f"{address}/", f"blob:{address}/")):
            wrong.append(f"a request to {request.url}")

    def start(**given: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "permissions": ["camera"]} | given)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", watch)
        page.goto(f"{address}/")
        expect(page.locator("body")).to_have_attribute("data-ready", "yes")
        return page

    yield start
    for context in contexts:
        context.close()
    assert wrong == []


def choose(page: Page, data: bytes, name: str = "someone.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})
    expect(page.locator("#status")).to_contain_text(" ms")


def joints(page: Page) -> list[float]:
    """The scores in the panel."""
    return [float(text) for text in page.locator("#joints .number").all_inner_texts() if text]


def pixel(page: Page, x: float, y: float, size: tuple[int, int] = (200, 160)) -> tuple[float, float]:
    """Where an image point lies on the screen."""
    frame = page.locator("#frame").bounding_box()
    assert frame is not None
    return frame["x"] + x / size[0] * frame["width"], frame["y"] + y / size[1] * frame["height"]


def shot(page: Page) -> np.ndarray:
    """The photograph and what is drawn over it, (h, w, 3) RGB."""
    return np.asarray(Pillow.open(BytesIO(page.locator("#frame").screenshot())).convert("RGB"), int)


def close_to(image: np.ndarray, colour: Any) -> int:
    return int((np.abs(image - colour).max(-1) < 30).sum())


def test_dropped_photograph_is_shown_with_its_joints(open_page, picture) -> None:
    page = open_page()
    assert joints(page) == [] and page.locator("#invitation").is_visible()
    script = """bytes => { const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], "dropped.png", { type: "image/png" })); return data; }"""
    data = page.evaluate_handle(script, list(picture()))
    page.dispatch_event("body", "dragover", {"dataTransfer": data})
    expect(page.locator("#stage")).to_have_class("stage empty dropping")
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    expect(page.locator("#status")).to_contain_text("1 person · 15 of 17 joints")
    expect(page.locator("#alone")).to_be_visible()
    assert len(joints(page)) == 17 and joints(page)[0] > joints(page)[9]
    image = shot(page)
    page.locator("#threshold").fill("1")
    plain = shot(page)
    assert all(close_to(image, colour) > close_to(plain, colour) + 500 for colour in (LEFT, RIGHT))


def test_pasted_photograph(open_page, picture) -> None:
    page = open_page()
    script = """bytes => { const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], "", { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data })); }"""
    page.evaluate(script, list(picture()))
    expect(page.locator("#status")).to_contain_text("1 person")


def test_threshold_decides_how_many_joints_are_there(open_page, picture) -> None:
    page = open_page()
    choose(page, picture())
    page.locator("#threshold").fill("0")
    expect(page.locator("#status")).to_contain_text("17 of 17 joints")
    page.locator("#threshold").fill("1")
    expect(page.locator("#status")).to_contain_text("0 of 17 joints")
    assert page.locator("#joints .absent").count() == 17


def test_heatmap_of_each_joint_after_each_stack(open_page, picture) -> None:
    page = open_page()
    choose(page, picture())
    page.locator("#joints button").nth(9).click()
    expect(page.locator("#reading")).to_contain_text("left wrist after stack 3 of 3: score")
    last, told = shot(page), page.locator("#reading").inner_text()
    page.locator("#stack").focus()
    page.keyboard.press("Home")
    expect(page.locator("#reading")).to_contain_text("left wrist after stack 1 of 3: score")
    assert page.locator("#reading").inner_text().split("at")[1] != told.split("at")[1]  # it took left for right
    assert np.abs(shot(page) - last).max() > 100
    page.locator("#joint").select_option("-1")
    expect(page.locator("#reading")).to_contain_text("All joints after stack 1 of 3")
    page.locator("#show").uncheck()
    expect(page.locator("#heat")).to_be_hidden()


def test_joint_is_named_where_the_pointer_is(open_page, picture, standing) -> None:
    page = open_page()
    choose(page, picture())
    page.mouse.move(*pixel(page, 20, 10))
    draw_box(page, BOX)
    page.mouse.move(*pixel(page, *(np.array(BOX[:2]) + standing[13] * 80)))
    expect(page.locator("#tip")).to_contain_text("left knee 0.30")
    page.mouse.move(*pixel(page, 2, 2))
    expect(page.locator("#tip")).to_be_hidden()
    page.locator("#joints button").first.focus()
    expect(page.locator("#tip")).to_contain_text("nose")


def draw_box(page: Page, box: tuple[int, int, int, int]) -> None:
    before = page.locator(".box").count()
    with page.expect_response("**/predict"):
        page.mouse.move(*pixel(page, box[0], box[1]))
        page.mouse.down()
        page.mouse.move(*pixel(page, box[2], box[3]), steps=4)
        page.mouse.up()
    expect(page.locator(".box")).to_have_count(before + 1)
    expect(page.locator("#stage")).to_have_class("stage")
    expect(page.locator("#status")).to_contain_text(" ms")


def saved(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_people_are_marked_with_the_mouse_and_saved(open_page, picture, standing, tmp_path) -> None:
    page = open_page()
    choose(page, picture(), "two people.png")
    draw_box(page, (10, 10, 90, 90))
    draw_box(page, BOX)
    page.locator("#threshold").fill("0.5")
    path = saved(page, "#json", tmp_path)
    assert path.name == "two people-poses.json"
    data = json.loads(path.read_text())
    assert len(data["poses"]) == 2 and data["threshold"] == 0.5 and data["skeleton"]["joints"][0] == "nose"
    pose = data["poses"][1]
    np.testing.assert_allclose(pose["box"], BOX, atol=1)
    x0, y0, x1, y1 = pose["box"]
    side = max(x1 - x0, y1 - y0)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    np.testing.assert_allclose(pose["keypoints"], centre + (standing - 0.5) * side, atol=0.1)
    assert pose["present"] == [score >= 0.5 for score in pose["scores"]]
    drawn = Pillow.open(saved(page, "#png", tmp_path))
    assert drawn.format == "PNG" and drawn.size == (640, 512)  # a small photograph is made legible
    assert close_to(np.asarray(drawn.convert("RGB"), int), LEFT) > 300
    page.locator("#people button").nth(0).click()
    expect(page.locator("#people button").nth(0)).to_have_attribute("aria-pressed", "true")
    page.click("#whole")
    expect(page.locator("#status")).to_contain_text("1 person")
    expect(page.locator(".box")).to_have_count(0)


def test_keyboard_alone_marks_moves_resizes_and_removes(open_page, picture) -> None:
    page = open_page()
    choose(page, picture())
    page.locator("#mark").focus()
    page.keyboard.press("Enter")
    box = page.locator(".box")
    expect(box).to_be_focused()
    before = box.bounding_box()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    after = box.bounding_box()
    assert before is not None and after is not None
    assert after["x"] < before["x"] and after["height"] > before["height"]
    assert after["width"] == pytest.approx(before["width"], abs=0.5)
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    corner, frame = box.bounding_box(), page.locator("#frame").bounding_box()
    assert corner is not None and frame is not None
    assert corner["x"] == pytest.approx(frame["x"], abs=1)  # it stops at the photograph's edge
    page.keyboard.press("Delete")
    expect(box).to_have_count(0)
    expect(page.locator("#status")).to_contain_text("1 person")


def test_boxes_are_dragged_by_their_handles(open_page, picture) -> None:
    page = open_page()
    choose(page, picture())
    draw_box(page, BOX)
    for handle, dx, dy in (("move", 20, 10), ("size", 10, 10)):
        edge = page.locator(f".box .{handle}").bounding_box()
        assert edge is not None
        x, y = edge["x"] + edge["width"] / 2, edge["y"] + edge["height"] / 2
        here, there = pixel(page, 0, 0), pixel(page, dx, dy)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + there[0] - here[0], y + there[1] - here[1], steps=3)
        page.mouse.up()
    x0, y0 = pixel(page, BOX[0] + 20, BOX[1] + 10)
    x1, y1 = pixel(page, BOX[2] + 30, BOX[3] + 20)
    box = page.locator(".box").bounding_box()
    assert box is not None
    np.testing.assert_allclose([box["x"], box["y"], box["width"], box["height"]], [x0, y0, x1 - x0, y1 - y0], atol=3)
    page.click(".box .drop")
    expect(page.locator(".box")).to_have_count(0)


def test_example_shows_its_people(open_page) -> None:
    page = open_page()
    page.locator("#examples button").nth(4).click()
    expect(page.locator("#status")).to_contain_text("3 people")
    assert page.locator(".box").count() == 3
    expect(page.locator("#alone")).to_be_hidden()


def test_errors_are_one_line_on_the_page(open_page, picture, tmp_path) -> None:
    page = open_page()
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    expect(page.locator("#error")).to_have_text("notes.txt is no picture; choose a JPEG, PNG or WebP")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"hello"})
    expect(page.locator("#error")).to_contain_text("no picture that this browser can show")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(21 * 2**20))
    page.set_input_files("#file", large)
    expect(page.locator("#error")).to_have_text("large.png has more than 20 MiB; choose a smaller photo")
    choose(page, picture())
    expect(page.locator("#error")).to_be_hidden()


def test_webcam_shows_joints_frame_by_frame_and_keeps_one(open_page) -> None:
    page = open_page()
    page.click("#webcam")
    expect(page.locator("#status")).to_contain_text("frames/s")
    expect(page.locator("#webcam")).to_have_text("Stop")
    page.click("#keep")
    expect(page.locator("#status")).to_contain_text(" ms")
    expect(page.locator("#webcam")).to_have_text("Webcam")
    assert page.locator("#photo").is_visible() and not page.locator("#video").is_visible()
    page.click("#webcam")
    expect(page.locator("#status")).to_contain_text("frames/s")
    page.click("#webcam")
    expect(page.locator("#status")).to_contain_text(" ms")


def test_phone(open_page, picture) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
    expect(page.locator("#take")).to_be_visible()
    choose(page, picture())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("#joints button").nth(16).tap()
    expect(page.locator("#reading")).to_contain_text("right ankle")
    page.locator("#stack").scroll_into_view_if_needed()
    frame = page.locator("#frame").bounding_box()
    assert frame is not None and frame["y"] >= 0  # the photograph stays in sight of its sliders
    for control in page.locator("button:visible, input[type=range]:visible").all()[:6]:
        edge = control.bounding_box()
        assert edge is not None and edge["height"] >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(open_page, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    script = """name => { const style = getComputedStyle(document.querySelector(name));
        return [style.color, getComputedStyle(document.body).backgroundColor]; }"""
    for name in ("body", "#model", ".invitation .faint"):
        ink, paper = (brightness(colour) for colour in page.evaluate(script, name))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5  # WCAG AA
    assert (brightness(page.evaluate(script, "body")[1]) < 0.1) == (scheme == "dark")


def brightness(colour: str) -> float:
    """WCAG's relative luminance of rgb(r, g, b)."""
    part = np.array([int(v) for v in colour.removeprefix("rgb(").rstrip(")").split(",")]) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_api_page_tells_every_question_and_field(open_page, client) -> None:
    page = open_page()
    page.click("header a")
    expect(page.locator("#schemas dl").first).to_be_visible()
    text = page.locator("main").inner_text()
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in text
    assert all(word in text for word in ("boxes", "threshold", "503", "PredictAnswer", "keypoints", "curl -F"))
