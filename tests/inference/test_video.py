"""Videos in and out: every frame, its time, its turn, the sound; what is no video is refused in one line."""

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.inference import video
from sandglass.inference.video import VideoFile, VideoWriter, Webcam, check_target

av = pytest.importorskip("av")

TICK = Fraction(1, 90000)
PTS = np.cumsum([0, *[3000, 1500, 6000] * 8]).tolist()  # a variable frame rate
CLOCKWISE = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]  # as a phone that is held upright writes it


def picture(i, size=(96, 64)):
    """A white square that moves right by 2 pixels a frame, in the upper left."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[4:20, 2 * i : 2 * i + 16] = 255
    return image


def make(path, pts=PTS, *, sound=False, turned=False, size=(96, 64), codec="libvpx-vp9", picture=picture):
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options={"crf": "20", "b": "0", "deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = TICK
        if turned:
            stream.set_display_matrix(CLOCKWISE)
        voice = out.add_stream("aac", rate=8000) if sound else None
        for i, tick in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(i, size), format="rgb24")
            frame.pts, frame.time_base = tick, TICK
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice is not None:
            wave = np.sin(np.arange(8000) / 8).astype(np.float32)
            for start in range(0, 7168, 1024):
                block = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts = 8000, start
                out.mux(voice.encode(block))
            out.mux(voice.encode(None))
    return path


def copy(source, out):
    with VideoWriter(out, out, source) as writer:
        for frame in source.frames(writer.sound):
            writer.add(frame.image, frame.pts)
        writer.finish()


def sound_of(path):
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.dts is not None]


def test_frames_come_once_each_with_their_times(tmp_path):
    source = VideoFile(make(tmp_path / "in.mp4"))
    assert (source.size, source.total, source.turns, source.sounds) == ((96, 64), len(PTS), 0, [])
    frames = list(source.frames())
    assert [round(frame.time / TICK) for frame in frames] == PTS
    for i, frame in enumerate(frames):
        bright = np.flatnonzero(frame.image[12].mean(-1) > 128)
        assert frame.image.shape == (64, 96, 3) and abs(bright[0] - 2 * i) <= 1 and abs(len(bright) - 16) <= 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".M4V"])
def test_what_is_written_has_the_same_times_and_the_same_sound(tmp_path, suffix):
    path, out = make(tmp_path / "in.mp4", sound=True), tmp_path / f"out{suffix}"
    copy(VideoFile(path), out)
    before, after = list(VideoFile(path).frames()), list(VideoFile(out).frames())
    there, here = sound_of(path), sound_of(out)
    assert len(after) == len(PTS)
    assert [data for _, data in here] == [data for _, data in there] and len(there) >= 7
    shifts = [b.time - a.time for a, b in zip(before, after, strict=True)]
    shifts += [b - a for (a, _), (b, _) in zip(there, here, strict=True)]
    early = 1024 / 8000 if suffix == ".mkv" else 0.0  # AAC begins before 0, which Matroska has no time for: all moves
    assert np.abs(np.array(shifts) - early).max() <= 0.0011  # its times are whole milliseconds
    assert max(np.abs(a.image - b.image.astype(float)).mean() for a, b in zip(before, after, strict=True)) < 4


def test_a_phones_video_is_turned_upright(tmp_path):
    path, out = make(tmp_path / "in.mp4", turned=True), tmp_path / "out.mp4"
    source = VideoFile(path)
    assert source.size == (64, 96)
    first = next(source.frames()).image
    assert first.shape == (96, 64, 3)
    assert (first[2:14, -18:-6] > 200).all() and (first[:, :32] < 50).all()  # upper left was stored, upper right shown
    copy(VideoFile(path), out)
    again = VideoFile(out)
    assert again.size == (64, 96) and again.turns == 0
    assert np.abs(next(again.frames()).image - first.astype(float)).mean() < 4


def test_odd_sizes_and_flat_pixels_are_kept(tmp_path):
    source = VideoFile(make(tmp_path / "in.mp4", PTS[:3], size=(97, 65)))
    source.aspect = Fraction(4, 3)
    copy(source, tmp_path / "out.mp4")
    again = VideoFile(tmp_path / "out.mp4")
    assert again.size == (97, 65) and again.aspect == Fraction(4, 3)


def test_memory_holds_one_frame_at_a_time(tmp_path):
    """The reader is a generator that has decoded no more than it was asked for, and the decoder's few."""
    source, decoded = VideoFile(make(tmp_path / "in.mp4")), []
    source._upright = lambda frame: decoded.append(frame.pts) or np.zeros((64, 96, 3), np.uint8)
    frames = source.frames()
    next(frames)
    next(frames)
    assert len(decoded) == 2
    del frames


