"""What the doctor says of a machine."""

import shutil
from pathlib import Path

import pytest

from sandglass.evaluation import environment
from sandglass.evaluation.environment import disk, in_range, memory, versions


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("2.13.0+cpu", ">=2.4", True), ("2.4", ">=2.4.0", True), ("2.3.9", ">=2.4", False), ("2.10", "<2.9", False),
        ("1.3.0", "<2,>=1.2", True), ("2.0.0", "<2,>=1.2", False), ("3.11.7", "", True), ("1.0rc1", "==1.0", True),
        ("5.0.0.93", "!=5.0.0.93", False), ("1.1", "<=1", False), ("1.1", ">1", True),
    ],
)  # fmt: skip
def test_ranges(version: str, wanted: str, fits: bool) -> None:
    assert in_range(version, wanted) is fits


def test_versions_are_looked_up_against_what_the_package_states(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.what: row for row in versions()}
    assert {"python", "numpy", "torch", "tyro"} <= rows.keys() and "pytest" not in rows
    assert {row.state for row in rows.values()} == {"ok"}
    monkeypatch.setattr(environment.metadata, "version", lambda name: "0.1")
    row = next(row for row in versions() if row.what == "torch")
    assert row.state == "fail" and row.cure.startswith("pip install 'torch>=")


def test_a_missing_package_is_a_failure_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise environment.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment.metadata, "version", nothing)
    row = next(row for row in versions() if row.what == "rich")
    assert row.state == "fail" and row.found == "not installed" and row.cure.startswith("pip install 'rich")
    extras = list(environment.extras())
    assert {row.state for row in extras} == {"ok"} and extras[0].cure == "if wanted: pip install 'sandglass[onnx]'"


def test_memory_comes_from_the_system(tmp_path: Path) -> None:
    source = tmp_path / "meminfo"
    for kilobytes, state in ((500_000, "fail"), (2_000_000, "warn"), (20_000_000, "ok")):
        source.write_text(f"MemTotal: 1 kB\nMemAvailable: {kilobytes} kB\n")
        assert memory(source).state == state
    assert memory(tmp_path / "none").state == "ok"


def test_the_disk_of_a_folder_that_is_not_there_yet_is_its_parents(tmp_path: Path) -> None:
    assert str(tmp_path) in disk(tmp_path / "not" / "yet").found


def test_a_model_and_a_set_that_cannot_be_read_fail_with_the_cure(tiny_coco: Path, tmp_path: Path) -> None:
    model, data = list(environment.examine(tmp_path, [f"{tiny_coco}@none"], tmp_path / "none.safetensors"))[-2:]
    assert (model.what, model.state) == ("model", "fail") and "no such checkpoint" in model.found and model.cure
    assert (data.what, data.state) == ("data set", "fail") and data.cure.startswith("the splits of")


def test_photographs_that_are_missing_are_a_failure(tiny_coco: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coco, tmp_path / "set")
    (folder / "val" / "000101.png").unlink()
    row = list(environment.examine(tmp_path, [f"{folder}@val"]))[-1]
    assert row.state == "fail" and "1 photographs" in row.found and "sandglass data check" in row.cure


@pytest.mark.parametrize(("busy", "state"), [(0.1, "ok"), (1.1, "warn")])
def test_who_shares_the_cores_is_told(busy: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_count", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(environment.Neighbours, "busy", lambda *_: busy)
    row = environment.company(environment.Neighbours())
    assert row.state == state and row.found == f"they keep {busy} of 2 cores busy" and bool(row.cure) == (busy > 1)


def test_one_core_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_count", lambda: 1)
    row = environment.processor()
    assert row.state == "warn" and row.cure
