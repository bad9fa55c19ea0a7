"""A run's journal, read again: torn lines and undone steps do not count."""

import json

import pytest

from sandglass.core.errors import BadInput
from sandglass.draw import charts, curves
from sandglass.evaluation.journals import read_journal, summary


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"step": 1, "loss": NaN}\n[1]\n\n{"loss": 3}\n{"step": 2, "lo{"step": 3, "loss": 1}\n\xff\xfe\n'
        b'{"step": true}\n{"step": 4, "loss": 2}\n{"step": 5, "lo'
    )
    assert [row["step"] for row in read_journal(path)] == [1, 4]


def test_steps_that_a_resumed_run_made_again_count_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = [{"step": s, "loss": 1.0} for s in (10, 20, 30)] + [{"step": 30, "AP": 0.1}, {"step": 40, "loss": 1.0}]
    again = [{"step": 30, "loss": 2.0}, {"step": 30, "AP": 0.2}]
    path.write_text("\n".join(map(json.dumps, first + again)), "utf-8")
    rows = read_journal(path)
    assert [(row["step"], row.get("loss", row.get("AP"))) for row in rows] == [
        (10, 1.0),
        (20, 1.0),
        (30, 2.0),
        (30, 0.2),
    ]


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"missing\.jsonl"):
        read_journal(tmp_path / "missing.jsonl")
    (tmp_path / "other.jsonl").write_text("hello", "utf-8")
    with pytest.raises(BadInput, match=r"other\.jsonl: none of its 1 lines"):
        read_journal(tmp_path / "other.jsonl")
    (tmp_path / "empty.jsonl").touch()
    assert read_journal(tmp_path / "empty.jsonl") == []


def test_a_run_in_figures():
    rows = [
        {"step": 10, "loss": 3.0, "seconds": 5.0, "images": 160, "images_per_second": 30.0, "data_wait": 0.1},
        {"step": 10, "AP": 0.3, "PCK@0.2": 0.5, "seconds": 9.0, "evaluation_seconds": 4.0},
        {"step": 20, "loss": 2.0, "seconds": 15.0, "images": 320, "images_per_second": 50.0, "data_wait": 0.3},
        {"step": 20, "AP": 0.2, "PCK@0.2": 0.6, "seconds": 20.0, "evaluation_seconds": 5.0, "memory_gib": None},
    ]
    found = summary(rows)
    assert (found["steps"], found["images"], found["seconds"], found["loss"]) == (20, 320, 20.0, 2.0)
    assert (found["AP"], found["best AP"], found["PCK@0.2"]) == (0.2, 0.3, 0.6)
    assert (found["images_per_second"], found["evaluation_share"]) == (40.0, 9 / 20)
    assert found["data_wait"] == pytest.approx(0.2)
    assert found["memory_gib"] is found["tflops"] is found["peak_share"] is None
    assert set(summary([]).values()) == {None}


def test_pictures_trained_on_are_not_photographs_scored():
    """An evaluation's row has the photographs that it scored under the same name, and comes last."""
    rows = [
        {"step": 10, "loss": 3.0, "images": 160},
        {"step": 20, "loss": 2.0, "images": 320},
        {"step": 20, "AP": 0.2, "images": 304, "people": 787},
    ]
    assert summary(rows)["images"] == 320
    assert summary(rows[2:])["images"] is None
    drawn = {key for key, _ in curves.COMPARED} | {"lr"} | {key for key, _ in charts.HEADLINES}
    assert not drawn & set(rows[0]) & set(rows[2])  # no curve is of a name that means two things
