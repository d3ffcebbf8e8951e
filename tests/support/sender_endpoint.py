"""An endpoint that answers as it is told, and settings that send there, for tests of the sender and its outbox."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from postback_sender import Delivery, Event, Notification, NotificationSource, Sender, parse_notification
from postback_sender.delivery.retry import Failure
from stopped_loop import until_taken

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test; a minute is patience, not a measure."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


class Endpoint:
    """A server that keeps what arrives, and when, and answers with its status, or as it was told.

    The n-th request gets the n-th of its answers, and every later one the last: bytes, of which none cut the
    connection; None keeps silent. `on_request` is called before each answer, `on_answer` when it has got to the sender.
    """

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = answers
        self.status = 200
        self.closes = False
        self.on_request: Callable[[], object] = lambda: None
        self.on_answer: Callable[[], object] | None = None
        self.port = 0
        self.requests: list[bytes] = []
        self.targets: list[str] = []
        self.arrivals: list[float] = []
        self._arrivals = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where it is, once it is there."""
        return f"http://127.0.0.1:{self.port}"

    async def arrived(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        async with self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.targets) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.arrivals.append(asyncio.get_running_loop().time())
                self.requests.append(head + await reader.readexactly(_body_length(head)))
                answer = self._answer(len(self.requests))
                async with self._arrivals:
                    self.targets.append(head.split(b" ")[1].decode())
                    self._arrivals.notify_all()
                self.on_request()
                if answer:
                    writer.write(answer)
                    if self.on_answer is not None:
                        await until_taken(writer)
                        self.on_answer()
                if answer is None:
                    await reader.read()
                elif not answer or self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, number: int) -> bytes | None:
        if self.answers:
            return self.answers[min(number, len(self.answers)) - 1]
        connection = "close" if self.closes else "keep-alive"
        return f"HTTP/1.1 {self.status} X\r\nConnection: {connection}\r\nContent-Length: 0\r\n\r\n".encode()


def _body_length(head: bytes) -> int:
    fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((int(value) for name, _, value in fields if name == b"content-length"), 0)


async def serving(endpoint: Endpoint) -> tuple[asyncio.Server, int]:
    """Return a server of an endpoint, and its port."""
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@asynccontextmanager
async def answering(*answers: bytes | None) -> AsyncGenerator[Endpoint]:
    """Run an endpoint that gives these answers."""
    endpoint = Endpoint(*answers)
    server, endpoint.port = await serving(endpoint)
    async with server:
        yield endpoint


def source(port: int, text: str = "") -> NotificationSource:
    """Return settings that send to a port, the action in the path."""
    return NotificationSource(name="n.toml", text=f'url = "http://127.0.0.1:{port}/{{ActionId}}"\n{text}')


def settings(port: int, text: str = "") -> Notification:
    """Return the same, read."""
    return parse_notification(source(port, text), {})


def settings_to(url: str, text: str = "") -> Notification:
    """Return settings that send to a URL, the action in the path."""
    return parse_notification(NotificationSource(name="n.toml", text=f'url = "{url}/{{ActionId}}"\n{text}'), {})


def event(name: str = "1", at: datetime | None = None) -> Event:
    """Return an event of an action of that name, of now."""
    return Event(kind="action_lifecycle", at=at or datetime.now(UTC), values={"ActionId": name})


async def deliveries(sender: Sender, *events: Event) -> list[Delivery]:
    """Send events, and return what became of each."""
    async with sender:
        return [delivery async for delivery in sender.send(events)]


def failures(delivery: Delivery) -> list[Failure | None]:
    """Return what went wrong with each attempt."""
    return [attempt.failure for attempt in delivery.attempts]
