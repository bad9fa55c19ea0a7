"""`sandglass video`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sandglass.cli.terminal import Terminal, bar, counted


def run(
    files: Positional[Annotated[tuple[Path, ...], arg(metavar="[VIDEO] [OUT]")]] = (),
    model: str | None = None,
    out_json: Path | None = None,
    boxes: Path | None = None,
    detector: Path | None = None,
    webcam: int | None = None,
    seconds: float | None = None,
    smooth: bool = True,
    threshold: float | None = None,
    flip: bool = True,
    device: str = "auto",
    runtime: str = "auto",
) -> None:
    """Follow people through a video or a webcam: skeletons drawn in, poses as JSON lines.

    The sound and the exact times of the frames are kept where PyAV is installed (pip install av; its wheels hold GPL
    libraries). Without it OpenCV writes the video: silent, at one frame rate, MPEG-4, or VP9 (slow) in .webm.

    Args:
        files: The video to read (not with --webcam), and the video to write: .mp4, .m4v, .mkv or .webm.
        model: A checkpoint, model.safetensors, or an exported file, .onnx or .xml; else the model that ships.
        out_json: File for the poses: one JSON object a frame and line.
        boxes: JSON with people's boxes (xywh) by the number of the frame, counted from 0. Without boxes, the video
            is taken to show one person, who is followed.
        detector: YOLOX as .onnx, which finds the boxes; its weights (Apache-2.0) you download yourself, from
            github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0.
        webcam: Index of the camera to read in place of a video; Ctrl-C ends it, and keeps what was recorded.
        seconds: How long to read the webcam.
        smooth: Calm the joints by a One-Euro filter.
        threshold: Score from which on a joint counts as present, in place of the model's.
        flip: Average the heatmaps of each crop and of its mirror image.
        device: auto, cpu, cuda, mps.
        runtime: torch, onnxruntime, openvino; auto takes the fastest that is installed and can do what is asked.
    """
    from sandglass.core.errors import BadInput
    from sandglass.inference.detectors import Yolox
    from sandglass.inference.following import Follower
    from sandglass.inference.predictor import Predictor
    from sandglass.inference.recording import boxes_from_detector, boxes_from_file, check_outputs, cut_short, record
    from sandglass.inference.smoothing import SmoothingConfig
    from sandglass.inference.video import SOUNDLESS, open_video
    from sandglass.inference.video_cv import Webcam
    from sandglass.models.shipped import DEFAULT_MODEL

    console = Terminal()
    if boxes and detector:
        raise BadInput("boxes come from a file or from a detector; give --boxes or --detector, not both")
    if not (len(files) <= 1 if webcam is not None else 1 <= len(files) <= 2):
        raise BadInput("give the video to read and the one to write, or --webcam and the one to write")
    if seconds is not None and (webcam is None or not seconds > 0):
        raise BadInput("--seconds is how long a --webcam is read; give a positive number, with --webcam")
    out = files[-1] if len(files) == 2 or (files and webcam is not None) else None
    check_outputs(out, out_json)
    found = boxes_from_file(boxes) if boxes else boxes_from_detector(Yolox.load(detector)) if detector else None
    source = open_video(files[0]) if webcam is None else Webcam(webcam, seconds or float("inf"))
    check_outputs(out, out_json, source)
    if out and source.sounds is None:
        console.print(SOUNDLESS, highlight=False)
    predictor = Predictor.load(model or DEFAULT_MODEL, threshold=threshold, flip=flip, device=device, runtime=runtime)
    smoothing = SmoothingConfig() if smooth else None
    follower = Follower(predictor.spec.skeleton, predictor, found, smoothing=smoothing)
    with bar(console, "following people") as progress:
        frames, last = record(source, follower, out, out_json, progress)
    if short := cut_short(source, last):
        console.print(short, highlight=False, soft_wrap=True)
    people = counted(len(follower.identities), "person", "people")
    console.print(f"{people} in {counted(frames, 'frame')}, by {predictor.runtime.name}", highlight=False)
    console.print(f"wrote {', '.join(str(path) for path in (out, out_json) if path)}", highlight=False)
    if found is None:
        console.print(
            "The video was taken to show one person. Where there are more, --boxes names them and --detector finds "
            "them (sandglass video --help).",
            highlight=False,
            soft_wrap=True,
        )
    before, after = follower.raw.value, follower.smooth.value
    calmed = f"{before:.1f} before smoothing, {after:.1f} after" if smooth else f"{before:.1f}, not smoothed"
    if before == before:  # a number: some joint was present in three frames in a row
        console.print(f"jitter (mean acceleration of joints, body sizes/s²): {calmed}", highlight=False)
