"""A TCP proxy between sender and endpoint, which breaks connections where networks do. Bytes pass as they are."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from postback_sender.delivery.origin import Origin
from postback_sender.delivery.target import is_address_allowed

Kind = Literal["cut answer", "cut request", "slow"]

_PIECE: Final = 64 * 1024
_CONNECTS_WITHIN_S: Final = 5.0
_LASTS_AT_MOST_S: Final = 120.0
_SETTLES_WITHIN_S: Final = 0.5
_ADDRESS: Final = "127.0.0.1"


class ProxyFault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong on the first `times` connections; the others pass.

    `cut answer` lets the request through and cuts when the answer comes, the first `times` answers, whichever
    connections they come on: accepted, then lost. `cut request` lets `after` bytes of it through and cuts. `slow`
    passes what follows the first `after` bytes in pieces of `piece` bytes, `pause_ns` apart.
    """

    kind: Kind
    times: int = 1
    after: int = 0
    piece: int = 64
    pause_ns: int = 0


class Proxy:
    """Listens on loopback and passes what comes to one server; use it as an asynchronous context manager.

    `faults` counts how often something went wrong.
    """

    def __init__(self, origin: Origin, fault: ProxyFault | None = None, *, allowed_hosts: Collection[str] = ()) -> None:
        self.fault = fault
        self.faults = 0
        self.port = 0
        self._origin = origin
        self._allowed_hosts = allowed_hosts
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = asyncio.Semaphore(0)
        self._addresses: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, _ADDRESS, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begun(self, count: int) -> None:
        """Wait until so many more connections have reached the server, with what comes before their fault.

        Not for long, should the server take no more.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONNECTS_WITHIN_S):
                for _ in range(count):
                    await self._begun.acquire()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The server makes a task of this by itself, of which nobody hears again.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = None if self.fault is None or self.fault.kind == "cut answer" else self._turn(self.fault)
        there: asyncio.StreamWriter | None = None
        # Whatever breaks here breaks for the sender as well, who tells about it.
        try:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LASTS_AT_MOST_S):
                    answers, there = await self._connect()
                    if fault is not None and fault.kind == "slow":
                        await _pass_some(reader, there, fault.after)
                    self._begun.release()
                    await self._pass(reader, there, answers, writer, fault)
        finally:
            for one in (writer, there):
                if one is not None:
                    one.transport.abort()

    def _turn(self, fault: ProxyFault) -> ProxyFault | None:
        """Return the fault if it happens now, once more; None when it has happened often enough."""
        if self.faults >= fault.times:
            return None
        self.faults += 1
        return fault

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fault: ProxyFault | None,
    ) -> None:
        if fault is not None and fault.kind == "cut request":
            await _cut(reader, there, answers, fault)
            return
        asking = asyncio.create_task(_pass_slowly(reader, there, fault) if fault else _pass_all(reader, there))
        try:
            while data := await answers.read(_PIECE):
                # Asked at each answer: a connection that passed one may be kept for the next request.
                if self.fault is not None and self.fault.kind == "cut answer" and self._turn(self.fault):
                    return
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(_CONNECTS_WITHIN_S):
            if not self._addresses:
                found = await asyncio.get_running_loop().getaddrinfo(self._origin.host, self._origin.port)
                self._addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
            for address in self._addresses:
                if is_address_allowed(self._origin.host, address, allowed_hosts=self._allowed_hosts):
                    return await asyncio.open_connection(address, self._origin.port)
        raise OSError("no address that is allowed")


async def _cut(
    reader: asyncio.StreamReader, there: asyncio.StreamWriter, answers: asyncio.StreamReader, fault: ProxyFault
) -> None:
    await _pass_some(reader, there, fault.after)
    there.write_eof()
    # What the endpoint makes of it is its own affair, but it should have made it before anybody looks.
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLES_WITHIN_S):
            await answers.read()


async def _pass_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _pass_some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> None:
    while count > 0 and (data := await reader.read(min(count, _PIECE))):
        writer.write(data)
        await writer.drain()
        count -= len(data)


async def _pass_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: ProxyFault) -> None:
    while data := await reader.read(max(1, fault.piece)):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(fault.pause_ns / 1e9)
