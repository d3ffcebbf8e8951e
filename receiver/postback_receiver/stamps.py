"""Where the stamps of a capture come from. Time and ids are passed in, so that tests can say what they are."""

import secrets
import time
from typing import Protocol


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

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


def random_id() -> str:
    """A new capture id: 16 hexadecimal digits, random from the first one so that a short start tells captures apart."""
    return secrets.token_hex(8)
