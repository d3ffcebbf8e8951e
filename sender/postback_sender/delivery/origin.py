"""Where a request goes: the server, and what of a URL is said to it."""

from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from postback_sender.errors import TargetError

DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A server: scheme, host and port."""

    scheme: str
    host: str
    port: int


class Server(NamedTuple):
    """A server, what a Host header calls it, and the value of an Authorization header when the URL asks for one."""

    origin: Origin
    authority: str
    authorization: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the server of an http(s) URL, or raise `TargetError`, which repeats nothing of it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise TargetError(f"expected a URL; its host or port cannot be read: {type(error).__name__}") from None
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise TargetError("expected a URL with http or https and a host")
        user, _, authority = parts.netloc.rpartition("@")
        return cls(
            Origin(scheme=parts.scheme, host=host, port=DEFAULT_PORTS[parts.scheme] if port is None else port),
            authority,
            f"Basic {b64encode(_credentials(user)).decode()}" if user else None,
        )


def split_url(url: str) -> tuple[Server, str]:
    """Return the server of a URL and the target to ask it for, or raise `TargetError`; a fragment is not sent."""
    begin = url.find("://") + len("://")
    end = min((place for mark in "/?#" if (place := url.find(mark, begin)) >= 0), default=len(url))
    target = url[end:].partition("#")[0]
    return _server(url[:end]), target if target.startswith("/") else f"/{target}"


# The many postbacks of one notification go to few servers.
_server = lru_cache(maxsize=1024)(Server.parse)


def _credentials(user: str) -> bytes:
    name, _, password = user.partition(":")
    return unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
