"""Writing packs: photographs are decoded once each, by many threads, and the people in them cut out and stored."""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from sandglass.data.pack import KINDS, QUALITY, VERSION, Encoding, PackedSet, PackInfo
from sandglass.data.photos import photo_bytes, too_many_bad
from sandglass.data.sets import PACK, SetSpec, check_mixable, check_named_once
from sandglass.data.sources import Say, worth_training_on

HEADER_STEP = 4096  # bytes: the pixels begin on a page of memory
JPEG_SHARE = 0.15  # of the raw pixels, about, at the quality that we use
TOGETHER = 8 * 10**9  # bytes of photographs and pack; all of COCO, with its annotations, stays under 10 GB


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

    With `consume`, photographs are removed once their people are stored: in the end, when the pack is whole, so that
    an interruption costs none; or, where the disk cannot hold both or they would take more than TOGETHER, each at once.
    Photographs that cannot be read are skipped and counted. No more than 2 x workers of them, and their cuts, are in
    memory at a time. Raises BadInput: see `read_set` and `keep`; too many unreadable photographs; a full disk.
    """
    check_writable(path.parent)
    if path.suffix != ".pack" or path.is_dir():
        raise BadInput(f"{path}: a pack is a file whose name ends in .pack")
    if any(spec.layout == PACK for spec in specs):
        raise BadInput("a pack is made of data sets with photographs, not of packs")
    if not 1 <= quality <= 100:
        raise BadInput(f"a JPEG quality of {quality} must lie in 1..100; {QUALITY} is usual")
    check_named_once(specs)
    found = [worth_training_on(spec, rules, say) for spec in specs]
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
    freed = sum(sum(photo_bytes(people).values()) for people, _, _ in found) if consume else 0
    at_once = _check_space(path, info, freed)
    with replacing(path, sync=True, alone=True) as beside, beside.open("wb") as file, _one_thread_each():
        writer = _Writer(file, info)
        writer.fill(crops, workers, at_once, on_progress)
        size = writer.finish(crops)
    for photo in writer.photos if consume else ():
        photo.unlink(missing_ok=True)
    tallies = tuple(tally for _, tally, _ in found)
    return Packed(path, writer.people, size, tuple(dict.fromkeys(writer.bad.values())), len(writer.bad), tallies)


def _described(spec: SetSpec, people: People, mark: Fingerprint) -> PackedSet:
    return PackedSet(
        source=people.source,
        folder=str(spec.folder.absolute()),
        split=spec.split,
        layout=spec.layout,
        skeleton=str(Path(spec.skeleton).absolute()) if spec.skeleton.endswith(".toml") else spec.skeleton,
        weight=spec.weight,
        people=len(people),
        fingerprint=mark,
    )


def _check_space(path: Path, info: PackInfo, freed: int) -> bool:
    """Before the first photograph is opened: is there room for the pixels, if `freed` bytes go meanwhile? Returns
    whether they must go at once."""
    w, h = info.crop.cut_size
    raw = sum(packed.people for packed in info.sets) * w * h * 3
    needed = raw if info.encoding == "raw" else int(raw * JPEG_SHARE)
    there = next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free + freed:
        cure = f"free some, choose another --out{', or --encoding jpeg' if info.encoding == 'raw' else ''}"
        raise BadInput(f"{path}: needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; {cure}")
    return bool(freed) and (needed > free or needed + freed > TOGETHER)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV's own threads would fight with ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class _Writer:
    """The file in the making: room for the header, the pixels, the tables; then the header into its room."""

    def __init__(self, file: IO[bytes], info: PackInfo) -> None:
        self.file, self.info = file, info
        self.rows = sum(packed.people for packed in info.sets)
        w, h = info.crop.cut_size
        self.cut_bytes = w * h * 3
        self.places = np.full((self.rows, 2), -1, np.int64)  # first byte and last byte + 1 among the pixels
        self.written = 0
        self.photos: list[Path] = []  # whose people are stored
        self.bad: dict[int, str] = {}  # row -> why its photograph cannot be read
        self.digest = hashlib.sha256()
        most = 8 + len(self._header(self.rows, 2 * self.rows * self.cut_bytes, info))  # 8: its length comes first
        self.room = -(-most // HEADER_STEP) * HEADER_STEP
        file.write(b" " * self.room)

    @property
    def people(self) -> int:
        return self.rows - len(self.bad)

    def fill(
        self, crops: Sequence[PersonCrops], workers: int, at_once: bool, on_progress: Callable[[int, int], None]
    ) -> None:
        """Decode, cut and store everybody. at_once: remove each photograph once its people are stored."""
        done = 0
        with ThreadPoolExecutor(workers, thread_name_prefix="sandglass-packer") as pool:
            try:
                for photo, rows, cuts, why in _ahead(pool, 2 * workers, self._jobs(crops)):
                    if why:
                        self.bad |= dict.fromkeys(rows.tolist(), why)
                    else:
                        self._store(rows, cuts)
                        self.photos.append(photo)
                        if at_once:
                            photo.unlink()
                    done += len(rows)
                    on_progress(done, self.rows)
                    if too_many_bad(len(self.bad), done):
                        count = len(set(self.bad.values()))
                        raise BadInput(f"{count} photographs cannot be read; mend the data set; the last: {why}")
            finally:
                pool.shutdown(cancel_futures=True)

    def _jobs(self, crops: Sequence[PersonCrops]) -> Iterator[Callable[[], Any]]:
        """One for each photograph."""
        first = 0
        for one in crops:
            order = np.argsort(one.people.image, kind="stable")
            ends = np.flatnonzero(np.diff(one.people.image[order])) + 1
            for at in np.split(order, ends):
                path = one.people.image_paths[one.people.image[at[0]]]
                yield lambda path=path, one=one, at=at, first=first: (path, first + at, *self._cut(one, at))
            first += len(one)

    def _cut(self, crops: PersonCrops, at: NDArray[np.int64]) -> tuple[list[NDArray[np.uint8]], str]:
        """The people of one photograph, ready to be stored; or why there is none."""
        try:
            photo = crops.photo(int(at[0]))
        except BadInput as error:
            return [], str(error)
        return [self._encoded(crops.cut(int(i), photo)) for i in at], ""

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
        places = spans[:, 0] // self.cut_bytes if self.info.encoding == "raw" else spans
        for table in (*tables, places):
            self._write(table)
        sets = (replace(packed, people=count) for packed, count in zip(self.info.sets, counts, strict=True))
        info = replace(self.info, sets=tuple(sets), content=self.digest.hexdigest()[:32])
        header = self._header(len(spans), pixels, info).ljust(self.room - 8)
        assert len(header) == self.room - 8, "a pack's header has outgrown its room"
        self.file.seek(0)
        self.file.write(len(header).to_bytes(8, "little") + header)
        return self.room + self.written

    def _header(self, people: int, pixels: int, info: PackInfo) -> bytes:
        """The header of a safetensors file, https://github.com/huggingface/safetensors#format."""
        (w, h), k, raw = info.crop.cut_size, len(info.skeleton), info.encoding == "raw"
        shapes = [("cuts", "U8", (pixels // self.cut_bytes, h, w, 3)) if raw else ("stream", "U8", (pixels,))]
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
