"""How HTTP is read, and what aiohttp has to remember for us: the connection's name and the target as it was sent.

The numbers live on the protocol object of the connection and so end with it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

MAX_TARGET_BYTES: Final = 1024 * 1024
"""A GET postback carries in its query what a POST carries in its body, so it gets as much room. (nginx: 8 KiB.)"""

MAX_HEADER_BYTES: Final = 64 * 1024
"""For one header field. Eight times what nginx and Apache take: a receiver shows a long header, a server refuses it."""

MAX_HEADERS: Final = 256
"""Header fields of one request. Twice aiohttp's own limit; Apache takes 100."""

LINGER_S: Final = 2.0
"""After an early answer (413), a sender gets this long to finish its body. Cut sooner, it would see a reset connection
instead of the answer."""

_HTTP: Final[dict[str, Any]] = {
    "auto_decompress": False,  # the body is kept as it was on the wire
    "max_line_size": MAX_TARGET_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
    "max_headers": MAX_HEADERS,
    "lingering_time": LINGER_S,
    "access_log": None,  # the store is the log
    "logger": logging.getLogger(__name__),
}


class CaptureConnection(web.RequestHandler):
    """aiohttp's connection, with a name."""

    def __init__(
        self, server: web.Server, *, loop: asyncio.AbstractEventLoop, name: str, on_unreadable: Callable[[str], None]
    ) -> None:
        super().__init__(server, loop=loop, **_HTTP)
        self.name = name
        self._on_unreadable = on_unreadable
        self._requests = 0

    def next_request(self) -> int:
        """The number of the request that is about to be handled: 1 for the first."""
        self._requests += 1
        return self._requests

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not read as HTTP, and report it; anything else is left to aiohttp."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        # aiohttp's own text and log repeat the bytes, and those may hold a secret.
        self._on_unreadable(type(exc).__name__)
        answer = web.Response(status=status, text="This request could not be read as HTTP. It was not recorded.\n")
        answer.force_close()
        return answer

    @property
    def remote(self) -> str:
        """The peer as `host:port`, IPv6 hosts in brackets; empty when it left before anybody could ask."""
        match self.peername:
            case (host, port, *_):
                return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            case other:
                return str(other or "")


class CaptureRequest(web.BaseRequest):
    """aiohttp's request, with the target as it was sent and its place on the connection."""

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> None:
        super().__init__(message, payload, protocol, writer, task, asyncio.get_running_loop())
        self.connection = cast(CaptureConnection, protocol)
        self.connection_request = self.connection.next_request()
        # aiohttp decodes the target like this; going back is exact.
        self.target = message.path.encode("utf-8", "surrogateescape").decode("latin-1")
