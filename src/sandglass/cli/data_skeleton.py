"""`sandglass data skeleton`."""

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sandglass.cli.terminal import Sets, Terminal

if TYPE_CHECKING:
    from rich.table import Table

    from sandglass.core.skeleton import Skeleton
    from sandglass.data.repeats import Repeats


def run(
    skeleton: Positional[str] = "",
    data: Sets = (),
    out: Path | None = None,
    repeats: Sets = (),
    toml: Path | None = None,
) -> None:
    """Show a skeleton for approval: joints, mirror twins as inferred from the names, OKS sigmas, and a diagram.

    Args:
        skeleton: A .toml file, or a known name; without it, the skeleton of --data or --repeats.
        data: A data set: the diagram puts each joint where it usually lies in the person's box.
        out: Where to draw the diagram, a .png file.
        repeats: One set that labels people twice, or several that label the same photographs: gives the sigmas.
        toml: Where to write the skeleton down, with these sigmas: a file for --skeleton.
    """
    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable, write_whole
    from sandglass.core.skeleton import one_sided
    from sandglass.data.repeats import estimate
    from sandglass.data.sets import parse_sets, read_set
    from sandglass.data.skeletons import find_skeleton, to_toml
    from sandglass.draw.plot import to_png
    from sandglass.draw.skeletons import skeleton_diagram, usual_places

    console = Terminal()
    if not (skeleton or data or repeats):
        raise BadInput("name a skeleton: a .toml file, a known name, or a data set with --data FOLDER@SPLIT")
    for path in (out, toml):
        if path is not None:
            check_writable(path.absolute().parent)
    if out is not None and out.suffix.lower() != ".png":
        raise BadInput(f"{out}: the diagram is a PNG; give it a name that ends in .png")
    given = find_skeleton(skeleton) if skeleton else None
    people = read_set(parse_sets(data)[0], given) if data else None
    measured = estimate([read_set(spec, given) for spec in parse_sets(repeats)]) if repeats else None
    shown = measured.measured if measured else people.skeleton if people else given
    assert shown is not None
    console.print(_table(shown, measured))
    if given is None and (lonely := one_sided(shown)):  # of a file, reading it has said so
        console.print(f"no twin for {', '.join(lonely)}, whose names tell a side: correct the names, or give `mirror`")
    if toml is not None:
        write_whole(toml, to_toml(shown))
        console.print(f"wrote {toml}", highlight=False)
    if out is not None:
        places = usual_places(people.keypoints, people.visibility, people.boxes) if people else None
        write_whole(out, to_png(skeleton_diagram(shown, places)))
        console.print(f"look at {out}", highlight=False)


def _table(skeleton: "Skeleton", measured: "Repeats | None") -> "Table":
    from rich.table import Table

    title = f"{skeleton.name}: {len(skeleton)} joints, {len(skeleton.pairs)} left/right pairs"
    table = Table(title=title + (f"; sigmas of {measured.people:,} people labelled again" if measured else ""))
    for heading in ("joint", "", "side", "mirror twin", "OKS sigma", "limbs to"):
        table.add_column(heading, justify="right" if heading in ("joint", "OKS sigma") else "left")
    if measured:
        table.add_column("labels again", justify="right")
    for j, joint in enumerate(skeleton.joints):
        twin = skeleton.mirror[j]
        limbs = [skeleton.joints[a + b - j] for a, b in skeleton.edges if j in (a, b)]
        row = [str(j), joint, skeleton.side(j), "" if twin == j else skeleton.joints[twin]]
        row += [f"{skeleton.sigmas[j]:.3f}", ", ".join(limbs)]
        table.add_row(*row, *([f"{measured.freedom[j]:,}"] if measured else []))
    return table
