"""`sandglass data pack`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sandglass.cli.terminal import Sets, Size, Terminal, bar


def run(
    data: Positional[Sets],
    out: Path,
    recipe: str = "swift",
    size: Size | None = None,
    settings: Annotated[tuple[str, ...], arg(name="set", metavar="FIELD=VALUE")] = (),
    skeleton: str = "",
    encoding: Literal["raw", "jpeg"] = "raw",
    quality: int = 95,
    workers: int = 0,
    replace: bool = False,
) -> None:
    """Cut the people of data sets out of their photographs into one file that training reads in their place.

    Args:
        data: What to pack; a .toml file may list several sets. Weights are kept.
        out: The pack, a file whose name ends in .pack; train on it with --data FILE.pack.
        recipe: The recipe that shall be trained on it: it says how people are cut out, and who is left out.
        size: Of the crop that the network sees, in place of the recipe's; what is stored is larger.
        settings: Other fields of the recipe, as config.json names them: margin=1.3, filter.min_joints=8.
        skeleton: A .toml file with joints, edges, mirror and sigmas, or a known name: in place of the data's own.
        encoding: raw is read fastest and exact; jpeg takes a tenth of the space, and a millisecond a cut to decode.
        quality: Of the JPEG files, 1 ... 100, without chroma subsampling.
        workers: Threads that decode photographs; 0 takes all cores that this process may use, at most 16.
        replace: Put the new pack in the place of one that is there, once it is whole.
    """
    from sandglass.core.config import altered
    from sandglass.core.cores import cpu_count
    from sandglass.core.errors import BadInput
    from sandglass.data.filters import tally_table
    from sandglass.data.packing import write_pack
    from sandglass.data.sets import parse_sets
    from sandglass.recipes import find_recipe, resized

    console = Terminal()
    config = altered(resized(find_recipe(recipe), size=size), settings)
    if out.suffix == ".pack" and out.is_file() and not replace:
        raise BadInput(f"{out}: is there already; train on it, give --replace, or choose another --out")
    with bar(console, "packing people") as progress:
        packed = write_pack(
            out,
            parse_sets(data, skeleton),
            config.crop,
            config.filter,
            encoding=encoding,
            quality=quality,
            workers=workers or min(cpu_count(), 16),
            on_progress=progress,
            say=lambda text: console.print(text, highlight=False, soft_wrap=True),
        )
    console.print(tally_table(packed.tallies))
    if packed.unreadable:
        lost = f"{packed.lost} people left out, {len(packed.unreadable)} photographs that cannot be read"
        console.print(f"{lost} (the first: {packed.unreadable[0]})", highlight=False, soft_wrap=True)
    w, h = config.crop.cut_size
    told = f"{packed.people:,} people in cuts of {w}x{h}, {encoding}, {packed.bytes / 1e9:.2f} GB"
    console.print(f"{out}: {told}; train on it with --data {out}", highlight=False, soft_wrap=True)
