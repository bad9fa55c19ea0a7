"""What would stop a run later stops it before its first step, with one line, and leaves no folder behind."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sandglass.core.errors import BadInput
from sandglass.data.filters import Filter
from sandglass.inference.world import World
from sandglass.models.checkpoint import load_checkpoint, read_spec
from sandglass.training.config import RunConfig
from sandglass.training.machine import threads
from sandglass.training.run import prepare
from sandglass.training.train import train

TinyRun = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=250)


def refused(config: RunConfig, out: Path, resume: bool = False) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(config, out, resume, quiet())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tiny_coco: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be spoilt."""
    return shutil.copytree(tiny_coco, tmp_path / "set")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "a run needs an end: give --steps or --minutes"),
        ({"steps": 2, "train": ()}, "no data set is named"),
        ({"steps": 2, "train": ("nowhere@train",)}, "nowhere: no such folder"),
        ({"steps": 2, "filter": Filter(min_joints=18)}, "no people left of 7 (crowd: 1, < 18 joints: 6"),
        ({"steps": 2, "device": "cuda:77"}, "device 'cuda:77' is not here"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    changes: dict, message: str, tiny_run: TinyRun, tmp_path: Path
) -> None:
    assert message in refused(tiny_run(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sizes_that_do_not_halve_are_told(tiny_run: TinyRun, tmp_path: Path) -> None:
    config = tiny_run(steps=2)
    codec = replace(config.model.codec, size=(64, 68))
    message = refused(replace(config, model=replace(config.model, codec=codec)), tmp_path / "run")
    assert "64 x 68 (width x height) must be divisible by 8" in message and "try 64 x 64" in message
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_written_over(tiny_run: TinyRun, tmp_path: Path) -> None:
    config = tiny_run(steps=2)
    train(config, tmp_path, console=quiet())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert f"already holds a run; choose another --out, or go on with --resume {tmp_path}" in refused(config, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("inside", ["", "deep/run"])
def test_a_file_in_the_way_is_told_before_data_are_read(inside: str, tiny_run: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / inside
    message = refused(tiny_run(steps=2, train=("nowhere@train",)), out)
    assert message.startswith(f"{out}: cannot be written") and "choose another" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_missing_photographs_are_counted_and_left_out(folder: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    labels = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(labels.read_text())
    data["images"] += [{**data["images"][0], "id": 1000 + i, "file_name": f"{1000 + i}.png"} for i in range(20)]
    data["annotations"] += [{**data["annotations"][0], "id": 1000, "image_id": 1000}]
    labels.write_text(json.dumps(data))
    console = quiet()
    run = prepare(tiny_run(folder, steps=2), tmp_path / "run", False, console)
    run.journal.close()
    assert isinstance(console.file, io.StringIO)
    assert "set@train: 1 people left out, 1 photographs (the first: " in console.file.getvalue()
    assert "1000.png, missing)" in console.file.getvalue()
    assert run.position.people == 5


def test_too_many_missing_photographs_are_a_broken_set(folder: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    (folder / "train" / "000001.png").unlink()
    message = refused(tiny_run(folder, steps=2), tmp_path / "run")
    assert "set@train: 1 of 3 photographs unusable" in message and "000001.png, missing" in message
    shutil.rmtree(folder / "train")
    assert "3 of 3 photographs unusable" in refused(tiny_run(folder, steps=2), tmp_path / "run")


def test_a_torn_photograph_is_skipped_and_counted(drawn: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    """By the rule: the next person takes its place; each row of the journal says how many were skipped."""
    data = shutil.copytree(drawn, tmp_path / "set")
    photo = sorted((data / "train").iterdir())[0]
    photo.write_bytes(photo.read_bytes()[:2000])
    train(tiny_run(data, steps=10), tmp_path / "run", console=quiet())
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    people = json.loads((data / "annotations" / "person_keypoints_train.json").read_text())["annotations"]
    torn = sum(row["image_id"] == 1 and row["num_keypoints"] >= 5 for row in people)
    assert 0 < rows[-1]["skipped"] <= torn


def test_a_set_of_torn_photographs_ends_the_run(folder: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    for photo in (folder / "train").iterdir():
        photo.write_bytes(photo.read_bytes()[:200])
    with pytest.raises(BadInput, match="not one photograph can be read"):
        train(tiny_run(folder, steps=2), tmp_path / "run", console=quiet())


@pytest.mark.parametrize("what", ["missing", "empty file"])
def test_a_validation_set_must_be_whole(what: str, folder: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    photo = folder / "val" / "000101.png"
    photo.write_bytes(b"") if what == "empty file" else photo.unlink()
    message = refused(tiny_run(steps=2, val=f"{folder}@val"), tmp_path / "run")
    assert message.startswith(f"{photo}: {what};")


def test_a_validation_set_must_hold_somebody(folder: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    labels = folder / "annotations" / "person_keypoints_val.json"
    data = json.loads(labels.read_text())
    for row in data["annotations"]:
        row["keypoints"] = [0] * 51
    labels.write_text(json.dumps(data))
    assert "finds nobody to predict" in refused(tiny_run(steps=2, val=f"{folder}@val"), tmp_path / "run")


def test_resume_with_other_data_or_without_a_state_is_refused(folder: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "no resume state" in refused(tiny_run(folder, steps=4), out, resume=True)
    train(tiny_run(folder, steps=2), out, console=quiet())
    labels = folder / "annotations" / "person_keypoints_train.json"
    data = json.loads(labels.read_text())
    data["annotations"] = data["annotations"][1:]
    labels.write_text(json.dumps(data))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    message = refused(tiny_run(folder, steps=4), out, resume=True)
    assert "made with 5 people, the data now hold 4" in message
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_network_starts_as_the_seed_says(tiny_run: TinyRun, tmp_path: Path) -> None:
    found = []
    for i, seed in enumerate((1, 1, 2)):
        torch.manual_seed(i)
        run = prepare(tiny_run(steps=2, seed=seed), tmp_path / str(i), False, quiet())
        run.journal.close()
        found.append(torch.cat([p.detach().flatten() for p in run.network.parameters()]))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_torchrun_starts_again_what_died_and_not_what_was_refused(tiny_run: TinyRun, tmp_path: Path) -> None:
    """Its second life finds the folder of a run: its own, on whatever device, or another one that was there before."""
    config, again = tiny_run(steps=2, filter=Filter(min_joints=1)), World(restarts=1)
    train(config, tmp_path, console=quiet())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for changes in ({"seed": 8}, {"steps": 3}, {"batch": 2}):
        with pytest.raises(BadInput, match="already holds a run; choose another --out"):
            prepare(tiny_run(**{"steps": 2, "filter": Filter(min_joints=1)} | changes), tmp_path, False, quiet(), again)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    run = prepare(replace(config, threads=2, workers=2), tmp_path, False, quiet(), again)
    run.journal.close()
    assert run.position.step == 2


@pytest.mark.parametrize(
    ("cores", "device", "given", "expected"),
    [
        (1, "cpu", {}, (1, 1)),
        (2, "cpu", {}, (2, 1)),
        (8, "cpu", {}, (6, 2)),
        (8, "cuda", {}, (4, 4)),
        (128, "cpu", {}, (12, 4)),
        (8, "cpu", {"workers": 5}, (3, 5)),
        (8, "cpu", {"threads": 8, "workers": 8}, (8, 8)),
    ],
)
def test_network_and_loader_share_the_cores(
    cores: int, device: str, given: dict, expected: tuple, tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandglass.training.machine.cpu_count", lambda: cores)
    config = tiny_run(steps=1, **{"threads": 0, "workers": 0} | given)
    assert threads(config, torch.device(device)) == expected


def test_a_run_leaves_busy_cores_alone_and_keeps_its_threads(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another number of threads, sums round otherwise: a run that goes on takes what it took when it began."""
    monkeypatch.setattr("sandglass.training.machine.cpu_count", lambda: 4)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    busy = [2.0]
    monkeypatch.setattr("sandglass.core.cores.Neighbours.busy", lambda *_: busy[0])
    said = io.StringIO()
    before = torch.get_num_threads()
    try:
        train(tiny_run(steps=1, threads=0), tmp_path / "run", console=Console(file=said, width=250))
        assert "2 of 4 cores left to what else runs on this machine; --threads 4 takes them all" in said.getvalue()
        assert torch.get_num_threads() == 2
        busy[0] = 0.0
        for config, expected in ((tiny_run(steps=2, threads=0), 2), (tiny_run(steps=2, threads=3), 3)):
            run = prepare(config, tmp_path / "run", True, quiet())
            run.journal.close()
            assert torch.get_num_threads() == expected and run.position.spared == 2
    finally:
        torch.set_num_threads(before)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "last.safetensors")[0].state_dict()


@pytest.fixture(scope="module")
def trained(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sandglass.training.journal._tensorboard", lambda *_: None)
        train(tiny_run(steps=2), folder, console=quiet())
    return folder


def test_a_run_starts_from_a_trained_model(trained: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    """The average of its weights too, which is what is scored and kept; and the checkpoint tells of it."""
    console, config = quiet(), tiny_run(steps=1, init=str(trained / "last.safetensors"), seed=7)
    run = prepare(config, tmp_path / "run", False, console)
    run.journal.close()
    for name, value in weights(trained).items():
        assert torch.equal(run.network.state_dict()[name], value), name
        assert torch.equal(run.average.tensors[name], value), name
    assert isinstance(console.file, io.StringIO)
    count = len(weights(trained))
    assert f"starting from {config.init}: {count} of {count} weights\n" in console.file.getvalue()
    train(config, tmp_path / "other", console=quiet())
    assert read_spec(tmp_path / "other" / "last.safetensors").summary["init"] == "last.safetensors"
    assert "init" not in read_spec(trained / "last.safetensors").summary


def test_on_resume_the_model_that_it_started_from_may_be_gone(trained: Path, tiny_run: TinyRun, tmp_path: Path) -> None:
    """It goes on from its own state, to the bit; killed before it had one, it starts again, and needs the model."""
    model = shutil.copy(trained / "last.safetensors", tmp_path / "start.safetensors")
    config = tiny_run(steps=4, init=str(model), decay="constant")
    train(config, tmp_path / "straight", console=quiet())
    half = replace(config, schedule=config.schedule.until(2, 0))
    train(half, tmp_path / "half", console=quiet())
    begun = tmp_path / "begun"
    half.save(begun)
    Path(model).unlink()
    train(config, tmp_path / "half", resume=True, console=quiet())
    found, wanted = weights(tmp_path / "half"), weights(tmp_path / "straight")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert "start.safetensors: no such checkpoint" in refused(half, begun, resume=True)


@pytest.mark.parametrize(("init", "message"), [("none.safetensors", "no such checkpoint"), ("swift-s", "weights fit")])
def test_a_model_that_it_cannot_start_from_is_refused(
    init: str, message: str, tiny_run: TinyRun, tmp_path: Path
) -> None:
    assert message in refused(tiny_run(steps=2, init=init), tmp_path / "run")
    assert not (tmp_path / "run").exists()
