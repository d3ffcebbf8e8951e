"""Connections to servers, over which bytes go out exactly as given and one answer at a time comes back.

An HTTP client would put its own hand to them: header text of its own, methods in capitals, a bare `?` gone. Nothing
happens here that was not asked for: no redirects, no proxies, no cookies, no request sent twice, and no connection to
an address that is not allowed. The address that was checked is the one that is connected to.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from types import TracebackType
from typing import Final, Self, cast

from postback_sender.clock import Clock
from postback_sender.delivery.answer import Answer, AnswerReader, BrokenAnswerError
from postback_sender.delivery.origin import Origin
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import is_address_allowed
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration

# Shorter than servers usually wait (gunicorn 2 s, uvicorn, Node and Apache 5 s): a request that crosses the end of its
# connection would be lost, and the endpoint blamed for it.
_IDLE_S: Final = 1.0
# They wait longer for the first request on a new connection (nginx and Node a minute).
_NEW_S: Final = 5.0
_MOST_IDLE: Final = 256
ON_A_KEPT_CONNECTION: Final = "on a connection that was kept; no more are kept for this server"
"""How the detail of an answer ends whose request may have crossed the end of its connection: a server may close one
that is idle at any time (RFC 9112 §9.5)."""

# Enough to tell what is wrong; what a server says goes on for as long as it likes.
_LONGEST_DETAIL: Final = 200

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host, for a port; returns none, or raises `socket.gaierror`, when there are none."""


