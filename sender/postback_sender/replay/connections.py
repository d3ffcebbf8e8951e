"""Connections to one server, over which bytes go out exactly as given.

An HTTP client would put its own hand to them: Host first, methods in capitals, header text as UTF-8, a bare `?` gone.
Nothing happens here that was not asked for: no redirects, no proxies, no cookies, no request sent twice.
"""

import asyncio
import socket
import ssl
from collections.abc import Collection, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, SupportsIndex

import msgspec

from postback_sender.clock import Clock
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import is_address_allowed
from postback_sender.matcher import MAX_ANSWER_BYTES
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration
from postback_sender.replay.answer import (
    AnswerHead,
    BrokenAnswerError,
    ReplayAnswer,
    parse_chunk_size,
    parse_head,
)
from postback_sender.replay.request import Destination

# Head of an answer, or one line of it.
_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_INTERIM: Final = 8
_MAX_TRAILERS: Final = 64
_CUT: Final = "closed in the middle of the answer"
# Shorter than servers usually wait (gunicorn 2 s, uvicorn, Node and Apache 5 s): a request that crosses the end of its
# connection would be lost, and the endpoint blamed for it.
_IDLE_NS: Final = NANOSECONDS_PER_SECOND


class _ForbiddenAddressError(OSError):
    """A name that leads to an address nobody allowed."""


# In this order: some of them are kinds of others, and all are kinds of OSError or ValueError.
_FAILURES: Final = (
    (_ForbiddenAddressError, Failure.FORBIDDEN_ADDRESS),
    (ssl.SSLError, Failure.TLS),
    (socket.gaierror, Failure.HOST_NOT_FOUND),
    (TimeoutError, Failure.TIMEOUT),
    (asyncio.IncompleteReadError, Failure.BROKEN_ANSWER),
    (asyncio.LimitOverrunError, Failure.BROKEN_ANSWER),
    (BrokenAnswerError, Failure.BROKEN_ANSWER),
)


class _AnswerReader(asyncio.StreamReader):
    """A reader that knows whether its connection still fits for another request.

    What arrives beyond an answer, such as a farewell before a server closes, would be taken for the next one.
    """

    def __init__(self) -> None:
        super().__init__(limit=_MAX_HEAD_BYTES)
        self._unread = 0
        self._has_ended = False

    @property
    def is_fit(self) -> bool:
        """Whether nothing waits to be read, and more may come."""
        return not self._unread and not self._has_ended

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        received = bytes(data)
        self._unread += len(received)
        super().feed_data(received)

    def feed_eof(self) -> None:
        self._has_ended = True
        super().feed_eof()

    async def take_until(self, separator: bytes) -> bytes:
        """Return what comes up to a separator, that included."""
        return self._taken(await self.readuntil(separator))

    async def take(self, count: int) -> bytes:
        """Return so many bytes."""
        return self._taken(await self.readexactly(count))

    async def take_some(self, count: int) -> bytes:
        """Return what is there, at most so many bytes; nothing at the end."""
        return self._taken(await self.read(count))

    def _taken(self, data: bytes) -> bytes:
        self._unread -= len(data)
        return data


class _Connection(msgspec.Struct, eq=False):
    reader: _AnswerReader
    writer: asyncio.StreamWriter
    idle_since_ns: int = 0


