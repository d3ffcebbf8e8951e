"""Ctrl-C or SIGTERM while a command works: the first one ends it in order, the next one at once."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

from postback_conformance.cli.saying import say

_STOPS: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def at_signals(first: Callable[[str], None], later: Callable[[], None] | None = None) -> Generator[None]:
    """Call `first` with the name of the first of these signals, and `later` at each later one, in the running loop.

    Without `later` the next one ends the program, as it does without us.
    """
    loop = asyncio.get_running_loop()

    def begin(name: str) -> None:
        for number in _STOPS:
            if later is None:
                loop.remove_signal_handler(number)
            else:
                loop.add_signal_handler(number, later)
        first(name)

    for number, name in _STOPS.items():
        loop.add_signal_handler(number, partial(begin, name))
    try:
        yield
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)


@contextmanager
def stopped_by_signals(*, stop: Callable[[], None], cut: Callable[[], None]) -> Generator[None]:
    """Call `stop` at the first of these signals and `cut` at each later one, where something is sent."""

    def first(name: str) -> None:
        say(f"stopping: requests in flight are finished, the rest is not sent; {name} again cuts them")
        stop()

    def later() -> None:
        say("cutting the requests in flight: their endpoint may have taken them or not")
        cut()

    with at_signals(first, later):
        yield
