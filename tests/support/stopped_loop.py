"""An event loop in which no time passes of itself: however long the machine takes, nothing times out or grows old."""

import asyncio
import fcntl
import termios
from collections.abc import Coroutine
from typing import Any, TypeVar

from hasty_loop import HastyLoop, let_pass

T = TypeVar("T")


class StoppedLoop(HastyLoop):
    """A loop whose time stands still, but for what somebody lets pass."""

    def time(self) -> float:
        """Return what was let pass."""
        return self.ahead_s


def run_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run it in such a loop."""
    with asyncio.Runner(loop_factory=StoppedLoop) as runner:
        return runner.run(work)


async def passed(seconds: float) -> None:
    """Let so much time pass, and return when what was due by then has had its turns."""
    let_pass(seconds)
    for _ in range(10):
        await asyncio.sleep(0)


async def until_taken(writer: asyncio.StreamWriter) -> None:
    """Wait until all that was written has got to the other side, and been read by whoever is there, in this loop."""
    own = writer.get_extra_info("socket")
    # How much of it the other side's system has not confirmed yet.
    while any(fcntl.ioctl(own.fileno(), termios.TIOCOUTQ, bytes(4))):  # noqa: ASYNC110  nobody tells when it has
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
