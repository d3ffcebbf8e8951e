"""Opening the capture port, with an error message that helps when it cannot be had."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

from postback_receiver.errors import ListenError

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


async def listen(connect: Callable[[], asyncio.BaseProtocol], *, host: str, port: int) -> asyncio.Server:
    """Accept connections on an address and give each to a new protocol; ListenError when the port cannot be had."""
    # uvloop would take the number modulo 65536.
    if not 0 <= port <= _MAX_PORT:
        advice = f"Take one from 1 to {_MAX_PORT}, or 0 to get a free one."
        raise ListenError(host=host, port=port, reason="there is no such port", advice=advice)
    try:
        return await asyncio.get_running_loop().create_server(connect, host, port, backlog=_BACKLOG)
    except OSError as error:
        reason, advice = _ADVICE.get(error.errno or 0, (str(error), "Take another address."))
        raise ListenError(host=host, port=port, reason=reason, advice=advice) from error


def base_url(host: str, port: int) -> str:
    """Where a program on this machine reaches an address that is listened on."""
    match host:
        case "0.0.0.0":  # noqa: S104 -- compared with, not bound to
            host = "127.0.0.1"
        case "::":
            host = "::1"
        case _:
            pass
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
