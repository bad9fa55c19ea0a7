"""The order of examples, and batches of them. Example number n is the n-th that a run ever sees.

Which person that is, and how it is augmented, is a function of (seed, n): the same with any number of workers and
devices, and after any interruption.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sandglass.core.errors import BadInput
from sandglass.core.image import Photo
from sandglass.core.skeleton import Skeleton
from sandglass.data.augment import AugmentConfig, Batch, draw, move
from sandglass.data.crops import CropConfig, Crops, Sample
from sandglass.data.photos import too_many_bad


class Order:
    """Endless, seeded order over several sets. An epoch sees each set's people `weight` times on average.

    Every set is walked in shuffled rounds of its own, so that nobody is seen twice before all were seen once;
    an epoch shuffles whose turn it is.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        assert len(sizes) == len(weights) and all(sizes), (sizes, weights)
        self.sizes, self.seed = tuple(sizes), seed
        self.shares = tuple(max(1, round(size * weight)) for size, weight in zip(sizes, weights, strict=True))
        self.first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._latest = -1, np.empty(0, np.int64)  # an epoch and its rows, in one: threads ask at the same time

    def __len__(self) -> int:
        """Examples an epoch."""
        return sum(self.shares)

    def rows(self, start: int, stop: int) -> NDArray[np.int64]:
        """Rows in the concatenated sets of the examples start <= n < stop."""
        parts = []
        while start < stop:
            epoch, at = divmod(start, len(self))
            take = min(stop - start, len(self) - at)
            parts.append(self._epoch_rows(epoch)[at : at + take])
            start += take
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _epoch_rows(self, epoch: int) -> NDArray[np.int64]:
        latest = self._latest
        if epoch != latest[0]:
            turns = np.repeat(np.arange(len(self.sizes)), self.shares)  # which set's next person
            turns = turns[_permutation(len(turns), self.seed, len(self.sizes), epoch)]
            rows = np.empty(len(turns), np.int64)
            for s in range(len(self.sizes)):
                rows[turns == s] = self._share(s, epoch) + self.first[s]
            self._latest = latest = epoch, rows
        return latest[1]

    def _share(self, s: int, epoch: int) -> NDArray[np.int64]:
        size, share = self.sizes[s], self.shares[s]
        first, last = epoch * share, (epoch + 1) * share
        rounds = range(first // size, (last - 1) // size + 1)
        people = np.concatenate([_permutation(size, self.seed, s, r) for r in rounds])
        return people[first - rounds[0] * size : last - rounds[0] * size]


def _permutation(size: int, *key: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key))).permutation(size).astype(np.int64)


class Loader:
    """Augmented batches from sets of people, ahead of time. Worker threads decode and cut: OpenCV lets them run.

    A photograph that cannot be read is replaced by the next person of its set, and counted in `skipped`. With
    `resident`, batches come without pixels: whoever paints them has all cuts at hand, by `Batch.index`. With `pin`,
    they lie in memory that a GPU reads by itself.
    """

    def __init__(
        self,
        sets: Sequence[Crops],
        order: Order,
        augment: AugmentConfig,
        crop: CropConfig,
        skeleton: Skeleton,
        seed: int,
        workers: int,
        resident: bool = False,
        pin: bool = False,
    ) -> None:
        self.sets, self.order, self.augment, self.crop, self.skeleton = sets, order, augment, crop, skeleton
        self.seed, self.workers, self.pin = seed, workers, pin
        joints = [(crops.keypoints, crops.weight) for crops in sets] if resident else []
        self._joints = [np.concatenate(part) for part in zip(*joints, strict=True)]
        self.skipped: dict[int, str] = {}  # row -> why
        self.seen = 0
        self.waited = 0.0  # seconds that `batches` kept its caller waiting

    def batch(self, start: int, stop: int) -> Batch:
        """The examples start <= n < stop."""
        cuts, keypoints, weight, index = self._look_up(self.order.rows(start, stop))
        numbers = np.arange(start, stop, dtype=np.int64)
        drawn = draw(self.augment, self.crop, self.skeleton, keypoints, weight, self.seed, numbers)
        keypoints, weight = move(drawn, keypoints, weight, self.skeleton)
        batch = Batch.of(cuts, keypoints, weight, drawn, index)
        return batch.pinned() if self.pin else batch

    def _look_up(
        self, rows: NDArray[np.int64]
    ) -> tuple[Photo, NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]]:
        """Cuts (B, H, W, 3), keypoints (B, K, 2), weight (B, K) of some rows, and the rows that they are of."""
        if self._joints:
            keypoints, weight = (part[rows] for part in self._joints)
            return np.empty((len(rows), 0, 0, 3), np.uint8), keypoints.astype(np.float64), weight, rows
        samples = [self._sample(int(row)) for row in rows]
        keypoints = np.stack([s.keypoints for s in samples]).astype(np.float64)
        weight = np.stack([s.weight for s in samples])
        return np.stack([s.image for s in samples]), keypoints, weight, np.array([s.index for s in samples], np.int64)

    def batches(self, start: int, size: int, rank: int = 0, ranks: int = 1) -> Generator[Batch, None, None]:
        """Endless batches from example `start` on: of every `size` examples, the share of a rank among `ranks`."""
        assert size % ranks == 0, (size, ranks)
        share = size // ranks
        start += rank * share
        if self.workers < 1:
            while True:
                yield self._timed(lambda at=start: self.batch(at, at + share))
                start += size
        with ThreadPoolExecutor(self.workers, thread_name_prefix="sandglass-loader") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                while True:
                    while len(ahead) < 2 * self.workers:
                        ahead.append(pool.submit(self.batch, start, start + share))
                        start += size
                    yield self._timed(ahead.popleft().result)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, get: Callable[[], Batch]) -> Batch:
        began = time.perf_counter()
        batch = get()
        self.waited += time.perf_counter() - began
        return batch

    def people(self, index: NDArray[np.int64]) -> str:
        """Rows of the concatenated sets, as a person looks for them: annotation ids, by set."""
        found: dict[str, list[int]] = {}
        for row in index:
            crops, i = self._locate(int(row))
            found.setdefault(crops.source, []).append(int(crops.ids[i]))
        return ", ".join(f"{ids} of {source}" for source, ids in found.items())

    def _locate(self, row: int) -> tuple[Crops, int]:
        s = int(np.searchsorted(self.order.first, row, side="right")) - 1
        return self.sets[s], row - int(self.order.first[s])

    def _sample(self, row: int) -> Sample:
        crops, i = self._locate(row)
        for step in range(len(crops)):
            at = (i + step) % len(crops)
            self.seen += 1
            try:
                sample = crops[at]
            except BadInput as error:
                self.skipped[row - i + at] = str(error)
                if too_many_bad(len(self.skipped), self.seen):
                    raise BadInput(self._too_many(str(error))) from None
                continue
            return Sample(sample.image, sample.keypoints, sample.weight, row - i + at)
        raise BadInput(f"{crops.source}: not one photograph can be read; {next(iter(self.skipped.values()))}")

    def _too_many(self, last: str) -> str:
        photographs = len(set(self.skipped.values()))  # each has its own reason, which begins with its path
        return (
            f"{photographs} photographs cannot be read, with {len(self.skipped)} of the {self.seen} people met so "
            f"far; mend the data set; the last: {last}"
        )
