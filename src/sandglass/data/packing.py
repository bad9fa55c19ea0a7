"""Writing packs: photographs are decoded once each, by many threads, and the people in them cut out and stored."""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sandglass.core.config import to_plain
from sandglass.core.errors import BadInput
from sandglass.core.files import check_writable, replacing
from sandglass.core.image import Photo
from sandglass.core.pose import People
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.filters import Filter, Tally
from sandglass.data.fingerprint import Fingerprint
from sandglass.data.halfway import Begun, Done, HalfMade
from sandglass.data.pack import KINDS, QUALITY, VERSION, Encoding, PackedSet, PackInfo
from sandglass.data.photos import photo_bytes, too_many_bad
from sandglass.data.sets import PACK, SetSpec, check_mixable, check_named_once
from sandglass.data.sources import Say, worth_training_on

HEADER_STEP = 4096  # bytes: the pixels begin on a page of memory
JPEG_SHARE = 0.15  # of the raw pixels, about, at the quality that we use
Add = Callable[[Path, Sequence[int], str], None]  # told a photograph, its cuts' lengths, or why there are none


@dataclass(frozen=True)
class Packed:
    """What was written. unreadable: why each photograph that was skipped was; lost: people, with them."""

    path: Path
    people: int
    bytes: int
    unreadable: tuple[str, ...]
    lost: int
    tallies: tuple[Tally, ...]


def write_pack(
    path: Path,
    specs: Sequence[SetSpec],
    crop: CropConfig,
    rules: Filter,
    *,
    encoding: Encoding = "raw",
    quality: int = QUALITY,
    workers: int = 2,
    consume: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    say: Say = lambda text: None,
) -> Packed:
    """Cut the people of data sets out of their photographs into one file, beside its place; then it is renamed there.

    With `consume`, photographs are removed as their people are stored, so that the disk needs no room for both. An
    interruption costs none: what is stored is kept, and the same call goes on to the same pack; see `stored_already`.
    Photographs that cannot be read are skipped and counted. No more than 2 x workers of them, and their cuts, are in
    memory at a time. Raises BadInput: see `read_set` and `keep`; too many unreadable photographs; a full disk; a
    half-made pack of other data or settings, if it consumed photographs.
    """
    check_writable(path.parent)
    if path.suffix != ".pack" or path.is_dir():
        raise BadInput(f"{path}: a pack is a file whose name ends in .pack")
    if any(spec.layout == PACK for spec in specs):
        raise BadInput("a pack is made of data sets with photographs, not of packs")
    if not 1 <= quality <= 100:
        raise BadInput(f"a JPEG quality of {quality} must lie in 1..100; {QUALITY} is usual")
    check_named_once(specs)
    half = HalfMade(path) if consume else None
    found = [worth_training_on(spec, rules, say, half.photos if half else ()) for spec in specs]
    check_mixable(specs, [people.skeleton for people, _, _ in found])
    info = PackInfo(
        version=VERSION,
        crop=crop,
        filter=rules,
        encoding=encoding,
        quality=quality if encoding == "jpeg" else 0,
        skeleton=found[0][0].skeleton,
        sets=tuple(_described(spec, people, mark) for spec, (people, _, mark) in zip(specs, found, strict=True)),
        content="0" * 32,
    )
    crops = [PersonCrops(people, crop) for people, _, _ in found]
    work = list(_photographs(crops))
    if half:
        info = half.go_on(Begun(_room(info), info), [(one.path, len(one.people)) for one in work])
    done = half.done if half else ()
    freed = sum(sum(photo_bytes(people).values()) for people, _, _ in found) if consume else 0
    _check_space(path, info, sum(len(one.people) for one in work[len(done) :]), freed)
    with _place(path, half) as (file, add), _one_thread_each():
        writer = _Writer(file, info)
        writer.begin(work, done)
        writer.fill(work[len(done) :], workers, on_progress, add)
        size = writer.finish(crops)
    tallies = tuple(tally for _, tally, _ in found)
    return Packed(path, writer.people, size, tuple(dict.fromkeys(writer.bad.values())), len(writer.bad), tallies)


def stored_already(
    path: Path, specs: Sequence[SetSpec], crop: CropConfig, rules: Filter, encoding: Encoding, quality: int = QUALITY
) -> frozenset[Path]:
    """The photographs, by absolute paths, that `write_pack` with `consume` has stored before it was interrupted.

    Raises BadInput if some of them are no longer there, and are in a pack of other data or settings.
    """
    half = HalfMade(path)
    if half.begun:
        info = half.begun.info
        began = [info.crop, info.filter, info.encoding, info.quality, [packed.spec for packed in info.sets]]
        quality = quality if encoding == "jpeg" else 0
        half.match(began == [crop, rules, encoding, quality, [_absolute(spec) for spec in specs]])
    return half.photos