def test_times_always_grow(tmp_path):
    source = VideoFile(make(tmp_path / "in.mp4", PTS[:2]))
    ticks = [0]
    for pts in (5, 5, 3, None, 9000):
        ticks.append(source._tick(pts, ticks[-1]))
    assert ticks[:4] == [0, 5, 6, 7] and all(a < b for a, b in pairwise(ticks))


def song(path, pictures=False):
    """Sound, and where wanted a stream of video without a frame in it."""
    with av.open(str(path), "w") as out:
        voice = out.add_stream("aac", rate=8000)
        if pictures:
            stream = out.add_stream("libvpx-vp9", rate=30)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        block.sample_rate = 8000
        out.mux(voice.encode(block))
        out.mux(voice.encode(None))
    return path


def test_what_is_no_video_is_refused(tmp_path):
    def refused(path):
        with pytest.raises(BadInput) as error:
            list(VideoFile(path).frames())
        assert "\n" not in str(error.value) and str(path) in str(error.value)
        return str(error.value)

    assert "no such video" in refused(tmp_path / "missing.mp4")
    empty, text, listing = tmp_path / "empty.mp4", tmp_path / "text.mp4", tmp_path / "list.m3u8"
    empty.write_bytes(b"")
    text.write_text("not a video\n" * 100)
    listing.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    for path in (empty, text, listing):
        assert "cannot be read as a video" in refused(path)
    whole = make(tmp_path / "in.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])  # without the table at its end
    assert "holds no video stream; give a video that is whole" in refused(cut)
    assert "holds no video stream" in refused(song(tmp_path / "song.mp4"))
    song(tmp_path / "none.mkv", pictures=True)
    assert "holds no frames" in refused(tmp_path / "none.mkv")


def test_a_huge_frame_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = make(tmp_path / "in.mp4", PTS[:2])
    monkeypatch.setattr(video, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(BadInput, match="96x64 pixels are too many"):
        VideoFile(path)


def test_targets_that_cannot_be_written_are_refused(tmp_path):
    path = make(tmp_path / "in.mp4", PTS[:2], sound=True)
    source = VideoFile(path)
    with pytest.raises(BadInput, match=r"unknown kind of video; it must end in \.mp4"):
        check_target(tmp_path / "out.gif", source)
    with pytest.raises(BadInput, match="would replace the video that is read"):
        check_target(path, source)
    with pytest.raises(BadInput, match=r"cannot hold the video's sound \(aac\)"):
        check_target(tmp_path / "out.webm", source)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        check_target(tmp_path / "folder.mp4", source)
    with pytest.raises(BadInput, match="cannot be written"):
        check_target(path / "out.mp4", source)
    check_target(tmp_path / "out.mkv", source)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.mp4", "in.mp4"]


def test_no_gpl_encoder_is_asked_for():
    assert not {"libx264", "libx264rgb", "libx265", "libxvid"} & set(video.ENCODERS)


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
    monkeypatch.setattr(video, "monotonic", lambda: next(now))
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Camera(100))
    assert [round(frame.time, 1) for frame in Webcam(0, 0.35).frames()] == [0.1, 0.2, 0.3]


def test_a_webcam_that_is_missing_is_refused(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Camera(0))
    with pytest.raises(BadInput, match="webcam 3 gives no picture"):
        Webcam(3)
