"""The inspector port: whether the receiver lives, whether it can take requests, and its numbers.

It is a port of its own: the capture port records everything that arrives and serves nothing of ours, and a receiver
that is reached from outside must not show its inside there.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from postback_receiver.listening import base_url, listen
from postback_receiver.metrics import CONTENT_TYPE, Metric, exposition

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SHUTDOWN_S: Final = 1.0


class Inspector:
    """Serves `/healthz`, `/readyz` and `/metrics` for as long as its `async with` block lasts.

    `why_unready` returns None while requests can be taken and recorded, else the reason in a few words; `read_metrics`
    the numbers of the moment. Both are asked at every request and must not raise. A `Host` header that is neither a
    name of this machine's loopback nor the address that was reached is refused, so that no web page can read along
    under a name of its own.
    """

    def __init__(
        self,
        *,
        why_unready: Callable[[], Awaitable[str | None]],
        read_metrics: Callable[[], Awaitable[Iterable[Metric]]],
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._why_unready = why_unready
        self._read_metrics = read_metrics
        self._host = host
        self._bound_name = host.lower()
        self._port = port
        self._running = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port in use; the one the system chose when 0 was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """Where a program on this machine finds it, without a path."""
        return base_url(self._host, self._port)

    async def __aenter__(self) -> Self:
        """Start to listen; ListenError when the port cannot be had."""
        application = web.Application(middlewares=[self._check_host])
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        self._running.push_async_callback(runner.cleanup)
        if runner.server is None:
            raise RuntimeError("an application that is set up has a server")
        try:
            listener = await listen(runner.server, host=self._host, port=self._port)
        except BaseException:
            await self._running.aclose()
            raise
        self._running.callback(listener.close)
        self._host, self._port = listener.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._running.aclose()

    @web.middleware
    async def _check_host(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        named = request.headers.getall("Host", [])
        reached = request.transport.get_extra_info("sockname") if request.transport else None
        known = {self._bound_name, str(reached[0]).lower() if reached else ""}
        if len(named) != 1 or not is_own_host(named[0], known):
            return _text(403, "This name is not one of the inspector's. Use the address it printed at its start.")
        return await handler(request)

    async def _healthz(self, _request: web.Request) -> web.StreamResponse:
        return _text(200, "alive")

    async def _readyz(self, _request: web.Request) -> web.StreamResponse:
        reason = await self._why_unready()
        return _text(200, "ready") if reason is None else _text(503, f"not ready: {reason}")

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        page = exposition(await self._read_metrics())
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


def is_own_host(header: str, known: Iterable[str]) -> bool:
    """Tell whether a Host header names this machine's loopback, or one of the known hosts; the port does not count."""
    host = _host_of(header)
    if host in {"localhost", *(name for name in known if name)}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(header: str) -> str:
    text = header.strip().lower()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        return host if bracket and (not rest or rest.startswith(":")) else ""
    return text.partition(":")[0]


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers={"Cache-Control": "no-store"})