class Connections:
    """Sends requests to one server and reads the answers, over connections that are kept for the next request.

    Use it as an asynchronous context manager. `trust` are the certificates to trust; None trusts the machine's own.
    """

    def __init__(
        self,
        to: Destination,
        *,
        allowed_hosts: Collection[str],
        timeout_ns: int,
        clock: Clock,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._to = to
        self._allowed_hosts = allowed_hosts
        self._timeout_ns = timeout_ns
        self._clock = clock
        self._trust = (trust or ssl.create_default_context()) if to.scheme == "https" else None
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            await _close(connection)
        self._idle.clear()

    async def exchange(self, request: bytes, method: str) -> ReplayAnswer:
        """Send these bytes and read one answer, at most `MAX_ANSWER_BYTES` of its body."""
        sent_ns: int | None = None
        connection: _Connection | None = None
        is_reusable = False
        try:
            async with asyncio.timeout(self._timeout_ns / NANOSECONDS_PER_SECOND):
                connection = self._take_idle() or await self._connect()
                sent_ns = self._clock.monotonic_ns()
                connection.writer.write(request)
                head, body, is_cut = await _read_answer(connection.reader, method)
            is_reusable = head.keeps_connection and not is_cut
        except (
            TimeoutError,
            BrokenAnswerError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            OSError,
        ) as error:
            failure, detail = self._why(error)
            return ReplayAnswer(sent_ns=sent_ns, finished_ns=self._clock.monotonic_ns(), failure=failure, detail=detail)
        finally:
            if connection is not None:
                self._give_back(connection, is_reusable=is_reusable)
        return ReplayAnswer(
            sent_ns=sent_ns,
            finished_ns=self._clock.monotonic_ns(),
            status=head.status,
            headers=head.headers,
            body=body,
            cut=is_cut,
        )

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            is_fresh = self._clock.monotonic_ns() - connection.idle_since_ns < _IDLE_NS
            if is_fresh and connection.reader.is_fit and not connection.writer.is_closing():
                return connection
            connection.writer.transport.abort()
        return None

    def _give_back(self, connection: _Connection, *, is_reusable: bool) -> None:
        if is_reusable:
            connection.idle_since_ns = self._clock.monotonic_ns()
            self._idle.append(connection)
        else:
            connection.writer.transport.abort()

    async def _connect(self) -> _Connection:
        """Connect to an address that was checked: what a name leads to is looked up once, and used."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._to.host, self._to.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
        allowed = [
            address
            for address in addresses
            if is_address_allowed(self._to.host, address, allowed_hosts=self._allowed_hosts)
        ]
        if not allowed:
            raise _ForbiddenAddressError(
                f"{self._to.host} leads to {', '.join(addresses)}, which is neither this machine nor public; "
                "allow the address as well if it is meant"
            )
        refused: OSError | None = None
        for address in allowed:
            try:
                return await self._open(address)
            except ssl.SSLError:
                raise
            except OSError as error:
                refused = refused or error
        raise refused or OSError("no address")

    async def _open(self, address: str) -> _Connection:
        loop = asyncio.get_running_loop()
        reader = _AnswerReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_connection(
            lambda: protocol,
            address,
            self._to.port,
            ssl=self._trust,
            server_hostname=self._to.host if self._trust else None,
        )
        return _Connection(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def _why(self, error: Exception) -> tuple[Failure, str]:
        failure = next((failure for kind, failure in _FAILURES if isinstance(error, kind)), Failure.CONNECTION)
        match error:
            case TimeoutError():
                detail = f"not done within {format_duration(self._timeout_ns)}"
            case asyncio.LimitOverrunError():
                detail = f"a head or line of more than {_MAX_HEAD_BYTES} bytes"
            case asyncio.IncompleteReadError() if not error.partial:
                failure, detail = Failure.CONNECTION, "closed without an answer"
            case asyncio.IncompleteReadError():
                detail = _CUT
            case _:
                detail = str(error) or type(error).__name__
        return failure, detail


async def _read_answer(reader: _AnswerReader, method: str) -> tuple[AnswerHead, bytes, bool]:
    """Return head and body, and whether the body was cut because it is too long."""
    for _ in range(_MAX_INTERIM):
        head = parse_head(await reader.take_until(b"\r\n\r\n"), method=method)
        if not head.is_interim:
            break
    else:
        raise BrokenAnswerError(f"expected an answer after at most {_MAX_INTERIM} interim ones")
    try:
        body = await _read_body(reader, head)
    except asyncio.IncompleteReadError:
        # The head was whole, so this is not a server that said nothing.
        raise BrokenAnswerError(_CUT) from None
    return head, body[:MAX_ANSWER_BYTES], len(body) > MAX_ANSWER_BYTES


async def _read_body(reader: _AnswerReader, head: AnswerHead) -> bytes:
    """Return a body; one byte more than is kept tells one that is cut from one that just fits."""
    if head.chunked:
        return await _read_chunks(reader)
    if head.length is not None:
        return await reader.take(min(head.length, MAX_ANSWER_BYTES + 1))
    return await _read_to_end(reader)


async def _read_chunks(reader: _AnswerReader) -> bytes:
    body = bytearray()
    while size := parse_chunk_size(await reader.take_until(b"\n")):
        body += await reader.take(min(size, MAX_ANSWER_BYTES + 1 - len(body)))
        if len(body) > MAX_ANSWER_BYTES:
            return bytes(body)
        if await reader.take(2) != b"\r\n":
            raise BrokenAnswerError("expected a line end after a chunk")
    for _ in range(_MAX_TRAILERS):
        if not (await reader.take_until(b"\n")).strip():
            return bytes(body)
    raise BrokenAnswerError(f"expected at most {_MAX_TRAILERS} trailer lines")


async def _read_to_end(reader: _AnswerReader) -> bytes:
    body = bytearray()
    while len(body) <= MAX_ANSWER_BYTES and (data := await reader.take_some(MAX_ANSWER_BYTES)):
        body += data
    return bytes(body[: MAX_ANSWER_BYTES + 1])


async def _close(connection: _Connection) -> None:
    connection.writer.close()
    with suppress(OSError):
        await connection.writer.wait_closed()
