"""Laws of the report: one page, no network, nothing given is believed; the same figures for machines."""

import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.evaluation import page, report, sections
from sandglass.evaluation.journals import read_journal
from sandglass.evaluation.sections import Report

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


LEDGER = {
    "source": "coco@val",
    "protocol": "coco-gt",
    "flip": True,
    "stages": [
        {
            "stack": n,
            "figures": {"AP": 0.2 * n, "PCK@0.2": None},
            "intervals": {"AP": [0.1 * n, 0.3 * n]},
            "inversions": 0.1 / n,
            "entropy": 4.0,
            "joints": {joint: {"PCK@0.2": 0.3 * n, "inversions": None, "entropy": 3.0} for joint in COCO17.joints},
            "gmac": 0.125 * n,
            "parameters": 1_250_000 * n,
            "milliseconds": None,
        }
        for n in (1, 2)
    ],
    "exits": [
        {"rule": rule, "bound": 0.5, "AP": ap, "gmac": 0.2, "stacks": 1.5, **sure}
        for rule, ap, sure in (("score", 0.31, {"interval": [0.305, 0.315]}), ("still", None, {}))  # older: no interval
    ],
}
_SHARES = {"good": 0.5, "jitter": 0.2, "inversion": 0.1, "swap": 0.05, "miss": 0.15, "scoring": 0.01, "unfound": None}
_COSTS = {"miss": 0.125, "swap": None, "inversion": 0.0625, "jitter": 0.03, "scoring": 0.01}
_SURE = {"intervals": {"jitter": [0.151, 0.252]}, "cost_intervals": {"inversion": [0.055, 0.066], "miss": "few"}}
MISTAKES = {
    "AP": 0.5512,
    "shares": _SHARES,
    "costs": _COSTS,
    "joints": dict.fromkeys(COCO17.joints, _SHARES),
    "groups": {"size": {"small": {"people": 3, "AP": None, "shares": _SHARES, "costs": _COSTS, **_SURE}}},
    "curves": {"0.5": {"as it is": [0.5] * 101, "+ miss": [0.75] * 101}},
}
CALIBRATION = {
    "error": 0.0321,
    "claimed": [None, 0.7],
    "true": [None, 0.6],
    "count": [0, 9],
    "joints": {**dict.fromkeys(COCO17.joints, 0.04), "nose": None},
}


def write(folder, journal=None, **more):
    given: dict[str, Any] = {"title": "a run", "scores": SCORES, "command": "sandglass report run"}
    given |= {"pictures": [("a photograph", photo())], "sheets": [("heatmaps", photo())], "facts": {"network": "HG-2"}}
    runs = {} if journal is None else {"this run": read_journal(journal)}
    told: dict[str, Any] = {"runs": runs, **given, **more}
    path = report.write_report(folder / "out", Report(**told))
    return path, path.read_text("utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    facts = {"site": "https://example.org/x.js", "style": "url(http://example.org)"}
    told = {"ledger": LEDGER, "mistakes": MISTAKES, "calibration": CALIBRATION, "galleries": {"miss": ("m", photo())}}
    path, html = write(folder, journal=journal(folder), facts=facts, **told)
    assert {p.name for p in path.parent.iterdir()} == {"report.html", "report.json", "report.md"}
    return html


def test_one_file_and_every_section(whole):
    found = Page(whole)
    names = [attributes["id"] for attributes in found.all("section")]
    assert names == [
        "in-short", "figures", "joints", "mistakes", "mistakes-seen", "pictures", "stacks", "calibration", "training",
        "facts", "command",
    ]  # fmt: skip
    assert [a["href"] for a in found.all("a")] == [f"#{name}" for name in names]
    # PCK by joint; costs, joints, groups, precision and recall; two of stacks; reliability; loss, scores, rate, speed,
    # first steps
    assert len(found.all("svg")) == 1 + 4 + 2 + 1 + 5
    assert len([a for a in found.all("img") if a.get("src")]) == 3


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
    assert "nan" not in "".join(found.texts).lower()
    assert SCORES["notes"][0] in found.texts


def test_tables_can_be_sorted(whole):
    tables = [a["class"] for a in Page(whole).all("table")]
    assert len(tables) == 2 + 3 + 4 + 1 + 1 + 1 and all("sortable" in kind for kind in tables)
    assert 'querySelectorAll("table.sortable")' in whole


def test_only_the_scores_are_needed(tmp_path):
    path = report.write_report(tmp_path, Report(title="bare", scores={"protocol": "coco-gt", "AP": 0.1}))
    found = Page(path.read_text("utf-8"))
    assert [a["id"] for a in found.all("section")] == ["figures"]
    report.write_report(tmp_path, Report(title="", scores={}))


def test_any_skeleton_and_figures_that_are_no_numbers(tmp_path):
    scores = {"AP": math.nan, "AR": "many", "PCK@0.2": math.inf, "per_joint": {f"j{i}": 0.1 for i in range(40)}}
    _, html = write(tmp_path, scores=scores)
    assert "j39" in Page(html).texts


def test_the_page_stays_under_its_bound_and_counts_what_it_left_out(tmp_path):
    noise = [(f"noise {i}", photo(1400, 1400, i)) for i in range(3)]  # noise is the worst to compress
    path, html = write(tmp_path, pictures=noise, scores={})
    assert path.stat().st_size < sections.MAX_BYTES
    assert len([a for a in Page(html).all("img") if a.get("src")]) == 4
    small = page.embed([photo()] * 5, 30_000)
    assert 0 < len(small) < 5
    assert sum(map(len, small)) <= 30_000


def test_left_out_pictures_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "PICTURES_BYTES", 30_000)
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


