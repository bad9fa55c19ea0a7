"""What happened in a run: metrics.jsonl, TensorBoard where it is installed, and the line that moves in the terminal."""

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from sandglass.core.errors import BadInput
from sandglass.core.files import write_whole

METRICS_FILE = "metrics.jsonl"
PLAIN_EVERY = 30.0  # seconds between lines where there is no terminal to redraw


class Journal:
    """Rows to `metrics.jsonl`, one JSON object each; the same numbers to TensorBoard and to the progress line.

    Rows of steps after `step`, which were taken after the saved state and are about to be taken again, are dropped.
    """

    def __init__(self, folder: Path, step: int, console: Console) -> None:
        self.path, self.console = folder / METRICS_FILE, console
        folder.mkdir(parents=True, exist_ok=True)
        self._drop_after(step)
        try:
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115, PTH123  closed by `close`
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        self.unwritten = ""  # why rows wait for room on the disk
        self._board = _tensorboard(folder, step)
        columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[line]}")
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task("training", total=1.0, line="")
        self._progress.start()
        self._spoken = -math.inf

    def row(self, values: Mapping[str, Any]) -> None:
        """Append one row. `step` is among its values; a number that is not finite is written as null.

        What a full disk does not take waits in memory for the next row: training goes on.
        """
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        try:
            self._file.write(json.dumps(clean) + "\n")
            self._file.flush()
            self.unwritten = ""
            self._to_board(clean)
        except OSError as error:
            if not self.unwritten:
                self.say(f"{self.path}: cannot be written ({error.strerror}); training goes on, make room")
            self.unwritten = f"{self.path}: the last rows could not be written ({error.strerror})"

    def _to_board(self, values: Mapping[str, Any]) -> None:
        if self._board is not None:
            joints = {f"per_joint/{joint}": value for joint, value in (values.get("per_joint") or {}).items()}
            for name, value in {**values, **joints}.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, int(values["step"]))

    def progress(self, done: float, line: str) -> None:
        """Move the bar to `done` (0..1) and show `line`; without a terminal, print it now and then."""
        self._progress.update(self._task, completed=done, line=line)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self._spoken >= PLAIN_EVERY or done >= 1):
            self._spoken = now
            self.console.print(f"training {done:4.0%}  {line}", highlight=False)

    def say(self, text: Any) -> None:
        """A line or a table that stays, above the bar."""
        self._progress.console.print(text, highlight=False)

    def close(self) -> None:
        """Flush and let go of the terminal; the file ends with a whole line."""
        self._progress.stop()
        with suppress(OSError):  # told before, if the disk is full
            self._file.flush()
            os.fsync(self._file.fileno())
        with suppress(OSError):
            self._file.close()
        if self._board is not None:
            self._board.close()

    def _drop_after(self, step: int) -> None:
        if not self.path.is_file():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # torn by a kill
        write_whole(self.path, "".join(line + "\n" for line in kept))


class Silence:
    """The journal of the processes that keep none: rank 0 writes it for all."""

    unwritten = ""

    def row(self, values: Mapping[str, Any]) -> None:
        """Not written."""

    def progress(self, done: float, line: str) -> None:
        """Not shown."""

    def say(self, text: Any) -> None:
        """Not said."""

    def close(self) -> None:
        """Nothing is open."""


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)


def clock(seconds: float) -> str:
    """Seconds as people read them: 0:42, 12:05, 3:07:11."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
