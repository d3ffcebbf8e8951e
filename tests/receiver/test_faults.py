"""Faults do on the wire what they say, add up in the order they are written in, and are named on the capture."""

import socket
import ssl
import struct
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kept_port import kept_port
from postback_receiver import (
    Capture,
    CaptureServer,
    Endpoint,
    Fault,
    MemoryStore,
    RandomDelay,
    Receiver,
    Reply,
    accepted_then_lost,
    always,
    bad_chunk,
    close,
    down,
    dribble,
    garbage,
    never_answer,
    reset,
    slow_headers,
    sometimes,
    wrong_content_length,
)
from postback_receiver.answer_plan import Asked, Pause, Plan, Reset, Send, answer_bytes, sent_bytes
from postback_receiver.tls import make_tls

REQUEST = b"POST /postback HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
BODY = b"OK, thank you"
PATIENCE_S = 10.0
DATE = "Mon, 11 May 2026 00:07:27 GMT"
HEAD, _ = answer_bytes(200, (), BODY, Asked(), date=DATE)
GOOD: Plan = (Send(HEAD, "head"), Send(BODY))

EVERY_FAULT = [
    never_answer(),
    slow_headers(0.02),
    dribble(5, every=0.01),
    close(),
    close("after-headers"),
    close("mid-body"),
    reset(),
    reset("after-headers"),
    reset("mid-body"),
    accepted_then_lost(),
    wrong_content_length(4),
    wrong_content_length(-4),
    bad_chunk(),
    garbage(),
    down(0.05),
]


def until_end(connection: socket.socket, *, open_after: int | None = None) -> tuple[bytes, str]:
    """All that comes, and how it ends: closed, reset, or open and silent after so many bytes."""
    seen = b""
    try:
        while True:
            is_all = open_after is not None and len(seen) >= open_after
            connection.settimeout(0.02 if is_all else PATIENCE_S)
            data = connection.recv(65_536)
            if not data:
                return seen, "closed"
            seen += data
    except ConnectionResetError:
        return seen, "reset"
    except TimeoutError:
        return seen, "open"


def shown(data: bytes) -> bytes:
    """What came without the head's date, which is another one each time."""
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Date:"))


RIGHT_HEAD = shown(HEAD)
LONGER, SHORTER = (RIGHT_HEAD.replace(b": 13", f": {13 + by}".encode()) for by in (4, -4))
CHUNKED = RIGHT_HEAD.replace(b"Content-Length: 13", b"Transfer-Encoding: chunked")


WHOLE = RIGHT_HEAD + BODY
DATE_BYTES = len(HEAD) - len(RIGHT_HEAD)
# What the sender sees, and how it ends.
ON_THE_WIRE = {
    "never-answer": (b"", "open"),
    "slow-headers 20ms": (WHOLE, "open"),
    "dribble 5 bytes per 10ms": (WHOLE, "open"),
    "close": (b"", "closed"),
    "close after-headers": (RIGHT_HEAD, "closed"),
    "close mid-body": (RIGHT_HEAD + BODY[:6], "closed"),
    "reset": (b"", "reset"),
    "reset after-headers": (RIGHT_HEAD, "reset"),
    "reset mid-body": (RIGHT_HEAD + BODY[:6], "reset"),
    "accepted-then-lost": (b"", "reset"),
    "content-length +4": (LONGER + BODY, "open"),
    "content-length -4": (SHORTER + BODY, "open"),
    "bad-chunk": (CHUNKED + b"7\r\nOK, tha\r\nno size\r\nnk you", "closed"),
    "garbage": (sent_bytes(garbage()(GOOD)), "closed"),
    "down 50ms": (b"", "reset"),
}


