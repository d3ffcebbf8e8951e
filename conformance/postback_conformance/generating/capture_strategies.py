"""Hypothesis strategies for captures: postbacks as a receiver records them, and what else reaches an open port."""

from functools import cache

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from postback_conformance.generating.action_strategies import events as events_of_kind
from postback_conformance.generating.fault_strategies import faults
from postback_conformance.generating.notification_strategies import notifications
from postback_conformance.generating.wire_strategies import made_before, prepared, wire_texts
from postback_receiver.capture import Answer, Capture, Headers
from postback_receiver.reply import Reply
from postback_sender.delivery.request import request_bytes
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback
from postback_sender.tokens import EVENT_KINDS

_NS = 1_000_000_000
_MS = 1_000_000
# 1 January 2026 in UTC, to which the stamps of failures shrink, and the year after it.
_BEGIN_NS = 1_767_225_600 * _NS
_YEAR_S = 365 * 86_400
_TEXTS = wire_texts(max_size=40)
_WAITS_MS = st.tuples(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000))
_STATUSES = st.sampled_from((200, 202, 204, 400, 500, 503))
_NAMES = st.sampled_from(("X-Forwarded-For", "x-forwarded-for", "Accept", "Cookie", "X-A"))
# Header text is latin-1: one character is one byte, whatever was meant by it.
_VALUES = st.one_of(
    st.just(""), st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))
)
_MORE_HEADERS: SearchStrategy[Headers] = st.lists(st.tuples(_NAMES, _VALUES.map(str.strip)), max_size=3).map(tuple)
_IDS = st.integers(0, 16**12 - 1).map("{:012x}".format)


def captures(
    *,
    notification: Notification | None = None,
    events: SearchStrategy[Event] | None = None,
    damaged: bool = True,
) -> SearchStrategy[Capture]:
    """Single captures of postbacks, as one of any settings or of this notification, with plausible stamps.

    With a notification, `events` replaces those that are told of; they are of its kind. With `damaged`,
    some arrived in part, are no HTTP, met a fault, hold bytes that are no text, or came to no endpoint at all. Without,
    each is whole, and was answered.
    """
    if notification is not None:
        whole = prepared(_captures_of(notification, _events_of(notification) if events is None else events))
    else:
        drawn = notifications().flatmap(lambda drawn: _captures_of(drawn, _events_of_kind(drawn.event)))
        whole = made_before(drawn, lambda: map(_events_of_kind, EVENT_KINDS))
    return st.one_of(whole, whole.flatmap(_damaged)) if damaged else whole


def _captures_of(notification: Notification, told: SearchStrategy[Event]) -> SearchStrategy[Capture]:
    return st.builds(
        _capture,
        st.just(notification),
        told,
        capture_id=_IDS,
        second=st.integers(0, _YEAR_S),
        waits_ms=_WAITS_MS,
        status=_STATUSES,
        connection=st.integers(1, 50),
        connection_request=st.integers(1, 3),
    )


def _events_of(notification: Notification) -> SearchStrategy[Event]:
    return events_of_kind(kind=notification.event, catalogue=notification.catalogue, texts=_TEXTS)


# Made once for each, since a strategy takes longer to make than a value.
@cache
def _events_of_kind(kind: str) -> SearchStrategy[Event]:
    return events_of_kind(kind=kind, texts=_TEXTS)


def _capture(
    notification: Notification,
    event: Event,
    *,
    capture_id: str,
    second: int,
    waits_ms: tuple[int, int, int],
    status: int,
    connection: int,
    connection_request: int,
) -> Capture:
    _origin, request = request_bytes(render_postback(notification, event))
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, version = line.split(" ")
    # The receiver's monotonic clock began with the year.
    connected_ns = second * _NS
    monotonic_ns = connected_ns + waits_ms[0] * _MS
    done_ns = monotonic_ns + waits_ms[1] * _MS
    sent_ns = done_ns + waits_ms[2] * _MS
    return Capture(
        id=capture_id,
        run="generated",
        endpoint="/",
        received_at_ns=_BEGIN_NS + monotonic_ns,
        connected_ns=connected_ns,
        monotonic_ns=monotonic_ns,
        body_done_ns=done_ns,
        connection=f"c{connection}",
        connection_request=connection_request,
        remote="127.0.0.1:50000",
        http_version=version.removeprefix("HTTP/"),
        method=method,
        target=target,
        headers=tuple((name, value.strip()) for name, _, value in (field.partition(":") for field in fields)),
        body=body,
        answer=Answer(status=status, sent_at_ns=_BEGIN_NS + sent_ns, sent_ns=sent_ns),
    )


def _damaged(whole: Capture) -> SearchStrategy[Capture]:
    """Return what else may have become of a request."""
    return st.one_of(
        faults().map(lambda fault: _answered(whole, Reply(body=b"accepted", faults=(fault,)))),
        st.integers(0, len(whole.body)).map(lambda size: _cut(whole, size)),
        _MORE_HEADERS.map(lambda headers: replace(whole, headers=(*whole.headers, *headers))),
        st.binary(max_size=100).map(lambda body: replace(whole, body=body)),
        st.just(replace(whole, endpoint=None)),
        st.binary(min_size=1, max_size=100).map(lambda data: _malformed(whole, data)),
    )


def _answered(whole: Capture, reply: Reply) -> Capture:
    return replace(whole, answer=reply.answer, fault=reply.fault)


def _cut(whole: Capture, size: int) -> Capture:
    return replace(
        whole, body=whole.body[:size], truncated=True, body_done_ns=None, answer=None, gone_ns=whole.body_done_ns
    )


def _malformed(whole: Capture, data: bytes) -> Capture:
    return replace(
        whole,
        endpoint=None,
        malformed="the request line is not METHOD TARGET HTTP/1.1",
        method="",
        target="",
        http_version="",
        headers=(),
        body=data,
        answer=Answer(status=400),
    )
