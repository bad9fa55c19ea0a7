"""Photographs: every kind of file becomes upright RGB or one line of refusal; cutting obeys the half-pixel law."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from sandglass.core import geometry
from sandglass.core.errors import BadInput
from sandglass.core.files import MAX_BYTES
from sandglass.core.image import decode_image, read_image, warp, write_image

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (24, 40, 3), np.uint8)  # 40 wide, 24 high
SMOOTH = np.asarray(
    cv2.resize(RNG.integers(0, 256, (4, 6, 3), np.uint8), (480, 320), interpolation=cv2.INTER_CUBIC), np.uint8
)


def encoded(picture, kind, **options):
    if isinstance(picture, np.ndarray):
        picture = Pillow.fromarray(picture)
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def oriented(orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif


def png_header(width, height):
    """A PNG that claims a size and holds nothing."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# What each EXIF orientation asks the reader to do with the stored picture, as the standard words it:
# where the stored first row and first column lie in the upright one.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_orientation_is_turned_upright(kind, orientation):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(SMOOTH, kind, exif=oriented(orientation), **options)
    got = decode_image(data, "photo")
    want = UPRIGHT[orientation](SMOOTH)
    assert got.shape == want.shape and got.flags.c_contiguous
    assert np.abs(got.astype(int) - want).max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_recorded_size_decides_whether_the_picture_is_turned(orientation):
    data = encoded(PICTURE, "PNG", exif=oriented(orientation))
    np.testing.assert_array_equal(decode_image(data, "photo", (40, 24)), PICTURE)  # as stored: COCO's way
    if orientation >= 5:
        np.testing.assert_array_equal(decode_image(data, "photo", (24, 40)), UPRIGHT[orientation](PICTURE))
    else:
        with pytest.raises(BadInput, match="photo: the picture is 40x24 pixels but its annotations say 24x40"):
            decode_image(data, "photo", (24, 40))
    with pytest.raises(BadInput, match="annotations say 41x24"):
        decode_image(data, "photo", (41, 24))