def test_figures_name_their_protocol_and_what_made_them(whole):
    found = Page(whole)
    told = [a for a in found.all("p") if a.get("class") == "source"]
    assert len(told) == 9  # all sections but facts and command
    assert found.texts.count("sandglass report run") == 9 + 1
    assert found.texts.count("coco-gt · 787 people · 304 images · ") == 9


def test_mistakes_stacks_and_calibration_are_told(whole):
    texts = Page(whole).texts
    for shown in ("0.125", "0.062", "near its place, but not on it", "AP gained: swap"):
        assert shown in texts, shown
    for shown in ("0.305 … 0.315", "0.151 … 0.252", "0.055 … 0.066", "few"):
        assert shown in texts, shown
    for shown in ("0.100 … 0.300", "PCK@0.2, 2", "every present joint scores at least", "1.250"):
        assert shown in texts, shown
    assert any("calibration error 0.032" in line for line in texts)


def test_kinds_without_a_gallery_are_named_with_the_reason(whole, tmp_path):
    """Of the fixture's kinds, unfound has no share, and duplicate and background are none in labelled boxes."""
    told = [text for text in Page(whole).texts if text.startswith("No pictures of")]
    assert told == [
        "No pictures of jitter, inversion, swap, scoring: none on the photographs that are here.",
        "No pictures of duplicate, background: none where boxes are labelled (see coco-det).",
        "No pictures of unfound: none was made.",
    ]
    assert "a prediction of nobody; never in labelled boxes" in Page(whole).texts
    scores = {**SCORES, "protocol": "coco-det"}
    _, html = write(tmp_path, mistakes=MISTAKES, scores=scores, galleries={"miss": ("m", photo())})
    assert "see coco-det" not in html and "never in labelled boxes" not in html


def test_notes_that_warn_stand_on_top_and_those_that_explain_below_the_figures(tmp_path):
    _, html = write(tmp_path, scores={**SCORES, "notes": ["people missed: 3", "PCK lengths (people): torso (9)"]})
    header, rest = html.split("</header>")
    assert "people missed: 3" in header and "people missed: 3" not in rest
    assert "PCK lengths" not in header and '<p class="aside">PCK lengths (people): torso (9)</p>' in rest


def test_where_nothing_is_labelled_no_empty_charts_are_drawn(tmp_path):
    scores = {"AP": None, "PCK@0.2": None, "per_joint": dict.fromkeys(COCO17.joints), "notes": ["no AP: nobody"]}
    _, html = write(tmp_path, scores=scores, mistakes={**MISTAKES, "AP": None})
    assert [a["id"] for a in Page(html).all("section")] == ["figures", "pictures", "facts", "command"]
    assert "no AP: nobody" in html.split("</header>")[0] and "<svg" not in html


