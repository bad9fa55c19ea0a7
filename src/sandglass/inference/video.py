"""Videos in and out: by PyAV where it is installed, else by OpenCV. Images are (H, W, 3) RGB uint8.

PyAV is the better of the two: it keeps the sound and each frame's own time. It is no dependency, because its wheels
hold GPL libraries.
"""

from pathlib import Path

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable
from sandglass.inference import video_av, video_cv
from sandglass.inference.frames import Source, Writer

SUFFIXES = tuple(video_av.CONTAINERS)
SOUNDLESS = "sound is not kept without PyAV: pip install av"


def open_video(path: str | Path) -> Source:
    """The frames of a video in a file. Raises BadInput: no such file, no video in it, one that is too large."""
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such video; check the path")
    return video_av.VideoFile(path) if video_av.installed() else video_cv.VideoFile(path)


def open_writer(path: Path, name: Path, source: Source) -> Writer:
    """A new video for the frames of `source`.

    `path` is written as it is: give a place beside the final one, and rename. The suffix of `name` picks the kind of
    file. Raises BadInput: see `check_target`.
    """
    kind = video_av.VideoWriter if video_av.installed() else video_cv.VideoWriter
    return kind(path, name, source)


def check_target(out: Path, source: Source | None = None) -> None:
    """Refuse, before work is put into it, a video that could not be written at `out`. Leaves no trace.

    Raises BadInput: unknown suffix, no permission, the source itself, a kind of sound that the file cannot hold.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{out}: unknown kind of video; it must end in {', '.join(SUFFIXES)}")
    if out.is_dir():
        raise BadInput(f"{out}: is a folder; name a file in it")
    check_writable(out.parent)
    if source is not None and source.path is not None and out.exists() and out.samefile(source.path):
        raise BadInput(f"{out}: would replace the video that is read; choose another name")
    if source is not None and source.sounds:
        video_av.check_sounds(out, source)
