"""Where the stamps of a capture come from. Time and ids are passed in, so that tests can say what they are."""

import itertools
import os
import random
import time
from typing import Protocol

# A generator of our own: seeding the global one, as test plugins do, must not bring yesterday's ids back. It is far
# cheaper than asking the system each time, and ids are no secrets.
_ids = random.Random()  # noqa: S311
_numbers = itertools.count(time.time_ns() // 1_000_000)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)


class Clock(Protocol):
    """The two clocks a receiver reads."""

    def now_ns(self) -> int:
        """Wall clock: nanoseconds since the epoch."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that never steps back; its zero means nothing."""
        ...


class SystemClock:
    """The clocks of this machine."""

    # Read several times for each request, and so without a function around them.
    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


def random_id() -> str:
    """A new capture id: 16 hexadecimal digits, random from the first one so that a short start tells captures apart.

    The last eight count up from where the clock stood when this process began: a store that sorts ids by their end adds
    each new one next to the last, which saves it most of the cost of knowing them all.
    """
    return (_ids.getrandbits(32) << 32 | next(_numbers) & 0xFFFFFFFF).to_bytes(8).hex()