@pytest.mark.parametrize("fault", EVERY_FAULT, ids=lambda fault: fault.label.replace(" ", "-"))
def test_a_sender_meets_the_fault_and_the_capture_names_it(
    listen_on: Callable[..., int], connect: Callable[[int], socket.socket], fault: Fault
) -> None:
    seen, ending = ON_THE_WIRE[fault.label]
    arrived, handled = SimpleQueue[Capture](), SimpleQueue[Capture]()
    endpoint = Endpoint(replies=always(Reply(body=BODY, faults=(fault,))))
    connection = connect(listen_on(MemoryStore(), [endpoint], on_arrival=arrived.put, on_capture=handled.put))
    connection.sendall(REQUEST)
    # Who leaves before that may not have been heard at all.
    arrived.get(timeout=PATIENCE_S)
    has_head = seen.startswith(b"HTTP")
    data, how = until_end(connection, open_after=len(seen) + has_head * DATE_BYTES if ending == "open" else None)
    assert (shown(data), how) == (seen, ending)
    # Gone for good: one that only closes its half may still wait.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    capture = handled.get(timeout=PATIENCE_S)
    assert capture.fault == fault.label
    # Only what was begun, or accepted on purpose, has an answer; and only one that left whole has a time.
    has_answer = has_head or fault.label == "accepted-then-lost"
    assert (capture.answer is not None) is has_answer
    is_sent = capture.answer is not None and capture.answer.sent_ns is not None
    assert is_sent is (seen == WHOLE)


def test_a_port_that_is_down_resets_all_connections_and_refuses_new_ones(
    connect: Callable[[int], socket.socket],
) -> None:
    with kept_port() as port, Receiver(port=port) as receiver:
        receiver.reply(Reply(faults=(down(3600),)), Reply(status=202))
        idle = connect(port)
        first = connect(port)
        first.sendall(REQUEST)
        assert until_end(first) == (b"", "reset")
        assert until_end(idle)[1] == "reset"
        with pytest.raises(ConnectionRefusedError):
            connect(port)


def test_a_port_that_was_down_comes_back(connect: Callable[[int], socket.socket]) -> None:
    with kept_port() as port, Receiver(port=port) as receiver:
        receiver.reply(Reply(faults=(down(0.02),)), Reply(status=202))
        first = connect(port)
        first.sendall(REQUEST)
        assert until_end(first) == (b"", "reset")
        while True:
            try:
                back = connect(port)
            except ConnectionRefusedError:
                continue
            break
        back.sendall(REQUEST)
        assert until_end(back, open_after=1)[0].startswith(b"HTTP/1.1 202 Accepted")


@pytest.mark.parametrize("reply", [Reply(delay=60), Reply(faults=(never_answer(),))], ids=["late", "never"])
def test_a_sender_that_gives_up_waiting_ends_the_wait(connect: Callable[[int], socket.socket], reply: Reply) -> None:
    with Receiver() as receiver:
        receiver.reply(reply, Reply(body=b"next"))
        connection = connect(receiver.port)
        connection.sendall(REQUEST)
        receiver.wait_for_count(1)
        connection.close()
        again = connect(receiver.port)
        again.sendall(REQUEST)
        assert until_end(again, open_after=1)[0].endswith(b"next")
    late, _ = receiver.captures()
    assert late.gone_ns is not None
    assert late.answer is None or late.answer.sent_ns is None


def test_a_late_answer_is_never_early(connect: Callable[[int], socket.socket]) -> None:
    with Receiver() as receiver:
        receiver.reply(Reply(body=BODY, delay=0.03, faults=(dribble(7, every=0.02),)))
        connection = connect(receiver.port)
        connection.sendall(REQUEST)
        assert shown(until_end(connection, open_after=len(WHOLE) + DATE_BYTES)[0]) == WHOLE
    [capture] = receiver.captures()
    assert capture.fault == "delay 30ms + dribble 7 bytes per 20ms"
    assert capture.answer
    assert (capture.answer.sent_ns or 0) - (capture.body_done_ns or 0) >= 50_000_000


def test_two_answers_follow_each_other_on_one_connection_after_slow_ones(
    receiver: Receiver, connect: Callable[[int], socket.socket]
) -> None:
    receiver.reply(Reply(body=BODY, faults=(slow_headers(0.01),)))
    connection = connect(receiver.port)
    connection.sendall(REQUEST + REQUEST)
    twice = until_end(connection, open_after=2 * (len(WHOLE) + DATE_BYTES))[0]
    assert shown(twice) == WHOLE * 2