def test_several_runs_are_overlaid(tmp_path):
    rows = read_journal(journal(tmp_path))
    _, html = write(tmp_path, scores={}, runs={"one": rows, EVIL: rows, "empty": []})
    found = Page(html)
    assert len(found.all("svg")) == 4  # loss, AP, PCK, speed
    assert len(found.all("script")) == 1 and "one" in found.texts
    assert "empty" not in found.texts


def test_machines_read_the_same_under_stable_keys(tmp_path):
    told = {"ledger": LEDGER, "mistakes": MISTAKES, "calibration": CALIBRATION}
    path, _ = write(tmp_path, journal=journal(tmp_path), **told)
    data = json.loads((path.parent / "report.json").read_text())
    assert data.keys() == {
        "format", "sandglass", "title", "command", "facts", "brief", "scores", "mistakes", "ledger", "calibration",
        "training", "pictures",
    }  # fmt: skip
    assert data["format"] == 1 and data["scores"] == SCORES and data["ledger"] == LEDGER
    assert data["training"]["this run"]["steps"] == 3000 and data["training"]["this run"]["best AP"] == 0.5
    path, _ = write(tmp_path, scores={"AP": math.nan, "deep": [math.inf, {"x": -math.inf}]})
    assert json.loads((path.parent / "report.json").read_text())["scores"] == {"AP": None, "deep": [None, {"x": None}]}


def test_the_markdown_has_a_row_for_every_figure(tmp_path):
    told = {"ledger": LEDGER, "mistakes": MISTAKES, "calibration": CALIBRATION}
    path, _ = write(tmp_path, journal=journal(tmp_path), **told)
    text = (path.parent / "report.md").read_text()
    for line in (
        "# a run",
        "| AP | 0.551 | 0.520 … 0.580 |",
        "| left_ear | 0.500 |",
        "| miss | 0.150 | 0.125 |",
        "| 2 | 0.400 | 0.200 … 0.600 | – | 0.050 | 4.00 | 0.250 | – |",
        "| steps | 3,000 |",
        "| network | HG-2 |",
        "    sandglass report run",
    ):
        assert line in text.splitlines(), line
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for block in tables:
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_in_markdown_too_a_name_stays_a_name(tmp_path):
    evil = "| a | [x](http://example.org) <b>`\n# head"
    path, _ = write(tmp_path, title=evil, facts={evil: evil}, scores={"protocol": evil, "notes": [evil], "people": 3})
    text = (path.parent / "report.md").read_text()
    for syntax in (r"(?m)^# head", r"(?<!\\)\[x", r"(?<!\\)\]\(", r"(?<!\\)<b", r"(?<!\\)`"):
        assert not re.search(syntax, text), syntax
    path, _ = write(tmp_path, scores={}, command="a\n\n# head\n<script>")
    text = (path.parent / "report.md").read_text()
    assert re.search("(?m)^    # head$", text) and not re.search("(?m)^(# head|<script>)", text)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        report.write_report(tmp_path / "file" / "below", Report(title="", scores={}))


