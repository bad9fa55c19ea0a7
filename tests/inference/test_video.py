"""Videos in and out, by OpenCV and by PyAV: every frame, its time, its turn; what is no video is refused."""

import os
import socket
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.core.files import replacing
from sandglass.inference import video_av, video_cv
from sandglass.inference.frames import Frame, Sounds
from sandglass.inference.recording import cut_short
from sandglass.inference.video import check_target, open_video, open_writer
from sandglass.inference.video_cv import Webcam

COUNT = 40
TABLE = b"moov", b"trak", b"mdia", b"minf", b"stbl"  # where an MP4 describes its samples


def picture(i, size=(96, 64)):
    """A white square on grey that moves right by 2 pixels a frame, in the upper left."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    image[4:20, 2 * i : 2 * i + 16] = 255
    return image


def number_of(image):
    """Which picture this is."""
    return round(float(np.flatnonzero(image[12].mean(-1) > 158)[0]) / 2)


class Drawn:
    """Frames that come from no file: picture i at the i-th of `times`, in seconds."""

    path: Path | None = None
    aspect, time_base, total = Fraction(1), Fraction(1, 90000), 0
    sounds: Sounds = ()

    def __init__(self, times, rate=Fraction(30), size=(96, 64)):
        self.times, self.rate, self.size = times, rate, size

    def frames(self, on_sound=None):
        for i, time in enumerate(self.times):
            yield Frame(picture(i, self.size), round(time * 90000), time)


@pytest.fixture
def film(tmp_path, write_film):
    return write_film(tmp_path / "in.mp4", [picture(i) for i in range(COUNT)])


def edited(data, way, change):
    """An MP4 in which `change` has been made to the content of the box at the end of `way`, whatever its new length."""
    out, at = b"", 0
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content = data[at + 8 : at + size]
        if name == way[0]:
            content = change(content) if len(way) == 1 else edited(content, way[1:], change)
        out += (len(content) + 8).to_bytes(4, "big") + name + content
        at += size
    return out


def edit(path, way, change):
    path.write_bytes(edited(path.read_bytes(), way, change))


def retime(path, steps):
    """Gives each frame its own time to stand, in frames; their sum must stay."""
    assert sum(steps) == len(steps)

    def change(content):
        tick = int.from_bytes(content[12:16], "big")
        entries = b"".join((1).to_bytes(4, "big") + int(step * tick).to_bytes(4, "big") for step in steps)
        return content[:4] + len(steps).to_bytes(4, "big") + entries

    edit(path, (*TABLE, b"stts"), change)


def turn(path, a, b, c, d):
    """The matrix by which a player turns the picture, as a phone writes it."""
    matrix = b"".join((v << 16).to_bytes(4, "big", signed=True) for v in (a, b, 0, c, d, 0, 0, 0, 1 << 14))
    edit(path, (b"moov", b"trak", b"tkhd"), lambda content: content[:40] + matrix + content[76:])


def stretch(path, horizontal, vertical):
    """Pixels that are not square."""
    ratio = (16).to_bytes(4, "big") + b"pasp" + horizontal.to_bytes(4, "big") + vertical.to_bytes(4, "big")

    def change(content):  # the samples' description: 8 bytes, then a box of its own kind
        return content[:8] + (len(content) - 8 + 16).to_bytes(4, "big") + content[12:] + ratio

    edit(path, (*TABLE, b"stsd"), change)


def copy(source, out):
    with replacing(out) as beside, open_writer(beside, out, source) as writer:
        for frame in source.frames(writer.sound):
            writer.add(frame.image, frame.pts)
        writer.finish()


def test_frames_come_once_each_with_their_times(film, backend):
    source = open_video(film)
    assert (source.size, source.total, source.rate, source.aspect) == ((96, 64), COUNT, 30, 1)
    frames = list(source.frames())
    assert [frame.time for frame in frames] == pytest.approx([i / 30 for i in range(COUNT)], abs=1e-6)
    assert [frame.time for frame in frames] == pytest.approx([float(f.pts * source.time_base) for f in frames])
    for i, frame in enumerate(frames):
        bright = np.flatnonzero(frame.image[12].mean(-1) > 158)
        assert frame.image.shape == (64, 96, 3) and abs(bright[0] - 2 * i) <= 1 and abs(len(bright) - 16) <= 2


def test_colours_come_in_the_order_red_green_blue(tmp_path, write_film, backend):
    film = write_film(tmp_path / "in.mp4", [np.full((64, 96, 3), (200, 120, 30), np.uint8)] * 3)
    copy(open_video(film), tmp_path / "out.mp4")
    for path in (film, tmp_path / "out.mp4"):
        first = next(open_video(path).frames()).image
        assert np.abs(first.reshape(-1, 3).mean(0) - (200, 120, 30)).max() < 10


def test_a_variable_frame_rate_is_read_as_it_is(film, backend):
    steps = [1, 0.5, 1.5, 1] * (COUNT // 4)
    retime(film, steps)
    times = np.cumsum([0, *steps[:-1]]) / 30
    assert [frame.time for frame in open_video(film).frames()] == pytest.approx(times, abs=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".M4V", ".webm"])
def test_what_is_written_shows_the_same_at_the_same_times(film, tmp_path, backend, suffix, capfd):
    out = tmp_path / f"out{suffix}"
    copy(open_video(film), out)
    before, after = list(open_video(film).frames()), list(open_video(out).frames())
    assert len(after) == COUNT and capfd.readouterr() == ("", "")
    shifts = [b.time - a.time for a, b in zip(before, after, strict=True)]
    assert np.abs(shifts).max() <= 0.0011  # Matroska counts milliseconds
    assert max(np.abs(a.image - b.image.astype(float)).mean() for a, b in zip(before, after, strict=True)) < 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", out.name]


@pytest.mark.parametrize(
    ("matrix", "size", "corner"),
    [
        ((0, 1, -1, 0), (64, 96), (2, 46)),  # as a phone that is held upright writes it
        ((-1, 0, 0, -1), (96, 64), (46, 82)),
        ((0, -1, 1, 0), (64, 96), (82, 6)),
    ],
)
def test_a_phones_video_is_turned_upright(film, tmp_path, backend, matrix, size, corner):
    turn(film, *matrix)
    source = open_video(film)
    assert source.size == size
    first = next(source.frames()).image
    assert first.shape == (size[1], size[0], 3)
    row, column = corner  # where the square, in the stored upper left, is shown
    bright = first.mean(-1) > 158
    assert bright[row : row + 12, column : column + 12].all() and bright.sum() < 300
    copy(open_video(film), tmp_path / "out.mp4")
    again = next(open_video(tmp_path / "out.mp4").frames()).image
    assert np.abs(again - first.astype(float)).mean() < 4


def test_pixels_that_are_not_square_are_told_and_stay_in_shape(film, tmp_path, backend):
    stretch(film, 4, 3)
    assert open_video(film).aspect == Fraction(4, 3)
    turn(film, 0, 1, -1, 0)
    source, out = open_video(film), tmp_path / "out.mp4"
    assert source.aspect == Fraction(3, 4) and source.size == (64, 96)
    copy(source, out)
    shown = open_video(out)
    assert shown.size[0] * shown.aspect / shown.size[1] == Fraction(64 * 3, 96 * 4)
    if backend == "OpenCV":
        assert shown.size == (64, 128)


def test_odd_sizes_are_kept_or_grow_by_a_pixel(tmp_path, backend):
    copy(Drawn([0, 0.04, 0.08], Fraction(25), (97, 65)), tmp_path / "out.mp4")
    again = open_video(tmp_path / "out.mp4")
    assert again.size == ((98, 66) if backend == "OpenCV" else (97, 65))
    image = next(again.frames()).image
    assert np.abs(image[:65, :97] - picture(0, (97, 65)).astype(float)).mean() < 4
    assert np.abs(image[-1] - 60.0).max() < 24 and np.abs(image[24:, -1] - 60.0).max() < 24  # no black border


def refused(path):
    """The line by which a video is refused, whenever that becomes clear."""
    with pytest.raises(BadInput) as error:
        list(open_video(path).frames())
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_what_is_no_video_is_refused(film, tmp_path, backend):
    assert "no such video" in refused(tmp_path / "missing.mp4")
    assert "no such video" in refused(tmp_path)
    data = film.read_bytes()
    spoilt = {
        "empty.mp4": b"",
        "text.mp4": b"not a video\n" * 100,
        "cut.mp4": data[: len(data) // 2],  # without the table at its end
        "page.webm": b"<!DOCTYPE html><html></html>",
        "head.mkv": b"\x1aE\xdf\xa3" + bytes(200),
        "stream.ts": (b"G" + bytes(187)) * 3,
    }
    for name, content in spoilt.items():
        (tmp_path / name).write_bytes(content)
        assert "cannot be read as a video" in refused(tmp_path / name) or "no video stream" in refused(tmp_path / name)


def listings(film):
    """Files that are no videos, but lists of them."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "hls": hls.format(film.name),
        "hls with a protocol": hls.format(f"file://{film}"),
        "concat": f"ffconcat version 1.0\nfile {film.name}\n",
        "concat, as a packet of a stream": f"ffconcat version 1.0\nfile {film.name}\n#".ljust(188, ".") + "G" * 10,
    }


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".ts"])
def test_a_list_of_files_is_not_followed(film, tmp_path, backend, suffix):
    for name, text in listings(film).items():
        listing = tmp_path / f"{name}{suffix}"
        listing.write_text(text)
        assert "cannot be read as a video" in refused(listing)