def test_every_mode_becomes_rgb():
    grey = PICTURE[..., 0]
    three = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(decode_image(encoded(grey, "PNG"), "grey"), three)
    np.testing.assert_array_equal(decode_image(encoded(Pillow.fromarray(grey > 127), "PNG"), "1"), (three > 127) * 255)
    deep = grey.astype(np.uint16) * 257
    ok, sixteen = cv2.imencode(".png", deep)
    assert ok
    np.testing.assert_array_equal(decode_image(sixteen.tobytes(), "16 bit"), three)
    ok, sixteen = cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)
    assert ok
    np.testing.assert_array_equal(decode_image(sixteen.tobytes(), "16 bit RGB"), PICTURE)
    palette = Pillow.fromarray(PICTURE).quantize(32)
    np.testing.assert_array_equal(decode_image(encoded(palette, "PNG"), "palette"), np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(decode_image(encoded(PICTURE, "BMP"), "BMP"), PICTURE)
    cmyk = Pillow.fromarray(SMOOTH).convert("CMYK")
    got = decode_image(encoded(cmyk, "JPEG", quality=100, subsampling=0), "CMYK")
    assert np.abs(got.astype(int) - SMOOTH).mean() < 2


def test_transparency_lies_over_black():
    alpha = RNG.integers(0, 256, PICTURE.shape[:2], np.uint8)
    alpha[:8], alpha[8:16] = 0, 255
    want = PICTURE * (alpha[..., None] / 255)
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        got = decode_image(encoded(np.dstack([PICTURE, alpha]), kind, **options), kind)
        assert np.abs(got - want).max() <= 1, kind
    grey = decode_image(encoded(np.dstack([PICTURE[..., 0], alpha]), "PNG"), "LA")
    assert np.abs(grey - want[..., :1]).max() <= 1
    palette = Pillow.fromarray(np.where(alpha == 0, 0, 1).astype(np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    got = decode_image(encoded(palette, "PNG", transparency=0), "P")
    np.testing.assert_array_equal(got, np.where(alpha[..., None] == 0, 0, [0, 255, 0]))
    turned = decode_image(encoded(np.dstack([PICTURE, alpha]), "PNG", exif=oriented(6)), "turned")
    assert np.abs(turned - UPRIGHT[6](want)).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_is_refused(kind, share, tmp_path):
    data = encoded(SMOOTH, kind)
    path = tmp_path / "half.bin"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadInput, match=r"half\.bin: .*(truncated|not a picture).*fetch or export it again"):
        read_image(path)


def with_thumbnail(data):
    """The JPEG with another whole one inside its header, as cameras write them."""
    thumbnail = encoded(SMOOTH[:40, :40], "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + data[2:]


def test_a_thumbnail_does_not_hide_that_the_photograph_is_truncated():
    data = with_thumbnail(encoded(SMOOTH, "JPEG"))
    assert decode_image(data, "whole").shape == SMOOTH.shape
    with pytest.raises(BadInput, match="truncated"):
        decode_image(data[: -len(data) // 4], "half")


def test_what_a_camera_appends_does_no_harm():
    """Motion photographs carry megabytes of film behind the picture."""
    for kind in ("JPEG", "PNG"):
        data = encoded(SMOOTH, kind) + bytes(200_000)
        assert decode_image(data, kind).shape == SMOOTH.shape


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(50_000, 50_000))
    with pytest.raises(BadInput, match=r"bomb\.png: (50000x50000 pixels is more than|not a picture)"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .*No such file.*check the path"),
        (b"", "is empty; fetch or export it again"),
        (b"\x00" * 100, "not a picture"),
        (b"%PDF-1.7 and so on", "not a picture"),
        (b"\xff\xd8\xff\xe0 broken from the start \xff\xd9", "not a picture|cannot be decoded"),
        (png_header(30, 30), "cannot be decoded|not a picture"),
        (b"GIF89a", "not a picture"),
    ],
)
def test_what_is_no_photograph_is_refused_by_name(content, message, tmp_path):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_kind_of_picture_is_not_written(tmp_path):
    with pytest.raises(BadInput, match=r"cannot write this kind of picture; use \.png or \.jpg"):
        write_image(tmp_path / "a.xyz", PICTURE)
    with pytest.raises(BadInput, match="cannot write this kind of picture"):
        write_image(tmp_path / "a", PICTURE)
    assert not list(tmp_path.iterdir())


def test_a_folder_and_a_giant_are_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_image(tmp_path)
    giant = tmp_path / "giant.jpg"
    with giant.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadInput, match="larger than 256 MiB"):
        read_image(giant)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("seed", range(40))
def test_mangled_bytes_never_cause_a_traceback(seed):
    rng = np.random.default_rng(seed)
    kind = ("JPEG", "PNG", "WEBP", "TIFF")[seed % 4]
    data = np.frombuffer(encoded(SMOOTH[:60, :80], kind, exif=oriented(6)), np.uint8).copy()
    at = rng.integers(0, min(len(data), 400), 12)
    data[at] = rng.integers(0, 256, len(at))
    try:
        photo = decode_image(data.tobytes(), "mangled")
    except BadInput as error:
        assert str(error).startswith("mangled: ")  # noqa: PT017
    else:
        assert photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3


# Writing.


def test_written_pictures_come_back(tmp_path):
    write_image(tmp_path / "deep" / "er" / "a.png", PICTURE)
    np.testing.assert_array_equal(read_image(tmp_path / "deep" / "er" / "a.png"), PICTURE)
    write_image(tmp_path / "a.JPG", SMOOTH, quality=95)
    assert np.abs(read_image(tmp_path / "a.JPG").astype(int) - SMOOTH).mean() < 2


# Cutting.


@pytest.mark.parametrize(("scale", "angle", "flip"), [(0.37, 0.0, 1), (1.0, 0.4, -1), (1.3, -1.1, 1), (1.95, 2.0, -1)])
def test_cutting_is_bilinear(scale, angle, flip, slow_bilinear):
    turn = scale * np.array([[np.cos(angle) * flip, -np.sin(angle)], [np.sin(angle) * flip, np.cos(angle)]])
    middle = np.array([20.3, 11.8])
    matrix = np.concatenate([turn, (middle - turn @ (8, 7))[:, None]], 1)
    want = slow_bilinear(PICTURE, matrix, (16, 14))
    assert np.abs(warp(PICTURE, matrix, (16, 14)) - want).max() <= 0.51  # rounding to whole grey levels, no more


def test_the_identity_is_the_photograph_bit_for_bit():
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(warp(PICTURE, identity, (40, 24)), PICTURE)
    moved = warp(PICTURE, np.array([[1.0, 0, 5], [0, 1, 3]]), (20, 10))
    np.testing.assert_array_equal(moved, PICTURE[3:13, 5:25])
    mirrored = warp(PICTURE, np.array([[-1.0, 0, 40], [0, 1, 0]]), (40, 24))  # x' = W - x, nothing else
    np.testing.assert_array_equal(mirrored, PICTURE[:, ::-1])


def test_an_enlarged_ramp_is_exact():
    ramp = np.tile((np.arange(60, dtype=np.uint8) * 4)[None, :, None], (20, 1, 3))
    big = warp(ramp, np.array([[0.5, 0, 0], [0, 0.5, 0]]), (120, 40))
    centres = (np.arange(120) + 0.5) / 2  # of the crop's pixels, in the photograph
    want = 4 * (centres - 0.5)  # the ramp there
    np.testing.assert_array_equal(big[10:30, 1:-1, 0], np.tile(want[1:-1], (20, 1)))


@pytest.mark.parametrize("factor", [1.0, 1.7, 2.0, 2.6, 3.0, 4.9, 8.0, 13.3])
def test_a_blob_stays_where_it_is(factor):
    """Also where the photograph is averaged down first; and away from the corner, where blocks are ragged."""
    x, y = np.arange(801) + 0.5, np.arange(603) + 0.5
    for centre in (np.array([403.37, 301.72]), np.array([640.1, 470.4])):
        hat = np.maximum(0, 1 - np.hypot(x - centre[0], y[:, None] - centre[1]) / (12 + 8 * factor))
        photo = np.repeat((hat * 255).round().astype(np.uint8)[..., None], 3, 2)
        size = (int(400 / factor), int(300 / factor))
        corner = centre - factor * np.array(size) * (0.47, 0.5)
        matrix = np.array([[factor, 0, corner[0]], [0, factor, corner[1]]])
        crop = warp(photo, matrix, size)[..., 0].astype(float)
        rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
        found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
        assert np.abs(found - geometry.apply(geometry.invert(matrix), centre)).max() < 0.02


def test_averaging_counts_every_pixel():
    """A chessboard of single pixels, four times smaller, is grey; four pixels in sixteen is what sampling would see."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    crop = warp(np.repeat(board[..., None], 3, 2), np.array([[4.0, 0, 0], [0, 4, 0]]), (16, 16))
    assert crop.min() >= 127 and crop.max() <= 128
    # 2.5 times smaller the averaged picture is resampled once more: still grey inside.
    crop = warp(np.repeat(board[..., None], 3, 2), np.array([[2.5, 0, 1], [0, 2.5, 2]]), (20, 20))
    assert crop.min() >= 127 and crop.max() <= 128


@pytest.mark.parametrize("factor", [1.3, 2.4, 3.7])
def test_a_wider_crop_shows_the_same_pixels(factor):
    """Training cuts a margin around the crop that evaluation sees; both must look at the same photograph."""
    photo = RNG.integers(0, 256, (300, 300, 3), np.uint8)
    crop = warp(photo, np.array([[factor, 0, 61.7], [0, factor, 43.1]]), (32, 32))
    wide = warp(photo, np.array([[factor, 0, 61.7 - 8 * factor], [0, factor, 43.1 - 8 * factor]]), (48, 48))
    assert np.abs(wide[8:40, 8:40].astype(int) - crop).max() <= 1


def test_black_where_the_photograph_has_ended():
    white = np.full((50, 50, 3), 255, np.uint8)
    for factor in (1.0, 3.0):
        crop = warp(white, np.array([[factor, 0, -10 * factor], [0, factor, -10 * factor]]), (80, 80))
        assert not crop[:9].any() and not crop[:, :9].any()
        assert not crop[int(10 + 50 / factor) + 1 :].any() and not crop[:, int(10 + 50 / factor) + 1 :].any()
        assert (crop[11 : int(9 + 49 // factor), 11 : int(9 + 49 // factor)] == 255).all()
        assert not warp(white, np.array([[factor, 0, 900], [0, factor, 900]]), (20, 20)).any()


def test_a_panorama_is_cut_at_its_far_end():
    """Wider than a signed 16-bit number counts."""
    wide = np.zeros((40, 40_000, 3), np.uint8)
    wide[:, 39_000:39_010] = 255
    crop = warp(wide, np.array([[1.0, 0, 38_990], [0, 1, 0]]), (40, 40))
    assert np.flatnonzero(crop[20, :, 0]).tolist() == list(range(10, 20))
