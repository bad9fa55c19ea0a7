"""`sandglass report`, and the flags of others that it shows: a run on one page, cut networks, early exit."""

import json

import pytest


@pytest.fixture
def evaluated(call, model, tiny_coco, tmp_path):
    status, told, errors = call("evaluate", model, "--data", f"{tiny_coco}@val", "--out", tmp_path / "scored")
    assert status == 0, errors
    assert "after each stack" in told and "inverted" in told
    return tmp_path / "scored"


def test_a_run_becomes_a_page_beside_itself_or_elsewhere(call, run_folder, evaluated, tmp_path):
    status, told, errors = call("report", run_folder, "--out", tmp_path / "run")
    assert (status, errors) == (0, "") and f"look at {tmp_path / 'run' / 'report.html'}" in told
    assert json.loads((tmp_path / "run" / "report.json").read_text())["title"] == run_folder.name
    status, told, errors = call("report", evaluated, run_folder)
    assert (status, errors) == (0, "")
    assert list(json.loads((evaluated / "report.json").read_text())["training"]) == ["this run", run_folder.name]
    assert "| PCK@0.2 |" in (evaluated / "report.md").read_text()


def test_which_run(refused, tmp_path):
    assert "sandglass report run" in refused("report")
    assert "neither a run" in refused("report", tmp_path)


def test_a_network_can_be_cut_and_stopped_early(call, refused, tmp_path, tiny_coco):
    from sandglass.core.skeleton import COCO17
    from sandglass.models.checkpoint import save_checkpoint
    from sandglass.models.codec import CodecConfig
    from sandglass.models.spec import ModelSpec
    from sandglass.models.zoo import build

    options = {"stacks": 2, "channels": 8, "depth": 2}
    spec = ModelSpec(network="hourglass", options=options, codec=CodecConfig(size=(64, 64)), skeleton=COCO17)
    model = tmp_path / "model.safetensors"
    save_checkpoint(model, build(spec), spec, {})
    data = ("--data", f"{tiny_coco}@val")
    status, _, errors = call("evaluate", model, *data, "--out", tmp_path / "one", "--stacks", 1)
    assert status == 0, errors
    told = json.loads((tmp_path / "one" / "report.json").read_text())
    assert len(told["ledger"]["stages"]) == 1 and told["command"].endswith("--stacks 1")
    assert told["facts"]["training: cut"] == "after 1 of 2 stacks"
    assert "cut after 1 to 2, not 5" in refused("evaluate", model, *data, "--out", tmp_path / "five", "--stacks", 5)
    photo = tiny_coco / "val" / "000101.png"
    for words in (("--stacks", 1), ("--sure", 0.5)):
        status, _, errors = call("predict", model, photo, "--out", tmp_path / "poses", *words)
        assert status == 0, errors
    assert "early exit needs one bound" in refused("predict", model, photo, "--out", tmp_path / "x", "--sure", -1)
