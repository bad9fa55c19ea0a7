"""Reading ahead: a thread does the next few while the caller is busy with one."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 8  # results that wait at most


def ahead(read: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`map(read, items)`, a few ahead of the caller: memory stays bounded. What `read` raises is raised here."""
    with ThreadPoolExecutor(1, thread_name_prefix="sandglass-ahead") as pool:
        waiting = deque(pool.submit(read, item) for item in items[:AHEAD])
        try:
            for i in range(len(items)):
                yield waiting.popleft().result()
                if i + AHEAD < len(items):
                    waiting.append(pool.submit(read, items[i + AHEAD]))
        finally:
            pool.shutdown(cancel_futures=True)