class Connection(asyncio.Protocol):
    """One connection. It is fit for a request as long as nothing came that nobody asked for, and nobody closed it."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        # By the time of the loop, as servers wait: the clock of a sender may run faster.
        self.idle_since = 0.0
        self.requests = 0
        self.heard_at = 0.0
        # What making it took of the time that the first request has.
        self.making_s = 0.0
        self.is_fit = True
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._reader: AnswerReader | None = None
        self._answered: asyncio.Future[AnswerReader] | None = None

    def ask(self, request: bytes, reader: AnswerReader) -> "asyncio.Future[AnswerReader]":
        """Send a request; the reader is handed back once it has the whole answer."""
        if self._transport is None:
            raise ConnectionResetError("the connection was closed")
        self.requests += 1
        self._reader, self._answered = reader, self._loop.create_future()
        self.heard_at = self._loop.time()
        self._transport.write(request)
        return self._answered

    def abort(self) -> None:
        """Close it at once, whatever is still to come."""
        self.is_fit = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._answered is None:
            # Such as a farewell before a server closes; it would be taken for the next answer.
            self.abort()
            return
        self.heard_at = self._loop.time()
        try:
            if self._reader.feed(data):
                self._settle()
        except BrokenAnswerError as error:
            self._settle(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_fit = False
        self._transport = None
        if self._reader is None:
            return
        if exc is not None:
            # Also in a body that ends with the connection: this is no end, but something that broke.
            self._settle(BrokenAnswerError(f"broken off: {exc}") if self._reader.has_begun else exc)
            return
        try:
            self._reader.end()
        except BrokenAnswerError as error:
            self._settle(error if self._reader.has_begun else ConnectionResetError(str(error)))
        else:
            self._settle()

    def eof_received(self) -> None:
        self.is_fit = False

    def _settle(self, error: Exception | None = None) -> None:
        reader, answered = self._reader, self._answered
        self._reader = self._answered = None
        if reader is None or answered is None:
            return
        self.is_fit = self.is_fit and error is None and reader.keeps_connection
        if answered.done():
            return
        if error is None:
            answered.set_result(reader)
        else:
            answered.set_exception(error)


class Connections:
    """Sends requests and reads the answers, over connections that are kept for the next request.

    Use it as an asynchronous context manager. `trust` are the certificates to trust: True the machine's own, False
    any. `resolve` replaces the machine's own way to find the addresses of a host.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        allowed_hosts: Collection[str],
        clock: Clock,
        trust: ssl.SSLContext | bool = True,
        resolve: Resolve | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._allowed_hosts = allowed_hosts
        self._clock = clock
        self._trust = trust
        self._resolve = resolve or _addresses
        self._idle: dict[Origin, list[Connection]] = {}
        # Servers that were seen to close connections which they had not said they would.
        self._closers: set[Origin] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    async def connect(self, origin: Origin) -> Connection | Answer:
        """Return a connection that is fit for a request, one that was kept or a new one, or why there is none."""
        if origin in self._idle:
            # A server that closes without saying so has mostly done it by the next turn of the loop.
            await asyncio.sleep(0)
            if kept := self._take_kept(origin):
                return kept
        began_ns, begun_at = self._clock.monotonic_ns(), asyncio.get_running_loop().time()
        limit_ns = min(self._timeouts.total_ns, self._timeouts.connect_ns or self._timeouts.total_ns)
        try:
            async with asyncio.timeout(limit_ns / NANOSECONDS_PER_SECOND):
                connection = await self._connect(origin)
        except TimeoutError as error:
            is_phase = limit_ns == self._timeouts.connect_ns
            what = "no connection" if is_phase else "not done"
            # The system has a time-out of its own, and says so itself.
            detail = error.strerror or f"{what} within {format_duration(limit_ns)}"
            return self._no_answer(began_ns, Failure.TIMEOUT, detail)
        except (OSError, ValueError) as error:
            return self._no_answer(began_ns, *_why(error))
        connection.idle_since = asyncio.get_running_loop().time()
        connection.making_s = connection.idle_since - begun_at
        return connection

    def keep(self, connection: Connection) -> None:
        """Take a connection back, for another request if it is still fit for one."""
        if not connection.is_fit or connection.origin in self._closers or not self._has_room():
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.setdefault(connection.origin, []).append(connection)

    def is_fresh(self, connection: Connection) -> bool:
        """Tell whether a connection is fit, and was made or used so recently that its server still waits."""
        patience_s = _IDLE_S if connection.requests else _NEW_S
        return connection.is_fit and asyncio.get_running_loop().time() - connection.idle_since < patience_s

    async def exchange(self, origin: Origin, request: bytes, method: str) -> Answer:
        """Send these bytes to a server and read one answer, at most `MAX_ANSWER_BYTES` of its body."""
        connection = await self.connect(origin)
        return connection if isinstance(connection, Answer) else await self.ask(connection, request, method)

    async def ask(self, connection: Connection, request: bytes, method: str) -> Answer:
        """Send these bytes over a connection, read one answer, and take the connection back."""
        reader = AnswerReader(method)
        sent_ns = self._clock.monotonic_ns()
        failure, detail = None, ""
        asked_before = connection.requests
        try:
            async with asyncio.timeout(self._timeouts.total_ns / NANOSECONDS_PER_SECOND - connection.making_s):
                await self._heard(connection, connection.ask(request, reader))
        except TimeoutError as error:
            failure = Failure.TIMEOUT
            detail = str(error) or f"not done within {format_duration(self._timeouts.total_ns)}"
        except (OSError, BrokenAnswerError) as error:
            failure, detail = _why(error)
            if failure is Failure.CONNECTION and connection.requests > asked_before:
                detail = f"connection lost after the request was sent; it may have been taken: {detail}"
            if asked_before and not reader.has_begun and len(self._closers) < _MOST_IDLE:
                self._closers.add(connection.origin)
                detail = f"{detail}, {ON_A_KEPT_CONNECTION}"
        finally:
            connection.making_s = 0.0
            if not reader.is_complete:
                connection.is_fit = False
            self.keep(connection)
        head = reader.head
        return Answer(
            sent_ns=sent_ns,
            finished_ns=self._clock.monotonic_ns(),
            status=head.status if head else None,
            headers=head.headers if head else (),
            body=reader.body,
            cut=reader.is_cut,
            failure=failure,
            detail=detail,
        )

    async def _heard(self, connection: Connection, answered: "asyncio.Future[AnswerReader]") -> None:
        """Wait for an answer; raises `TimeoutError` when the server falls silent for longer than it may."""
        if self._timeouts.read_ns is None:
            await answered
            return
        silence = self._timeouts.read_ns / NANOSECONDS_PER_SECOND
        loop = asyncio.get_running_loop()
        try:
            while not answered.done():
                left = connection.heard_at + silence - loop.time()
                if left <= 0:
                    raise TimeoutError(f"silent for {format_duration(self._timeouts.read_ns)}")
                await asyncio.wait((answered,), timeout=left)
            answered.result()
        finally:
            # Nobody waits any more for what closing the connection will say.
            answered.cancel()

    def _no_answer(self, began_ns: int, failure: Failure, detail: str) -> Answer:
        return Answer(began_ns=began_ns, finished_ns=self._clock.monotonic_ns(), failure=failure, detail=detail)

    def _has_room(self) -> bool:
        if self._count_idle() >= _MOST_IDLE:
            for origin, kept in list(self._idle.items()):
                fresh: list[Connection] = []
                for connection in kept:
                    if self.is_fresh(connection):
                        fresh.append(connection)
                    else:
                        connection.abort()
                if fresh:
                    self._idle[origin] = fresh
                else:
                    del self._idle[origin]
        return self._count_idle() < _MOST_IDLE

    def _count_idle(self) -> int:
        return sum(map(len, self._idle.values()))

    def _take_kept(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if self.is_fresh(connection):
                return connection
            connection.abort()
        self._idle.pop(origin, None)
        return None

    async def _connect(self, origin: Origin) -> Connection:
        """Connect to an address that was checked: what a name leads to is looked up once, and used."""
        try:
            found = list(dict.fromkeys(await self._resolve(origin.host, origin.port)))
        except socket.gaierror as error:
            raise _HostNotFoundError(str(error) or "no such host") from error
        if not found:
            raise _HostNotFoundError(f"{origin.host} has no address")
        allowed = [each for each in found if is_address_allowed(origin.host, each, allowed_hosts=self._allowed_hosts)]
        if not allowed:
            raise _ForbiddenAddressError(
                f"{origin.host} leads to {', '.join(found)}, which is neither this machine nor public; "
                "allow the address as well if it is meant"
            )
        refused: OSError | None = None
        for address in allowed:
            try:
                return await self._open(origin, address)
            except ssl.SSLError:
                raise
            except OSError as error:
                refused = refused or error
        raise refused or OSError("no address")

    async def _open(self, origin: Origin, address: str) -> Connection:
        context = self._context() if origin.scheme == "https" else None
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(origin),
            address,
            origin.port,
            ssl=context,
            server_hostname=origin.host if context else None,
        )
        return connection

    def _context(self) -> ssl.SSLContext:
        if isinstance(self._trust, bool):
            context = ssl.create_default_context()
            if not self._trust:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            # Made once: reading the machine's certificates takes a while.
            self._trust = context
        return self._trust


class _ForbiddenAddressError(OSError):
    """A name that leads to an address nobody allowed."""


class _HostNotFoundError(OSError):
    """A name that leads nowhere."""


# In this order: some of them are kinds of others, and all are kinds of OSError or ValueError.
_FAILURES: Final = (
    (_ForbiddenAddressError, Failure.FORBIDDEN_ADDRESS),
    (ssl.SSLError, Failure.TLS),
    (_HostNotFoundError, Failure.HOST_NOT_FOUND),
    (UnicodeError, Failure.MALFORMED_URL),
    (BrokenAnswerError, Failure.BROKEN_ANSWER),
)


# How OpenSSL, by its version, says that what came back has not the form of TLS.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})


def _why(error: Exception) -> tuple[Failure, str]:
    failure = next((failure for kind, failure in _FAILURES if isinstance(error, kind)), Failure.CONNECTION)
    if isinstance(error, UnicodeError):
        # What it says repeats the host's letters, and nobody knows where those came from.
        return failure, "its host is no name"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return failure, f"the server does not speak TLS on this port; is it one for http? ({error.reason})"
    return failure, (str(error) or type(error).__name__)[:_LONGEST_DETAIL]


async def _addresses(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]
