"""Departures: a request leaves when it has a connection, a place among those under way, and its turn."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from postback_sender.clock import Clock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connection, Connections
from postback_sender.delivery.origin import Origin
from postback_sender.delivery.turns import Turns


class Request(NamedTuple):
    """What is to leave.

    `aim` says for which server by now; `leave` is called when it does, with that instant of the clock, and returns the
    bytes.
    """

    method: str
    is_resend: bool
    aim: Callable[[], Origin]
    leave: Callable[[int], bytes]


class Departures:
    """Lets requests leave. Without `turns` nothing limits them; else `limits_first_sends` says whether all are limited.

    Where resends alone are, both kinds share the `places`, and what waits for its turn holds none of them: resends
    under a limit never keep first sends from leaving. Otherwise whoever calls keeps to a number of places.

    A server that cannot be connected to uses up a turn as well: it is not asked more often than one that can.
    """

    def __init__(
        self, connections: Connections, clock: Clock, *, turns: Turns | None, limits_first_sends: bool, places: int
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._turns = turns
        self._places = asyncio.Semaphore(places) if turns is not None and not limits_first_sends else None

    @property
    def keeps_resends_apart(self) -> bool:
        """Whether first sends and resends wait for different things."""
        return self._places is not None

    async def exchange(self, request: Request) -> tuple[int, Answer]:
        """Send a request when it may leave, and return the monotonic instant of that, and the answer."""
        if self._turns is None:
            return await self._leave_at_once(request)
        if self._places is None:
            return await self._leave_in_turn(request, self._turns)
        if request.is_resend:
            return await self._leave_in_turn(request, self._turns, self._places)
        async with self._places:
            return await self._leave_at_once(request)

    async def _leave_at_once(self, request: Request) -> tuple[int, Answer]:
        connection = await self._connected(request)
        try:
            started_ns = self._clock.monotonic_ns()
            data = request.leave(started_ns)
        except BaseException:
            if isinstance(connection, Connection):
                connection.abort()
            raise
        return await self._answered(request, connection, started_ns, data)

    async def _leave_in_turn(
        self, request: Request, turns: Turns, places: asyncio.Semaphore | None = None
    ) -> tuple[int, Answer]:
        left: tuple[Connection | Answer, int, bytes] | None = None
        while left is None:
            async with turns.room:
                left = await self._try_to_leave(request, turns, places)
        try:
            return await self._answered(request, *left)
        finally:
            if places is not None:
                places.release()

    async def _try_to_leave(
        self, request: Request, turns: Turns, places: asyncio.Semaphore | None
    ) -> tuple[Connection | Answer, int, bytes] | None:
        """Connect, and take a place and the next turn; None when the connection is of no use by then."""
        connection = await self._connected(request)
        try:
            async with turns.line:
                await turns.until_allowed()
                if places is not None:
                    await places.acquire()
                left: tuple[Connection | Answer, int, bytes] | None = None
                try:
                    if self._is_ready(request, connection):
                        # From here on nothing waits before the bytes are on their way.
                        started_ns = turns.take()
                        left = connection, started_ns, request.leave(started_ns)
                finally:
                    if left is None and places is not None:
                        places.release()
                return left
        except BaseException:
            if isinstance(connection, Connection):
                connection.abort()
            raise

    async def _connected(self, request: Request) -> Connection | Answer:
        """Connect to where a request goes, or say why that cannot be."""
        while True:
            origin = request.aim()
            connection = await self._connections.connect(origin)
            # Meanwhile its newest values may name another server.
            if isinstance(connection, Answer) or origin == request.aim():
                return connection
            self._connections.keep(connection)

    def _is_ready(self, request: Request, connection: Connection | Answer) -> bool:
        if isinstance(connection, Answer):
            return True
        if connection.origin != request.aim():
            self._connections.keep(connection)
            return False
        # A server that closes connections before anything was asked will do so again: that is its answer.
        is_refused = not connection.requests and not connection.is_fit
        if is_refused or self._connections.is_fresh(connection):
            return True
        connection.abort()
        return False

    async def _answered(
        self, request: Request, connection: Connection | Answer, started_ns: int, data: bytes
    ) -> tuple[int, Answer]:
        if isinstance(connection, Answer):
            return min(started_ns, connection.began_ns), connection
        return started_ns, await self._connections.ask(connection, data, request.method)
