"""Configs <-> plain JSON: what was written comes back equal; what was not written by us is refused by its field."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from sandglass.core.config import altered, from_plain, to_plain
from sandglass.core.errors import BadInput


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int]
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    sigmas: tuple[float, ...] = (1.0,)
    on: bool = False
    count: int | None = None
    some: tuple[Inner, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Outer(
    Inner((192, 256), 0.25), "ü", "b", (2.0, 1.5), True, 3, (Inner((1, 2)),), {"deep": {"er": [1, "two", None]}}
)


@pytest.mark.parametrize("value", [WHOLE, Outer(Inner((1, 2)))])
def test_json_gives_it_back(value):
    assert from_plain(Outer, json.loads(json.dumps(to_plain(value)))) == value


def test_whole_numbers_are_floats_where_floats_are_asked_for():
    got = from_plain(Inner, {"size": [1, 2], "rate": 1})
    assert got.rate == 1.0 and type(got.rate) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner": {}}, "Inner: .*size"),
        ({"inner": 5}, "Inner must be a table of fields, not int"),
        ({"inner": {"size": [1, 2, 3]}}, "Inner.size must have 2 entries, not 3"),
        ({"inner": {"size": 5}}, "Inner.size must be a list, not 5"),
        ({"inner": {"size": [1.5, 2]}}, "Inner.size must be int, not 1.5"),
        ({"inner": {"size": [True, 2]}}, "Inner.size must be int, not True"),
        ({"inner": {"size": [1, 2], "rate": "fast"}}, "Inner.rate must be float, not 'fast'"),
        ({"inner": {"size": [1, 2], "rate": None}}, "Inner.rate must be float, not None"),
        ({"inner": {"size": [1, 2], "rate": True}}, "Inner.rate must be float, not True"),
        ({"inner": {"size": [1, 2], "rate": 10**400}}, "Inner.rate must be float"),
        ({"name": 5}, "Outer.name must be str, not 5"),
        ({"kind": "c"}, r"Outer.kind must be one of \['a', 'b'\], not 'c'"),
        ({"kind": ["a"]}, "Outer.kind must be one of"),
        ({"on": 1}, "Outer.on must be bool, not 1"),
        ({"count": "3"}, "Outer.count must be int, not '3'"),
        ({"sigmas": [1, "2"]}, "Outer.sigmas must be float, not '2'"),
        ({"options": [1]}, r"Outer.options must be a table, not \[1\]"),
        ({"some": [{"size": [1]}]}, "Inner.size must have 2 entries"),
        ({"nam": "y"}, r"Outer has no field \['nam'\]; its fields are \['inner', 'name'"),
        ({"__class__": "y"}, "no field"),
    ],
)
def test_what_is_ill_typed_is_refused_by_its_field(changes, message):
    with pytest.raises(BadInput, match=message) as caught:
        from_plain(Outer, to_plain(WHOLE) | changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, 5, "text", [1, 2]])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(BadInput, match="Outer must be a table of fields"):
        from_plain(Outer, data)


def test_messages_stay_short_whatever_the_file_holds():
    for changes in ({"name": ["long"] * 10**5}, {"count": "long" * 10**5}, {f"field {i}": 1 for i in range(10**5)}):
        with pytest.raises(BadInput) as caught:
            from_plain(Outer, to_plain(WHOLE) | changes)
        assert len(str(caught.value)) < 500


def test_messages_are_one_line():
    assert str(BadInput("a\nb\r\n  c\t d")) == "a b c d"


def test_fields_are_set_by_name_and_together():
    settings = ["inner.rate=1", "kind=b", "sigmas=[2.0, 1]", "on=true", "inner.size = [3, 4]", "options.deep=two words"]
    want = Outer(Inner((3, 4), 1.0), "x", "b", (2.0, 1.0), True, options={"deep": "two words"})
    assert altered(Outer(Inner((1, 2))), settings) == want
    assert altered(WHOLE, []) == WHOLE


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rate", "write FIELD=VALUE"),
        ("=3", "write FIELD=VALUE"),
        ("inner.size.x=3", "write FIELD=VALUE"),
        ("outer.rate=3", "write FIELD=VALUE"),
        ("rate=3", "Outer has no field"),
        ("inner.rate=fast", "Inner.rate must be float"),
        ("inner=3", "Inner must be a table"),
        ("kind=c", "must be one of"),
    ],
)
def test_a_setting_that_sets_nothing_is_refused(setting, says):
    with pytest.raises(BadInput, match=says):
        altered(Outer(Inner((1, 2))), [setting])
