"""Laws of the page: one file, no network, nothing given is believed."""

import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.evaluation import page, report

EVIL = '<script>alert("1")</script><img src=x onerror=alert(2)>\'"&\udcff'
SCORES = {
    "protocol": "coco-gt",
    "AP": 0.5512,
    "AP50": 0.8,
    "APM": None,
    "APL": -1.0,
    "AR": 1,
    "PCK@0.2": 0.87654,
    "people": 787,
    "images": 304,
    "per_joint": {**dict.fromkeys(COCO17.joints, 0.5), "nose": None},
    "intervals": {"AP": [0.52, 0.58], "PCK@0.2": [None, None]},
    "notes": ["no medium people: APM is not defined"],
}


class Page(HTMLParser):
    """Every element's tag and attributes, every text, and that tags close in order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def photo(height=120, width=160, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def journal(folder, steps=3000):
    rows: list[dict] = [{"step": s, "loss": 3 / s, "lr": 1e-3, "images_per_second": 9.0} for s in range(10, steps, 10)]
    rows += [{"step": steps, "AP": 0.5, "PCK@0.2": 0.7}]
    path = folder / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 30', "utf-8")
    return path


def write(folder, **more):
    given = {"title": "a run", "scores": SCORES, "command": "sandglass report run"}
    given |= {"pictures": [("a photograph", photo())], "sheets": [("heatmaps", photo())], "facts": {"network": "HG-2"}}
    path = report.write_report(folder / "out", **(given | more))
    return path, path.read_text("utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    facts = {"site": "https://example.org/x.js", "style": "url(http://example.org)"}
    path, html = write(folder, journal=journal(folder), facts=facts)
    assert list(path.parent.iterdir()) == [path]
    return html


def test_one_file_and_every_section(whole):
    found = Page(whole)
    sections = [attributes["id"] for attributes in found.all("section")]
    assert sections == ["training", "figures", "joints", "pictures", "facts", "command"]
    assert [a["href"] for a in found.all("a")] == [f"#{name}" for name in sections]
    assert len(found.all("svg")) == 6  # loss, scores, rate, speed, first steps, joints
    assert len([a for a in found.all("img") if a.get("src")]) == 2


def test_nothing_is_fetched(whole):
    found = Page(whole)
    for _, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
        style = attributes.get("style") or ""
        assert "url(" not in style.replace("url(#", "")
        assert "http" not in style
    css = whole[whole.index("<style>") : whole.index("</style>")]
    assert "@import" not in css
    assert "url(" not in css
    policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "'sha256-" in policy.split("script-src")[1]


def test_whatever_a_name_holds_stays_text(tmp_path):
    scores = {
        **SCORES,
        "protocol": EVIL,
        "source": EVIL,
        "notes": [EVIL],
        "per_joint": {EVIL: 0.5, "a": 0.1},
        f"PCK@{EVIL}": 0.5,
        "intervals": {EVIL: [EVIL, 1]},
    }
    _, html = write(
        tmp_path,
        title=EVIL,
        scores=scores,
        facts={EVIL: EVIL},
        command=EVIL,
        journal=journal(tmp_path),
        pictures=[(EVIL, photo())],
        sheets=[(EVIL, photo())],
    )
    found = Page(html)
    assert len(found.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    shown = EVIL.replace("\udcff", "?")
    assert found.texts.count(shown) >= 6
    assert [a["alt"] for a in found.all("img") if a.get("src")] == [shown, shown]


def test_figures_have_their_interval_and_a_dash_says_undefined(whole):
    found = Page(whole)
    assert "0.551" in found.texts
    assert "0.520 … 0.580" in found.texts
    cells = [a["data-value"] for a in found.all("td") if "data-value" in a]
    assert cells[:6] == ["0.5512", "0.8", "", "", "1.0", "0.87654"]
    assert found.texts.count("–") == 2 + 5 + 1  # APM and APL, five without an interval, the nose
    assert "nan" not in "".join(found.texts).lower()
    assert SCORES["notes"][0] in found.texts


def test_tables_can_be_sorted(whole):
    tables = [a["class"] for a in Page(whole).all("table")]
    assert sum("sortable" in kind for kind in tables) == 2
    assert 'querySelectorAll("table.sortable")' in whole


def test_only_the_scores_are_needed(tmp_path):
    path = report.write_report(tmp_path, title="bare", scores={"protocol": "coco-gt", "AP": 0.1})
    found = Page(path.read_text("utf-8"))
    assert [a["id"] for a in found.all("section")] == ["figures"]
    report.write_report(tmp_path, title="", scores={})


def test_any_skeleton_and_figures_that_are_no_numbers(tmp_path):
    scores = {"AP": math.nan, "AR": "many", "PCK@0.2": math.inf, "per_joint": {f"j{i}": 0.1 for i in range(40)}}
    _, html = write(tmp_path, scores=scores)
    assert "j39" in Page(html).texts


def test_the_page_stays_under_its_bound_and_counts_what_it_left_out(tmp_path):
    noise = [(f"noise {i}", photo(1400, 1400, i)) for i in range(3)]  # noise is the worst to compress
    path, html = write(tmp_path, pictures=noise, scores={})
    assert path.stat().st_size < report.MAX_BYTES
    assert len([a for a in Page(html).all("img") if a.get("src")]) == 4
    small = page.embed([photo()] * 5, 30_000)
    assert 0 < len(small) < 5
    assert sum(map(len, small)) <= 30_000


def test_left_out_pictures_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PICTURES_BYTES", 30_000)
    _, html = write(tmp_path, pictures=[("p", photo())] * 5, scores={})
    shown = len([a for a in Page(html).all("img") if a.get("src")])
    assert shown < 6
    assert f"{6 - shown} more pictures were left out" in html


def test_a_section_is_added_by_one_function(tmp_path, monkeypatch):
    def mistakes(given):
        return report.Section("Kinds of mistakes", "", page.table(("kind", "cost"), [[("", "swap"), ("number", 0.1)]]))

    monkeypatch.setattr(report, "SECTIONS", (*report.SECTIONS, mistakes))
    found = Page(write(tmp_path, scores={})[1])
    assert found.all("section")[-1]["id"] == "kinds-of-mistakes"


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"step": 1, "loss": NaN}\n[1]\n\n{"loss": 3}\n{"step": 2, "lo{"step": 3, "loss": 1}\n\xff\xfe\n'
        b'{"step": true}\n{"step": 4, "loss": 2}\n{"step": 5, "lo'
    )
    assert [row["step"] for row in report.read_journal(path)] == [1, 4]


def test_steps_that_a_resumed_run_made_again_count_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = [{"step": s, "loss": 1.0} for s in (10, 20, 30)] + [{"step": 30, "AP": 0.1}, {"step": 40, "loss": 1.0}]
    again = [{"step": 30, "loss": 2.0}, {"step": 30, "AP": 0.2}]
    path.write_text("\n".join(map(json.dumps, first + again)), "utf-8")
    rows = report.read_journal(path)
    assert [(row["step"], row.get("loss", row.get("AP"))) for row in rows] == [
        (10, 1.0),
        (20, 1.0),
        (30, 2.0),
        (30, 0.2),
    ]


def test_bad_input_is_one_line_with_the_file(tmp_path):
    with pytest.raises(BadInput, match=r"missing\.jsonl"):
        report.read_journal(tmp_path / "missing.jsonl")
    (tmp_path / "other.jsonl").write_text("hello", "utf-8")
    with pytest.raises(BadInput, match=r"other\.jsonl: none of its 1 lines"):
        report.read_journal(tmp_path / "other.jsonl")
    (tmp_path / "empty.jsonl").touch()
    assert report.read_journal(tmp_path / "empty.jsonl") == []
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        report.write_report(tmp_path / "file" / "below", title="", scores={})