def test_opencv_as_it_is_would_follow_a_list(film, tmp_path):
    """If this fails, the test above proves less."""
    listing = tmp_path / "list.mp4"
    listing.write_text(listings(film)["concat"])
    assert cv2.VideoCapture(str(listing), cv2.CAP_FFMPEG).isOpened()


def test_the_whitelist_holds_where_a_list_looks_like_a_video(film, tmp_path, monkeypatch):
    monkeypatch.setattr(video_cv, "_kind", lambda head: "mov")
    listing = tmp_path / "list.mp4"
    for text in listings(film).values():
        listing.write_text(text)
        with pytest.raises(BadInput, match="cannot be read as a video"):
            video_cv.VideoFile(listing)


def test_the_network_is_not_reached_for(tmp_path, backend):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/film.ts"
        listing = tmp_path / "list.mp4"
        listing.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n")
        assert "cannot be read as a video" in refused(listing)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_environment_is_as_it_was(film, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "mine;1")
    before = dict(os.environ)
    copy(video_cv.VideoFile(film), tmp_path / "out.mkv")
    assert dict(os.environ) == before


def test_a_huge_frame_is_refused_before_it_is_decoded(film, monkeypatch, backend):
    monkeypatch.setattr(video_cv if backend == "OpenCV" else video_av, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(BadInput, match="96x64 pixels are too many"):
        open_video(film)


def test_what_is_broken_in_the_middle_is_told(film, backend):
    data = bytearray(film.read_bytes())
    begin = data.index(b"mdat") + 4
    length = int.from_bytes(data[begin - 8 : begin - 4], "big") - 8
    data[begin + length // 2 : begin + length // 2 + length // 8] = bytes(length // 8)
    film.write_bytes(data)
    told = refused(film)
    assert "broken after 0." in told and "copy it again, or cut it there" in told


def test_what_was_cut_off_is_told_in_seconds(tmp_path, write_film, backend):
    whole = write_film(tmp_path / "in.mkv", [picture(i % COUNT) for i in range(300)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for path, told in ((whole, "None"), (cut, "cut.mkv: announces 10 s of video and ends after {:.1f} s; is it cut")):
        source = open_video(path)
        last = [frame.time for frame in source.frames()][-1]
        assert told.format(last) in str(cut_short(source, last))


def test_mutated_files_give_frames_or_one_line(film, tmp_path, backend):
    rng, data = np.random.default_rng(5), np.frombuffer(film.read_bytes(), np.uint8)
    table = film.read_bytes().index(b"moov")
    for i in range(60):
        spoilt = data.copy()
        where = rng.integers(table if i % 2 else 0, len(data), rng.integers(1, 12))  # the table is the smaller part
        spoilt[where] = rng.integers(0, 256, len(where))
        path = tmp_path / "spoilt.mp4"
        path.write_bytes(spoilt.tobytes())
        try:
            times = [frame.time for frame, _ in zip(open_video(path).frames(), range(2 * COUNT), strict=False)]
        except BadInput:
            continue
        assert all(a < b for a, b in pairwise(times))


def test_targets_that_cannot_be_written_are_refused(film, tmp_path, backend):
    source = open_video(film)
    with pytest.raises(BadInput, match=r"unknown kind of video; it must end in \.mp4"):
        check_target(tmp_path / "out.gif", source)
    with pytest.raises(BadInput, match="would replace the video that is read"):
        check_target(film, source)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        check_target(tmp_path / "folder.mp4", source)
    with pytest.raises(BadInput, match="cannot be written"):
        check_target(film / "out.mp4", source)
    check_target(tmp_path / "out.mkv", source)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.mp4", "in.mp4"]


def broken_off(frames):
    """Frames, then a failure."""

    def some(on_sound=None):
        for frame in frames(on_sound):
            yield frame
            if frame.time > 0.5:
                raise RuntimeError("half way")

    return some


def test_an_error_on_the_way_leaves_what_was_there(film, tmp_path, backend):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"what was there before")
    source = open_video(film)
    source.frames = broken_off(source.frames)
    with pytest.raises(RuntimeError, match="half way"):
        copy(source, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    assert out.read_bytes() == b"what was there before"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_disk_that_is_full_is_told(write_film, tmp_path, suffix, backend):
    resource = pytest.importorskip("resource", reason="bounds on a file's size are Unix's")
    before, out = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / f"out{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (COUNT, 64, 96, 3), np.uint8)
    source = open_video(write_film(tmp_path / "in.mp4", noise))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(BadInput, match=rf"out{suffix}: cannot be written"):
            copy(source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def moments_shown(times, rate, out, monkeypatch):
    """Which picture each frame of the video shows that OpenCV made of `Drawn(times)`."""
    monkeypatch.setattr(video_av, "installed", lambda: False)
    copy(Drawn(times, rate), out)
    return [number_of(frame.image) for frame in open_video(out).frames()]


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(24000, 1001), Fraction(50)])
def test_opencvs_one_rate_shows_each_picture_at_its_time(tmp_path, rate, monkeypatch):
    """At each moment the new video shows the picture that a player of the old one would, to half a frame."""
    rng = np.random.default_rng(round(rate))
    times = 7.5 + np.cumsum(rng.choice([0.004, 0.02, 1 / 30, 0.05, 0.11], COUNT))  # counted from the first frame
    shown = moments_shown(times, rate, tmp_path / "out.mp4", monkeypatch)
    since, half = times - times[0], 0.5 / rate + 1e-4
    assert len(shown) == round(since[-1] * float(rate)) + 1  # the duration, to half a frame
    for moment, number in enumerate(shown):
        now = moment / float(rate)
        assert since[number] <= now + half and (number + 1 == COUNT or since[number + 1] >= now - half)
    assert shown == sorted(shown) and len(set(shown)) > COUNT // 2


def test_even_times_give_each_frame_once(tmp_path, monkeypatch):
    times = np.arange(COUNT) / 30
    assert moments_shown(times.round(3), Fraction(30), tmp_path / "out.mp4", monkeypatch) == list(range(COUNT))
    assert moments_shown(times * 2, Fraction(30), tmp_path / "out.mp4", monkeypatch) == sorted(
        [*range(COUNT), *range(COUNT - 1)]
    )


def test_a_forged_time_does_not_fill_the_disk(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="one frame stands for 1000000 s, too long for OpenCV"):
        moments_shown([0, 1, 1_000_001], Fraction(30), tmp_path / "out.mp4", monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_opencv_refuses_what_it_cannot_write(film, tmp_path, monkeypatch, capfd):
    source = video_cv.VideoFile(film)
    monkeypatch.setitem(video_cv.CODECS, ".webm", "FFV1")
    with pytest.raises(BadInput, match=r"out\.webm: OpenCV cannot write it \(96x64\)"):
        video_cv.VideoWriter(tmp_path / ".part", tmp_path / "out.webm", source)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"] and capfd.readouterr() == ("", "")


def test_a_name_that_would_crash_opencv_is_refused(film, tmp_path):
    strange = tmp_path / os.fsdecode(b"strange\xff.mp4")
    try:
        film.rename(strange)
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(BadInput, match=r"strange.*no UTF-8"):
        video_cv.VideoFile(strange)


def test_times_always_grow(film, backend, monkeypatch):
    source = open_video(film)
    if backend == "PyAV":
        stamps = iter([0, 5, 5, 3, None, 9000])
        ticks = [source._tick(next(stamps), None)]  # type: ignore[attr-defined]
        for stamp in stamps:
            ticks.append(source._tick(stamp, ticks[-1]))  # type: ignore[attr-defined]
        assert ticks[:4] == [0, 5, 6, 7]
    else:

        class Times:
            stamps = iter([0, 5, 5, 3, 0, 9000])

            def get(self, _):
                return next(self.stamps) / 1000

        source.capture = Times()  # type: ignore[attr-defined]
        ticks = [source._tick(None)]  # type: ignore[attr-defined]
        for _ in range(5):
            ticks.append(source._tick(ticks[-1]))  # type: ignore[attr-defined]
        assert ticks == [0, 5, 6, 7, 7 + 33333, 7 + 33334]
    assert all(a < b for a, b in pairwise(ticks))


def test_no_gpl_encoder_is_asked_for():
    assert not {"libx264", "libx264rgb", "libx265", "libxvid"} & set(video_av.ENCODERS)
    assert set(video_cv.CODECS.values()) <= {"mp4v", "VP90"}
    assert video_av.CONTAINERS.keys() == video_cv.CODECS.keys()


class Camera:
    """What OpenCV would open: gives `count` pictures, then none, or the user's Ctrl-C."""

    def __init__(self, count, stop=None):
        self.left, self.stop, self.released = count, stop, False

    def isOpened(self):
        return self.left > 0

    def read(self):
        self.left -= 1
        if self.left < 0 and self.stop:
            raise self.stop
        return self.left >= 0, np.full((48, 64, 3), (255, 0, 0), np.uint8)  # blue, as OpenCV orders colours

    def get(self, _):
        return 0.0

    def release(self):
        self.released = True


@pytest.mark.parametrize("stop", [None, KeyboardInterrupt])
def test_a_webcam_gives_frames_until_it_ends_or_is_stopped(monkeypatch, stop):
    camera = Camera(6, stop)
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: camera)
    frames = list(Webcam(0).frames())
    assert len(frames) == 5 and camera.released  # the first told the size
    assert frames[0].image.shape == (48, 64, 3) and tuple(frames[0].image[0, 0]) == (0, 0, 255)
    assert all(a.pts < b.pts and a.time < b.time for a, b in pairwise(frames))


def test_a_webcam_stops_after_its_seconds(monkeypatch):
    now = iter(np.arange(0, 10, 0.1))
    monkeypatch.setattr(video_cv, "monotonic", lambda: next(now))
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Camera(100))
    assert [round(frame.time, 1) for frame in Webcam(0, 0.35).frames()] == [0.1, 0.2, 0.3]


def test_a_webcam_that_is_missing_is_refused(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Camera(0))
    with pytest.raises(BadInput, match="webcam 3 gives no picture"):
        Webcam(3)
