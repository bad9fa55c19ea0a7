"""MATLAB files as SciPy writes them, read as SciPy reads them; and files that lie, refused before they do harm."""

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.data import matlab
from sandglass.data.matlab import MatFile

scipy = pytest.importorskip("scipy.io")


def saved(path: Path, packed: bool = True, **variables: Any) -> Path:
    scipy.savemat(path, variables, do_compression=packed)
    return path


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_numbers_come_back_in_their_shape(kind: str, packed: bool, tmp_path: Path) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    path = saved(tmp_path / "a.mat", packed, other=np.ones(3), x=values)
    file = MatFile(path, "x")
    np.testing.assert_array_equal(file.numbers(file.root), scipy.loadmat(path)["x"])


def test_structs_cells_and_texts_come_back(as_matlab: Any, tmp_path: Path) -> None:
    cells = np.empty((2, 1), object)
    cells[:, 0] = [np.array([[1.0, 2.0]]), "Grüße"]
    full, bare = {"name": "a.jpg", "some": cells, "none": []}, {"name": "", "some": np.empty((0, 0), object), "none": 7}
    rows = as_matlab([full, bare])
    file = MatFile(saved(tmp_path / "a.mat", x=rows), "x")
    first, second = file.rows(file.root)
    assert file.text(first["name"]) == "a.jpg" and file.text(second["name"]) == ""
    numbers, text = file.cells(first["some"])
    assert (
        file.numbers(numbers).tolist() == [[1, 2]] and file.text(text) == "Grüße" and file.cells(second["some"]) == []
    )
    assert file.rows(first["none"]) == [] and np.isnan(file.number(first["none"])) and file.number(second["none"]) == 7


def test_a_number_may_be_a_text_or_missing(as_matlab: Any, tmp_path: Path) -> None:
    file = MatFile(saved(tmp_path / "a.mat", x=as_matlab({"a": "1", "b": 2.5, "c": np.uint8(3), "d": "x"})), "x")
    [row] = file.rows(file.root)
    assert [file.number(row[name]) for name in "abc"] == [1, 2.5, 3] and np.isnan(file.number(None))
    with pytest.raises(BadInput, match="'x' where a number is needed"):
        file.number(row["d"])


@pytest.mark.parametrize("value", [0, 255, 256, -1, 2**40, 0.5, -1e300, np.float32(0.1), True])
def test_a_number_is_what_the_slow_way_reads(as_matlab: Any, value: Any, tmp_path: Path) -> None:
    file = MatFile(saved(tmp_path / "a.mat", x=as_matlab({"a": value})), "x")
    span = file.rows(file.root)[0]["a"]
    assert file.number(span) == file.numbers(span).item() == value


def test_what_is_asked_for_must_be_there(as_matlab: Any, tmp_path: Path) -> None:
    file = MatFile(saved(tmp_path / "a.mat", x=as_matlab({"a": "1"})), "x")
    with pytest.raises(BadInput, match="it has no `y`"):
        MatFile(file.path, "y")
    for ask in (file.numbers, file.text, file.cells):
        with pytest.raises(BadInput, match="needed"):
            ask(file.root)
    with pytest.raises(BadInput, match="no struct where one is needed"):
        file.rows(file.rows(file.root)[0]["a"])


# Files that lie.


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def array(kind: int, shape: tuple[int, ...], content: bytes = b"", name: bytes = b"") -> bytes:
    dims = struct.pack(f"<{len(shape)}i", *shape)
    return element(14, element(6, struct.pack("<II", kind, 0)) + element(5, dims) + element(1, name) + content)


def written(path: Path, *variables: bytes) -> Path:
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + b"".join(variables))
    return path


def test_the_writer_of_these_tests_writes_what_scipy_reads(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", array(6, (1, 2), element(9, np.array([1.5, 2]).tobytes()), b"x"))
    assert scipy.loadmat(path)["x"].tolist() == [[1.5, 2]]
    file = MatFile(path, "x")
    assert file.numbers(file.root).tolist() == [[1.5, 2]]


@pytest.mark.parametrize("kind", [1, 2, 4, 6])
def test_sizes_that_the_bytes_do_not_fill_take_no_memory(kind: int, tmp_path: Path) -> None:
    names = element(5, struct.pack("<i", 2)) + element(1, b"a\0") if kind == 2 else b""
    file = MatFile(written(tmp_path / "a.mat", array(kind, (2**30, 2**30), names, b"x")), "x")
    ask = {1: file.cells, 2: file.rows, 4: file.text, 6: file.numbers}[kind]
    with pytest.raises(BadInput, match=r"a\.mat: not a MATLAB file that can be read .*(too early|than it says)"):
        ask(file.root)


def test_structs_without_fields_are_not_counted(tmp_path: Path) -> None:
    names = element(5, struct.pack("<i", 2)) + element(1, b"")
    file = MatFile(written(tmp_path / "a.mat", array(2, (2**30, 2**30), names, b"x")), "x")
    with pytest.raises(BadInput, match="without fields"):
        file.rows(file.root)


def test_nesting_of_any_depth_does_no_harm(tmp_path: Path) -> None:
    inner = b""
    for _ in range(2_000):
        inner = array(1, (1, 1), inner)
    file = MatFile(written(tmp_path / "a.mat", array(1, (1, 1), inner, b"x")), "x")
    span, depth = file.root, 0
    while cells := file.cells(span):
        span, depth = cells[0], depth + 1
        if depth == 2_000:
            break
    assert depth == 2_000


def test_a_variable_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "MAX_UNPACKED", 10**6)
    whole = array(6, (1, 10**6), element(9, bytes(8 * 10**6)), b"x")
    path = written(tmp_path / "a.mat", element(15, zlib.compress(whole)))
    assert path.stat().st_size < 10**5
    with pytest.raises(BadInput, match="unpacks to more than"):
        MatFile(path, "x")


def test_a_file_cut_off_or_changed_anywhere_is_refused_or_read(as_matlab: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mat", False, x=as_matlab({"a": "abc", "b": np.arange(9.0), "c": {"d": 1}}))
    good, rng = path.read_bytes(), np.random.default_rng(0)

    def everything() -> None:
        file = MatFile(path, "x")
        for row in file.rows(file.root):
            for ask in (file.text, file.numbers, file.number, file.cells, file.rows):
                for span in row.values():
                    with suppress(BadInput):
                        ask(span)

    everything()
    for _ in range(500):
        spoilt = bytearray(good[: rng.integers(100, len(good))] if rng.random() < 0.3 else good)
        for at in rng.integers(0, len(spoilt), rng.integers(0, 4)):
            spoilt[at] = rng.integers(0, 256)
        path.write_bytes(spoilt)
        with suppress(BadInput):
            everything()


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mat"
    for content in (
        b"no matlab file",
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM",
        b"MATLAB 5.0".ljust(124) + b"\1\0MI",
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="save it with -v7"):
            MatFile(path, "x")
    written(path, element(15, b"no zlib stream"))
    with pytest.raises(BadInput, match="compressed data are broken"):
        MatFile(path, "x")
    monkeypatch.setattr(matlab, "MAX_BYTES", 10)
    with pytest.raises(BadInput, match="larger than"):
        MatFile(path, "x")
