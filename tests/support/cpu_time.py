"""The CPU time of one piece of work, and nobody else's.

For claims that time grows with the length of the input and no faster: the inputs are so long that looking back at all
of it from each place in it takes minutes, where going over it once takes a moment. Between the two lies a bound that
neither a slow machine nor a busy one comes near.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import thread_time


@dataclass(slots=True)
class CpuTime:
    """What a block took; 0 until it has ended."""

    seconds: float = 0.0


@contextmanager
def cpu_time() -> Generator[CpuTime]:
    """Take the CPU time of this thread over a block.

    The collector rests meanwhile: what it goes through are the leavings of all the tests before this one.
    """
    taken = CpuTime()
    gc.disable()
    begun = thread_time()
    try:
        yield taken
    finally:
        taken.seconds = thread_time() - begun
        gc.enable()
