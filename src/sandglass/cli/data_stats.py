"""`sandglass data stats`."""

from pathlib import Path

from tyro.conf import Positional

from sandglass.cli.terminal import Sets, Terminal


def run(
    data: Positional[Sets],
    out: Path | None = None,
    skeleton: str = "",
    min_joints: int = 5,
    min_box_area: float = 900.0,
) -> None:
    """Count what data sets hold: people by joints, people an image, box sizes, visibility, what the filter removes.

    Photographs are not needed.

    Args:
        data: What to count; a .toml file may list several sets.
        out: Folder for the pictures: <set>-counts.png, -sizes.png, -visibility.png, -together.png.
        skeleton: A .toml file, or a known name, in place of the data's own.
        min_joints: Of the filter whose losses are shown.
        min_box_area: Of the same, square pixels.
    """
    from rich.measure import Measurement

    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable, write_whole
    from sandglass.data.census import Census, counts_table, joints_table, overview_table, sizes_table
    from sandglass.data.filters import Filter, tally_table
    from sandglass.data.sets import parse_sets, read_set
    from sandglass.draw import census as pictures
    from sandglass.draw.plot import to_png

    console = Terminal()
    rules = Filter(min_joints=min_joints, min_box_area=min_box_area)
    specs = parse_sets(data, skeleton)
    if out is not None:
        check_writable(out)
    found = [Census.of(read_set(spec), rules) for spec in specs]
    across = overview_table(found)
    fits = Measurement.get(console, console.options.update(width=10_000), across).maximum <= console.width
    console.print(across if fits and len(found) > 1 else overview_table(found, upright=True))
    console.print(sizes_table(found))
    if tallies := [census.tally for census in found if census.tally]:
        console.print(tally_table(tallies))
    for census in found:
        console.print(joints_table(census))
        console.print(counts_table(census))
    if out is None:
        return
    names = [census.source.replace("@", "-") for census in found]
    if len(set(names)) < len(names):
        raise BadInput(f"two sets are called {names[0]}; draw them into different folders, one command each")
    for name, census in zip(names, found, strict=True):
        joints = census.skeleton.joints
        for kind, figure in {
            "counts": pictures.counts_figure(census.joints, census.people_an_image),
            "sizes": pictures.sizes_figure(census.sides, census.cover),
            "visibility": pictures.visibility_figure(joints, census.states),
            "together": pictures.together_figure(joints, census.given_other),
        }.items():
            write_whole(out / f"{name}-{kind}.png", to_png(figure))
    console.print(f"look at {out}", highlight=False)
