"""One thread that looks at photographs, and a bounded number of seats in front of it."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from starlette.exceptions import HTTPException

from sandglass.web.bounds import Bounds

Answer = TypeVar("Answer")


class Worker:
    """Looks at one photograph at a time, so that the event loop stays free and memory bounded.

    A request sits down before its photograph is read: what lies in memory is `seats` uploads at most.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.seats, self.seconds = bounds.seats, bounds.answer_seconds
        self.taken = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sandglass-look")

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Raises HTTPException 503 with Retry-After when all are taken."""
        if self.taken >= self.seats:
            raise HTTPException(503, "the server is busy; try again in a second", headers={"Retry-After": "1"})
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def do(self, job: Callable[[], Answer]) -> Answer:
        """What the job returns. Raises what it raises, or HTTPException 504 when its turn does not come in time."""
        try:
            async with asyncio.timeout(self.seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pool, job)
        except TimeoutError:
            raise HTTPException(504, f"no answer within {self.seconds:g} s; try again or ask for less") from None

    def close(self) -> None:
        """Finish the job at hand, forget the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)
