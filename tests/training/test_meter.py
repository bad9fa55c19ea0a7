"""Seconds are counted once, rates leave out what is no training, and a chip's peak is found by its name."""

from types import SimpleNamespace

import pytest
import torch

from sandglass.training import meter as module
from sandglass.training.meter import Meter, memory_gib, meter_line, peak_tflops

CPU = torch.device("cpu")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("sandglass.training.meter.time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("name", "bf16", "peak"),
    [
        ("NVIDIA H200", True, 989),
        ("NVIDIA H200", False, 494),
        ("NVIDIA H100 80GB HBM3", True, 989),
        ("NVIDIA H100 PCIe", True, 756),
        ("NVIDIA GH200 480GB", True, 989),
        ("NVIDIA A100-SXM4-80GB", True, 312),
        ("NVIDIA A100-PCIE-40GB", True, 312),
        ("NVIDIA GeForce RTX 4090", True, 165),
        ("NVIDIA L4", True, 121),
        ("NVIDIA L40S", True, 362),
        ("Tesla T4", False, 8.1),
        ("Tesla V100-SXM2-16GB", False, 15.7),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", True, 165),
        ("NVIDIA GeForce GTX 1080", False, None),
        ("AMD Instinct MI300X", True, None),
    ],
)
def test_peak_by_the_words_of_a_name(name: str, bf16: bool, peak: float | None) -> None:
    assert peak_tflops(name, bf16) == peak


def test_figures_of_a_row(clock: Clock) -> None:
    """Two seconds of waiting and six of steps for 40 images; evaluation and saving do not slow the rate."""
    meter = Meter(2.0, CPU, bf16=False)
    for part, seconds in (("data", 2.0), ("evaluation", 50.0), ("saving", 5.0)):
        with meter.during(part):
            clock.now += seconds
    clock.now += 6.0
    found = meter.figures(40)
    assert found["images_per_second"] == 5.0 and found["data_wait"] == 0.25
    assert found["tflops"] == pytest.approx(5 * 3 * 2 * 2.0 / 1e3)  # images/s x (forward + 2 backward) x 2 FLOP a MAC
    assert found["peak_share"] is None, "nobody knows a CPU's peak"
    clock.now += 4.0
    found = meter.figures(40)
    assert found["images_per_second"] == 10.0 and found["data_wait"] == 0.0, "since the last row alone"


def test_share_of_the_peak_where_it_is_known(clock: Clock) -> None:
    meter = Meter(10.0, CPU, bf16=True)
    meter.peak = 1.2
    clock.now += 1.0
    found = meter.figures(4)
    assert found["tflops"] == 0.24 and found["peak_share"] == 0.2
    assert "4 img/s  0.24 TFLOP/s (20% of peak)  data wait 0%" in meter_line(found)
    assert "of peak" not in meter_line(found | {"peak_share": None, "memory_gib": None})


SAYS = {"step": "is the step", "data": "is data: more", "evaluation": "is evaluation: score", "saving": "is saving: a"}


@pytest.mark.parametrize(("most", "says"), list(SAYS.items()))
def test_the_summary_names_the_bottleneck(most: str, says: str, clock: Clock) -> None:
    meter = Meter(1.0, CPU, bf16=False)
    for part in ("data", "evaluation", "saving", "step"):
        if part == "step":
            clock.now += 70.0 if most == part else 10.0
            continue
        with meter.during(part):
            clock.now += 70.0 if most == part else 10.0
    meter.figures(1000)
    assert sum(meter.shares().values()) == pytest.approx(1)
    line = meter.summary()
    assert line.startswith(f"time: {most} 70%, ") and says in line and "\n" not in line
    assert f"{1000 / (80 if most in ('step', 'data') else 20):.0f} images/s while training" in line


@pytest.mark.parametrize(
    ("threads", "busy", "device", "devices", "says"),
    [
        (2, 0.1, "cpu", 1, ""),
        (2, 1.2, "cpu", 1, "; other programs kept 1.2 of 2 cores busy: --threads 1 may be faster"),
        (1, 1.2, "cpu", 1, ""),
        (2, 1.2, "cpu", 2, ""),  # the others are of the same job
        (2, 1.2, "cuda", 1, ""),
    ],
)
def test_the_summary_names_a_crowd(
    threads: int, busy: float, device: str, devices: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(module.Neighbours, "busy", lambda *_: busy)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    meter = Meter(1.0, CPU, bf16=False, devices=devices)
    meter.device = torch.device(device)
    assert meter.summary().endswith("the bottleneck is the step" + says)


def test_waiting_counts_only_when_the_device_has_run_dry(clock: Clock) -> None:
    """The loop may be ahead of the device; then it waits, but the device does not."""
    meter = Meter(1.0, CPU, bf16=False)

    class Queue:
        def __init__(self, empty: bool) -> None:
            self.empty = empty

        def query(self) -> bool:
            return self.empty

    for empty, counted in ((False, 0.0), (True, 3.0)):
        meter._queue = Queue(empty)  # type: ignore[assignment]
        with meter.during("data"):
            clock.now += 3.0
        assert meter.spent["data"] == counted


def test_time_counts_when_the_block_fails(clock: Clock) -> None:
    meter = Meter(1.0, CPU, bf16=False)

    def fail() -> None:
        with meter.during("saving"):
            clock.now += 1.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert meter.spent["saving"] == 1.0


def test_memory_of_this_process_is_plausible() -> None:
    found = memory_gib(CPU)
    assert found is None or 0.02 < found < 2000
    assert set(module.CURES) == {"step", "data", "evaluation", "saving"}
