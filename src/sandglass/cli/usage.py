"""What tyro says of words that it cannot read: a box of many lines there, one line here."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from io import StringIO
from itertools import takewhile
from typing import Any

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ALSO = ("Unrecognized options", "Perhaps you meant", "Arguments similar")  # sections below the first that are told
HELP = 8  # columns: tyro sets the help texts of flags so far in, their names half so far


class Misuse(Exception):
    """Words that a verb does not take: one line."""


def understood(run: Callable[..., None], prog: str, words: Sequence[str]) -> Callable[[], None]:
    """What the words ask of `run`, to be called. Raises Misuse; SystemExit once --help was answered."""
    import tyro

    @wraps(run)
    def asked(*values: Any, **named: Any) -> Callable[[], None]:
        return partial(run, *values, **named)

    told = StringIO()
    helps = not {"--help", "-h"}.isdisjoint(words)
    try:
        with redirect_stderr(told), _wide(not helps):
            call: Any = tyro.cli(asked, prog=prog, args=words)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise Misuse(one_line(told.getvalue(), prog)) from None
    print(told.getvalue(), end="", file=sys.stderr)
    return call


def one_line(box: str, prog: str) -> str:
    """The fact that a box of tyro tells, and the flag that was meant where it knows one; what helps is left out."""
    rows = [row[2:-2].rstrip() for row in COLOUR.sub("", box).splitlines()[1:-1]]
    parts: list[str] = []
    while rows:
        section = list(takewhile(lambda row: set(row) - set("─-"), rows))
        rows = rows[len(section) + 1 :]
        if not section or (parts and not section[0].startswith(ALSO)):
            continue
        shown = [row for row in section if len(row) - len(row.lstrip()) < HELP]
        facts, names = ([row.strip() for row in shown if row.startswith(" ") is named] for named in (False, True))
        text = f"{' '.join(facts)} {', '.join(names)}".strip(" .")
        parts.append(text[:1].lower() + text[1:])
    return "; ".join(parts).replace(f"missing from {prog}:", "missing:") or "these words cannot be read"


@contextmanager
def _wide(wanted: bool) -> Iterator[None]:
    """A terminal so wide that nothing is broken into lines, as tyro asks for its width."""
    before = os.environ.get("COLUMNS")
    if wanted:
        os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        if wanted and before is None:
            del os.environ["COLUMNS"]
        elif wanted and before is not None:
            os.environ["COLUMNS"] = before
