"""Videos and webcams through OpenCV, which is always there: no sound, one frame rate. Images are (H, W, 3) RGB uint8.

OpenCV's wheels hold an FFmpeg under the LGPL, without x264 and x265. What its interface cannot be told is told by the
environment, for the moment of an opening.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import isfinite
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import cv2

from sandglass.core.errors import BadInput
from sandglass.core.image import MAX_PIXELS, Photo
from sandglass.inference.frames import Frame, Packet, Sounds, Source

# VP9 is what PyAV would write; but OpenCV cannot tell its encoder to hurry: it takes 70 times as long as MPEG-4's.
CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mkv": "mp4v", ".webm": "VP90"}
SIGNATURES = (  # how a file begins: where, with what; FFmpeg's name for its kind
    *((4, box, "mov") for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (0, b"FLV\x01", "flv"),
    (0, b"OggS", "ogg"),
    (0, b"GIF8", "gif"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
)
TICKS = 1_000_000  # a second
RATES = 0.1, 240.0  # frames a second; what FFmpeg guesses beyond is no rate but the fineness of its clock
BROKEN = 256  # attempts at a next frame, after which a video counts as ended
MAX_STILL = 600  # seconds for which a frame may stand: times are a stranger's, and each repeat is encoded


class VideoFile:
    """A video in a file, as a stream: what has been read is not kept.

    Frames are turned as the file's rotation asks, in quarter turns. Their times count from the stream's start.
    Raises BadInput: no video in it, one that is too large, one that OpenCV cannot decode.
    """

    time_base = Fraction(1, TICKS)
    sounds: Sounds = None

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self.capture = _opened(path)
        try:
            self._look()
        except BaseException:
            self.capture.release()
            raise

    def _look(self) -> None:
        """What the header says; the first frame is decoded."""
        get = self.capture.get
        self.capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        w, h = self.size = int(get(cv2.CAP_PROP_FRAME_WIDTH)), int(get(cv2.CAP_PROP_FRAME_HEIGHT))
        if w * h > MAX_PIXELS:
            raise BadInput(f"{self.path}: {w}x{h} pixels are too many; give a smaller video")
        with _told(OPENCV_FFMPEG_READ_ATTEMPTS="1000000"):  # of packets of sound before one of video
            there = self.capture.grab()
        if not there:
            raise BadInput(f"{self.path}: gives OpenCV no frames; record or copy it again, or pip install av")
        aspect = Fraction(int(get(cv2.CAP_PROP_SAR_NUM)) or 1, int(get(cv2.CAP_PROP_SAR_DEN)) or 1)
        self.aspect = 1 / aspect if get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90 else aspect
        claimed, count = get(cv2.CAP_PROP_FPS), get(cv2.CAP_PROP_FRAME_COUNT)
        known = isfinite(claimed) and RATES[0] <= claimed <= RATES[1]
        self.rate = Fraction(claimed).limit_denominator(1001) if known else Fraction(30)
        self.total = round(count if known else count / claimed * self.rate) if count > 0 and claimed > 0 else 0

    def frames(self, on_sound: Callable[[Packet], None] | None = None) -> Iterator[Frame]:
        """Every frame, once. Raises BadInput where a part of the video is broken."""
        last = None
        try:
            while last is None or self._grab(last):  # `_look` has grabbed the first
                last = self._tick(last)
                there, image = self.capture.retrieve()
                if not there:
                    raise self._broken(last)
                yield Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), last, last / TICKS)  # type: ignore[arg-type]
        finally:
            self.capture.release()

    def _grab(self, last: int) -> bool:
        """Decodes the next frame. OpenCV takes what is broken for the end; but behind the end there are no frames."""
        if self.capture.grab():
            return True
        if any(self.capture.grab() for _ in range(BROKEN)):
            raise self._broken(last)
        return False

    def _broken(self, last: int) -> BadInput:
        return BadInput(f"{self.path}: broken after {last / TICKS:.2f} s; copy it again, or cut it there")

    def _tick(self, last: int | None) -> int:
        """When the frame is shown: as the file says, unless that would run backwards."""
        tick = round(self.capture.get(cv2.CAP_PROP_POS_MSEC) * TICKS / 1000)
        if last is None:
            return tick
        if tick == 0:  # OpenCV's word for a time that the file does not give
            tick = last + round(TICKS / self.rate)
        return max(tick, last + 1)


class Webcam:
    """A camera of this machine, by its index. Ends after `seconds`, or at Ctrl-C.

    Raises BadInput when there is none, or when it gives no picture.
    """

    path: Path | None = None
    sounds: Sounds = ()
    total = 0
    aspect = Fraction(1)
    time_base = Fraction(1, TICKS)

    def __init__(self, index: int, seconds: float = float("inf")) -> None:
        _hush()
        self.index, self.seconds = index, seconds
        self.camera = cv2.VideoCapture(index)
        first = self._read() if self.camera.isOpened() else None
        if first is None:
            self.camera.release()
            raise BadInput(f"webcam {index} gives no picture; check that it is plugged in and not in use elsewhere")
        self.size: tuple[int, int] = (first.shape[1], first.shape[0])
        claimed = self.camera.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(round(claimed) if 1 <= claimed <= 240 else 30)

    def frames(self, on_sound: Callable[[Packet], None] | None = None) -> Iterator[Frame]:
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
    """Frames into a new video file, of the source's rate and without its sound; `path` appears whole, at `finish`.

    OpenCV writes frames of one rate only. So each stands from the moment that is nearest to its time until the next
    one's: it is repeated, or left out. Pixels become square, and an odd side grows by one pixel, the border repeated.
    The suffix of `name` picks the kind of file. Raises BadInput: it cannot be written there, or not by OpenCV.
    """

    def __init__(self, path: Path, name: Path, source: Source) -> None:
        self.path, self.name = path, name
        self.part = path.with_name(path.name + name.suffix.lower())  # by the suffix OpenCV knows what to write
        fineness = 1000 if source.rate <= 65 else 100  # MPEG-4 counts to 65,535
        self.rate = Fraction(round(source.rate * fineness), fineness)
        self.time_base = source.time_base
        self.size = _square(source.size, source.aspect)
        self.first: int | None = None  # tick
        self.held: Any = None  # the frame that stands, BGR, and since which frame of the new video
        self.since = 0
        size = tuple(side + side % 2 for side in self.size)
        code = cv2.VideoWriter.fourcc(*CODECS[name.suffix.lower()])
        _hush()
        with _told(OPENCV_FFMPEG_LOGLEVEL="-8"), _mute():
            self.video = cv2.VideoWriter(_spelt(self.part), cv2.CAP_FFMPEG, code, float(self.rate), size)
        if not self.video.isOpened():
            self.part.unlink(missing_ok=True)
            raise BadInput(f"{name}: OpenCV cannot write it ({size[0]}x{size[1]}); choose another place or kind")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.video.release()
        self.part.unlink(missing_ok=True)

    def add(self, image: Photo, pts: int) -> None:
        """The next frame, of the source's size."""
        self.first = pts if self.first is None else self.first
        moment = round((pts - self.first) * self.time_base * self.rate)
        self._stand(moment)
        w, h = self.size
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        image = cv2.copyMakeBorder(image, 0, h % 2, 0, w % 2, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        self.held, self.since = cv2.cvtColor(image, cv2.COLOR_RGB2BGR), moment

    def sound(self, packet: Packet) -> None:
        """OpenCV writes none."""

    def finish(self) -> None:
        """The last frame, then the end of the file. OpenCV does not tell of a full disk, so the file is counted."""
        count = self.since + 1
        self._stand(count)
        self.video.release()
        if _packets(self.part) != count:
            raise BadInput(f"{self.name}: cannot be written whole (is the disk full?); choose another place")
        os.replace(self.part, self.path)

    def _stand(self, until: int) -> None:
        """The frame that is held, until the moment of the next one."""
        if self.held is None:
            return
        if until - self.since > MAX_STILL * self.rate:
            still = float((until - self.since) / self.rate)
            raise BadInput(f"{self.name}: one frame stands for {still:.0f} s, too long for OpenCV; pip install av")
        for _ in range(self.since, until):
            self.video.write(self.held)


def _square(size: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """The size (w, h) of a picture whose pixels have become square; none is lost. A mad aspect counts as a mistake."""
    w, h = size
    if not Fraction(1, 4) <= aspect <= 4:
        return size
    return (round(w * aspect), h) if aspect >= 1 else (w, round(h / aspect))


def _packets(path: Path) -> int:
    """How many frames a video holds, as they are stored, not decoded; 0 where it is none."""
    try:
        capture = _opened(path, cv2.CAP_PROP_FORMAT, -1)
    except BadInput:
        return 0
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def _opened(path: Path, *settings: int) -> cv2.VideoCapture:
    """The video, read as what its first bytes are: FFmpeg shall neither follow lists of files nor use the network."""
    try:
        with path.open("rb") as file:
            kind = _kind(file.read(256))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the file") from None
    if kind is None:
        raise BadInput(f"{path}: cannot be read as a video (of no kind that is known); check the file")
    reading = f"input_format;{kind}|format_whitelist;{kind}|protocol_whitelist;file"
    _hush()
    with _told(OPENCV_FFMPEG_CAPTURE_OPTIONS=reading, OPENCV_FFMPEG_LOGLEVEL="-8"):
        capture = cv2.VideoCapture(_spelt(path), cv2.CAP_FFMPEG, settings)
    if not capture.isOpened():
        raise BadInput(f"{path}: cannot be read as a video by OpenCV; check that it is whole, or pip install av")
    return capture


def _kind(head: bytes) -> str | None:
    """FFmpeg's name for the kind of video that begins so; None: no kind that is read here."""
    for at in (0, 4):  # of MPEG-TS, packets as they are sent, and as camcorders keep them, after four bytes of time
        if head[at : at + 1] == head[2 * at + 188 : 2 * at + 189] == b"G":
            return "mpegts"
    return next((kind for at, magic, kind in SIGNATURES if head.startswith(magic, at)), None)


def _spelt(path: Path) -> str:
    """The path in full, so that nothing in it reads as a protocol. OpenCV would crash where it is no UTF-8."""
    try:
        return str(path.absolute()).encode().decode()
    except UnicodeEncodeError:
        raise BadInput(f"{path}: OpenCV cannot open a file of such a name (no UTF-8); rename it") from None


_one_at_a_time = Lock()


@contextmanager
def _told(**settings: str) -> Iterator[None]:
    """Settings that OpenCV takes from the environment of the whole process, and from nowhere else."""
    with _one_at_a_time:
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                os.environ.update({name: value} if value is not None else {})


def _hush() -> None:
    """OpenCV would tell the terminal of all that it tried."""
    silence = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    silence(0)


@contextmanager
def _mute() -> Iterator[None]:
    """What C code prints is not shown: OpenCV remarks on the codec of every .webm, past all logs."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