def _absolute(spec: SetSpec) -> SetSpec:
    skeleton = str(Path(spec.skeleton).absolute()) if spec.skeleton.endswith(".toml") else spec.skeleton
    return replace(spec, folder=spec.folder.absolute(), skeleton=skeleton)


def _described(spec: SetSpec, people: People, mark: Fingerprint) -> PackedSet:
    spec = _absolute(spec)
    return PackedSet(
        source=people.source,
        folder=str(spec.folder),
        split=spec.split,
        layout=spec.layout,
        skeleton=spec.skeleton,
        weight=spec.weight,
        people=len(people),
        fingerprint=mark,
    )


def _check_space(path: Path, info: PackInfo, people: int, freed: int) -> None:
    """Before the first photograph is opened: is there room for the pixels, if `freed` bytes go meanwhile?"""
    raw = people * _cut_bytes(info)
    needed = raw if info.encoding == "raw" else int(raw * JPEG_SHARE)
    there = next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free + freed:
        cure = f"free some, choose another --out{', or --encoding jpeg' if info.encoding == 'raw' else ''}"
        raise BadInput(f"{path}: needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; {cure}")


@contextmanager
def _place(path: Path, half: HalfMade | None) -> Iterator[tuple[IO[bytes], Add]]:
    """The file to write, which gets its name in the end, and what wants to hear of each photograph that is in it."""
    if half:
        with half.writing() as ledger:
            yield ledger.file, ledger.add
    else:
        with replacing(path, sync=True, alone=True) as beside, beside.open("wb") as file:
            yield file, lambda photo, lengths, why: None


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV's own threads would fight with ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@dataclass(frozen=True, eq=False)
class _Photograph:
    """One piece of work. rows: of its people in the pack, as far as all can be cut out."""

    path: Path  # absolute
    crops: PersonCrops
    people: NDArray[np.int64]  # rows of `crops`
    rows: NDArray[np.int64]


def _photographs(crops: Sequence[PersonCrops]) -> Iterator[_Photograph]:
    first = 0
    for one in crops:
        order = np.argsort(one.people.image, kind="stable")
        ends = np.flatnonzero(np.diff(one.people.image[order])) + 1
        for at in np.split(order, ends):
            path = one.people.image_paths[one.people.image[at[0]]]
            yield _Photograph(path.absolute(), one, at, first + at)
        first += len(one)


