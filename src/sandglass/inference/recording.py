"""A video in, the same video with people drawn into it and their poses as JSON lines out. Image pixels; seconds."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable, replacing
from sandglass.core.image import Photo
from sandglass.core.skeleton import Skeleton
from sandglass.data.formats import line
from sandglass.data.results import read_photo_boxes, result_rows
from sandglass.draw.people import TINTS, draw_pose
from sandglass.inference.detectors import Detector
from sandglass.inference.following import Boxes, Follower, Seen
from sandglass.inference.frames import Frame, Progress, Source
from sandglass.inference.poses import as_predictions
from sandglass.inference.predictor import check_boxes
from sandglass.inference.tracking import person_extent
from sandglass.inference.video import check_target, open_writer


def check_outputs(out: Path | None, lines: Path | None, source: Source | None = None) -> None:
    """Refuse outputs that could not be written, before work is put into them. Raises BadInput."""
    if out is None and lines is None:
        raise BadInput("nothing to write; name a video to write, or --out-json poses.jsonl")
    if out is not None:
        check_target(out, source)
    if lines is not None:
        if lines.is_dir() or lines == out:
            raise BadInput(f"{lines}: is a folder or the video itself; name another file for the poses")
        check_writable(lines.parent)


def record(
    source: Source,
    follower: Follower,
    out: Path | None = None,
    lines: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[int, float]:
    """Follow people through a video or a webcam's frames; returns the number of frames, and the last one's second.

    `out` becomes the video with skeletons drawn in: same frames, same times, same sound, as far as what writes it can
    (see `open_writer`). `lines` becomes a file of one JSON object a frame and line (see `frame_row`). Both appear whole
    at the end, or not at all. One frame is in memory at a time, beside those that the decoder and the encoder hold.
    Raises BadInput.
    """
    check_outputs(out, lines, source)
    done, last = 0, 0.0
    with ExitStack() as stack:
        text = stack.enter_context(stack.enter_context(replacing(lines)).open("w", encoding="utf-8")) if lines else None
        writer = None
        if out is not None:
            writer = stack.enter_context(open_writer(stack.enter_context(replacing(out)), out, source))
        for frame in source.frames(None if writer is None else writer.sound):
            seen = follower(frame.image, frame.time)
            if text is not None:
                text.write(line(frame_row(done, frame, seen, follower.skeleton)))
            if writer is not None:
                writer.add(draw_seen(frame.image, seen, follower.skeleton), frame.pts)
            done, last = done + 1, frame.time
            if on_progress is not None:
                on_progress(done, max(source.total, done))
        if not done:
            raise BadInput("the video gave no frames; record or copy it again")
        if writer is not None:
            writer.finish()
    return done, last


def cut_short(source: Source, last: float) -> str | None:
    """A line where far less was read than the file announces, up to the second `last`; such a file simply ends."""
    announced = float(source.total / source.rate)
    if last >= 0.9 * announced - 1:
        return None
    return f"{source.path}: announces {announced:.0f} s of video and ends after {last:.1f} s; is it cut short?"


def frame_row(number: int, frame: Frame, seen: Sequence[Seen], skeleton: Skeleton) -> dict[str, Any]:
    """What a line of the JSON file says of a frame: `frame` (counted from 0), `time` (seconds), `people`.

    Each of the people has `id` (stays with a person, counts from 1), `keypoints` ([x, y, score] of each joint, flat),
    `present` (0 or 1 for each joint), `score`, and `box` ([x, y, w, h], what was looked into): as in the results
    file of `write_results`, in pixels of the upright frame, a pixel's centre a whole number.
    """
    rows = result_rows(as_predictions([(number, [person.pose for person in seen])], skeleton))
    fields = ("score", "box", "keypoints", "present")
    people = [{"id": person.id} | {name: row[name] for name in fields} for person, row in zip(seen, rows, strict=True)]
    return {"frame": number, "time": round(frame.time, 6), "people": people}


def draw_seen(photo: Photo, seen: Sequence[Seen], skeleton: Skeleton) -> Photo:
    """The frame with its people; the midline of each has a colour that stays with them."""
    for person in seen:
        pose, tint = person.pose, TINTS[person.id % len(TINTS)]
        scale = person_extent(pose)
        photo = draw_pose(photo, pose.keypoints, pose.present, skeleton, scores=pose.scores, scale=scale, tint=tint)
    return photo


def boxes_from_file(path: Path) -> Boxes:
    """Boxes by the number of the frame, counted from 0: {"0": [[x, y, w, h], ...], "1": []}. Raises BadInput."""
    by_frame = read_photo_boxes(path)

    def boxes(photo: Photo, number: int):  # type: ignore[no-untyped-def]
        given = by_frame.get(str(number))
        size = photo.shape[1], photo.shape[0]
        return None if given is None else check_boxes(given, size, f"{path}: frame {number}")

    return boxes


def boxes_from_detector(detector: Detector) -> Boxes:
    """The boxes of people whom a detector finds in each frame."""
    return lambda photo, _: detector(photo)[0]
