"""`sandglass demo`."""

from pathlib import Path

from sandglass.cli.terminal import Terminal


def run(out: Path = Path("demo"), minutes: float = 7.0, people: int = 4000, seed: int = 2016) -> None:
    """Draw people, train on them, score and show: the whole main job, without a download.

    Args:
        out: Folder for everything that the demo leaves behind.
        minutes: Time to train for, evaluations included.
        people: Drawn people to learn from; 500 others are scored.
        seed: Of the drawing and of the training.
    """
    from sandglass.demo import demo as work

    console = Terminal()
    scores, page = work(out, minutes=minutes, people=people, seed=seed, console=console)
    console.print(scores.table())
    console.print(f"look at {page}", highlight=False)
