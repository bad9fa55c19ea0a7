"""What the commands share: kinds of arguments, where they print, and the progress bar."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from rich.console import Console
from rich.text import Text
from tyro.conf import arg

from sandglass.core.errors import plain

Sets = Annotated[tuple[str, ...], arg(metavar="FOLDER@SPLIT[:WEIGHT]")]
OneSet = Annotated[str, arg(metavar="FOLDER@SPLIT")]
Size = Annotated[tuple[int, int], arg(metavar="WIDTH HEIGHT")]


class Terminal(Console):
    """Where a command prints. What a name holds is shown as it is: no markup, no control characters."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(markup=False, stderr=stderr, quiet=quiet)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **options)


def counted(number: int, one: str, several: str = "") -> str:
    """ "1 photograph", "2 photographs"; `several` is for nouns that do not end in s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


@contextmanager
def bar(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and time left; what it yields is told (done, total)."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
    began = time.monotonic()
    with Progress(TextColumn(text), *columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None, rate="")

        def move(done: int, total: int) -> None:
            rate = done / max(time.monotonic() - began, 1e-6)
            progress.update(task, completed=done, total=total, rate=f"{rate:.0f}/s")

        yield move
