"""A relaying receiver over real sockets: recorded first, asked for once, and never in a circle."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from hasty_loop import let_pass, run_hastily
from kept_port import kept_port
from postback_conformance.cli.receiving import leads_to
from postback_conformance.receiving.forwarding import Forwarded, Forwarder, has_passed
from postback_receiver import Answer, Capture, CaptureServer, CaptureStore, Endpoint, MemoryStore, Reply, SqliteStore
from postback_sender.clock import SystemClock
from postback_sender.quantities import NANOSECONDS_PER_SECOND

PATIENCE_S = 30
REQUEST = b"POST /in HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
ANSWER = b"HTTP/1.1 202 Accepted\r\nX-Behind: 1\r\nContent-Length: 6\r\n\r\nthanks"

Behave = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Behind:
    """The server that is relayed to: counts what it was asked, and behaves as it is told to."""

    def __init__(self, behave: Behave) -> None:
        self.asked = 0
        self._behave = behave
        self._handlers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[int]:
        """Listen on a free port, which is what comes of it, until the block ends."""
        async with await asyncio.start_server(self._handle, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]
            for handler in self._handlers:
                handler.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._handlers.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.CancelledError):
                await reader.readuntil(b"{}")
                self.asked += 1
                await self._behave(writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def answers(writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER)


async def is_killed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def is_killed_while_it_answers(writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER[:-3])
    await writer.drain()


async def never_answers(_writer: asyncio.StreamWriter) -> None:
    let_pass(PATIENCE_S)
    await asyncio.Event().wait()


async def answers_slowly(writer: asyncio.StreamWriter) -> None:
    for byte in ANSWER:
        writer.write(bytes([byte]))
        await asyncio.sleep(0)


@asynccontextmanager
async def relaying(
    port: int,
    *,
    store: CaptureStore,
    heard: Sequence[list[Capture]] = (),
) -> AsyncGenerator[CaptureServer]:
    """A receiver that relays to a port."""
    on_capture = heard[0].append if heard else None
    async with (
        forwarding_to(port) as forwarder,
        CaptureServer(store, [Endpoint()], relay=forwarder.relay, on_capture=on_capture) as server,
    ):
        yield server


def forwarding_to(port: int, *, name: str = "a", tell: Callable[[Forwarded], None] = lambda _: None) -> Forwarder:
    """What sends on to a port."""
    timeout_ns = PATIENCE_S * NANOSECONDS_PER_SECOND
    return Forwarder(f"http://127.0.0.1:{port}", name=name, timeout_ns=timeout_ns, clock=SystemClock(), tell=tell)


async def ask(port: int) -> tuple[int, bytes]:
    """Send one request; the status and body that come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    async with asyncio.timeout(2 * PATIENCE_S):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("behave", "status", "says"),
    [
        (answers, 202, b"thanks"),
        (answers_slowly, 202, b"thanks"),
        (is_killed, 502, b"no answer to relay: no connection"),
        (is_killed_while_it_answers, 502, b"no answer to relay: broken answer"),
        (never_answers, 504, b"no answer to relay: no answer in time"),
    ],
)
def test_the_server_behind_is_asked_once_for_what_is_in_the_store_already(
    tmp_path: Path, behave: Behave, status: int, says: bytes
) -> None:
    async def run() -> None:
        with closing(SqliteStore(tmp_path / "c.sqlite")) as store:
            seen_by_then: list[tuple[int, Answer | None]] = []

            async def look_and_behave(writer: asyncio.StreamWriter) -> None:
                # What an answered request must survive is read as another process would.
                with closing(sqlite3.connect(tmp_path / "c.sqlite")) as other:
                    seen_by_then.extend(other.execute("SELECT count(*), max(answer_status) FROM capture"))
                await behave(writer)

            heard: list[Capture] = []
            behind = Behind(look_and_behave)
            async with behind.serve() as port, relaying(port, store=store, heard=[heard]) as server:
                answered = await ask(server.port)
                assert answered[0] == status
                assert says in answered[1]
            assert (behind.asked, seen_by_then) == (1, [(1, None)])
            [capture] = store.captures()
            assert heard == [capture]
            assert capture.answer is not None
            assert (capture.answer.status, capture.answer.body) == answered
            assert capture.answer.sent_ns is not None
            assert (("X-Behind", "1") in capture.answer.headers) == (status == 202)

    run_hastily(run())


def test_a_server_behind_that_is_not_there_is_a_502_on_the_capture() -> None:
    async def run() -> None:
        store = MemoryStore()
        with kept_port() as port:
            async with relaying(port, store=store) as server:
                assert (await ask(server.port))[0] == 502
        assert [capture.answer and capture.answer.status for capture in store.captures()] == [502]

    asyncio.run(run())


