"""Config dataclasses <-> plain JSON. What comes from a file is checked field by field: names, types, no code."""

import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from reprlib import repr  # short, whatever the file holds
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sandglass.core.errors import BadInput

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as dicts and lists, ready for JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    return value


def from_plain(kind: type[T], data: Any) -> T:
    """A dataclass from parsed JSON or TOML. Unknown fields and wrong types raise BadInput naming the field."""
    if not isinstance(data, Mapping):
        raise BadInput(f"{kind.__name__} must be a table of fields, not {type(data).__name__}")
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted(str(k) for k in set(data) - set(known)):
        raise BadInput(f"{kind.__name__} has no field {repr(unknown)}; its fields are {known}")
    try:
        return kind(**{name: _convert(hints[name], value, f"{kind.__name__}.{name}") for name, value in data.items()})
    except TypeError as error:  # a field without a default was left out
        raise BadInput(f"{kind.__name__}: {error}") from None


def altered(config: T, settings: Iterable[str]) -> T:
    """A config with some fields set by name: `optimiser.lr=0.01`, `model.options.stacks=2`, `loss.name=mse`.

    Values are written as in TOML; text needs no quotes. They are set together and checked together. Raises BadInput.
    """
    plain = to_plain(config)
    for setting in settings:
        path, equals, text = setting.partition("=")
        *parents, last = path.strip().split(".")
        table = plain
        for name in parents:
            table = table.get(name) if isinstance(table, dict) else None
        if not equals or not last or not isinstance(table, dict):
            raise BadInput(f"'{setting}' sets no field; write FIELD=VALUE, as in optimiser.lr=0.01")
        table[last] = _parsed(text.strip())
    return from_plain(type(config), plain)


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value not in args:
            raise BadInput(f"{where} must be one of {list(args)}, not {repr(value)}")
        return value
    if origin is tuple:
        return _tuple(args, value, where)
    if origin is not None:  # Mapping[str, ...]
        if not isinstance(value, Mapping):
            raise BadInput(f"{where} must be a table, not {repr(value)}")
        return dict(value)
    if is_dataclass(hint):
        return from_plain(hint, value)  # type: ignore[arg-type]
    return _scalar(hint, value, where)


def _tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise BadInput(f"{where} must be a list, not {repr(value)}")
    if args[-1] is Ellipsis:
        return tuple(_convert(args[0], v, where) for v in value)
    if len(value) != len(args):
        raise BadInput(f"{where} must have {len(args)} entries, not {len(value)}")
    return tuple(_convert(a, v, where) for a, v in zip(args, value, strict=True))


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise BadInput(f"{where} must be {hint.__name__}, not {repr(value)}")
    return value
