"""Cores are counted within the affinity mask and within every quota of the control groups, of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandglass.core import cores
from sandglass.core.cores import Neighbours, cpu_count, cpu_flags, cpu_quota, to_spare


@pytest.mark.parametrize(
    ("own", "files", "want"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, float("inf")),
        ("0::/docker/abc\n", {"cpu.max": "400000 100000\n"}, 4.0),  # a container sees its own group as the root
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000", "cpu.max": "max 100000"}, 2.0),
        ("0::/a\n", {"a/cpu.max": "300000 100000", "cpu.max": "200000 100000", "b/cpu.max": "1 100000"}, 2.0),
        ("0::/../x\n", {"cpu.max": "300000 100000"}, 3.0),
        ("2:cpu,cpuacct:/d/e\n", {"cpu,cpuacct/d/e/cpu.cfs_quota_us": "250000",
                                  "cpu,cpuacct/d/e/cpu.cfs_period_us": "100000"}, 2.5),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, float("inf")),
        ("4:memory:/x\n", {"memory/x/cpu.max": "1 100000"}, float("inf")),
        ("", {"cpu.max": "100000 100000"}, 1.0),
        ("nonsense\n\0\n", {"cpu.max": "100000 100000"}, 1.0),
        ("0::/\n", {"cpu.max": "a lot"}, float("inf")),
        ("0::/\n", {"cpu.max": "100000 0"}, float("inf")),
        ("0::/\n", {}, float("inf")),
    ],
)  # fmt: skip
def test_quota(tmp_path: Path, own: str, files: dict[str, str], want: float) -> None:
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    assert cpu_quota(tmp_path / "fs", tmp_path / "own") == want


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "none") == float("inf")


@pytest.mark.parametrize(
    ("allowed", "quota", "want"), [(8, float("inf"), 8), (8, 2.5, 2), (8, 0.5, 1), (2, 64.0, 2), (1, 1.0, 1)]
)
def test_the_tighter_bound_counts(monkeypatch: pytest.MonkeyPatch, allowed: int, quota: float, want: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert cpu_count() == want


@pytest.mark.parametrize(("processes", "want"), [("1", 8), ("3", 2), ("8", 1), ("16", 1)])
def test_the_processes_of_torchrun_share_the_cores(monkeypatch: pytest.MonkeyPatch, processes: str, want: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: float("inf"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert cpu_count() == want


def test_what_the_processor_can_comes_from_the_system(tmp_path: Path) -> None:
    source = tmp_path / "cpuinfo"
    source.write_text("processor: 0\nflags : fpu avx2 amx_bf16\n")
    assert {"avx2", "amx_bf16"} <= cpu_flags(source) and cpu_flags(tmp_path / "none") == set()


def test_this_machine() -> None:
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)


def test_a_busy_neighbour_is_seen() -> None:
    if not cores.STAT.is_file():
        pytest.skip("only Linux tells in /proc/stat what its cores do")
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()  # it runs
        assert Neighbours().busy(0.5) > 0.2
        other.kill()


@pytest.mark.parametrize(
    ("begin", "end", "busy"),
    [
        # To be idle or to wait is no work, nor what the host has stolen.
        ("cpu 100 0 100 9000 50 0 0 7 0 0", "cpu 250 20 120 9000 90 5 5 900 3 3", 2.0),
        ("cpu 100 0 100 9000 50 0 0 7 0 0", "cpu 100 0 100 9900 90 0 0 7 0 0", 0.0),
        ("cpu 1 2", "cpu 100 200", 0.0),
        ("nonsense", "cpu a b c d e f g", 0.0),
    ],
)
def test_work_is_read_from_ticks(
    begin: str, end: str, busy: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    monkeypatch.setattr(os, "times", lambda: os.times_result((0.0, 0.0, 0.0, 0.0, 0.0)))
    monkeypatch.setattr(cores.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(cores.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    clock, source = [50.0], tmp_path / "stat"
    source.write_text(begin + "\ncpu0 1 2 3\n")
    neighbours = Neighbours(source)
    source.write_text(end + "\ncpu0 1 2 3\n")
    assert neighbours.busy(1.0) == pytest.approx(busy) and clock == [51.0]
    assert neighbours.busy(0.5) == pytest.approx(busy), "that is long enough ago"


def test_what_this_process_does_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "stat"
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    monkeypatch.setattr(os, "times", lambda: os.times_result((1.0, 1.0, 9.0, 9.0, 20.0)))
    source.write_text("cpu 500 0 100 9000 50 0 0 7 0 0")
    neighbours = Neighbours(source)
    monkeypatch.setattr(os, "times", lambda: os.times_result((3.0, 2.0, 9.0, 9.0, 23.0)))
    source.write_text("cpu 700 0 200 9000 50 0 0 7 0 0")
    assert neighbours.busy(0.01) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("machine", "busy", "wanted", "left"),
    [
        (2, 0.0, 2, 0),
        (2, 0.4, 2, 0),
        (2, 0.9, 2, 1),
        (2, 2.0, 2, 1),
        (64, 40.0, 16, 0),
        (64, 56.2, 16, 8),
        (8, 3.0, 2, 0),
    ],
)
def test_busy_cores_are_left_to_the_others(
    machine: int, busy: float, wanted: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert to_spare(wanted, busy) == left
