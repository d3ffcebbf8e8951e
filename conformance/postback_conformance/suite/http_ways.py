"""The ways in which HTTP allows to send a postback: an endpoint has to accept each."""

import asyncio
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from postback_conformance.judging.verdict import Fail, NotApplicable, Outcome
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import HTTP, HTTP_1, OURS
from postback_conformance.suite.outcomes import must_accept
from postback_conformance.suite.proxy import ProxyFault
from postback_conformance.suite.sent import Sent
from postback_sender import Postback
from postback_sender.delivery.request import request_bytes

_ON_A_CONNECTION: Final = 5
# A server may close what is idle, and a request may cross that: whoever did is seen to have closed after a while.
_PAUSES_S: Final = (0.0, 0.05, 0.25)


async def _unknown_extras(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    outcomes = [
        must_accept(
            await bench.send_postback(
                replace(postback, headers=(*postback.headers, ("X-Unknown-Extra", "1"), ("Traceparent", "00-0-0-00")))
            ),
            "a header that nobody announced",
        )
    ]
    sent = await bench.send_postback(_with_extra(bench, bench.postback(bench.event())))
    if sent.is_refused:
        return [
            *outcomes,
            NotApplicable(why=f"an unknown field is refused ({sent.told}), which is the endpoint's right"),
        ]
    return [*outcomes, must_accept(sent, "a field that nobody announced")]


def _with_extra(bench: Bench, postback: Postback) -> Postback:
    body, body_format = postback.body, bench.notification.body_format
    if not body:
        mark = "&" if "?" in postback.url else "?"
        return replace(postback, url=f"{postback.url}{mark}unknown_extra=1")
    if body_format == "query":
        return replace(postback, body=body + b"&unknown_extra=1")
    if body_format == "xml":
        head, end, tail = body.rpartition(b"</")
        return replace(postback, body=head + b"<unknown_extra>1</unknown_extra>" + end + tail if end else body)
    head, brace, tail = body.partition(b"{")
    comma = b"" if tail.strip() == b"}" else b", "
    return replace(postback, body=head + brace + b'"unknown_extra": {"a": [1]}' + comma + tail if brace else body)


async def _chunked(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    if not postback.body:
        return [NotApplicable(why="the notification sends no body", by_settings=True)]
    sent = await bench.send_bytes(_chunked_bytes(postback))
    if sent.status == 411:
        return [NotApplicable(why="answered 411: it wants a length, which RFC 9110 §15.5.12 allows")]
    return [must_accept(sent, "a chunked body")]


def _chunked_bytes(postback: Postback) -> bytes:
    _, data = request_bytes(postback)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    middle = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:middle], body[middle:]) if part)
    return b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", b"")) + chunks + b"0\r\n\r\n"


async def _in_pieces(bench: Bench) -> Iterable[Outcome]:
    event = bench.event()
    _, data = request_bytes(bench.postback(event))
    fault = ProxyFault(kind="slow", piece=max(1, len(data) // 8), pause_ns=5_000_000)
    async with bench.proxy(fault) as proxy:
        (sent,) = await bench.send([event], via=proxy)
    return [must_accept(sent, "a request that arrived in several pieces")]


async def _connection_close(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    sent = await bench.send_postback(replace(postback, headers=(*postback.headers, ("Connection", "close"))))
    return [must_accept(sent, "a request with Connection: close")]


async def _keep_alive(bench: Bench) -> Iterable[Outcome]:
    outcomes: list[Outcome] = []
    for pause_s in _PAUSES_S:
        outcomes, crossed = await _on_a_connection(bench, pause_s)
        if crossed is None:
            return outcomes
        outcomes.append(
            Fail(
                message=f"a connection was kept open for {pause_s:g} s, and the next request on it never answered",
                expected="an answer, or a connection that is closed before anybody asks again",
                actual=crossed.attempts[0].detail,
                captures=crossed.captures[:1],
            )
        )
    return outcomes


async def _on_a_connection(bench: Bench, pause_s: float) -> tuple[list[Outcome], Sent | None]:
    """Send postbacks with pauses between them; return what they mean, and the first that took another connection."""
    outcomes: list[Outcome] = []
    # A way of its own: a sender keeps no connection of a server that has closed one on it before.
    async with bench.proxy() as proxy:
        for number in range(1, _ON_A_CONNECTION + 1):
            (sent,) = await bench.send([bench.event()], via=proxy)
            outcomes.append(must_accept(sent, f"request {number} on a connection"))
            if sent.accepted and sent.crossed_an_end:
                return outcomes, sent
            await asyncio.sleep(pause_s)
    return outcomes, None


async def _header_case(bench: Bench) -> Iterable[Outcome]:
    _, data = request_bytes(bench.postback(bench.event()))
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    lower = [name.lower() + b":" + value for name, _, value in (line.partition(b":") for line in lines)]
    sent = await bench.send_bytes(b"\r\n".join((first, *lower, b"", b"")) + body, method=bench.notification.method)
    return [must_accept(sent, "a request with header names in small letters")]


CASES: Final = (
    Case(
        id="accepts.unknown-extras",
        level="INFO",
        requirement="A header or field that nobody announced breaks nothing.",
        fix="Ignore what you do not know: proxies add headers, and brands add fields.",
        sources=(HTTP(section="§5.1: unrecognized fields"), OURS),
        run=_unknown_extras,
    ),
    Case(
        id="accepts.chunked",
        level="SHOULD",
        requirement="A body in chunks is accepted, or refused with 411.",
        fix="Let the server in front of the endpoint put chunks together; do not rely on Content-Length.",
        sources=(HTTP_1(section="§7.1"), HTTP(section="§15.5.12")),
        run=_chunked,
    ),
    Case(
        id="accepts.in-pieces",
        level="MUST",
        requirement="A request that arrives in several pieces is accepted.",
        fix="Read until the body is complete; one read from a socket is not one request.",
        sources=(HTTP_1(section="§6.2"),),
        run=_in_pieces,
    ),
    Case(
        id="accepts.connection-close",
        level="MUST",
        requirement="A request with Connection: close is answered like any other.",
        fix="Answer before the connection is closed.",
        sources=(HTTP_1(section="§9.6"),),
        run=_connection_close,
    ),
    Case(
        id="accepts.keep-alive",
        level="MUST",
        requirement="Several requests after each other, on one connection where the endpoint keeps it, are accepted.",
        fix="Read each request to its end, send exactly Content-Length bytes, and close at once what takes no more.",
        sources=(HTTP_1(section="§9.3 and §9.5"),),
        run=_keep_alive,
    ),
    Case(
        id="accepts.header-case",
        level="MUST",
        requirement="Names of headers mean the same in small letters.",
        fix="Look headers up without regard to case; proxies and HTTP/2 write them small.",
        sources=(HTTP(section="§5.1: case-insensitive"),),
        run=_header_case,
    ),
)
