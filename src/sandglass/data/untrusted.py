"""JSON from files that anyone may have written: bounded, and turned into arrays column by column."""

import gzip
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.garbage import uncollected

MAX_JSON_BYTES = 2 * 2**30
LIMIT = 1e6  # no pixel coordinate, length or score is larger; also what NaN and infinity fail
Where = Callable[[int], str]  # the place of row i, as an error message names it


def read_json(path: Path, without: Sequence[str] = ()) -> Any:
    """What a .json or .json.gz file holds. Raises BadInput: missing, too large, no JSON, nested too deeply.

    Fields named in `without` are thrown away from every object as soon as it is read: outlines take five times
    the memory of all else in a COCO file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)  # a small .gz may unpack to anything
    except OSError as error:
        why = error.strerror or str(error)
        raise BadInput(f"{path}: cannot be read ({why}); check the path") from None
    except (EOFError, ValueError) as error:
        raise BadInput(f"{path}: the compressed file is broken ({error}); fetch it again") from None
    if len(data) > MAX_JSON_BYTES:
        raise BadInput(f"{path}: larger than {MAX_JSON_BYTES >> 30} GiB; split the annotation file")
    try:
        with uncollected():
            text = data.decode(json.detect_encoding(data))
            del data  # half of the peak
            return json.loads(text, object_hook=_dropping(without) if without else None)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON ({error}); fetch or export the file again") from None


def _dropping(names: Sequence[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def hook(row: dict[str, Any]) -> dict[str, Any]:
        for name in names:
            row.pop(name, None)
        return row

    return hook


def records(data: Any, key: str, path: Path) -> list[dict[str, Any]]:
    """The list of objects that stands under `key`. Raises BadInput."""
    rows = data.get(key) if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise BadInput(f"{path}: has no list `{key}`; it must be a COCO keypoint file")
    return objects(rows, f"{path}: {key}")


def objects(rows: list[Any], place: str) -> list[dict[str, Any]]:
    """The same list, once every entry is known to be an object. Raises BadInput naming the entry."""
    if not set(map(type, rows)) <= {dict}:
        i = next(i for i, row in enumerate(rows) if type(row) is not dict)
        raise BadInput(f"{place}[{i}] is {brief(rows[i])}, not an object; correct or remove it")
    return rows


def whole_numbers(rows: Sequence[dict[str, Any]], key: str, where: Where) -> NDArray[np.int64]:
    """A column (N,) of whole numbers. Raises BadInput naming the first row without one."""
    values = [row.get(key) for row in rows]
    if set(map(type, values)) <= {int}:
        with suppress(OverflowError):
            return np.array(values, np.int64)
    i = next(i for i, value in enumerate(values) if type(value) is not int or not -(2**63) <= value < 2**63)
    raise BadInput(f"{where(i)} has `{key}` {brief(values[i])}; it must be a whole number")


def numbers(
    rows: Sequence[dict[str, Any]], key: str, where: Where, width: int = 0, default: float | None = None
) -> NDArray[np.float64]:
    """A column (N,) of finite numbers, or (N, width) of lists of them.

    A row without `key` gets `default` (which may be NaN) if there is one. Raises BadInput naming the first row
    whose entry is missing, of another length, or holds anything else than numbers of at most LIMIT.
    """
    values = [row.get(key, default) for row in rows]
    if width:
        for i, value in enumerate(values):
            if type(value) is not list or len(value) != width:
                has = f"{len(value)} entries" if isinstance(value, list) else brief(value)
                raise BadInput(f"{where(i)}: `{key}` has {has} where {width} numbers are needed; correct or remove it")
    shape = (len(values), width) if width else (len(values),)
    try:
        table = np.array(values, np.float64)
        fits = table.shape == shape or not values
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        table = np.array([_number_or_nan(value, width) for value in values], np.float64)
    table = table.reshape(shape)
    bad = ~(np.abs(table) <= LIMIT).reshape(len(values), max(width, 1)).all(1)
    if default is not None and bad.any():
        bad &= np.array([key in row for row in rows], bool)
    for i in np.flatnonzero(bad)[:1]:
        raise BadInput(f"{where(i)} has `{key}` {brief(values[i])}; finite numbers up to {LIMIT:.0f} are needed")
    return table


def _number_or_nan(value: Any, width: int) -> Any:
    if width:
        return [_number_or_nan(part, 0) for part in value]
    return float(value) if type(value) in (int, float) and abs(value) <= LIMIT else np.nan


def refuse(bad: NDArray[np.bool_] | np.bool_, where: Where, what: Callable[[int], str]) -> None:
    """Raise BadInput about the first row (N,) that is bad, if any is."""
    for i in np.flatnonzero(bad)[:1]:
        raise BadInput(f"{where(i)} {what(i)}")


def first_twice(ids: NDArray[np.int64]) -> int | None:
    """The first id that occurs more than once."""
    values, counts = np.unique(ids, return_counts=True)
    return int(values[counts > 1][0]) if (counts > 1).any() else None


def brief(value: Any) -> str:
    """A value for a message: escaped, and short whatever it is."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