def test_figures_of_joints_parts_kinds_and_stacks_have_their_interval_below(tmp_path):
    margins = {"nose": [0.41, 0.42], "left_eye": "few", "right_eye": [None, 1], "left_ear": EVIL}
    parts = {"PCK@0.2": {"left": 0.6, "right": 0.7}}
    scores = {**SCORES, "joints": {"PCK@0.2": {**SCORES["per_joint"], "nose": 0.415}}, "parts": parts}
    scores |= {"joint_intervals": {"PCK@0.2": margins}, "part_intervals": {"PCK@0.2": {"left": [0.51, 0.52]}}}
    group = MISTAKES["groups"]["size"]["small"] | {"intervals": {"AP": "few", "swap": [0.03, 0.04]}}
    kinds = {"AP": [0.531, 0.532], "shares": {"miss": [0.11, 0.12]}, "costs": {"jitter": [-0.0004, 0.002]}}
    kinds["joints"] = {"nose": {"good": [0.21, 0.22]}}
    mistakes = {**MISTAKES, "intervals": kinds, "groups": {"size": {"small": group}}}
    stage = {**LEDGER["stages"][0], "calibration_error": 0.1}
    stage["intervals"] = {**stage["intervals"], "inversions": [0.061, 0.062], "entropy": [3.9, 4.1]}
    stage["intervals"]["calibration_error"] = [0.081, 0.082]
    stage["joint_intervals"] = {"nose": {"entropy": [2.91, 2.92], "inversions": "few"}}
    honest = {
        **CALIBRATION,
        "interval": [0.0311, 0.0331],
        "joint_intervals": {"nose": "few", "left_eye": [0.031, 0.032]},
    }
    told = {"ledger": {**LEDGER, "stages": [stage, LEDGER["stages"][1]]}, "mistakes": mistakes, "calibration": honest}
    path, html = write(tmp_path, scores=scores, **told)
    texts = Page(html).texts
    for shown in (
        "0.410 … 0.420", "0.510 … 0.520", "0.110 … 0.120", "0.000 … 0.002", "0.210 … 0.220", "0.030 … 0.040",
        "0.100 … 0.300", "0.061 … 0.062", "3.900 … 4.100", "0.081 … 0.082", "2.910 … 2.920", "0.031 … 0.032",
    ):  # fmt: skip
        assert shown in texts, shown
    assert texts.count("few") == 5  # as above, and what misses cost the small people
    assert any("AP is 0.551 (0.531 … 0.532)" in line for line in texts)
    assert any("calibration error 0.032 (0.031 … 0.033)" in line for line in texts)
    text = (path.parent / "report.md").read_text()
    for line in (
        "| nose | 0.415 (0.410 … 0.420) |", "| left_eye | 0.500 (few) |", "| right_eye | 0.500 |",
        "| miss | 0.150 (0.110 … 0.120) | 0.125 |", "| jitter | 0.200 | 0.030 (0.000 … 0.002) |",
        "| 1 | 0.200 | 0.100 … 0.300 | – | 0.100 (0.061 … 0.062) | 4.00 (3.90 … 4.10) | 0.125 | – |",
    ):  # fmt: skip
        assert line in text.splitlines(), line


def test_a_gain_below_zero_is_told_as_it_is(tmp_path):
    """Only COCO's figures are -1 where there are none."""
    mistakes = {**MISTAKES, "costs": {**_COSTS, "jitter": -0.0015, "scoring": -1e-9}}
    path, html = write(tmp_path, mistakes=mistakes)
    assert "-0.002" in Page(html).texts and "-0.000" not in Page(html).texts
    assert "| jitter | 0.200 | -0.002 |" in (path.parent / "report.md").read_text().splitlines()


def test_share_and_gain_of_scoring_are_said_to_be_of_different_predictions(whole):
    texts = Page(whole).texts
    at = texts.index("ranked above a better prediction of the same person")
    assert texts[at + 1] == "all predictions ranked by their true OKS, not only those that the share counts"


def test_detected_boxes_are_told_beside_the_protocol(tmp_path):
    scores = {**SCORES, "protocol": "coco-det", "notes": [f"boxes looked into: 1,234 of {EVIL}", "people missed: 3"]}
    _, html = write(tmp_path, scores=scores)
    protocol = html.split('class="protocol">')[1].split("</p>")[0]
    assert "Boxes looked into: 1,234 of &lt;script&gt;" in protocol and "people missed" not in protocol
    assert html.count("ooked into: 1,234") == 1


def test_pictures_that_the_report_before_left_go_and_no_other_files(tmp_path):
    """Only names that it says it wrote, and that a report gives; not what somebody put there, not what it points at."""
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "keep.png").touch()
    for name in ("01-a.png", "02-b.png", "photo-x.jpg", "curves.png", "photo-mine.jpg", "03-mine.png", "notes.txt"):
        (tmp_path / "out" / "pictures" / name).touch()
    strange = ["../keep.png", "notes.txt", "photo-/../../keep.png", "04-a.png/../notes.txt", "05-gone.png", 7, None]
    path, _ = write(tmp_path, files=["01-a.png", "02-b.png", "photo-x.jpg", "curves.png", *strange])
    path, _ = write(tmp_path, files=["01-a.png"])
    left = {p.name for p in (tmp_path / "out" / "pictures").iterdir()}
    assert (
        left == {"01-a.png", "photo-mine.jpg", "03-mine.png", "notes.txt"} and (tmp_path / "out" / "keep.png").exists()
    )
    for broken in ("[]", "no", '{"pictures": 3}', '{"pictures": {"01-a.png": 1}}'):
        (path.parent / "report.json").write_text(broken)
        write(tmp_path)
        assert (tmp_path / "out" / "pictures" / "01-a.png").exists()
