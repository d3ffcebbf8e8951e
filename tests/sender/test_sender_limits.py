"""Maximum requests over real sockets: nothing bunches, resends hold nothing up, and a restart changes nothing."""

import asyncio
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from time import monotonic_ns

import pytest
from msgspec.structs import replace

from counted_clock import CountedClock
from postback_sender import Notification, Sender
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import Connection, Connections
from postback_sender.outbox.entry import Draft, LoggedAttempt
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from postback_sender.quantities import Rate
from sender_endpoint import Endpoint, event, run, serving, settings, source


def test_very_many_resends_under_a_limit_keep_no_first_send_from_leaving() -> None:
    async def main() -> None:
        endpoint, outbox = Endpoint(), MemoryOutbox()
        server, port = await serving(endpoint)
        drafts = [Draft(event=event(f"old-{number}"), key="", due_ns=0) for number in range(3000)]
        await outbox.add(drafts)
        failed = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, failure="no connection")
        for entry in await outbox.claim(until_ns=1, limit=3000, resends=False):
            await outbox.record(entry.id, failed, due_ns=0)
        text = 'maximum_requests = "5/s"\nmaximum_requests_scope = "resends"\nretry = [0, 0]'
        async with server, Sender(settings(port, text), outbox=outbox, concurrency=4) as sender:
            await sender.accept([event(f"new-{number}") for number in range(100)])
            begun = asyncio.get_running_loop().time()
            ended = 0
            async for delivery in sender.deliver():
                ended += delivery.postback.key.startswith("new")
                if ended == 100:
                    sender.stop()
            took = asyncio.get_running_loop().time() - begun
        old = [target for target in endpoint.targets if target.startswith("/old")]
        assert len(old) <= 1 + took * 5
        assert (await outbox.counts())["delivered"] == 100 + len(old)

    run(main)


def limited_settings(port: int, rate: Rate, *, scope: str) -> Notification:
    """Settings with a window that is too short to be written, and short enough for a test."""
    text = f'maximum_requests = "1/s"\nmaximum_requests_scope = "{scope}"\nretry = [0, 0]'
    return replace(settings(port, text), maximum_requests=rate)


def most_in_a_window(instants_ns: Sequence[int], window_ns: int) -> int:
    return max(sum(begin <= one < begin + window_ns for one in instants_ns) for begin in instants_ns)


@pytest.mark.parametrize("scope", ["all", "resends"])
def test_connections_that_take_their_time_bunch_no_requests(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has its turn leaves at once, over a connection that is ready.

    Looked at where the bytes leave: when the server gets to see them, on a machine that is busy, is another matter.
    """
    left_ns: list[int] = []
    ask = Connections.ask

    async def stamped(self: Connections, connection: Connection, request: bytes, method: str) -> Answer:
        left_ns.append(monotonic_ns())
        return await ask(self, connection, request, method)

    monkeypatch.setattr(Connections, "ask", stamped)

    async def main() -> None:
        endpoint = Endpoint()
        endpoint.closes = True
        server, port = await serving(endpoint)
        outbox = MemoryOutbox()
        # A turn taken before the connection is there would let fifteen of them leave at once.
        took = cycle([0.28 - number * 0.02 for number in range(15)])

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            await asyncio.sleep(next(took))
            return ["127.0.0.1"]

        await outbox.add([Draft(event=event(str(number)), key="", due_ns=0) for number in range(50)])
        if scope == "resends":
            failed = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, failure="no connection")
            for entry in await outbox.claim(until_ns=1, limit=50, resends=False):
                await outbox.record(entry.id, failed, due_ns=0)
        limited = limited_settings(port, Rate(count=10, window_ns=200_000_000), scope=scope)
        async with server, Sender(limited, outbox=outbox, resolve=resolve) as sender:
            async for _ in sender.deliver():
                if len(left_ns) >= (20 if scope == "resends" else 40):
                    sender.stop()
        # A window as long as the limit's, less one turn: the machine may stop between a turn and its bytes.
        assert most_in_a_window(left_ns, 180_000_000) <= 10

    run(main)


def test_a_limit_holds_across_a_restart_with_the_same_file(tmp_path: Path) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        limited = settings(port, 'maximum_requests = "3/s"\nmaximum_requests_scope = "all"')
        # Between the lives there is no time but what was waited for.
        clock, left_ns = CountedClock(), list[int]()
        async with server:
            for life in range(2):
                async with SqliteOutbox(tmp_path / "o.sqlite", source(port)) as outbox:
                    assert (outbox.last_used_ns is None) == (life == 0)
                    async with Sender(limited, outbox=outbox, clock=clock) as sender:
                        await sender.accept([event(f"{life}-{number}") for number in range(3)])
                        left_ns += [delivery.attempts[0].started_ns async for delivery in sender.deliver()]
        assert len(endpoint.targets) == len(left_ns) == 6
        assert most_in_a_window(left_ns, 1_000_000_000) <= 3

    run(main)
