"""An endpoint that listens, and what keeps one from it."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from postback_conformance.errors import ConformanceError

LOOPBACK: Final = "127.0.0.1"

STARTS_WITHIN_S: Final = 30.0
"""How long an endpoint may take until it listens. A framework with a database takes a few seconds."""

ENDS_WITHIN_S: Final = 5.0
"""How long it may take to end by itself; then it is ended."""


class HostingError(ConformanceError):
    """An endpoint that cannot be put on a socket; says what it is and what to do."""


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that listens: the URL postbacks go to, and how to end it the hard way and start it again."""

    url: str
    restart: Callable[[], Awaitable[None]] | None = None
