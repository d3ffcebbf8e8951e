"""Opening the capture port, with an error message that helps when it cannot be had."""

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from typing import Final, cast

from postback_receiver.errors import ListenError

if sys.platform != "win32":
    import resource

_BACKLOG: Final = 1024
"""Connections that wait to be accepted: a burst queues up in the kernel instead of being refused."""

_MAX_PORT: Final = 65_535

_ADVICE: Final = {
    errno.EADDRINUSE: (
        "the port is already in use",
        "Stop the program that uses it, or take port 0 to get a free one.",
    ),
    errno.EACCES: ("this user may not open that port", "Take a port above 1023."),
    errno.EADDRNOTAVAIL: ("this machine does not have that address", "Take 127.0.0.1, or 0.0.0.0 for all of them."),
    socket.EAI_NONAME: ("there is no such host", "Take 127.0.0.1, or 0.0.0.0 for all addresses of this machine."),
}


_FILES_FOR_OTHERS: Final = 64
"""Files and sockets that are left for the store, the logs and the rest of the program."""

_FILES_TO_THE_END: Final = 8
"""With no more left than these, the next connections may be lost: event loops do not always say that they were."""

_MOST_CONNECTIONS: Final = 10_000


async def listen(
    connect: Callable[[], asyncio.BaseProtocol],
    *,
    host: str,
    port: int,
    reuse_port: bool = False,
) -> asyncio.Server:
    """Accept connections on an address and give each to a new protocol; ListenError when the port cannot be had."""
    # uvloop would take the number modulo 65536.
    if not 0 <= port <= _MAX_PORT:
        advice = f"Take one from 1 to {_MAX_PORT}, or 0 to get a free one."
        raise ListenError(host=host, port=port, reason="there is no such port", advice=advice)
    try:
        return await asyncio.get_running_loop().create_server(
            connect,
            host,
            port,
            backlog=_BACKLOG,
            reuse_port=reuse_port or None,
        )
    except OSError as error:
        reason, advice = _ADVICE.get(error.errno or 0, (str(error), "Take another address."))
        raise ListenError(host=host, port=port, reason=reason, advice=advice) from error


def most_connections() -> int:
    """How many connections to hold at most: what this process may open, less what the rest of it needs."""
    files = most_files()
    return _MOST_CONNECTIONS if files is None else max(1, min(_MOST_CONNECTIONS, files - _FILES_FOR_OTHERS))


def most_files() -> int | None:
    """How many files and sockets this process may open; None when there is no limit to speak of."""
    if sys.platform == "win32":
        return None
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files < 0 else files


def is_among_last(transport: asyncio.BaseTransport, files: int | None) -> bool:
    """Whether a connection was given one of the last files there are; systems give the lowest free number."""
    plain = cast("socket.socket | None", transport.get_extra_info("socket"))
    return files is not None and plain is not None and plain.fileno() >= files - _FILES_TO_THE_END


def base_url(host: str, port: int, *, secure: bool = False) -> str:
    """Where a program on this machine reaches an address that is listened on."""
    match host:
        case "0.0.0.0":  # noqa: S104 -- compared with, not bound to
            host = "127.0.0.1"
        case "::":
            host = "::1"
        case _:
            pass
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
