"""A thread that calls what may block, one after the other, for a loop that must not."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread


class CallingThread:
    """A thread of which nobody waits for the end, should a call hang, not even at the end of the program."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], object], asyncio.Future[object]] | None] = SimpleQueue()
        Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, work: Callable[[], object]) -> object:
        """Return what a call returns, or raise what it raises; what would end a program is a `RuntimeError`."""
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._work.put((work, done))
        return await done

    def end(self) -> None:
        """End after the calls that were begun."""
        self._work.put(None)

    def _run(self) -> None:
        while (given := self._work.get()) is not None:
            work, done = given
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001  also SystemExit: it is the caller's
                # A future takes no StopIteration, and what ends programs would end this one.
                error = raised if isinstance(raised, Exception) and not isinstance(raised, StopIteration) else None
                error = error or RuntimeError(type(raised).__name__)
            # The loop may have gone, and whoever waited with it.
            with suppress(RuntimeError):
                done.get_loop().call_soon_threadsafe(_settle, done, result, error)
            del work, done, given, result, error


def _settle(done: "asyncio.Future[object]", result: object, error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
