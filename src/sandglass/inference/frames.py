"""What goes through a video: frames with their times, where they come from, where they go. (H, W, 3) RGB uint8."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from sandglass.core.image import Photo

Packet = Any  # of sound: an av.Packet, where PyAV is installed
Sounds = Sequence[Any] | None  # a video's streams of sound; None: there may be some, but it cannot be read
Progress = Callable[[int, int], None]  # done, total (0: unknown)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video, upright. `pts` counts ticks of the source's time base, and always grows."""

    image: Photo
    pts: int
    time: float  # seconds


class Source(Protocol):
    """Where frames come from, one after the other."""

    path: Path | None  # None: no file
    size: tuple[int, int]  # (w, h), upright
    aspect: Fraction  # width of a pixel over its height
    rate: Fraction  # frames a second, about
    time_base: Fraction  # seconds a tick
    total: int  # frames, about; 0 where nobody knows
    sounds: Sounds

    def frames(self, on_sound: Callable[[Packet], None] | None = None) -> Iterator[Frame]:
        """Every frame, once; `on_sound` is given the packets of sound as they come. Raises BadInput."""
        ...


class Writer(Protocol):
    """Where frames go, one after the other: a new video, which is whole after `finish`. A context manager."""

    def __enter__(self) -> "Writer": ...

    def __exit__(self, *_: object) -> None: ...

    def add(self, image: Photo, pts: int) -> None:
        """The next frame, of the source's size; `pts` in ticks of the source's time base. Raises BadInput."""
        ...

    def sound(self, packet: Packet) -> None:
        """A packet of the source's sound. Raises BadInput."""
        ...

    def finish(self) -> None:
        """What is still held. Raises BadInput."""
        ...
