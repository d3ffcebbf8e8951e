"""A limit on requests is strict, and refuses nothing that it need not."""

from collections.abc import Callable
from http.client import HTTPResponse

from hypothesis import given, settings
from hypothesis import strategies as st

from postback_receiver import (
    Capture,
    Endpoint,
    MemoryStore,
    Receiver,
    Reply,
    ReplyScript,
    RequestLimit,
    StoreError,
    always,
)


@given(gaps_ms=st.lists(st.integers(0, 700), max_size=40), count=st.integers(1, 4))
@settings(max_examples=30)
def test_no_window_anywhere_holds_more_than_the_limit_and_no_request_is_refused_for_nothing(
    gaps_ms: list[int], count: int
) -> None:
    limit = RequestLimit(always(Reply()), count=count)
    now_ns, passed = 0, list[int]()
    for gap_ms in gaps_ms:
        now_ns += gap_ms * 1_000_000
        reply = limit(arrived(now_ns))
        recent = [at_ns for at_ns in passed if now_ns - at_ns <= 1_000_000_000]
        if reply.status == 200:
            assert len(recent) < count
            passed.append(now_ns)
        else:
            assert (reply.status, len(recent)) == (429, count)
            seconds = int(dict(reply.headers)["Retry-After"])
            # Whoever waits as long as it says gets through.
            assert recent[0] + 1_000_000_000 < now_ns + seconds * 1_000_000_000


def arrived(at_ns: int) -> Capture:
    return Capture(
        id="a",
        endpoint="/",
        received_at_ns=0,
        monotonic_ns=at_ns - 5,
        body_done_ns=at_ns,
        connection="c1",
        connection_request=1,
        remote="",
        http_version="1.1",
        method="POST",
        target="/",
        headers=(),
        body=b"",
    )


def test_a_refused_request_uses_up_no_turn() -> None:
    limit = RequestLimit(ReplyScript([Reply(status=503), Reply(status=202)]), count=1)
    assert [limit(arrived(at_ns)).status for at_ns in (0, 5, 1_000_000_000, 1_000_000_001)] == [503, 429, 429, 202]


@given(fails=st.lists(st.booleans(), max_size=12))
@settings(max_examples=40)
def test_requests_that_could_not_be_recorded_are_as_if_they_had_not_come(fails: list[bool]) -> None:
    replies = [Reply(status=201), Reply(status=202), Reply(status=203)]
    limit = RequestLimit(ReplyScript(replies, end="cycle"), count=2, window_ns=3)
    without = RequestLimit(ReplyScript(replies, end="cycle"), count=2, window_ns=3)
    for at_ns, failed in enumerate(fails):
        reply, give_back = limit.take(arrived(at_ns))
        if failed:
            # A refusal has used up nothing.
            assert (give_back is None) is (reply.status == 429)
            if give_back is not None:
                give_back()
        else:
            assert reply.status == without(arrived(at_ns)).status


class FailingStore(MemoryStore):
    """Keeps nothing at first."""

    failures = 2

    async def append(self, capture: Capture) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError(path="memory", reason="it is full")
        await super().append(capture)


def test_a_request_that_is_refused_as_unrecorded_uses_up_neither_turn_nor_room(
    listen_on: Callable[..., int], exchange: Callable[[int, bytes], tuple[HTTPResponse, bytes]]
) -> None:
    limit = RequestLimit(ReplyScript([Reply(status=201), Reply(status=202)]), count=1, window_ns=3600 * 1_000_000_000)
    port = listen_on(FailingStore(), [Endpoint(replies=limit)])
    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert [exchange(port, request)[0].status for _ in range(4)] == [503, 503, 201, 429]


def test_nor_does_it_with_a_receiver_to_test_with(
    exchange: Callable[[int, bytes], tuple[HTTPResponse, bytes]],
) -> None:
    with Receiver(store=FailingStore()) as receiver:
        receiver.reply(201, 202)
        request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        assert [exchange(receiver.port, request)[0].status for _ in range(4)] == [503, 503, 201, 202]
