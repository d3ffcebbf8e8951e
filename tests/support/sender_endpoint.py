"""An endpoint that answers with a status, and settings that send there, for tests of the sender and its outbox."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from postback_sender import Event, Notification, NotificationSource, parse_notification


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test; a minute is patience, not a measure."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


class Endpoint:
    """A server that answers with a status and keeps what arrives, by target, and when."""

    def __init__(self) -> None:
        self.status = 200
        self.closes = False
        self.targets: list[str] = []
        self.arrivals: list[float] = []
        self._arrivals = asyncio.Condition()

    async def arrived(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        async with self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.targets) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.arrivals.append(asyncio.get_running_loop().time())
                async with self._arrivals:
                    self.targets.append(head.split(b" ")[1].decode())
                    self._arrivals.notify_all()
                connection = "close" if self.closes else "keep-alive"
                answer = f"HTTP/1.1 {self.status} X\r\nConnection: {connection}\r\nContent-Length: 0\r\n\r\n"
                writer.write(answer.encode())
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def serving(endpoint: Endpoint) -> tuple[asyncio.Server, int]:
    """Return a server of an endpoint, and its port."""
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def source(port: int, text: str = "") -> NotificationSource:
    """Return settings that send to a port, the action in the path."""
    return NotificationSource(name="n.toml", text=f'url = "http://127.0.0.1:{port}/{{ActionId}}"\n{text}')


def settings(port: int, text: str = "") -> Notification:
    """Return the same, read."""
    return parse_notification(source(port, text), {})


def event(name: str, at: datetime | None = None) -> Event:
    """Return an event of an action of that name, of now."""
    return Event(kind="action_lifecycle", at=at or datetime.now(UTC), values={"ActionId": name})
