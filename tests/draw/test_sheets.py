"""Laws of contact sheets."""

import numpy as np
import pytest

from sandglass.draw import sheets


def tile(value, height=60, width=80):
    return np.full((height, width, 3), value, np.uint8)


def test_tiles_stand_whole_and_untouched_row_by_row():
    tiles = [tile(v) for v in (10, 60, 110, 160, 210)]
    sheet = sheets.gallery(tiles, 3)
    g = sheets.GAP
    assert sheet.shape == (g + 2 * (60 + g), g + 3 * (80 + g), 3)
    for i, one in enumerate(tiles):
        x, y = g + i % 3 * (80 + g), g + i // 3 * (60 + g)
        assert (sheet[y : y + 60, x : x + 80] == one).all()
    assert (sheet[-g - 60 :, -g - 80 :] == sheets.PAPER).all()  # the sixth cell is empty


def test_captions_never_run_into_the_next_tile():
    sheet = sheets.gallery([tile(0)] * 2, 2, ["W" * 200, ""])
    below = sheet[sheets.GAP + 60 :]
    assert (below[:, 80 + sheets.GAP :] == sheets.PAPER).all()
    assert (below[:, : 80 + sheets.GAP] != sheets.PAPER).any()


def test_tiles_of_other_shapes_keep_their_aspect():
    placed = sheets.place(tile(255, 40, 20), (80, 60))
    inside = (placed == 255).all(-1)
    assert (inside.any(0).sum(), inside.any(1).sum()) == (30, 60)


def test_text_is_shortened_to_its_width():
    assert sheets.fit("short", 400, 12) == "short"
    cut = sheets.fit("left_shoulder_of_somebody", 60, 12)
    assert cut.endswith("…")
    assert sheets.text_width(cut, 12) <= 60
    assert sheets.fit("anything", 0, 12) == "…"


def test_no_file_name_breaks_the_writing():
    for name in ("", "a\tb\x00c", "\udcff.jpg", "照片 façade Ωμ", "<script>"):
        image = tile(0, 40, 300)
        sheets.write(image, name, (5, 25), 14)
        assert image.any() == bool(name)


def test_a_sheet_needs_tiles_and_a_caption_for_each():
    for tiles, columns, captions in (([], 2, None), ([tile(0)], 0, None), ([tile(0)], 1, ["a", "b"])):
        with pytest.raises(ValueError, match="caption"):
            sheets.gallery(tiles, columns, captions)


def test_a_pair_shows_both():
    sheet = sheets.pair(tile(10), tile(200))
    assert (sheet == 10).any()
    assert (sheet == 200).any()
