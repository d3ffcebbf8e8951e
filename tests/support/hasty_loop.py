"""An event loop whose time can be moved on: what would wait for hours is over at once, and nothing depends on a moment.

A time-out that is to be seen is set to far more than the machine ever takes, and passes when what it is about has
happened: the server was asked, the probe was called.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


class HastyLoop(asyncio.SelectorEventLoop):
    """A loop of asyncio's own, with time that somebody may let pass."""

    ahead_s = 0.0

    def time(self) -> float:
        """Return the time of the machine, and what was let pass."""
        return super().time() + self.ahead_s

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass, from any thread: all that is due by then follows on the next turn."""
        self.call_soon_threadsafe(self._move, seconds)

    def _move(self, seconds: float) -> None:
        self.ahead_s += seconds


def let_pass(seconds: float) -> None:
    """Let so much time pass for the loop that runs here, which is a hasty one."""
    cast("HastyLoop", asyncio.get_running_loop()).let_pass(seconds)


def run_hastily(work: Coroutine[Any, Any, T]) -> T:
    """Run it in such a loop."""
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        return runner.run(work)
