"""What a run learns from: sets of photographs and packs, as crops with weights, and a fingerprint of it all."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandglass.core.errors import BadInput
from sandglass.core.pose import People
from sandglass.core.skeleton import Skeleton
from sandglass.data.crops import CropConfig, Crops, PersonCrops
from sandglass.data.filters import Filter, Tally, keep
from sandglass.data.fingerprint import Fingerprint, combined
from sandglass.data.pack import PackedCrops, check_pack, open_pack
from sandglass.data.photos import check_photos, without_photos
from sandglass.data.sets import PACK, SetSpec, check_mixable, check_named_once, read_set

MAX_MISSING = 0.1  # share of photographs that may be missing before a data set counts as broken
Say = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class Sources:
    """Crops and how often each of their people is drawn; several of one pack count as sets of their own."""

    sets: list[tuple[Crops, float]]
    tallies: list[Tally]
    fingerprint: str  # of all the people and their pixels

    @property
    def people(self) -> int:
        return sum(len(crops) for crops, _ in self.sets)

    @property
    def skeleton(self) -> Skeleton:
        return self.sets[0][0].skeleton


def read_sources(specs: Sequence[SetSpec], crop: CropConfig, rules: Filter, cache_bytes: int, say: Say) -> Sources:
    """Everything that the specs name. People without a photograph are left out, and `say` is told.

    Raises BadInput: see `read_set`, `keep`, `open_pack`, `check_pack`; sets named twice or of different skeletons.
    """
    check_named_once(specs)
    sets: list[tuple[Crops, float]] = []
    tallies, prints, skeletons = [], [], []
    for spec in specs:
        found, tally, mark = (_packed if spec.layout == PACK else _photographed)(spec, crop, rules, cache_bytes, say)
        cache_bytes -= sum(crops.cache_bytes for crops, _ in found)
        sets += found
        tallies += tally
        prints.append(mark)
        skeletons.append(found[0][0].skeleton)
    check_mixable(specs, skeletons)
    return Sources(sets, tallies, combined(prints))


def _photographed(
    spec: SetSpec, crop: CropConfig, rules: Filter, cache_bytes: int, say: Say
) -> tuple[list[tuple[PersonCrops, float]], list[Tally], str]:
    people, tally, mark = worth_training_on(spec, rules, say)
    return [(PersonCrops(people, crop, cache_bytes), spec.weight)], [tally], combined([mark.labels, mark.photos])


def _packed(
    spec: SetSpec, crop: CropConfig, rules: Filter, cache_bytes: int, say: Say
) -> tuple[list[tuple[PackedCrops, float]], list[Tally], str]:
    pack = open_pack(spec.folder)
    check_pack(pack, crop, rules)
    sets = []
    for number, packed in enumerate(pack.info.sets):
        sets.append((PackedCrops(pack, number, cache_bytes), spec.weight * packed.weight))
        cache_bytes -= sets[-1][0].cache_bytes
    say(f"{spec.folder}: {len(pack.ids):,} people, {pack.info.encoding}, of {', '.join(c.source for c, _ in sets)}")
    return sets, [], pack.info.content


def worth_training_on(
    spec: SetSpec, rules: Filter, say: Say, packed: Collection[Path] = ()
) -> tuple[People, Tally, Fingerprint]:
    """The people of a set who pass the rules and whose photographs are there; the fingerprint counts the others too.

    packed: absolute paths of photographs that need not be there. Raises BadInput.
    """
    people = read_set(spec)
    mark = Fingerprint.of(keep(people, rules)[0])
    people, tally = keep(_with_photos(people, say, packed), rules)
    return people, tally, mark


def _with_photos(people: People, say: Say, packed: Collection[Path]) -> People:
    problems = [problem for problem in check_photos(people) if problem.path.absolute() not in packed]
    if not problems:
        return people
    first = f"the first: {problems[0].path}, {problems[0].why}"
    if len(problems) > MAX_MISSING * len(people.image_paths):
        raise BadInput(f"{people.source}: {len(problems)} of {len(people.image_paths)} photographs unusable ({first})")
    left = without_photos(people, problems)
    say(f"{people.source}: {len(people) - len(left)} people left out, {len(problems)} photographs ({first})")
    return left
