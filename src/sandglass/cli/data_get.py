"""`sandglass data get`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from sandglass.cli.terminal import Size, Terminal, bar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sandglass.data.fetch.coco import Fetched
    from sandglass.data.fetch.plan import Plan
    from sandglass.training.config import RunConfig

TRAIN = "train2017"


def run(
    name: Positional[Literal["coco"]],
    out: Path,
    split: tuple[str, ...] = ("train2017", "val2017"),
    people: int = 0,
    seed: int = 0,
    all_photos: bool = False,
    pack: Path | None = None,
    recipe: str = "swift",
    size: Size | None = None,
    mirror: str = "",
    connections: int = 8,
    dry_run: bool = False,
) -> None:
    """Fetch COCO 2017 from the source: only the photographs with usable people, never the whole archives.

    Usable in train2017 are people with at least 5 labelled joints and a box above 900 px², no crowds; in val2017
    everybody with a labelled joint. After an interruption the same command goes on where it stopped.

    Args:
        name: The data set.
        out: Folder of the data set, in the COCO layout; then: sandglass train swift --data OUT@train2017 ...
        split: train2017, val2017, or both.
        people: Fetch photographs of about so many usable people of each split; 0 for all.
        seed: Of the choice of these people. With the same seed, more people are added to the fewer.
        all_photos: Every photograph of a split, also those without people, and the official annotation file.
        pack: Cut the people of train2017 out into this file (JPEG, see sandglass data pack), and remove photographs
            as their people are stored in it. With another recipe or size, those would be fetched anew.
        recipe: The recipe that the pack is for: it says how people are cut out.
        size: Of the crop that the network sees, in place of the recipe's; for the pack.
        mirror: Address or folder in place of http://images.cocodataset.org, laid out alike; or SANDGLASS_COCO.
        connections: At a time, at most 32.
        dry_run: Print what would be fetched and what it takes; write nothing.
    """
    from sandglass.data.fetch.coco import CocoJob, forget, get_coco, plan_coco

    console = Terminal()
    config = _config_of_pack(pack, recipe, size, split, all_photos) if pack else None
    job = CocoJob(
        out=out,
        splits=split,
        people=people,
        seed=seed,
        whole=all_photos,
        base=mirror,
        connections=connections,
        packed=_stored(pack, out, config) if pack and config else frozenset(),
        scratch_stays=pack is not None,
    )
    if dry_run:
        plan = plan_coco(job)
        console.print(_plan_table(plan))
        console.print(f"On disk at most {_gb(plan.peak)}, of which {_gb(plan.there)} are there; {_gb(plan.free)} free.")
        if config:
            stored = f"{len(job.packed):,} photographs are in {pack}, half made, and are not fetched. "
            console.print(f"{stored if job.packed else ''}Photographs are removed as they are packed.", highlight=False)
        return
    try:
        done = get_coco(job, lambda text: _megabytes(console, text))
        console.print(_done_table(done))
        if pack and config:
            _pack(console, out, pack, config)
            forget(job)
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        raise
    learn = pack or f"{out}@{split[0]}"
    console.print(f"Next: sandglass train {recipe} --data {learn} --out run", highlight=False)


def _config_of_pack(
    pack: Path, recipe: str, size: tuple[int, int] | None, splits: tuple[str, ...], all_photos: bool
) -> "RunConfig":
    """How people are cut out; checked before anything is fetched. Raises BadInput."""
    from sandglass.core.errors import BadInput
    from sandglass.core.files import check_writable
    from sandglass.recipes import find_recipe, resized

    if pack.exists():
        raise BadInput(f"{pack}: is there already, and whole; train on it, remove it, or choose another --pack")
    if pack.suffix != ".pack" or TRAIN not in splits or all_photos:
        raise BadInput(f"{pack}: a pack is a file whose name ends in .pack, of the people of {TRAIN} alone")
    check_writable(pack.parent)
    return resized(find_recipe(recipe), size=size)


def _stored(pack: Path, out: Path, config: "RunConfig") -> frozenset[Path]:
    """The photographs that an interrupted `_pack` has stored. Raises BadInput."""
    from sandglass.data.packing import stored_already
    from sandglass.data.sets import SetSpec

    return stored_already(pack, [SetSpec(folder=out, split=TRAIN)], config.crop, config.filter, "jpeg")


def _pack(console: "Console", out: Path, pack: Path, config: "RunConfig") -> None:
    from contextlib import suppress

    from sandglass.core.cores import cpu_count
    from sandglass.data.packing import write_pack
    from sandglass.data.sets import SetSpec

    with bar(console, "packing people") as progress:
        packed = write_pack(
            pack,
            [SetSpec(folder=out, split=TRAIN)],
            config.crop,
            config.filter,
            encoding="jpeg",
            workers=min(cpu_count(), 16),
            consume=True,
            on_progress=progress,
        )
    with suppress(OSError):  # photographs that could not be read are still there
        (out / TRAIN).rmdir()
    lost = f"; {len(packed.unreadable)} photographs cannot be read" if packed.unreadable else ""
    console.print(f"{pack}: {packed.people:,} people, {_gb(packed.bytes)}{lost}", highlight=False)


@contextmanager
def _megabytes(console: "Console", text: str) -> Iterator[Callable[[int, int], None]]:
    with bar(console, f"{text}, MB") as move:
        yield lambda done, total: move(done // 10**6, -(-total // 10**6))


def _plan_table(plan: "Plan") -> "Table":
    from rich.table import Table

    table = Table("from", title="What would be fetched")
    for heading in ("files", "of", "to fetch", "on disk"):
        table.add_column(heading, justify="right")
    for row in plan.rows:
        of = f"{row.of:,}" if row.of else "all, no ranges"
        table.add_row(row.address, f"{row.files:,}", of, _gb(row.transfer), _gb(row.disk))
    return table


def _done_table(done: "list[Fetched]") -> "Table":
    from rich.table import Table

    table = Table("split", title="Fetched")
    for heading in ("photographs", "usable people", "new", "transferred"):
        table.add_column(heading, justify="right")
    for row in done:
        table.add_row(row.split, f"{row.photos:,}", f"{row.people:,}", f"{row.fetched:,}", _gb(row.transfer))
    return table


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**7 else f"{size / 1e6:.2f} MB"
