"""Whatever ends a sender, SIGKILL or a full disk: every event arrives, none too often, and the log explains it all."""

import asyncio
import multiprocessing
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, cast

import pytest

import killed_sender
from fork_server import PATIENCE_S
from postback_sender import Sender, parse_notification
from postback_sender.outbox.entry import LoggedAttempt
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

KILLS: Final = 50
MOST_ATTEMPTS: Final = 3
MOST_BYTES: Final = 150_000
# A third of the answers is an error, so that attempts of every number are cut.
STATUSES: Final = (200, 503, 200)

# Processes that start in milliseconds: they are forked from one that has imported everything.
FORKS: Final = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["postback_sender.sender", "postback_sender.outbox.sqlite_outbox"])


class Endpoint:
    """Answers, and counts what arrives by target."""

    def __init__(self) -> None:
        self.arrivals: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                status = STATUSES[self.arrivals.total() % len(STATUSES)]
                self.arrivals[head.split(b" ")[1].decode()] += 1
                self.changed.set()
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())


async def run_and_kill(endpoint: Endpoint, path: Path, port: int, generation: int, chance: random.Random) -> set[str]:
    """Let a sender work until some moment, kill it, and return the events that it had accepted by then."""
    accepted: set[str] = set()
    hearing, telling = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=killed_sender.work, args=(str(path), port, generation, telling), daemon=True)
    process.start()
    telling.close()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        accepted.update(heard(hearing))
        endpoint.changed.set()

    loop.add_reader(hearing.fileno(), hear)
    # While it accepts, while it delivers, or when it has nothing left to do.
    enough_accepted = chance.randint(1, killed_sender.EVENTS)
    enough_arrived = endpoint.arrivals.total() + chance.randint(0, 2 * killed_sender.EVENTS)
    while "idle" not in accepted and (len(accepted) < enough_accepted or endpoint.arrivals.total() < enough_arrived):
        endpoint.changed.clear()
        await endpoint.changed.wait()
    process.kill()
    loop.remove_reader(hearing.fileno())
    await asyncio.to_thread(process.join, PATIENCE_S)
    # What it had said before it was killed counts as well.
    accepted.update(heard(hearing))
    hearing.close()
    return accepted - {"idle"}


def heard(hearing: Connection, *, timeout: float = 0.0) -> set[str]:
    words: set[str] = set()
    with suppress(EOFError):
        while hearing.poll(timeout):
            words.add(hearing.recv_bytes().decode())
    return words


async def with_endpoint(work: Callable[[Endpoint, int], Awaitable[None]]) -> Counter[str]:
    """Return what arrived at an endpoint while the work was done."""
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    async with server:
        try:
            async with asyncio.timeout(3 * PATIENCE_S):
                await work(endpoint, server.sockets[0].getsockname()[1])
                await asyncio.wait(endpoint.serving)
        finally:
            # A server ends when its last connection has.
            for task in endpoint.serving:
                task.cancel()
    return endpoint.arrivals


async def deliver_the_rest(path: Path, port: int) -> None:
    source = killed_sender.settings(port)
    async with SqliteOutbox(path, source) as outbox, Sender(parse_notification(source, {}), outbox=outbox) as sender:
        async for _ in sender.deliver():
            pass


def logs(path: Path) -> dict[str, list[LoggedAttempt]]:
    file = OutboxFile(path)
    assert file.counts()["waiting"] == 0
    return {f"/{entry.event.values['ActionId']}": file.log(entry.id) for entry in file.latest()}


def check(arrivals: Counter[str], accepted: set[str], path: Path, *, in_flight: int) -> int:
    """What was accepted arrived; no event was sent more often than allowed; the log explains every arrival.

    Returns how many attempts were cut off.
    """
    told = logs(path)
    assert accepted <= set(arrivals)
    assert set(arrivals) == set(told)
    cut_off = 0
    for target, attempts in told.items():
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        counted = [attempt for attempt in attempts if not attempt.is_cut_off]
        assert len(counted) <= MOST_ATTEMPTS
        assert all(attempt.failure for attempt in counted[:-1])
        assert not attempts[-1].failure or len(counted) == MOST_ATTEMPTS
        # One that was cut off may have been on its way or not.
        assert len(counted) <= arrivals[target] <= len(attempts)
        cut_off += len(attempts) - len(counted)
    assert cut_off <= in_flight
    return cut_off


@pytest.mark.timeout(200)
def test_fifty_kills_lose_no_event_and_send_none_more_often_than_allowed(tmp_path: Path) -> None:
    path, accepted, chance = tmp_path / "outbox.sqlite", set[str](), random.Random(20261122)  # noqa: S311

    async def work(endpoint: Endpoint, port: int) -> None:
        for generation in range(KILLS):
            accepted.update(await run_and_kill(endpoint, path, port, generation, chance))
        await deliver_the_rest(path, port)

    arrivals = asyncio.run(with_endpoint(work))
    assert len(accepted) >= KILLS
    assert check(arrivals, accepted, path, in_flight=KILLS * killed_sender.CONCURRENCY)


def test_a_disk_that_fills_up_loses_no_event_and_ends_the_sending(tmp_path: Path) -> None:
    path, words = tmp_path / "outbox.sqlite", set[str]()

    async def work(_: Endpoint, port: int) -> None:
        hearing, telling = FORKS.Pipe(duplex=False)
        process = FORKS.Process(
            target=killed_sender.work_on_a_disk_that_fills_up, args=(str(path), port, MOST_BYTES, telling), daemon=True
        )
        process.start()
        telling.close()
        while process.is_alive():
            words.update(await asyncio.to_thread(heard, hearing, timeout=0.1))
        words.update(heard(hearing))
        hearing.close()
        assert process.exitcode == 0
        await deliver_the_rest(path, port)

    arrivals = asyncio.run(with_endpoint(work))
    accepted = {word for word in words if word.startswith("/full.")}
    assert accepted
    assert any("the disk" in word for word in words - accepted)
    check(arrivals, accepted, path, in_flight=killed_sender.CONCURRENCY)