def test_what_could_not_be_recorded_is_not_relayed_and_its_resend_is_relayed_once(tmp_path: Path) -> None:
    async def run() -> None:
        behind = Behind(answers)
        path = tmp_path / "c.sqlite"
        with closing(SqliteStore(path, busy_timeout_s=0.01)) as store:
            async with behind.serve() as port, relaying(port, store=store) as server:
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    assert (await ask(server.port))[0] == 503
                    assert behind.asked == 0
                assert (await ask(server.port))[0] == 202
            assert behind.asked == 1
            assert server.counts.store_failures == 1
            assert store.count() == 1

    asyncio.run(run())


def test_an_answer_that_could_not_be_recorded_is_relayed_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A 503 would make the sender send again what the server behind has taken."""

    async def run() -> None:
        path = tmp_path / "c.sqlite"
        with (
            closing(SqliteStore(path, busy_timeout_s=0.01)) as store,
            closing(sqlite3.connect(path, isolation_level=None)) as other,
        ):

            async def lock_and_answer(writer: asyncio.StreamWriter) -> None:
                other.execute("BEGIN IMMEDIATE")
                writer.write(ANSWER)

            behind = Behind(lock_and_answer)
            async with behind.serve() as port, relaying(port, store=store) as server:
                assert await ask(server.port) == (202, b"thanks")
                other.rollback()
            assert behind.asked == 1
            assert (server.counts.answers_not_kept, server.counts.store_failures) == (1, 0)
            assert [capture.answer for capture in store.captures()] == [None]

    asyncio.run(run())
    assert "was sent, but could not be recorded" in caplog.text


# Circles.


def test_two_receivers_that_relay_to_each_other_say_so_instead_of_going_round() -> None:
    async def run() -> None:
        first, second = MemoryStore(), MemoryStore()
        async with AsyncExitStack() as stack:

            async def relay_on(capture: Capture) -> Reply:
                return await to_second.relay(capture)

            front = CaptureServer(first, [Endpoint()], relay=relay_on)
            await stack.enter_async_context(front)
            to_first = forwarding_to(front.port, name="b")
            await stack.enter_async_context(to_first)
            behind = CaptureServer(second, [Endpoint()], relay=to_first.relay)
            await stack.enter_async_context(behind)
            to_second = forwarding_to(behind.port)
            await stack.enter_async_context(to_second)
            status, body = await ask(front.port)
        assert status == 508
        assert b"the server behind sends what it gets back to here" in body
        assert (first.count(), second.count()) == (2, 1)
        assert to_second.outcomes["looped"] == 1
        assert [capture.header("via") for capture in first.captures()] == [
            (),
            ("1.1 postback-a", "1.1 postback-b"),
        ]

    asyncio.run(run())


def test_a_receiver_that_sends_on_to_itself_records_it_twice_and_no_more() -> None:
    async def run() -> None:
        told: list[Forwarded] = []
        settled = asyncio.Event()

        def tell(forwarded: Forwarded) -> None:
            told.append(forwarded)
            if len(told) == 2:
                settled.set()

        store = MemoryStore()

        def take(capture: Capture) -> None:
            to_itself.take(capture)

        async with CaptureServer(store, [Endpoint()], on_arrival=take) as server:
            # By another name of this machine, which nobody could have told at the start.
            to_itself = forwarding_to(server.port, tell=tell)
            async with to_itself, asyncio.timeout(PATIENCE_S):
                assert (await ask(server.port))[0] == 200
                await settled.wait()
        assert sorted(each.outcome for each in told) == ["forwarded", "looped"]
        assert store.count() == 2

    asyncio.run(run())


@pytest.mark.parametrize(
    ("via", "passed"),
    [
        ([], False),
        (["1.1 postback-b"], False),
        (["1.1 postback-ab, 1.0 postback-a (ngrok)"], True),
        (["1.1 vegur", "HTTP/1.1 postback-a"], True),
        (["postback-a", ",, ,", ""], False),
    ],
)
def test_a_name_in_a_via_field_is_found_whoever_else_stands_there(via: list[str], passed: bool) -> None:  # noqa: FBT001
    capture = Capture(
        id="a",
        endpoint="/",
        received_at_ns=0,
        connection="c1",
        connection_request=1,
        remote="",
        http_version="1.1",
        method="POST",
        target="/",
        headers=tuple(("vIA", value) for value in via),
        body=b"",
    )
    assert has_passed(capture, "postback-a") is passed


@pytest.mark.parametrize(
    ("target", "own", "leads_back"),
    [
        (("localhost", 80), ("127.0.0.1", 80), True),
        (("::1", 80), ("0.0.0.0", 80), True),  # noqa: S104 -- not bound to
        (("192.0.2.7", 80), ("192.0.2.7", 80), True),
        (("127.0.0.1", 80), ("192.0.2.7", 80), False),
        (("127.0.0.1", 81), ("127.0.0.1", 80), False),
        (("away.example", 80), ("127.0.0.1", 80), False),
    ],
)
def test_a_target_that_is_the_port_itself_is_known_from_its_address(
    target: tuple[str, int],
    own: tuple[str, int],
    leads_back: bool,  # noqa: FBT001
) -> None:
    assert leads_to(*target, *own) is leads_back
