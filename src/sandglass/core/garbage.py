"""The garbage collector, kept away where many objects are made and none becomes garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No collection inside. Reading a large file makes millions of objects, and each look for garbage walks over all of
    them: it would cost from a third to a half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
