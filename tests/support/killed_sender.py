"""A sender in a process of its own, which works until it is killed; see `tests/sender/test_sender_kill.py`."""

import asyncio
import resource
from datetime import UTC, datetime
from multiprocessing.connection import Connection

from postback_sender import Event, NotificationSource, Sender, parse_notification
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

EVENTS = 6
CONCURRENCY = 4


def settings(port: int) -> NotificationSource:
    """Settings by which an event is sent at most three times."""
    text = f'url = "http://127.0.0.1:{port}/{{ActionId}}"\nretry = ["1ms", "1ms"]\n'
    return NotificationSource(name="n.toml", text=text)


def work(path: str, port: int, generation: int, told: Connection) -> None:
    """Take in new events, telling of each once it was accepted, deliver, and tell when nothing is left to do."""
    asyncio.run(_work(path, port, generation, told))


def work_on_a_disk_that_fills_up(path: str, port: int, most_bytes: int, told: Connection) -> None:
    """Take in events until the disk is full, telling of each; then deliver, and tell what became of that."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    asyncio.run(_fill_up(path, port, told))


async def _fill_up(path: str, port: int, told: Connection) -> None:
    source = settings(port)
    outbox = SqliteOutbox(path, source)
    async with outbox, Sender(parse_notification(source, {}), outbox=outbox, concurrency=CONCURRENCY) as sender:
        for number in range(10_000):
            try:
                await sender.accept([_event(f"full.{number}")])
            except OutboxError as error:
                told.send_bytes(str(error).encode())
                break
            told.send_bytes(f"/full.{number}".encode())
        try:
            async for _ in sender.deliver():
                pass
        except OutboxError as error:
            told.send_bytes(str(error).encode())


async def _work(path: str, port: int, generation: int, told: Connection) -> None:
    source = settings(port)
    outbox = SqliteOutbox(path, source)
    async with outbox, Sender(parse_notification(source, {}), outbox=outbox, concurrency=CONCURRENCY) as sender:
        for number in range(EVENTS):
            name = f"/{generation}.{number}"
            await sender.accept([_event(name[1:])])
            told.send_bytes(name.encode())
        async for _ in sender.deliver():
            pass
        told.send_bytes(b"idle")
        await asyncio.Event().wait()


def _event(name: str) -> Event:
    return Event(kind="action_lifecycle", at=datetime.now(UTC), values={"ActionId": name})
