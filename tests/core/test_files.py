"""Files: whole or absent, within a bound, and a line that says where nothing can be written."""

import os
from pathlib import Path

import pytest

from sandglass.core.errors import BadInput
from sandglass.core.files import MAX_BYTES, check_writable, read_bytes, replacing, write_whole


def test_a_file_is_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, "old")

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadInput, match=r"a\.json: cannot be written \(No space left on device\)"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_written_is_said(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (file / "a.json", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(BadInput, match="cannot be written") as caught:
            write_whole(path, "text")
        assert str(path) in str(caught.value)
    assert sorted(tmp_path.iterdir()) == [file]


def test_an_empty_file_and_a_giant_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="the file is empty"):
        read_bytes(path)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadInput, match="larger than 256 MiB"):
        read_bytes(path)


def test_a_folder_is_tried_before_work_is_put_in_it_and_no_trace_is_left(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"cannot be written \(.*file is a file\)"):
        check_writable(tmp_path / "file" / "out")


def test_a_long_file_takes_its_name_only_when_all_went_well(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as beside:
        beside.write_text("one")
        assert not path.exists() and beside.parent == path.parent
    with pytest.raises(KeyError), replacing(path) as beside:  # noqa: PT012 - it must fail half way
        beside.write_text("two")
        raise KeyError
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]
    with pytest.raises(BadInput, match="cannot be written"), replacing(path / "b.txt"):
        pass


def test_what_a_killed_process_left_is_written_over_where_nobody_else_writes(tmp_path):
    path = tmp_path / "a.txt"
    (tmp_path / ".a.txt.part").write_text("a long text that was left")
    with replacing(path, sync=True, alone=True) as beside:
        beside.write_text("one")
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_data_are_on_the_disk_before_they_have_the_name(tmp_path, monkeypatch):
    path, done = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda number: done.append(("sync", path.exists(), os.fstat(number).st_size)))
    write_whole(path, "four", sync=True)
    assert done == [("sync", False, 4)]
    write_whole(path, "four")
    assert len(done) == 1