def test_a_reset_over_tls_comes_after_what_was_sent_before(
    serve: Callable[[CaptureServer], CaptureServer], connect: Callable[[int], socket.socket]
) -> None:
    tls = make_tls()
    replies = always(Reply(body=BODY, faults=(reset("mid-body"),)))
    server = serve(CaptureServer(MemoryStore(), [Endpoint(replies=replies)], ssl_context=tls.context))
    trusting = ssl.create_default_context(cadata=tls.ca_pem.decode())
    with trusting.wrap_socket(connect(server.port), server_hostname="localhost") as connection:
        connection.sendall(REQUEST)
        # Python's ssl takes the RST for an end like any other.
        assert shown(until_end(connection)[0]) == RIGHT_HEAD + BODY[:6]


def test_whoever_closes_the_receiver_does_not_wait_for_what_is_held_back(
    connect: Callable[[int], socket.socket],
) -> None:
    with Receiver() as receiver:
        receiver.reply(Reply(faults=(never_answer(),)))
        connection = connect(receiver.port)
        connection.sendall(REQUEST)
        receiver.wait_for_count(1)
    assert until_end(connection)[0] == b""


def test_an_answer_that_says_it_is_the_last_one_is(receiver: Receiver, connect: Callable[[int], socket.socket]) -> None:
    receiver.reply(Reply(headers=(("connection", "Close"),), body=BODY))
    connection = connect(receiver.port)
    connection.sendall(REQUEST)
    assert until_end(connection)[1] == "closed"


def test_a_function_of_ones_own_may_leave_its_reply_to_chance(
    receiver: Receiver, connect: Callable[[int], socket.socket]
) -> None:
    receiver.reply(lambda _capture: Reply(body=BODY, faults=(sometimes(reset(), 0), dribble(9, every=0.001))))
    connection = connect(receiver.port)
    connection.sendall(REQUEST)
    assert shown(until_end(connection, open_after=len(WHOLE) + DATE_BYTES)[0]) == WHOLE
    assert receiver.captures()[0].fault == "dribble 9 bytes per 1ms"


def test_a_head_meets_and_is_labelled_with_only_what_shows_without_a_body(
    listen_on: Callable[..., int], connect: Callable[[int], socket.socket]
) -> None:
    handled = SimpleQueue[Capture]()
    reply = Reply(body=BODY, delay=0.001, faults=(slow_headers(0.01), wrong_content_length(4), reset("mid-body")))
    connection = connect(listen_on(MemoryStore(), [Endpoint(replies=always(reply))], on_capture=handled.put))
    connection.sendall(b"HEAD /postback HTTP/1.1\r\nHost: h\r\n\r\n")
    assert shown(until_end(connection, open_after=len(HEAD))[0]) == RIGHT_HEAD
    capture = handled.get(timeout=PATIENCE_S)
    assert capture.fault == "delay 1ms + slow-headers 10ms"
    assert capture.answer is not None
    assert capture.answer.sent_ns is not None


# What faults make of a plan.


def test_what_shows_without_a_body_is_what_a_head_meets() -> None:
    to_head = {fault.label for fault in EVERY_FAULT if Reply(body=BODY, faults=(fault,)).to_head().faults}
    assert to_head == {
        *("never-answer", "slow-headers 20ms", "close", "reset", "reset after-headers", "accepted-then-lost"),
        *("garbage", "down 50ms"),
    }
    head_only: Plan = (Send(HEAD, "head"), Send(b""))
    for fault in EVERY_FAULT:
        assert fault.label not in to_head or fault(head_only) != head_only


