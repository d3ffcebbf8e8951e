"""Ctrl-C while something is sent: the first one lets what is in flight end, the second cuts it."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

from postback_conformance.cli.terminal import say


@contextmanager
def stopped_by_ctrl_c(*, stop: Callable[[], None], cut: Callable[[], None]) -> Generator[None]:
    """Call `stop` at the first Ctrl-C and `cut` at each later one, in the running loop."""
    loop = asyncio.get_running_loop()

    def second() -> None:
        say("cutting the requests in flight: their endpoint may have taken them or not")
        cut()

    def first() -> None:
        say("stopping: requests in flight are finished, the rest is not sent; Ctrl-C again cuts them")
        loop.add_signal_handler(signal.SIGINT, second)
        stop()

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
