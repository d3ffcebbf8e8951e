"""Captures sent on to another server: the same bytes, a bounded queue, and word of everything that fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from kept_port import kept_port
from postback_conformance.receiving.forwarding import Forwarded, Forwarder, relayed_reply
from postback_receiver import Capture
from postback_receiver.reply import RelayedReply
from postback_sender import TargetError
from postback_sender.clock import SystemClock
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.retry import Failure

SECOND_NS = 1_000_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def capture(number: int = 1, body: bytes = b"\x00\xff{}", **changes: object) -> Capture:
    fields: dict[str, object] = {
        "id": f"id{number}",
        "endpoint": "/",
        "received_at_ns": number,
        "connection": "c1",
        "connection_request": number,
        "remote": "127.0.0.1:1",
        "http_version": "1.1",
        "method": "POST",
        "target": f"/in?n={number}&q=%20&\xfc",
        "headers": (
            ("X-Second", "b"),
            ("host", "public.example"),
            ("x-first", "\xfc\xfd"),
            ("X-Second", "a"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Content-Length", str(len(body))),
        ),
        "body": body,
    }
    return Capture(**{**fields, **changes})  # type: ignore[arg-type]


def forwarder(
    port: int, told: list[Forwarded], path: str = "", *, queue_length: int = 10, drain_ns: int = 60 * SECOND_NS
) -> Forwarder:
    return Forwarder(
        f"http://127.0.0.1:{port}{path}",
        name="here",
        timeout_ns=60 * SECOND_NS,
        clock=SystemClock(),
        tell=told.append,
        queue_length=queue_length,
        drain_ns=drain_ns,
    )


class Recording:
    """A server that keeps the bytes of every request and says OK, after `ready` if it is to wait."""

    def __init__(self, answer: bytes = OK, *, waits: bool = False) -> None:
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.ready = asyncio.Event()
        self._answer = answer
        self._handlers: set[asyncio.Task[None]] = set()
        if not waits:
            self.ready.set()

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[int]:
        """Listen on a free port, which is what comes of it, until the block ends."""
        async with await asyncio.start_server(self._answer_all, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]
            self.ready.set()
            await asyncio.gather(*self._handlers)

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handlers.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                await self.ready.wait()
                writer.write(self._answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def test_what_is_sent_on_has_the_same_bytes_in_the_same_order_and_one_field_more() -> None:
    async def run() -> None:
        told: list[Forwarded] = []
        behind = Recording()
        async with behind.serve() as port, forwarder(port, told) as forward:
            for number in range(1, 4):
                forward.take(capture(number))
        assert behind.requests[0] == (
            b"POST /in?n=1&q=%20&\xfc HTTP/1.1\r\nX-Second: b\r\nhost: 127.0.0.1:" + str(port).encode() + b"\r\n"
            b"x-first: \xfc\xfd\r\nX-Second: a\r\nContent-Length: 4\r\nVia: 1.1 postback-here\r\n\r\n\x00\xff{}"
        )
        assert [request.split(b"&")[0] for request in behind.requests] == [b"POST /in?n=%d" % n for n in (1, 2, 3)]
        assert [(each.capture, each.outcome, each.status) for each in told] == [
            (f"id{number}", "forwarded", 200) for number in (1, 2, 3)
        ]

    asyncio.run(run())


def test_a_path_or_query_of_the_url_takes_the_place_of_the_recorded_one() -> None:
    async def run() -> None:
        behind = Recording()
        async with behind.serve() as port:
            for part in ("/mine", "?b=2"):
                async with forwarder(port, [], part) as forward:
                    forward.take(capture(target="/in?a=1"))
        assert [request.split()[1] for request in behind.requests] == [b"/mine?a=1", b"/in?b=2"]

    asyncio.run(run())


def test_what_cannot_be_sent_on_is_counted_and_said() -> None:
    async def run() -> None:
        told: list[Forwarded] = []
        behind = Recording(waits=True)
        async with behind.serve() as port:
            async with forwarder(port, told, queue_length=1, drain_ns=SECOND_NS // 20) as forward:
                forward.take(capture(1))
                await behind.asked.wait()
                forward.take(capture(2))
                forward.take(capture(3))
                assert forward.queued == 1
            assert {each.capture: each.outcome for each in told} == {
                "id3": "dropped",
                "id1": "failed",
                "id2": "dropped",
            }
            assert forward.outcomes == Counter(dropped=2, failed=1)
        told.clear()
        with kept_port() as port:
            async with forwarder(port, told) as forward:
                forward.take(capture(truncated=True))
                forward.take(capture(malformed="it began with NUL", method="", target=""))
                forward.take(capture(7))
        assert [each.outcome for each in told] == ["unfit", "unfit", "failed"]
        assert "Connect" in told[-1].detail or "refused" in told[-1].detail

    asyncio.run(run())


def test_a_relayed_answer_is_that_of_the_server_behind() -> None:
    async def run() -> None:
        answer = (
            b"HTTP/1.1 409 Nope\r\nX-A: 1\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nX-A: 2\r\n\r\n"
            b"2\r\n\x00\xff\r\n0\r\n\r\n"
        )
        async with Recording(answer).serve() as port, forwarder(port, []) as forward:
            assert await forward.relay(capture()) == RelayedReply(
                status=409, headers=(("X-A", "1"), ("X-A", "2")), body=b"\x00\xff"
            )
        with kept_port() as port:
            async with forwarder(port, []) as forward:
                assert (await forward.relay(capture())).status == 502

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (Answer(failure=Failure.TIMEOUT, detail="not done within 1s"), 504, "no answer in time: not done within 1s"),
        (Answer(failure=Failure.CONNECTION, detail="refused"), 502, "no connection: refused"),
        (Answer(status=200, failure=Failure.BROKEN_ANSWER, detail="closed"), 502, "broken answer: closed"),
        (Answer(status=200, cut=True), 502, "longer than"),
        (Answer(status=101), 502, "its answer 101 is not a final one"),
    ],
)
def test_an_answer_that_cannot_be_relayed_is_a_gateway_error(answer: Answer, status: int, says: str) -> None:
    reply = relayed_reply(answer, "POST")
    assert reply.status == status
    assert says in reply.body.decode()


@pytest.mark.parametrize(
    ("answer", "method", "headers"),
    [
        (Answer(status=200, headers=(("X", "a\xe9\xff"), ("Y", ""))), "POST", (("X", "a\xe9\xff"), ("Y", ""))),
        (Answer(status=999, headers=(("X", "1"),)), "POST", (("X", "1"),)),
        (
            Answer(status=200, headers=(("Connection", "close, x-HOP"), ("X-Hop", "1"), ("X", "1"))),
            "GET",
            (("X", "1"),),
        ),
        (Answer(status=200, headers=(("X Odd", "1"), ("X\xe9", "2"), ("X", "a\rb\0c"))), "GET", (("X", "a b c"),)),
        (Answer(status=200, headers=(("Content-Length", "1234"),)), "HEAD", (("Content-Length", "1234"),)),
        (Answer(status=200, headers=(("Transfer-Encoding", "chunked"),)), "HEAD", ()),
        (Answer(status=200, headers=(("Content-Length", "1"), ("Content-Length", "2"))), "HEAD", ()),
        (Answer(status=200, headers=(("Content-Length", "many"),)), "HEAD", ()),
        (Answer(status=204, headers=(("Content-Length", "5"),)), "HEAD", ()),
        (Answer(status=304, headers=(("content-length", "99"),)), "GET", (("Content-Length", "99"),)),
        (Answer(status=200, headers=(("Content-Length", "2"),), body=b"OK"), "GET", ()),
    ],
    ids=[
        "obs-text",
        "999",
        "named",
        "no name",
        "HEAD",
        "HEAD chunked",
        "two lengths",
        "no length",
        "204",
        "304",
        "GET",
    ],
)
def test_a_relayed_reply_keeps_all_but_what_speaks_of_one_connection(
    answer: Answer, method: str, headers: tuple[tuple[str, str], ...]
) -> None:
    assert relayed_reply(answer, method) == RelayedReply(status=answer.status or 0, headers=headers, body=answer.body)


def test_what_is_not_relayed_is_not_told_as_forwarded() -> None:
    async def run() -> None:
        told: list[Forwarded] = []
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
        async with Recording(answer).serve() as port, forwarder(port, told) as forward:
            assert (await forward.relay(capture())).status == 502
        assert [(each.outcome, each.status, each.detail) for each in told] == [
            ("failed", None, "its answer 101 is not a final one")
        ]

    asyncio.run(run())


def test_a_capture_that_nobody_expected_takes_nothing_else_along(caplog: pytest.LogCaptureFixture) -> None:
    def tell(forwarded: Forwarded) -> None:
        told.append(forwarded)
        raise RuntimeError("no more room in the log")

    async def run() -> None:
        async with Recording().serve() as port:
            url = f"http://127.0.0.1:{port}"
            async with Forwarder(url, name="a", timeout_ns=60 * SECOND_NS, clock=SystemClock(), tell=tell) as forward:
                forward.take(capture(1, target="/\N{EURO SIGN}"))
                forward.take(capture(2))
                assert (await forward.relay(capture(3, target="/\N{EURO SIGN}"))).status == 502
                assert (await forward.relay(capture(4))).status == 200

    told: list[Forwarded] = []
    asyncio.run(run())
    assert {each.capture: each.outcome for each in told} == {
        "id1": "failed",
        "id2": "forwarded",
        "id3": "failed",
        "id4": "forwarded",
    }
    assert "Capture id1 could not be sent on" in caplog.text
    assert {each.detail for each in told} == {"", "an unexpected UnicodeEncodeError"}


@pytest.mark.parametrize("url", ["http://example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/", "127.0.0.1:80"])
def test_a_target_beyond_this_machine_has_to_be_allowed(url: str) -> None:
    with pytest.raises(TargetError):
        Forwarder(url, name="here", timeout_ns=SECOND_NS, clock=SystemClock(), tell=lambda _: None)
