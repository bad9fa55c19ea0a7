"""Videos and webcams as streams of frames; frames to a video, with its sound. Images are (H, W, 3) RGB uint8.

Videos are read and written by PyAV (BSD), which wraps FFmpeg. Its code is imported when a video is opened. Only the
BSD-licensed encoders below are asked for, whatever else an FFmpeg was built with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.core.image import MAX_PIXELS, Photo

if TYPE_CHECKING:
    from av.audio.stream import AudioStream  # type: ignore[reportMissingImports]
    from av.packet import Packet  # type: ignore[reportMissingImports]

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
MISSING = "videos need PyAV, which is not installed; pip install av"
TICKS = 1000  # a second of a webcam
BT601, LIMITED = 6, 1  # FFmpeg's numbers for how colours are coded: what its RGB conversion assumes

Progress = Callable[[int, int], None]  # done, total (0: unknown)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video, upright. `pts` counts ticks of the source's time base, and always grows."""

    image: Photo
    pts: int
    time: float  # seconds


class Source(Protocol):
    """Where frames come from, one after the other."""

    size: tuple[int, int]  # (w, h), upright
    aspect: Fraction  # width of a pixel over its height
    rate: Fraction  # frames a second, about
    time_base: Fraction  # seconds a tick
    total: int  # frames, about; 0 where nobody knows
    sounds: "Sequence[AudioStream]"

    def frames(self, on_sound: "Callable[[Packet], None] | None" = None) -> Iterator[Frame]: ...


