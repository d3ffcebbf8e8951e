"""The server under test."""

import ssl
from collections.abc import Awaitable, Callable

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The server under test. `restart`, if there is one, ends it the hard way and returns when it listens again."""

    url: str
    allowed_hosts: tuple[str, ...] = ()
    trust: ssl.SSLContext | bool = True
    restart: Callable[[], Awaitable[None]] | None = None
