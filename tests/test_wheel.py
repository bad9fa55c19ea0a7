"""The wheel: built offline from a copy of the sources, it holds all that the package reads, and works by itself."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sandglass.core.image import write_image
from sandglass.data.figures import draw_picture
from sandglass.models.shipped import EXPORTED, SHIPPED

pytest.importorskip("setuptools", minversion="77")

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = REPOSITORY / "src" / "sandglass"
MAX_BYTES = 15 * 2**20
LEFT_OUT = {".pyc", ".json"}  # the figures beside the weights are for the card, which is no part of a wheel
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
LOOK = """
import sys, sandglass
from sandglass import Predictor
(pose,) = Predictor.load(device="cpu")(sys.argv[1])
assert pose.keypoints.shape == (17, 2) and pose.present.any(), pose
print(sandglass.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "tests"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, folder], cwd=copy, env=outside(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


def outside(**added: str) -> dict[str, str]:
    """An environment that leads nowhere but to what is installed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {"OMP_NUM_THREADS": "1"} | added


def test_everything_that_the_package_reads_is_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {name for name in names if name.startswith("sandglass/") and not name.endswith(".py")}
    wanted = [*SHIPPED.values(), *EXPORTED.values(), SOURCES / "py.typed"]
    wanted += [SOURCES / "evaluation" / f"report.{end}" for end in ("html", "css", "js")]
    page = [path for path in (SOURCES / "web" / "page").iterdir() if path.is_file()]
    assert len(page) > 5 and {f"sandglass/{path.relative_to(SOURCES).as_posix()}" for path in [*wanted, *page]} <= data
    assert not [name for name in data if Path(name).suffix in LEFT_OUT]
    code = {path.relative_to(SOURCES.parent).as_posix() for path in SOURCES.rglob("*.py")}
    assert code == {name for name in names if name.endswith(".py")}


def test_nothing_else_is(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sandglass"}
    assert not [name for name in names if "test" in Path(name).name]
    assert wheel.stat().st_size <= MAX_BYTES, f"{wheel.stat().st_size:,} bytes"


def test_it_finds_a_person_far_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    write_image(tmp_path / "photo.png", draw_picture(0, 0).image)
    line = [sys.executable, "-c", LOOK, "photo.png"]
    environment = outside(PYTHONPATH=str(tmp_path / "site"))
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(done.stdout.strip()) == tmp_path / "site" / "sandglass" / "__init__.py"
