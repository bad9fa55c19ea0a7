"""Videos read and written by PyAV: every frame at its own time, the sound kept. Images are (H, W, 3) RGB uint8.

PyAV (BSD) wraps FFmpeg; its code is imported when a video is opened. Only the BSD-licensed encoders below are asked
for, whatever else an FFmpeg was built with.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.image import MAX_PIXELS, Photo
from sandglass.inference.frames import Frame, Packet, Sounds, Source

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska", ".webm": "webm"}
ENCODERS: dict[str, dict[str, str]] = {  # the first that there is, and that the container takes
    "libvpx-vp9": {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
    "libsvtav1": {"crf": "32", "preset": "9"},
}
# A video comes from anywhere: it may neither be a list that names other files nor reach for the network.
READING = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,gif,mp3,wav",
}
BT601, LIMITED = 6, 1  # FFmpeg's numbers for how colours are coded: what its RGB conversion assumes


def installed() -> bool:
    """Whether PyAV is there; one too old to tell a frame's rotation (before 14.2) counts as none."""
    try:
        import av  # type: ignore[reportMissingImports]
    except ImportError:
        return False
    return hasattr(av.VideoFrame, "rotation")


class VideoFile:
    """A video in a file, as a stream: what has been read is not kept.

    Frames are turned as the file's rotation asks, in quarter turns, and keep the times that the file gives them.
    Raises BadInput: no video in it, one that is too large.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self.container: Any = _opened(path)
        try:
            self._look(path)
        except BaseException:
            self.container.close()
            raise

    def _look(self, path: Path) -> None:
        """What the header and the first frame say."""
        av = _av()
        pictures = av.stream.Disposition.attached_pic
        streams = self.container.streams  # one of a codec that FFmpeg does not know has no context
        videos = [s for s in streams.video if s.codec_context is not None and not s.disposition & pictures]
        if not videos:
            raise BadInput(f"{path}: holds no video stream; give a video that is whole")
        stream = self.stream = videos[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise BadInput(f"{path}: {stream.width}x{stream.height} pixels are too many; give a smaller video")
        with _opened(path) as container:  # looked into by itself, so that no packet of sound is lost
            try:
                first = next(container.decode(container.streams[stream.index]), None)
            except av.FFmpegError as error:
                raise BadInput(f"{path}: its first frame is broken ({error.strerror}); copy it again") from None
        if first is None:
            raise BadInput(f"{path}: holds no frames; record or copy it again")
        self.stored = first.width, first.height
        self.turns = round(first.rotation / 90) % 4  # counterclockwise, as rot90 counts
        self.size: tuple[int, int] = self.stored[::-1] if self.turns % 2 else self.stored
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        self.aspect = 1 / aspect if self.turns % 2 else aspect
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 30)
        self.time_base = Fraction(stream.time_base)
        lasts = (self.container.duration or 0) / av.time_base
        self.total = stream.frames or round(lasts * self.rate)
        self.sounds: Sounds = [sound for sound in streams.audio if sound.codec_context is not None]

    def frames(self, on_sound: Callable[[Packet], None] | None = None) -> Iterator[Frame]:
        """Every frame, once; `on_sound` is given the packets of sound as they come. Raises BadInput."""
        last = None
        self.stream.thread_type = "AUTO"
        with self.container as container:
            try:
                for packet in container.demux(self.stream, *(self.sounds or ())):
                    if packet.stream.index != self.stream.index:
                        if on_sound is not None and packet.dts is not None:
                            on_sound(packet)
                        continue
                    for frame in packet.decode():
                        last = self._tick(frame.pts, last)
                        yield Frame(self._upright(frame), last, float(last * self.time_base))
            except (_av().FFmpegError, IndexError) as error:  # IndexError: PyAV, where a stream begins after the rest
                why = getattr(error, "strerror", "a stream that begins late")
                after = f"{0.0 if last is None else float(last * self.time_base):.2f} s"
                raise BadInput(f"{self.path}: broken after {after} ({why}); copy it again, or cut it there") from None

    def _tick(self, pts: int | None, last: int | None) -> int:
        """When a frame is shown: as the file says, unless that would run backwards."""
        if pts is None:
            pts = 0 if last is None else last + max(1, round(1 / (self.rate * self.time_base)))
        return pts if last is None else max(pts, last + 1)

    def _upright(self, frame: Any) -> Photo:
        stored = frame.to_ndarray(format="rgb24", width=self.stored[0], height=self.stored[1])
        return np.ascontiguousarray(np.rot90(stored, self.turns))


class VideoWriter:
    """Frames into a new video file, with the times and the sound of their source. See `open_writer`."""

    def __init__(self, path: Path, name: Path, source: Source) -> None:
        self.name = name
        self.container: Any = _av().open(str(path), "w", format=CONTAINERS[name.suffix.lower()])
        encoder = _encoder(self.container.supported_codecs, name)
        self.stream = self.container.add_stream(encoder, rate=source.rate, options=ENCODERS[encoder])
        self.stream.width, self.stream.height = source.size
        self.stream.pix_fmt = "yuv420p"
        context = self.stream.codec_context
        context.time_base = self.time_base = source.time_base
        context.colorspace, context.color_range = BT601, LIMITED
        context.sample_aspect_ratio = source.aspect
        self.sounds = {sound.index: self.container.add_stream_from_template(sound) for sound in source.sounds or ()}

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def add(self, image: Photo, pts: int) -> None:
        """The next frame, of the source's size."""
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = pts, self.time_base
        self._mux(self.stream.encode(frame))

    def sound(self, packet: Packet) -> None:
        """A packet of the source's sound, which is copied as it is."""
        packet.stream = self.sounds[packet.stream.index]
        self._mux(packet)

    def finish(self) -> None:
        """What the encoder still holds."""
        self._mux(self.stream.encode(None))

    def _mux(self, packets: Packet | list[Packet]) -> None:
        try:
            self.container.mux(packets)
        except _av().FFmpegError as error:
            raise BadInput(f"{self.name}: cannot be written ({error.strerror}); choose another place") from None


def check_sounds(out: Path, source: Source) -> None:
    """Refuse a kind of file, by the suffix of `out`, that cannot hold the source's sound. Raises BadInput."""
    from io import BytesIO

    with _av().open(BytesIO(), "w", format=CONTAINERS[out.suffix.lower()]) as container:
        holds = container.supported_codecs
        for name in (sound.codec_context.name for sound in source.sounds or ()):
            if name not in holds:
                raise BadInput(f"{out}: such a file cannot hold the video's sound ({name}); let it end in .mkv")


def _encoder(holds: set[str], name: Path) -> str:
    from av.codec import codecs_available  # type: ignore[reportMissingImports]

    for encoder in ENCODERS:
        if encoder in codecs_available and encoder in holds:
            return encoder
    raise BadInput(f"{name}: this FFmpeg has none of the encoders {', '.join(ENCODERS)}; install another PyAV")


def _opened(path: Path) -> Any:
    av = _av()
    try:
        return av.open(str(path.absolute()), options=READING, metadata_errors="replace")
    except av.FFmpegError as error:
        raise BadInput(f"{path}: cannot be read as a video ({error.strerror}); check the file") from None


def _av() -> Any:
    import av  # type: ignore[reportMissingImports]

    return av
