"""Milliseconds a person of one network by every runtime, as benchmarks/inference.py takes them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import cv2
import torch

from inference import PHOTO_SIZE, one_by_one  # pyright: ignore[reportMissingImports]
from sandglass.data.figures import draw_picture
from sandglass.models.spec import ModelSpec


def milliseconds(spec: ModelSpec, threads: int, repeats: int = 40) -> dict[str, dict[str, float]]:
    """Runtime -> ms (JPEG bytes of 640 x 480 to keypoints, no flip test) and, of that, network: medians.

    Random weights: they do not change the pace.
    """
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    picture = cv2.resize(draw_picture(0, 0).image, PHOTO_SIZE, interpolation=cv2.INTER_CUBIC)
    jpeg = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
    found = one_by_one(spec, jpeg, repeats, threads)
    return {
        name: {part: round(took[part], 2) for part in ("ms", "network") if part in took} for name, took in found.items()
    }