def test_faults_add_up_in_the_order_they_are_written_in() -> None:
    reply = Reply(body=BODY, delay=2, faults=(slow_headers(2), dribble(1, every=0.1), reset("mid-body")))
    assert reply.fault == "delay 2s + slow-headers 2s + dribble 1 byte per 100ms + reset mid-body"
    plan = reply.planned(GOOD)
    size = -(-len(HEAD) // 20)
    every_ns = 2_000_000_000 // (-(-len(HEAD) // size) - 1)
    assert plan == (
        Pause(2_000_000_000),
        Send(HEAD, "head", size, every_ns),
        Send(BODY[:6], "body", 1, 100_000_000),
        Reset(),
    )


def refusal(*faults: Fault) -> str:
    """Why these cannot go together; empty when they can."""
    try:
        Reply(body=BODY, faults=faults)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("one", EVERY_FAULT, ids=lambda fault: fault.label.replace(" ", "-"))
def test_two_faults_either_both_show_or_are_refused(one: Fault) -> None:
    """Both show means: in either order they send the same, and the plan is not that of one of them alone."""
    assert "exclude each other" in refusal(one, one)
    for other in EVERY_FAULT:
        if text := refusal(one, other):
            assert f'"{one.label}" and "{other.label}" exclude each other' in text
            assert refusal(other, one)
        else:
            both = other(one(GOOD))
            assert sent_bytes(both) == sent_bytes(one(other(GOOD)))
            assert both not in {one(GOOD), other(GOOD)}


def test_as_many_faults_go_together_as_make_sense() -> None:
    together = {
        frozenset({one.label, other.label}) for one in EVERY_FAULT for other in EVERY_FAULT if not refusal(one, other)
    }
    slow, dribbled, early, late = (
        {"slow-headers 20ms"},
        {"dribble 5 bytes per 10ms"},
        {"close after-headers", "reset after-headers"},
        {"close mid-body", "reset mid-body"},
    )
    length, chunk = {"content-length +4", "content-length -4"}, {"bad-chunk"}
    pairs = [
        *((slow, others) for others in (dribbled, early, late, length, chunk)),
        *((dribbled, others) for others in (late, length, chunk)),
        *((length, others) for others in (early, late)),
    ]
    assert together == {frozenset({one, other}) for ones, others in pairs for one in ones for other in others}


@given(body=st.binary(max_size=40), pieces=st.integers(1, 50), version=st.sampled_from([(1, 0), (1, 1)]))
@settings(max_examples=30)
def test_every_fault_takes_every_answer_and_slow_ones_stay_whole(
    body: bytes, pieces: int, version: tuple[int, int]
) -> None:
    head, sent = answer_bytes(200, (), body, Asked(version), date=DATE)
    plan: Plan = (Send(head, "head"), Send(sent))
    for fault in [*EVERY_FAULT, dribble(pieces, every=0.01)]:
        changed = fault(plan)
        if fault.label.startswith(("slow-headers", "dribble")):
            assert sent_bytes(changed) == head + sent


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (lambda: Reply(faults=(dribble(1, every=1),)), "at least 2 bytes; this reply has 0"),
        (lambda: Reply(body=b"1", faults=(close("mid-body"),)), "at least 2 bytes; this reply has 1"),
        (lambda: Reply(body=b"123", faults=(wrong_content_length(-4),)), "at least 4 bytes; this reply has 3"),
        (lambda: Reply(status=204, body=b"OK", faults=(reset("mid-body"),)), "has none, being a 204"),
        (lambda: Reply(status=304, faults=(bad_chunk(),)), "a reply with status 304 has none"),
        (lambda: Reply(status=204, faults=(wrong_content_length(4),)), "a reply with status 204 has none"),
        (lambda: Reply(status=204, faults=(close("after-headers"),)), "at least 1 byte; this reply has none"),
        (lambda: Reply(faults=(close("after-headers"),)), "at least 1 byte; this reply has 0"),
        (lambda: dribble(0, every=1), "1 byte or more, not 0"),
        (lambda: slow_headers(0), "slow_headers: expected seconds, more than 0"),
        (lambda: down(float("nan")), "down: expected seconds"),
        (lambda: wrong_content_length(0), "other than 0"),
        (lambda: garbage(0), "expected 1 to 1048576 bytes, got 0"),
        (lambda: sometimes(reset(), 1.5), "a probability from 0 to 1, got 1.5"),
        (lambda: reset("later"), "expected one of start, after-headers, mid-body"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: Reply(delay=-1), "a reply's delay: expected seconds"),
        (lambda: RandomDelay(2, 1), "from less to more"),
        (lambda: Reply(headers=(("content-length", "7"),)), "counted, not given"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused_with_the_reason(reply: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        reply()
