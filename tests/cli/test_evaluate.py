"""`sandglass evaluate` under torchrun: two real processes on the CPU have the answers of one."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandglass.core.skeleton import COCO17
from sandglass.data.figures import write_figures
from sandglass.inference.predictor import Predictor
from sandglass.models.checkpoint import save_checkpoint
from sandglass.models.codec import CodecConfig
from sandglass.models.spec import ModelSpec

Call = Callable[..., tuple[int, str, str]]
SHARES = Path(__file__).with_name("shares.py")
WHOLE, TORN, ABSENT = range(3)  # the commands, in their order


@dataclass(frozen=True)
class Shared:
    """What the commands left in the folder, and what each rank said: (status, output, errors) of each command."""

    folder: Path
    words: list[str]
    ranks: tuple[list[Any], list[Any]]


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
    torchrun: Callable[..., subprocess.Popen[str]],
    loud_network: Callable[..., Any],
) -> Shared:
    """Drawn people in shares; the same with one torn photograph in the share of rank 1; a model that is not there."""
    folder = tmp_path_factory.mktemp("shared")
    write_figures(folder / "drawn", "val", 10, seed=5, workers=1)
    torn = shutil.copytree(folder / "drawn", folder / "torn")
    photo = max((torn / "val").iterdir())
    photo.write_bytes(photo.read_bytes()[:500])
    spec = ModelSpec(
        network="hourglass",
        options={"stacks": 2, "channels": 8, "depth": 2},
        codec=CodecConfig(size=(64, 64), sigmas=(1.5,), threshold=0.2),
        skeleton=COCO17,
    )
    save_checkpoint(folder / "model.safetensors", loud_network(spec), spec, {})
    words = ["evaluate", f"{folder}/model.safetensors", "--data", f"{folder}/drawn@val", "--device", "cpu"]
    words += ["--runtime", "torch"]
    commands = [
        [*words, "--out", f"{folder}/two"],
        ["evaluate", words[1], "--data", f"{torn}@val", *words[4:], "--out", f"{folder}/failed"],
        ["evaluate", f"{folder}/none.safetensors", *words[2:], "--out", f"{folder}/failed"],
    ]
    (folder / "commands.json").write_text(json.dumps(commands))
    process = torchrun(SHARES, folder)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    return Shared(folder, words, (first, second))


def test_two_processes_have_the_scores_of_one(shared: Shared, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "load", partial(Predictor.load, batch=3))
    assert call(*shared.words, "--out", shared.folder / "one")[0] == 0
    one, two = shared.folder / "one", shared.folder / "two"
    assert (two / "predictions.json").read_text() == (one / "predictions.json").read_text()
    found, wanted = (json.loads((folder / "scores.json").read_text()) for folder in (two, one))
    assert found == wanted and found["people"] > 6
    found, wanted = (json.loads((folder / "report.json").read_text())["ledger"] for folder in (two, one))
    for table in (found, wanted):
        for stage in table["stages"]:
            assert stage.pop("milliseconds") > 0
    assert found == wanted and len(found["stages"]) == 2 and found["exits"]
    assert {path.name for path in two.rglob("*")} == {path.name for path in one.rglob("*")}


def test_rank_0_alone_speaks(shared: Shared) -> None:
    first, second = (told[WHOLE] for told in shared.ranks)
    assert first[0] == second[0] == 0
    assert "look at" in first[1] and "after each stack" in first[1]
    assert second[1:] == ["", ""]


def test_what_one_rank_cannot_read_ends_the_work_of_both_with_one_line(shared: Shared) -> None:
    first, second = (told[TORN] for told in shared.ranks)
    assert first == [2, "", ""]
    assert second[:2] == [2, ""] and second[2].count("\n") == 1
    assert second[2].startswith(f"sandglass: {shared.folder}/torn/val/")


def test_what_no_rank_can_do_is_said_once(shared: Shared) -> None:
    first, second = (told[ABSENT] for told in shared.ranks)
    assert first[:2] == [2, ""] and first[2].count("\n") == 1 and "no such checkpoint" in first[2]
    assert second == [2, "", ""]
    assert not (shared.folder / "failed").exists()
