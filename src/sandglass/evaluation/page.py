"""The parts of an HTML page: text, tables, charts, pictures inside the page. Everything given is untrusted text."""

import base64
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple, TypeGuard

import cv2

from sandglass.core.image import Photo
from sandglass.draw import plot

# The longest side and the JPEG quality that pictures are tried with, until all of them fit together.
FIDELITY = ((2400, 90), (1600, 85), (1200, 80), (900, 70), (640, 60))

Picture = tuple[str, Photo]  # a caption, an image


class Sure(NamedTuple):
    """A figure and how sure it is, as JSON holds that: [low, high], "few" (people, for an interval), or None."""

    value: float | None
    ends: object


def text(value: object) -> str:
    """Anything as HTML text: escaped, and encodable (file names may hold lone surrogates)."""
    return escape(str(value).encode("utf-8", "replace").decode())


def number(value: object, digits: int = 3) -> str:
    """A figure for people; a dash where it is not defined."""
    return f"{value:.{digits}f}" if defined(value) else "–"


def spread(ends: object, digits: int = 3) -> str:
    """How sure a figure is, for people; "" where nothing is known of that."""
    if isinstance(ends, Sequence) and len(ends) == 2 and all(map(finite, ends)):
        return f"{ends[0]:z.{digits}f} … {ends[1]:z.{digits}f}"
    return "few" if ends == "few" else ""


def told(value: float | None, ends: object = None, digits: int = 3) -> str:
    """A figure of any sign with its interval, in one line: 0.551 (0.520 … 0.580); a dash where it is not defined."""
    shown, sure = f"{value:z.{digits}f}" if finite(value) else "–", spread(ends, digits)
    return f"{shown} ({sure})" if sure else shown


def table(heads: Sequence[str], rows: Sequence[Sequence[tuple[str, object]]], *, kind: str = "sortable") -> str:
    """An HTML table. A cell is (class, value); floats are printed to three digits and sorted by their value.

    Of a `Sure` figure the interval stands below the value.
    """
    classes = [cell[0] for cell in rows[0]] if rows else [""] * len(heads)
    head = "".join(f'<th scope="col" class="{c}">{text(h)}</th>' for h, c in zip(heads, classes, strict=True))
    body = "".join("<tr>" + "".join(_cell(*cell, first=i == 0) for i, cell in enumerate(row)) + "</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return f'<div class="scroll"><table class="{kind}">{head}<tbody>{body}</tbody></table></div>'


def fold(summary: str, body: str) -> str:
    """What is there for whoever wants it: closed until its summary is clicked."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def chart(drawn: Any, label: str, *, wide: bool = False) -> str:
    """A chart that takes the page's colours; a wide one keeps its size on a phone, where it is scrolled."""
    kind = "chart wide" if wide else "chart"
    return f'<figure class="{kind}">{plot.to_svg(drawn, label, themed=True)}</figure>'


def embed(pictures: Sequence[Photo], budget: int) -> list[str]:
    """Data URIs of the pictures, at the best fidelity that fits `budget` bytes; the last are left out if none does."""
    sources: list[str] = []
    for longest, quality in FIDELITY:
        sources = [_data_uri(image, longest, quality) for image in pictures]
        if sum(map(len, sources)) <= budget:
            break
    while sources and sum(map(len, sources)) > budget:
        sources.pop()
    return sources


def _data_uri(image: Photo, longest: int, quality: int) -> str:
    factor = longest / max(image.shape[:2])
    if factor < 1:
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    full_colour = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444  # thin coloured lines blur in the usual half resolution
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full_colour]
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert ok, image.shape
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def figure(caption: str, image: Photo, source: str) -> str:
    """A picture that opens at full size when it is clicked."""
    picture = f'<img src="{source}" alt="{text(caption)}" width="{image.shape[1]}" height="{image.shape[0]}">'
    return f'<figure><button type="button">{picture}</button><figcaption>{text(caption)}</figcaption></figure>'


def _cell(kind: str, value: object, *, first: bool) -> str:
    tag, scope = ("th", ' scope="row"') if first else ("td", "")
    if value is None or isinstance(value, float | Sure):
        figure, ends = value if isinstance(value, Sure) else (value, None)
        sort, sure = str(figure) if finite(figure) else "", spread(ends)
        below = f"<small>{text(sure)}</small>" if sure else ""
        return f'<{tag}{scope} class="{kind}" data-value="{sort}">{told(figure)}{below}</{tag}>'
    return f'<{tag}{scope} class="{kind}">{text(value)}</{tag}>'


def finite(value: object) -> TypeGuard[float]:
    """Whether a value read from JSON is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def defined(value: object) -> TypeGuard[float]:
    """Whether a figure has a value: COCO's scorer writes -1 where it has none."""
    return finite(value) and value >= 0


def template(name: str) -> str:
    """A file that lies beside this one."""
    return (files("sandglass.evaluation") / name).read_text("utf-8")