class VideoFile:
    """A video in a file, as a stream: what has been read is not kept.

    Frames are turned as the file's rotation asks, in quarter turns, and keep the times that the file gives them.
    Raises BadInput: no such file, no video in it, one that is too large, PyAV missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadInput(f"{path}: no such video; check the path")
        self.container: Any = _opened(self.path)
        try:
            self._look()
        except BaseException:
            self.container.close()
            raise

    def _look(self) -> None:
        """What the header and the first frame say."""
        av = _av()
        pictures = av.stream.Disposition.attached_pic
        videos = [stream for stream in self.container.streams.video if not stream.disposition & pictures]
        if not videos:
            raise BadInput(f"{self.path}: holds no video stream; give a video that is whole")
        stream = self.stream = videos[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise BadInput(f"{self.path}: {stream.width}x{stream.height} pixels are too many; give a smaller video")
        with _opened(self.path) as container:  # looked into by itself, so that no packet of sound is lost
            try:
                first = next(container.decode(container.streams[stream.index]), None)
            except av.FFmpegError as error:
                raise BadInput(f"{self.path}: its first frame is broken ({error.strerror}); copy it again") from None
        if first is None:
            raise BadInput(f"{self.path}: holds no frames; record or copy it again")
        self.stored = first.width, first.height
        self.turns = round(first.rotation / 90) % 4  # counterclockwise, as rot90 counts
        self.size: tuple[int, int] = self.stored[::-1] if self.turns % 2 else self.stored
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        self.aspect = 1 / aspect if self.turns % 2 else aspect
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 30)
        self.time_base = Fraction(stream.time_base)
        lasts = (self.container.duration or 0) / av.time_base
        self.total = stream.frames or round(lasts * self.rate)
        self.sounds: Sequence[AudioStream] = [
            sound for sound in self.container.streams.audio if sound.codec_context is not None
        ]

    def frames(self, on_sound: "Callable[[Packet], None] | None" = None) -> Iterator[Frame]:
        """Every frame, once; `on_sound` is given the packets of sound as they come. Raises BadInput."""
        last = None
        self.stream.thread_type = "AUTO"
        with self.container as container:
            try:
                for packet in container.demux(self.stream, *self.sounds):
                    if packet.stream.index != self.stream.index:
                        if on_sound is not None and packet.dts is not None:
                            on_sound(packet)
                        continue
                    for frame in packet.decode():
                        last = self._tick(frame.pts, last)
                        yield Frame(self._upright(frame), last, float(last * self.time_base))
            except _av().FFmpegError as error:
                at = 0.0 if last is None else float(last * self.time_base)
                raise BadInput(
                    f"{self.path}: broken after {at:.2f} s ({error.strerror}); copy it again, or cut it there"
                ) from None

    def _tick(self, pts: int | None, last: int | None) -> int:
        """When a frame is shown: as the file says, unless that would run backwards."""
        if pts is None:
            pts = 0 if last is None else last + max(1, round(1 / (self.rate * self.time_base)))
        return pts if last is None else max(pts, last + 1)

    def _upright(self, frame: Any) -> Photo:
        stored = frame.to_ndarray(format="rgb24", width=self.stored[0], height=self.stored[1])
        return np.ascontiguousarray(np.rot90(stored, self.turns))


class Webcam:
    """A camera of this machine, by its index, read through OpenCV. Ends after `seconds`, or at Ctrl-C.

    Raises BadInput when there is none, or when it gives no picture.
    """

    sounds: "Sequence[AudioStream]" = ()
    total = 0
    aspect = Fraction(1)
    time_base = Fraction(1, TICKS)

    def __init__(self, index: int, seconds: float = float("inf")) -> None:
        logs = cv2.utils.logging  # OpenCV would tell the terminal of every back end that it tried
        logs.setLogLevel(logs.LOG_LEVEL_SILENT)
        self.index, self.seconds = index, seconds
        self.camera = cv2.VideoCapture(index)
        first = self._read() if self.camera.isOpened() else None
        if first is None:
            self.camera.release()
            raise BadInput(f"webcam {index} gives no picture; check that it is plugged in and not in use elsewhere")
        self.size: tuple[int, int] = (first.shape[1], first.shape[0])
        claimed = self.camera.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(round(claimed) if 1 <= claimed <= 240 else 30)

    def frames(self, on_sound: "Callable[[Packet], None] | None" = None) -> Iterator[Frame]:
        """Frames with the time at which they came, counted from the first."""
        began, last = monotonic(), -1
        try:
            while (photo := self._read()) is not None and photo.shape[1::-1] == self.size:
                last = max(round((monotonic() - began) * TICKS), last + 1)
                if last > self.seconds * TICKS:
                    break
                yield Frame(photo, last, last / TICKS)
        except KeyboardInterrupt:  # how a recording ends; what was recorded is kept
            pass
        finally:
            self.camera.release()

    def _read(self) -> Photo | None:
        there, photo = self.camera.read()
        return cv2.cvtColor(photo, cv2.COLOR_BGR2RGB) if there else None  # type: ignore[return-value]


class VideoWriter:
    """Frames into a new video file, with the times and the sound of their source.

    `path` is written as it is: give a place beside the final one, and rename. The suffix of `name` picks the kind of
    file. Raises BadInput: see `check_target`.
    """

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
        self.sounds = {sound.index: self.container.add_stream_from_template(sound) for sound in source.sounds}

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def add(self, image: Photo, pts: int) -> None:
        """The next frame, of the source's size."""
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = pts, self.time_base
        self._mux(self.stream.encode(frame))

    def sound(self, packet: "Packet") -> None:
        """A packet of the source's sound, which is copied as it is."""
        packet.stream = self.sounds[packet.stream.index]
        self._mux(packet)

    def finish(self) -> None:
        """What the encoder still holds."""
        self._mux(self.stream.encode(None))

    def _mux(self, packets: "Packet | list[Packet]") -> None:
        try:
            self.container.mux(packets)
        except _av().FFmpegError as error:
            raise BadInput(f"{self.name}: cannot be written ({error.strerror}); choose another place") from None


def check_target(out: Path, source: Source | None = None) -> None:
    """Refuse, before work is put into it, a video that could not be written at `out`. Leaves no trace.

    Raises BadInput: unknown suffix, no permission, the source itself, a kind of sound that the file cannot hold.
    """
    if out.suffix.lower() not in CONTAINERS:
        raise BadInput(f"{out}: unknown kind of video; it must end in {', '.join(CONTAINERS)}")
    if out.is_dir():
        raise BadInput(f"{out}: is a folder; name a file in it")
    check_writable(out.parent)
    if isinstance(source, VideoFile) and out.exists() and out.samefile(source.path):
        raise BadInput(f"{out}: would replace the video that is read; choose another name")
    if source is None or not source.sounds:
        return
    from io import BytesIO

    with _av().open(BytesIO(), "w", format=CONTAINERS[out.suffix.lower()]) as container:
        holds = container.supported_codecs
        for name in (sound.codec_context.name for sound in source.sounds):
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
        return av.open(str(path.absolute()), options=READING)
    except av.FFmpegError as error:
        raise BadInput(f"{path}: cannot be read as a video ({error.strerror}); check the file") from None


def _av() -> Any:
    try:
        import av  # type: ignore[reportMissingImports]
    except ImportError:
        raise BadInput(MISSING) from None
    return av
