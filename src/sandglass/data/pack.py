"""Packs: people cut out of their photographs, in one memory-mapped file. Points are cut pixels, centres at +0.5.

A pack is a safetensors file, so that any tool may look into it: `cuts` (P, H, W, 3), or `stream` with JPEG files one
after the other; then, for each person in the order of their set, `keypoints`, `weight`, `ids` and where their pixels
stand. What it was made of, and how, is JSON in its header. Nothing in it is code.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sandglass.core.config import from_plain
from sandglass.core.errors import BadInput
from sandglass.core.image import Photo, decode_image
from sandglass.core.skeleton import Skeleton
from sandglass.data.crops import CropConfig, Crops, CutCache
from sandglass.data.filters import Filter, keep
from sandglass.data.fingerprint import Fingerprint
from sandglass.data.sets import SetSpec, read_set
from sandglass.data.untrusted import LIMIT

VERSION = 1
QUALITY = 95  # of JPEG, without chroma subsampling: a mean error of 0.9 of 255 levels
CONTENT_STEP = 2**24  # bytes that are hashed at a time
KINDS = {"U8": np.uint8, "F32": np.float32, "I64": np.int64}
Encoding = Literal["raw", "jpeg"]


@dataclass(frozen=True, kw_only=True)
class PackedSet:
    """One data set of a pack."""

    source: str  # what messages call it
    folder: str
    split: str
    layout: str
    skeleton: str  # that was asked for in place of the data set's own, if any
    weight: float
    people: int  # of this set in the pack: they stand in a row
    fingerprint: Fingerprint  # of the data set when it was packed

    @property
    def spec(self) -> SetSpec:
        folder = Path(self.folder)
        return SetSpec(folder=folder, split=self.split, weight=self.weight, layout=self.layout, skeleton=self.skeleton)


@dataclass(frozen=True, kw_only=True)
class PackInfo:
    """What the header of a pack tells. content: a digest of every byte after the header."""

    version: int
    crop: CropConfig
    filter: Filter
    encoding: Encoding
    quality: int
    skeleton: Skeleton
    sets: tuple[PackedSet, ...]
    content: str


@dataclass(frozen=True, eq=False)
class Pack:
    """An open pack: the pixels stay on the disk (and in the system's cache) until they are asked for."""

    path: Path
    info: PackInfo
    keypoints: NDArray[np.float32]  # (N, K, 2)
    weight: NDArray[np.float32]  # (N, K)
    ids: NDArray[np.int64]  # (N,)
    places: NDArray[np.int64]  # (N,) row in `pixels`; or (N, 2) first and last byte + 1
    pixels: NDArray[np.uint8]  # (P, H, W, 3), or (bytes,); mapped, read-only

    def cut(self, i: int) -> Photo:
        """The pixels of person i. Raises BadInput if they are broken."""
        if self.info.encoding == "raw":
            return self.pixels[self.places[i]]
        begin, end = self.places[i]
        name = f"{self.path}: person {self.ids[i]}"
        return decode_image(self.pixels[begin:end].tobytes(), name, self.info.crop.cut_size)


class PackedCrops(Crops):
    """One set of a pack as samples, by row: what PersonCrops gives, without the photographs.

    JPEG cuts are cached once they are decoded, up to `cache_bytes`; raw ones the system keeps.
    """

    def __init__(self, pack: Pack, number: int, cache_bytes: int = 0) -> None:
        packed = pack.info.sets[number]
        self.pack, self.first = pack, sum(earlier.people for earlier in pack.info.sets[:number])
        rows = slice(self.first, self.first + packed.people)
        budget = cache_bytes if pack.info.encoding == "jpeg" else 0
        cache = CutCache(packed.people, pack.info.crop.cut_size, budget)
        tables = pack.ids[rows], pack.keypoints[rows], pack.weight[rows]
        super().__init__(packed.source, pack.info.skeleton, *tables, cache)

    def pixels(self, i: int) -> Photo:
        return self.pack.cut(self.first + i)


def open_pack(path: Path) -> Pack:
    """A pack, mapped read-only. Its sizes are checked against the file; its pixels are not looked at.

    Raises BadInput: missing, no pack, of another version, truncated, or with a table that cannot be.
    """
    try:
        with safe_open(path, framework="np") as file:  # the parts fill the file exactly, or this raises
            written = (file.metadata() or {}).get("pack", "")
        info = from_plain(PackInfo, json.loads(written))
        table = _table(path)
    except (SafetensorError, ValueError, RecursionError, OverflowError) as error:
        why = str(error).splitlines()[0][:200] if isinstance(error, BadInput | SafetensorError) else "no header of one"
        raise BadInput(f"{path}: no pack, or a truncated one ({why}); make it with sandglass data pack") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    if info.version != VERSION:
        raise BadInput(f"{path}: a pack of version {info.version}, not {VERSION}; make it anew: {command(info, path)}")
    places = "rows" if info.encoding == "raw" else "spans"
    pixels = "cuts" if info.encoding == "raw" else "stream"
    if table.keys() != {"keypoints", "weight", "ids", places, pixels}:
        raise BadInput(f"{path}: a pack holds no {sorted(table)}; make it anew: {command(info, path)}")
    loaded = {name: np.array(table[name]) for name in ("keypoints", "weight", "ids", places)}
    pack = Pack(path, info, loaded["keypoints"], loaded["weight"], loaded["ids"], loaded[places], table[pixels])
    if wrong := _wrong(pack):
        raise BadInput(f"{path}: a broken pack ({wrong}); make it anew: {command(info, path)}")
    return pack


def _table(path: Path) -> dict[str, np.ndarray]:
    """The parts of a safetensors file whose header has been checked, as read-only views of the file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    whole = np.asarray(np.memmap(path, np.uint8, "r"))
    header.pop("__metadata__", None)
    return {name: _part(whole[8 + size :], part) for name, part in header.items()}


def _part(data: NDArray[np.uint8], part: dict[str, Any]) -> np.ndarray:
    begin, end = part["data_offsets"]
    if part["dtype"] not in KINDS:
        raise BadInput(f"holds numbers of kind {part['dtype']}")
    return data[begin:end].view(KINDS[part["dtype"]]).reshape(part["shape"])


def _wrong(pack: Pack) -> str:
    """What is wrong with the tables of a pack, if anything."""
    info, n = pack.info, len(pack.ids)
    raw = info.encoding == "raw"
    (w, h), k = info.crop.cut_size, len(info.skeleton)
    shapes = pack.keypoints.shape == (n, k, 2) and pack.weight.shape == (n, k) and pack.ids.shape == (n,)
    if not shapes or pack.places.shape != ((n,) if raw else (n, 2)):
        return f"its tables are not of {n} people with {k} joints"
    if not info.sets or any(packed.people < 1 for packed in info.sets) or sum(s.people for s in info.sets) != n:
        return f"its sets are not of {n} people"
    if pack.pixels.shape[1:] != ((h, w, 3) if raw else ()):
        return f"its cuts are not of {w}x{h} pixels"
    begin, end = (pack.places, pack.places + 1) if raw else pack.places.T
    if not ((begin >= 0) & (end > begin) & (end <= len(pack.pixels))).all():
        return "a cut is not there"
    if not (np.abs(pack.keypoints) <= LIMIT).all() or not np.isin(pack.weight, (0, 1)).all():
        return "its joints are no pixels"
    return ""


def check_content(pack: Pack) -> None:
    """Read a whole pack, and refuse it where a byte is not what was written: a disk forgets. Raises BadInput."""
    digest = hashlib.sha256()
    with pack.path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        while block := file.read(CONTENT_STEP):
            digest.update(block)
    if digest.hexdigest()[: len(pack.info.content)] != pack.info.content:
        cure = command(pack.info, pack.path)
        raise BadInput(f"{pack.path}: its bytes are no longer those that were written; pack again: {cure}")


def check_pack(pack: Pack, crop: CropConfig, rules: Filter) -> None:
    """Refuse a pack that was cut in another way than a run needs, or whose data set is here and has changed.

    A data set that is no longer here, or that has lost photographs, is no reason: that is what packs are for.
    Raises BadInput with the command that cures it.
    """
    info = pack.info
    has, needs = _settings(info.crop, info.filter), _settings(crop, rules)
    if differing := [f"{name} {value}, not {needs[name]}" for name, value in has.items() if value != needs[name]]:
        wanted = command(info, pack.path, crop, rules)
        raise BadInput(f"{pack.path}: packed with {' and '.join(differing)} as this run needs; pack again: {wanted}")
    for packed in info.sets:
        if not _is_as_it_was(packed, rules):
            stale = f"{packed.source} has changed since it was packed"
            raise BadInput(f"{pack.path}: stale, {stale}; pack it again: {command(info, pack.path)}")


def _is_as_it_was(packed: PackedSet, rules: Filter) -> bool:
    try:
        people, _ = keep(read_set(packed.spec), rules)
    except BadInput:
        return True  # not here, or nothing that could be compared
    return packed.fingerprint.fits(Fingerprint.of(people))


def _settings(crop: CropConfig, rules: Filter) -> dict[str, str]:
    """What decides about the cuts, by the names that `sandglass data pack` knows, as it is written there."""
    return {
        "--size": f"{crop.size[0]} {crop.size[1]}",
        "model.padding": repr(crop.padding),
        "margin": repr(crop.margin),
        "filter.min_joints": repr(rules.min_joints),
        "filter.min_box_area": repr(rules.min_box_area),
        "filter.share": repr(rules.share),
        "filter.seed": repr(rules.seed),
    }


def command(info: PackInfo, path: Path, crop: CropConfig | None = None, rules: Filter | None = None) -> str:
    """The command line that makes a pack of the same sets, with this crop and filter in place of its own, or of it."""
    crop = crop or info.crop
    settings = _settings(crop, rules or info.filter)
    usual = _settings(CropConfig(size=crop.size), Filter())
    changed = [f"{name}={value}" for name, value in settings.items() if value != usual[name]]
    sets = [f"{s.folder}@{s.split}" + (f":{s.weight:g}" if s.weight != 1 else "") for s in info.sets]
    skeletons = {packed.skeleton for packed in info.sets} - {""}
    words = ["sandglass", "data", "pack", *sets, "--out", str(path), *(["--replace"] if path.is_file() else [])]
    words += ["--size", *map(str, crop.size)]
    words += ["--set", *changed] if changed else []
    words += ["--skeleton", *skeletons] if len(skeletons) == 1 else []
    words += ["--encoding", "jpeg", "--quality", str(info.quality)] if info.encoding == "jpeg" else []
    return shlex.join(words)