class _Writer:
    """The file in the making: room for the header, the pixels, the tables; then the header into its room."""

    def __init__(self, file: IO[bytes], info: PackInfo) -> None:
        self.file, self.info, self.room = file, info, _room(info)
        self.rows = sum(packed.people for packed in info.sets)
        self.places = np.full((self.rows, 2), -1, np.int64)  # first byte and last byte + 1 among the pixels
        self.written = 0
        self.bad: dict[int, str] = {}  # row -> why its photograph cannot be read
        self.digest = hashlib.sha256()

    @property
    def people(self) -> int:
        return self.rows - len(self.bad)

    def begin(self, work: Sequence[_Photograph], done: Sequence[Done]) -> None:
        """Take over what is done of the work, as the file has it; or make room for the header."""
        if not done:
            self.file.write(b" " * self.room)
            return
        for one, stored in zip(work, done, strict=False):
            if stored.why:
                self.bad |= dict.fromkeys(one.rows.tolist(), stored.why)
                continue
            for row, length in zip(one.rows, stored.lengths, strict=True):
                self.places[row] = self.written, self.written + length
                self.written += length
        self.file.seek(self.room)
        while block := self.file.read(2**20):
            self.digest.update(block)

    def fill(
        self, work: Sequence[_Photograph], workers: int, on_progress: Callable[[int, int], None], add: Add
    ) -> None:
        """Decode, cut and store everybody who is left."""
        done = self.rows - sum(len(one.rows) for one in work)
        with ThreadPoolExecutor(workers, thread_name_prefix="sandglass-packer") as pool:
            try:
                for one, cuts, why in _ahead(pool, 2 * workers, (partial(self._cut, one) for one in work)):
                    if why:
                        self.bad |= dict.fromkeys(one.rows.tolist(), why)
                    else:
                        self._store(one.rows, cuts)
                    done += len(one.rows)
                    on_progress(done, self.rows)
                    if too_many_bad(len(self.bad), done):
                        count = len(set(self.bad.values()))
                        raise BadInput(f"{count} photographs cannot be read; mend the data set; the last: {why}")
                    add(one.path, [cut.nbytes for cut in cuts], why)
            finally:
                pool.shutdown(cancel_futures=True)

    def _cut(self, one: _Photograph) -> tuple[_Photograph, list[NDArray[np.uint8]], str]:
        """The people of one photograph, ready to be stored; or why there is none."""
        try:
            photo = one.crops.photo(int(one.people[0]))
        except BadInput as error:
            return one, [], str(error)
        return one, [self._encoded(one.crops.cut(int(i), photo)) for i in one.people], ""

    def _encoded(self, cut: Photo) -> NDArray[np.uint8]:
        if self.info.encoding == "raw":
            return cut
        full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444  # a crop is small: halved colours would blur its limbs
        options = [cv2.IMWRITE_JPEG_QUALITY, self.info.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
        ok, data = cv2.imencode(".jpg", cv2.cvtColor(cut, cv2.COLOR_RGB2BGR), options)
        assert ok
        return data

    def _store(self, rows: NDArray[np.int64], cuts: Sequence[NDArray[np.uint8]]) -> None:
        for row, cut in zip(rows, cuts, strict=True):
            self.places[row] = self.written, self.written + cut.nbytes
            self._write(cut)

    def _write(self, data: NDArray[Any]) -> None:
        plain = np.ascontiguousarray(data)
        self.file.write(plain.data)
        self.digest.update(plain.data)
        self.written += plain.nbytes

    def finish(self, crops: Sequence[PersonCrops]) -> int:
        """Store the tables of those who could be cut out, and the header; returns the size of the file."""
        pixels, good = self.written, self.places[:, 0] >= 0
        if not good.any():
            raise BadInput(f"not one photograph can be read; the first: {next(iter(self.bad.values()))}")
        counts = [int(part.sum()) for part in np.split(good, np.cumsum([len(one) for one in crops])[:-1])]
        if not all(counts):
            raise BadInput(f"{crops[counts.index(0)].source}: not one photograph can be read; leave it out")
        spans = self.places[good]
        names = "keypoints", "weight", "ids"
        tables = [np.concatenate([getattr(one, name) for one in crops])[good] for name in names]
        places = spans[:, 0] // _cut_bytes(self.info) if self.info.encoding == "raw" else spans
        for table in (*tables, places):
            self._write(table)
        sets = (replace(packed, people=count) for packed, count in zip(self.info.sets, counts, strict=True))
        info = replace(self.info, sets=tuple(sets), content=self.digest.hexdigest()[:32])
        header = _header(info, len(spans), pixels).ljust(self.room - 8)
        assert len(header) == self.room - 8, "a pack's header has outgrown its room"
        self.file.seek(0)
        self.file.write(len(header).to_bytes(8, "little") + header)
        return self.room + self.written


def _cut_bytes(info: PackInfo) -> int:
    """Of a cut's pixels."""
    w, h = info.crop.cut_size
    return w * h * 3


def _room(info: PackInfo) -> int:
    """Bytes for the header and its length, whatever it will say."""
    people = sum(packed.people for packed in info.sets)
    most = 8 + len(_header(info, people, 2 * people * _cut_bytes(info)))  # 8: its length comes first
    return -(-most // HEADER_STEP) * HEADER_STEP


def _header(info: PackInfo, people: int, pixels: int) -> bytes:
    """The header of a safetensors file, https://github.com/huggingface/safetensors#format."""
    (w, h), k, raw = info.crop.cut_size, len(info.skeleton), info.encoding == "raw"
    shapes = [("cuts", "U8", (pixels // _cut_bytes(info), h, w, 3)) if raw else ("stream", "U8", (pixels,))]
    shapes += [("keypoints", "F32", (people, k, 2)), ("weight", "F32", (people, k)), ("ids", "I64", (people,))]
    shapes += [("rows", "I64", (people,)) if raw else ("spans", "I64", (people, 2))]
    header: dict[str, Any] = {"__metadata__": {"pack": json.dumps(to_plain(info))}}
    at = 0
    for name, kind, shape in shapes:
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(KINDS[kind]).itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return json.dumps(header).encode()


def _ahead(pool: ThreadPoolExecutor, most: int, jobs: Iterator[Callable[[], Any]]) -> Iterator[Any]:
    """The results of jobs in their order, with at most `most` of them begun and not yet taken."""
    waiting: deque[Future[Any]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) == most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
