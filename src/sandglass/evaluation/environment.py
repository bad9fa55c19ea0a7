"""Whether this machine can do the work: versions, devices, cores, memory, disk, extras, a model and a data set."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from sandglass.core.cores import Neighbours, cpu_count, cpu_flags, cpu_quota, to_spare
from sandglass.core.errors import BadInput

State = Literal["ok", "warn", "fail"]
PACKAGE = "sandglass"
GIGABYTE = 1e9
LEAST_DISK, WANTED_DISK = 0.5, 10.0  # GB: a checkpoint and its report; all of COCO's usable photographs as a pack
LEAST_MEMORY, WANTED_MEMORY = 1.0, 4.0  # GB: to predict; to train on COCO
EXTRAS = {"onnx": "onnxruntime", "openvino": "openvino", "serve": "fastapi", "tensorboard": "tensorboard"}
# What a processor must say it can for bf16 to pay, as Linux and macOS write it; then what they are called.
FLAGS = {"amx_bf16": "AMX bf16", "avx512_bf16": "AVX-512 bf16", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}


@dataclass(frozen=True)
class Row:
    """What was looked at, how it is, what was found, and the cure where it is not ok."""

    what: str
    state: State
    found: str
    cure: str = ""


def examine(folder: Path = Path(), data: Sequence[str] = (), model: str | Path | None = None) -> Iterator[Row]:
    """One row after another. `folder` is where the disk is measured; the model that ships is looked at in any case."""
    others = Neighbours()
    yield from versions()
    yield from devices()
    yield processor()
    yield company(others)
    yield memory()
    yield disk(folder)
    yield from extras()
    yield _try("shipped model", lambda: _model_said(None), "install sandglass again, or give your own model")
    if model is not None:
        yield _try("model", lambda: _model_said(model))
    for name in data:
        yield _try("data set", lambda name=name: _data_said(name))


def table(rows: Sequence[Row]) -> Table:
    """For the terminal: one row each."""
    shown = Table(title="environment", box=box.SIMPLE_HEAD)
    for heading in ("", "what", "found", "cure"):
        shown.add_column(heading, overflow="fold")
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for row in rows:
        shown.add_row(row.state, row.what, row.found, row.cure, style=None if row.state == "ok" else colours[row.state])
    return shown


def versions() -> Iterator[Row]:
    """Python and every core dependency, against the ranges that the package states."""
    told = metadata.metadata(PACKAGE)
    python = platform.python_version()
    wanted = told["Requires-Python"] or ""
    fits = in_range(python, wanted)
    yield Row("python", "ok" if fits else "fail", f"{python} ({sys.executable})", "" if fits else f"take {wanted}")
    for line in told.get_all("Requires-Dist") or ():
        name, _, extra = line.partition(";")
        if "extra" not in extra:
            yield _dependency(name.strip())


def _dependency(line: str) -> Row:
    name = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
    wanted = line.removeprefix(name).strip(" ()")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Row(name, "fail", "not installed", f"pip install '{name}{wanted}'")
    fits = in_range(version, wanted)
    return Row(name, "ok" if fits else "fail", version, "" if fits else f"pip install '{name}{wanted}'")


def in_range(version: str, wanted: str) -> bool:
    """Whether a version is within a range such as ">=1.2,<2" of lower and upper bounds."""
    tests: dict[str, Callable[[int], bool]] = {
        ">=": lambda sign: sign >= 0, "<=": lambda sign: sign <= 0, "==": lambda sign: sign == 0,
        "!=": lambda sign: sign != 0, ">": lambda sign: sign > 0, "<": lambda sign: sign < 0,
    }  # fmt: skip
    for part in filter(None, (part.strip() for part in wanted.split(","))):
        operator = next(operator for operator in tests if part.startswith(operator))
        a, b = _numbers(version), _numbers(part.removeprefix(operator))
        length = max(len(a), len(b))
        a, b = a + [0] * (length - len(a)), b + [0] * (length - len(b))
        if not tests[operator]((a > b) - (a < b)):
            return False
    return True


def _numbers(version: str) -> list[int]:
    """The release of a version: 2.13.0+cpu is 2, 13, 0."""
    numbers = []
    for part in version.strip().partition("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return numbers


def devices() -> Iterator[Row]:
    """What torch can compute on, and whether it multiplies bf16 there."""
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(i)
            half = "bf16" if card.major >= 8 else "no bf16"
            yield Row(f"cuda:{i}", "ok", f"{card.name}, {card.total_memory / GIGABYTE:.0f} GB, {half}")
    elif torch.backends.mps.is_available():
        yield Row("mps", "ok", "Apple GPU")
    else:
        built = torch.version.cuda
        found = f"torch is built for CUDA {built} but sees no GPU" if built else "none: torch computes on the CPU"
        yield Row("GPU", "warn", found, "for training, take a machine with a GPU and a driver for it")
    yield Row("threads", "ok", f"torch takes {torch.get_num_threads()} for one operation")


def processor() -> Row:
    """What the CPU can multiply, and how much of it this process may use."""
    flags = cpu_flags()
    able = ", ".join(name for flag, name in FLAGS.items() if flag in flags) or platform.machine()
    quota = cpu_quota()
    bound = "no quota" if quota == float("inf") else f"a quota of {quota:g}"
    found = f"{cpu_count()} of {os.cpu_count()} cores, {bound}; {able}"
    if cpu_count() < 2:
        return Row("processor", "warn", found, "give the process two cores or more: decoding waits for the step")
    return Row("processor", "ok", found)


def company(others: Neighbours) -> Row:
    """Whether other programs want the same cores."""
    busy = others.busy(0.5)
    found = f"they keep {busy:.1f} of {os.cpu_count()} cores busy"
    if to_spare(cpu_count(), busy):
        return Row("other programs", "warn", found, "end them: training and PyTorch leave them their cores")
    return Row("other programs", "ok", found)


def memory(source: Path = Path("/proc/meminfo")) -> Row:
    """What is free for a new process."""
    try:
        lines = [line.split() for line in source.read_text("utf-8").splitlines()]
        free = next(int(words[1]) for words in lines if words and words[0] == "MemAvailable:") * 1024 / GIGABYTE
    except (OSError, StopIteration, ValueError, IndexError):
        return Row("memory", "ok", "the system does not say")
    cure = "end other programs; smaller --batch and fewer --workers need less"
    return _amount("memory", free, LEAST_MEMORY, WANTED_MEMORY, "free", cure)


def disk(folder: Path) -> Row:
    """What is free where runs and data shall lie."""
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    free = shutil.disk_usage(there).free / GIGABYTE
    return _amount("disk", free, LEAST_DISK, WANTED_DISK, f"free at {there}", "free some, or work on another disk")


def _amount(what: str, free: float, least: float, wanted: float, where: str, cure: str) -> Row:
    state: State = "fail" if free < least else "warn" if free < wanted else "ok"
    return Row(what, state, f"{free:.1f} GB {where}", "" if state == "ok" else cure)


def extras() -> Iterator[Row]:
    """What can be installed beside the core; that it is not is no fault."""
    for extra, package in EXTRAS.items():
        try:
            yield Row(f"extra {extra}", "ok", f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield Row(f"extra {extra}", "ok", "not installed", f"if wanted: pip install '{PACKAGE}[{extra}]'")


def _try(what: str, look: Callable[[], str], cure: str = "") -> Row:
    try:
        return Row(what, "ok", look())
    except BadInput as error:
        fact, _, own = str(error).rpartition("; ")
        return Row(what, "fail", fact or own, cure or (own if fact else "check the path"))


def _model_said(model: str | Path | None) -> str:
    """Load it, and look at an empty picture once: a checkpoint that loads may still not run."""
    import numpy as np

    from sandglass.inference.predictor import Predictor
    from sandglass.models.shipped import DEFAULT_MODEL

    predictor = Predictor.load(DEFAULT_MODEL if model is None else model, flip=False)
    spec = predictor.spec
    w, h = spec.codec.size
    poses = predictor(np.zeros((h, w, 3), np.uint8), [[0, 0, w, h]])
    assert len(poses) == 1
    joints = f"{len(spec.skeleton)} joints of '{spec.skeleton.name}'"
    return f"{model or DEFAULT_MODEL}: {joints}, {w}x{h}, runs by {predictor.runtime.name}"


def _data_said(name: str) -> str:
    from sandglass.data.photos import check_photos
    from sandglass.data.sets import read_set

    people = read_set(name)
    if problems := check_photos(people):
        raise BadInput(f"{name}: {len(problems)} photographs are missing or empty; run `sandglass data check {name}`")
    return f"{name}: {len(people):,} people in {len(people.image_ids):,} photographs, {len(people.skeleton)} joints"
