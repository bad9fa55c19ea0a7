"""`sandglass data pack`: what it writes is trained on without the photographs."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from sandglass.data.pack import open_pack

SMALL = ("--size", 64, 64, "--channels", 8, "--batch", 4, "--threads", 1, "--workers", 1, "--device", "cpu")


def test_packed_and_trained_on(call: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "people.pack"
    status, told, _ = call("data", "pack", f"{folder}@train:2", f"{folder}@val", "--out", pack, "--size", 64, 64)
    assert status == 0 and f"8 people in cuts of 96x96, raw, 0.00 GB; train on it with --data {pack}" in told
    shutil.rmtree(folder / "train")
    status, told, errors = call(
        "train", "swift", "--data", f"{pack}:0.5", "--out", tmp_path / "run", "--steps", 2, *SMALL
    )
    assert status == 0, errors
    assert f"{pack}: 8 people, raw, of set@train, set@val" in told and "7 examples" in told  # 5 x 1 + 3 x 0.5, rounded


def test_a_pack_for_another_recipe_names_the_command_that_works(
    call: Callable[..., tuple[int, str, str]], refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    pack = tmp_path / "people.pack"
    assert call("data", "pack", f"{folder}@train", "--out", pack, "--recipe", "classic", "--encoding", "jpeg")[0] == 0
    assert open_pack(pack).info.crop.padding == 1.3
    words = ("train", "swift", "--data", pack, "--out", tmp_path / "run", "--steps", 1, *SMALL)
    error = refused(*words)
    assert "--size 256 256, not 64 64 and model.padding 1.3, not 1.1 as this run needs" in error
    assert not (tmp_path / "run").exists()
    cure = shlex.split(error.partition("pack again: sandglass ")[2])
    assert call(*cure)[0] == 0
    status, _, errors = call(*words)
    assert status == 0, errors


def test_refused(refused: Callable[..., str], folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "people.pack"
    assert "no data set is named" in refused("data", "pack", "--out", pack)
    assert "ends in .pack" in refused("data", "pack", f"{folder}@train", "--out", tmp_path / "people.bin")
    assert "names no split" in refused("data", "pack", folder, "--out", pack)
    assert "recipe 'none' is not known" in refused("data", "pack", f"{folder}@train", "--out", pack, "--recipe", "none")
    assert not pack.exists()


def test_a_pack_that_is_there_is_kept_unless_replaced(
    call: Callable[..., tuple[int, str, str]], refused: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    pack = tmp_path / "people.pack"
    words = ("--out", pack, "--size", 64, 64)
    assert call("data", "pack", f"{folder}@train", *words)[0] == 0
    before = pack.read_bytes()
    line = refused("data", "pack", f"{folder}@val", *words)
    assert f"{pack}: is there already; train on it, give --replace, or choose another --out" in line
    assert pack.read_bytes() == before
    assert call("data", "pack", f"{folder}@val", *words, "--replace")[0] == 0
    assert len(open_pack(pack).ids) == 3


def test_unreadable_photographs_are_told(
    call: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    (folder / "train" / "000002.png").write_bytes(b"no picture")
    status, told, _ = call("data", "pack", f"{folder}@train", "--out", tmp_path / "a.pack", "--size", 64, 64)
    assert status == 0
    assert "1 people left out, 1 photographs that cannot be read (the first: " in told and "4 people in cuts" in told
