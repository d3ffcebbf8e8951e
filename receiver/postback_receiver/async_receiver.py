"""The receiver for asynchronous code: the same words as `Receiver`, and those that wait are awaited.

async with AsyncReceiver() as receiver:
    await run_the_thing_under_test(receiver.url)
    first = await receiver.wait_for(path("/postback"))

It listens on a thread of its own, too: what blocks the caller's event loop neither delays an answer nor spoils a stamp.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from postback_receiver.arrivals import Mark
from postback_receiver.capture import Capture
from postback_receiver.matching import Match
from postback_receiver.receiver import QUIET_S, TIMEOUT_S, ReceiverBase
from postback_receiver.waiting import Wait

T = TypeVar("T")


# Own time-outs instead of asyncio.timeout around the call (ASYNC109): they tell what did arrive.


class AsyncReceiver(ReceiverBase):
    """A receiver for asyncio: `async with AsyncReceiver() as receiver`.

    A plain `with` starts and stops it as well, for fixtures that are not asynchronous.
    """

    async def __aenter__(self) -> Self:
        """Start to listen; ListenError when the port cannot be had, ReceiverStateError for a second time."""
        # A moment's work, and so nothing is left listening when the caller is cancelled.
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop to listen, once requests under way are finished; whoever still waits gets a ReceiverStateError."""
        # Those requests may be made in this very event loop, which therefore has to go on.
        await asyncio.to_thread(self.__exit__, exc_type, exc, traceback)

    async def wait_for(
        self,
        match: Match | None = None,
        *,
        timeout: float = TIMEOUT_S,  # noqa: ASYNC109
        after: Mark | Capture | None = None,
    ) -> Capture:
        """The first capture that matches, now or within `timeout` seconds; see `Receiver.wait_for`."""
        __tracebackhide__ = True
        return (await self._wait(self._count_wait(match, 1, timeout), after))[0]

    async def wait_for_count(
        self,
        count: int,
        match: Match | None = None,
        *,
        timeout: float = TIMEOUT_S,  # noqa: ASYNC109
        after: Mark | Capture | None = None,
    ) -> list[Capture]:
        """All captures that match, as soon as there are at least `count`; else WaitTimeout after `timeout` seconds."""
        __tracebackhide__ = True
        return await self._wait(self._count_wait(match, count, timeout), after)

    async def wait_idle(self, *, quiet: float = QUIET_S, timeout: float = TIMEOUT_S) -> list[Capture]:  # noqa: ASYNC109
        """All captures, once nothing has arrived for `quiet` seconds; WaitTimeout when requests keep coming."""
        __tracebackhide__ = True
        await self._wait(self._idle_wait(quiet, timeout), self.mark())
        return self.captures()

    async def assert_silent(
        self, match: Match | None = None, *, for_: float = QUIET_S, after: Mark | Capture | None = None
    ) -> None:
        """Return when nothing that matches has arrived, nor does in `for_` seconds; see `Receiver.assert_silent`."""
        __tracebackhide__ = True
        await self._wait(self._silence_wait(match, for_), after)

    async def _wait(self, wait: Wait[T], after: Mark | Capture | None) -> T:
        __tracebackhide__ = True
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            # The loop may have been closed with the wait still in it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(woken.set)

        with self._arrivals.followed(wake, after) as follower:
            while (pause_s := self._pause_s(wait, follower)) is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await woken.wait()
                woken.clear()
        return wait.outcome()
