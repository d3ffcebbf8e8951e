"""Ctrl-C or SIGTERM while something is sent: the first one lets what is in flight end, the second cuts it."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

from postback_conformance.cli.terminal import say

_STOPS: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def stopped_by_signals(*, stop: Callable[[], None], cut: Callable[[], None]) -> Generator[None]:
    """Call `stop` at the first of these signals and `cut` at each later one, in the running loop."""
    loop = asyncio.get_running_loop()

    def second() -> None:
        say("cutting the requests in flight: their endpoint may have taken them or not")
        cut()

    def first(name: str) -> None:
        say(f"stopping: requests in flight are finished, the rest is not sent; {name} again cuts them")
        for number in _STOPS:
            loop.add_signal_handler(number, second)
        stop()

    for number, name in _STOPS.items():
        loop.add_signal_handler(number, partial(first, name))
    try:
        yield
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)
