"""The page in a headless Chromium: it asks for nothing, complains of nothing, sorts, and fits a phone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from sandglass.core.skeleton import COCO17
from sandglass.evaluation.ledger import survey
from sandglass.evaluation.publish import Record, publish
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")
SPEC = ModelSpec(
    network="hourglass", options={"stacks": 1, "channels": 8}, codec=CodecConfig(size=(128, 128)), skeleton=COCO17
)
VIEWS = [
    {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for width in (1360, 390)
    for scheme in ("light", "dark")
]


@pytest.fixture(scope="module")
def page_file(drawn_people: Any, oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section, whose command would like to be more than text."""
    folder = tmp_path_factory.mktemp("page")
    rows: list[dict] = [{"step": s, "loss": 3 / s, "lr": 1e-3, "images_per_second": 9.0} for s in range(10, 1500, 10)]
    rows += [{"step": s, "AP": 0.1, "per_joint": dict.fromkeys(COCO17.joints, 0.2)} for s in (500, 1400)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = oracle(drawn_people, SPEC, shift=6.0)
    scores, predictions, ledger = survey(model, drawn_people, intervals=10)
    record = Record(command="<img src=x onerror=fetch('http://example.org')>", journal=str(folder / "metrics.jsonl"))
    return publish(folder / "out", model, drawn_people, scores, predictions, record=record, ledger=ledger)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, page_file: Path) -> Iterator[Any]:
    """`open_page(viewport=..., color_scheme=...)`: at the end, nothing was asked for and nothing went wrong."""
    contexts, wrong = [], []

    def start(**given: Any) -> Page:
        contexts.append(browser.new_context(**given))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda request: wrong.append(f"a request to {request.url}"))
        page.goto(page_file.as_uri())
        wrong.remove(f"a request to {page_file.as_uri()}")
        wrong[:] = [line for line in wrong if not line.startswith("a request to data:")]
        return page

    yield start
    for context in contexts:
        context.close()
    assert [line for line in wrong if not line.startswith("a request to data:")] == []


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view['viewport']['width']}-{view['color_scheme']}")
def test_it_opens_from_disk_in_every_light_and_width(open_page, view):
    page = open_page(**view)
    assert page.locator("section").count() == 11
    width = view["viewport"]["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # tables and grids scroll by themselves
    assert page.evaluate("[...document.images].filter(i => i.src && !i.naturalWidth).length") == 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = np.mean([int(v) for v in background.removeprefix("rgb(").rstrip(")").split(",")])
    assert (light > 128) == (view["color_scheme"] == "light")
    # What is written in a chart stands out from the card behind it.
    assert page.evaluate(
        """() => [...document.querySelectorAll('.chart')].every(chart => {
          const card = getComputedStyle(chart).backgroundColor;
          return [...chart.querySelectorAll('text')].every(text => getComputedStyle(text).fill !== card);
        })"""
    )


def test_every_table_sorts_both_ways_and_keeps_gaps_last(open_page):
    page = open_page()
    tables = page.locator("table")
    for i in range(tables.count()):
        assert tables.nth(i).locator("thead button").count() >= 2, i
    page.locator("#joints summary").click()
    joints = page.locator("#joints table")
    number = "rows => rows.map(row => row.cells[1].dataset.value).filter(Boolean).map(Number)"
    for direction in (1, -1):
        joints.locator("thead button").nth(1).click()
        found = np.array(joints.locator("tbody tr").evaluate_all(number))
        assert len(found) > 5 and (np.diff(found) * direction <= 0).all()
    figures = page.locator("#figures table").first
    figures.locator("thead button").nth(1).click()
    last = figures.locator("tbody tr").evaluate_all("rows => rows.map(row => row.cells[1].dataset.value)")
    assert "" not in last[: sum(value != "" for value in last)]


def test_pictures_open_large_and_close(open_page):
    page = open_page()
    page.locator(".sheets button").first.click()
    assert page.locator("dialog").is_visible() and page.locator("dialog p").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_every_section_is_reached_by_keyboard(open_page):
    page = open_page()
    for link in page.locator("nav a").all():
        link.press("Enter")
        name = (link.get_attribute("href") or "").removeprefix("#")
        assert page.locator(f"section#{name} h2").is_visible(), name
