"""What PyAV can and OpenCV cannot: sound that is copied, frames that keep their own times."""

from fractions import Fraction

import numpy as np
import pytest

from sandglass.core.errors import BadInput
from sandglass.inference import video_cv
from sandglass.inference.video import check_target
from sandglass.inference.video_av import VideoFile, VideoWriter, installed

av = pytest.importorskip("av", reason="PyAV is not installed (its wheels hold GPL libraries)")

TICK = Fraction(1, 90000)
PTS = np.cumsum([0, *[3000, 1500, 6000] * 8]).tolist()  # a variable frame rate


def make(path, pts=PTS, *, sound=False, size=(96, 64)):
    """A white square that moves right by 2 pixels a frame."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx-vp9", rate=30, options={"crf": "20", "b": "0", "deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = TICK
        voice = out.add_stream("aac", rate=8000) if sound else None
        for i, tick in enumerate(pts):
            image = np.zeros((size[1], size[0], 3), np.uint8)
            image[4:20, 2 * i : 2 * i + 16] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
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


def test_sound_alone_is_no_video(tmp_path):
    song(tmp_path / "song.mp4")
    song(tmp_path / "none.mkv", pictures=True)
    with pytest.raises(BadInput, match=r"song\.mp4: holds no video stream"):
        VideoFile(tmp_path / "song.mp4")
    with pytest.raises(BadInput, match=r"none\.mkv: holds no frames"):
        VideoFile(tmp_path / "none.mkv")
    with pytest.raises(BadInput, match=r"song\.mp4: cannot be read as a video by OpenCV"):
        video_cv.VideoFile(tmp_path / "song.mp4")
    with pytest.raises(BadInput, match=r"none\.mkv: gives OpenCV no frames"):
        video_cv.VideoFile(tmp_path / "none.mkv")


def test_a_file_that_cannot_hold_the_sound_is_refused(tmp_path):
    source = VideoFile(make(tmp_path / "in.mp4", PTS[:2], sound=True))
    with pytest.raises(BadInput, match=r"cannot hold the video's sound \(aac\)"):
        check_target(tmp_path / "out.webm", source)
    check_target(tmp_path / "out.mkv", source)


def test_an_old_pyav_counts_as_none(monkeypatch):
    assert installed()
    monkeypatch.setattr(av, "VideoFrame", object)
    assert not installed()


def test_opencv_reads_the_same_times_and_pictures_beside_sound(tmp_path):
    path = make(tmp_path / "in.mp4", sound=True)
    theirs, ours = list(VideoFile(path).frames()), list(video_cv.VideoFile(path).frames())
    assert [f.time for f in ours] == pytest.approx([f.time for f in theirs], abs=1e-6)
    assert max(np.abs(a.image - b.image.astype(float)).mean() for a, b in zip(ours, theirs, strict=True)) < 1
