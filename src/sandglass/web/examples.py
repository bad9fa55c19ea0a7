"""Photographs to try the page with: drawn people, always the same ones."""

from functools import cache
from io import BytesIO

from PIL import Image as Pillow

from sandglass.core import geometry
from sandglass.data.figures import Picture, draw_picture
from sandglass.web.answers import Example

SEED = 2016
PICTURES = (26, 16, 21, 8, 44, 36)  # indices of drawings, chosen by eye: alone and together, whole and cut off


@cache
def _draw(index: int) -> Picture:
    return draw_picture(SEED, index)


def example(index: int) -> Example:
    """What the page says about one of PICTURES."""
    picture = _draw(index)
    h, w = picture.image.shape[:2]
    boxes = [tuple(box) for box in geometry.clip(picture.boxes, (w, h)).round(1).tolist()]
    title = f"drawn picture of {len(boxes)} {'people' if len(boxes) > 1 else 'person'}"
    return Example(url=f"examples/{index}.png", title=title, width=w, height=h, boxes=boxes)


@cache
def example_png(index: int) -> bytes:
    """The file of one of PICTURES."""
    out = BytesIO()
    Pillow.fromarray(_draw(index).image).save(out, "PNG")
    return out.getvalue()
