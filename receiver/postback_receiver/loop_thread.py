"""An event loop on a thread of its own, for callers that are not asynchronous."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from postback_receiver.event_loop import new_event_loop

T = TypeVar("T")


class LoopThread(Generic[T]):
    """Keeps one asynchronous context manager open on its own thread, from `start` to `stop`. It is used once."""

    def __init__(self, context: AbstractAsyncContextManager[T], *, name: str) -> None:
        self._context = context
        self._started: Future[tuple[T, Callable[[], object]]] = Future()
        self._finished: Future[None] = Future()
        # A daemon, so that a forgotten `stop` does not keep a test run from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> T:
        """Enter the context; what it gives, or what it raises."""
        try:
            self._thread.start()
            value, _ = self._started.result()
        except BaseException:
            # Interrupted while it starts: nobody will stop it, so it must not go on.
            self._started.add_done_callback(_leave_at_once)
            raise
        return value

    def stop(self) -> None:
        """Leave the context and end the thread; raises what leaving raised."""
        _, leave = self._started.result()
        leave()
        self._thread.join()
        self._finished.result()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this very thread."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._hold())
        except BaseException as error:  # noqa: BLE001 -- carried over to the thread that asked, whatever it is
            (self._finished if self._started.done() else self._started).set_exception(error)
        else:
            self._finished.set_result(None)

    async def _hold(self) -> None:
        loop = asyncio.get_running_loop()
        leaving = asyncio.Event()
        async with self._context as value:
            self._started.set_result((value, lambda: loop.call_soon_threadsafe(leaving.set)))
            await leaving.wait()


def _leave_at_once(started: Future[tuple[T, Callable[[], object]]]) -> None:
    if started.exception() is None:
        _, leave = started.result()
        leave()
