"""`sandglass report`."""

from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import OneSet, Terminal, bar


def run(
    folders: Positional[tuple[Path, ...]],
    out: Path | None = None,
    data: OneSet = "",
    device: str = "auto",
) -> None:
    """Show a run or an evaluation as one page: scores, mistakes, stacks, calibration, curves, pictures.

    Args:
        folders: A training run, which is scored first, and anew when it has another model since; or what `evaluate`
            left; further runs are drawn beside it.
        out: Folder for report.html, report.json, report.md and pictures; by default the first folder.
        data: What to score a run on, in place of the set that it was validated on.
        device: auto, cpu, cuda, mps.
    """
    from sandglass.core.errors import BadInput
    from sandglass.evaluation.folders import make_report

    if not folders:
        raise BadInput("which run? give its folder, as in: sandglass report run")
    console = Terminal()
    with bar(console, "looking at people") as progress:
        page = make_report(
            folders,
            out or folders[0],
            data=data,
            device=device,
            say=lambda line: console.print(line, highlight=False),
            on_progress=progress,
        )
    console.print(f"look at {page}", highlight=False)
