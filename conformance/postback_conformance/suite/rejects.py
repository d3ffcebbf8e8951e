"""What an endpoint has to refuse, and what it has to survive: requests that impact.com would not send, or not so."""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec.structs import replace

from postback_conformance.judging.verdict import PASS, Fail, Inconclusive, NotApplicable, Outcome
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.facts import HEADER, HTTP, JSON, NO_RETRY, OURS, XML, XML_ATTACKS
from postback_conformance.suite.free_texts import free_texts
from postback_conformance.suite.outcomes import must_refuse, must_survive, refuses_all, still_there
from postback_receiver.secret_names import is_secret_header, is_secret_parameter
from postback_sender import Event, Postback
from postback_sender.delivery.request import request_bytes
from postback_sender.postback import CONTENT_TYPES

_DEPTH: Final = 20_000
_OVERSIZE_BYTES: Final = 32 * 1024 * 1024
_QUICK_OVERSIZE_BYTES: Final = 4 * 1024 * 1024
# Ten million letters: more than parsers with a limit let pass, and not enough to hurt a machine that expands them.
_BOMB_LEVELS: Final = 6
_WRONG: Final = "wrong-on-purpose"
_UNKNOWN_METHOD: Final = 501


async def _malformed(bench: Bench) -> Iterable[Outcome]:
    if doubt := await refuses_all(bench):
        return [doubt]
    body_format = bench.notification.body_format
    if bench.notification.body is None or body_format == "query":
        return [NotApplicable(why="any bytes can be read as a query", by_settings=True)]
    postback = bench.postback(bench.event())
    body = postback.body.strip()
    bad = {"an empty body": b"", "half a body": body[: len(body) // 2], "a body without its end": body[:-1]}
    if body_format == "json":
        bad |= {"JSON with something behind it": body + b"}", "words instead of JSON": b"status=ok"}
    else:
        bad |= {"two XML documents in one": body + b"<a/>", "words instead of XML": b"status=ok"}
        bad["XML with a tag that ends another"] = b"<a>" + _root(body) + b"</b>"
    return [must_refuse(await bench.send_postback(replace(postback, body=each)), what) for what, each in bad.items()]


def _root(body: bytes) -> bytes:
    """Return a document without its declaration, so that it can stand inside another."""
    return body.partition(b"?>")[2] if body.startswith(b"<?xml") else body


async def _wrong_type(bench: Bench) -> Iterable[Outcome]:
    if doubt := await refuses_all(bench):
        return [doubt]
    if bench.notification.body is None:
        return [NotApplicable(why="the notification sends no body, so it has no type", by_settings=True)]
    others = {"json": b"<postback><id>1</id></postback>", "xml": b'{"id": "1"}', "query": b'{"id": "1"}'}
    kind = bench.notification.body_format
    type_ = CONTENT_TYPES["xml" if kind == "json" else "json"]
    postback = _with_header(bench.postback(bench.event()), "Content-Type", type_)
    sent = await bench.send_postback(replace(postback, body=others[kind]))
    return [must_refuse(sent, f"a body of another format, sent as {type_},")]


async def _wrong_method(bench: Bench) -> Iterable[Outcome]:
    if doubt := await refuses_all(bench):
        return [doubt]
    outcomes: list[Outcome] = []
    for method in ("PUT", "DELETE"):
        sent = await bench.send_postback(replace(bench.postback(bench.event()), method=method))
        # Who has never heard of a method says 501 (RFC 9110 §15.6.2).
        outcomes.append(PASS if sent.status == _UNKNOWN_METHOD else must_refuse(sent, f"a {method}"))
    return outcomes


async def _missing_secret(bench: Bench) -> Iterable[Outcome]:
    if doubt := await refuses_all(bench):
        return [doubt]
    outcomes: list[Outcome] = []
    event = bench.event()
    for what, postback in _without_secrets(bench, event):
        sent = await bench.send_postback(postback)
        outcomes.append(must_refuse(sent, what))
    if not outcomes:
        return [
            NotApplicable(why="the settings hold no secret: no header or parameter is named like one", by_settings=True)
        ]
    action_id = event.values.get("ActionId", "")
    if bench.probe is not None and action_id and await bench.recorded(action_id) is not None:
        outcomes.append(
            Fail(
                message="a postback without the right secret was recorded, whatever was answered",
                expected="nothing recorded",
                actual=f"the action {action_id}",
                captures=(),
            )
        )
    return outcomes


def _without_secrets(bench: Bench, event: Event) -> Iterator[tuple[str, Postback]]:
    """Yield a postback without each of its secrets, and with another in its place."""
    postback = bench.postback(event)
    for name in dict.fromkeys(name for name, _ in bench.notification.headers if is_secret_header(name)):
        rest = tuple(pair for pair in postback.headers if pair[0].lower() != name.lower())
        yield f"a postback without its header {name}", replace(postback, headers=rest)
        yield f"a postback with another {name}", replace(postback, headers=(*rest, (name, _WRONG)))
        value = next(value for other, value in postback.headers if other.lower() == name.lower())
        if half := value[: len(value) // 2].strip():
            yield f"a postback with the first half of {name}", replace(postback, headers=(*rest, (name, half)))
    parts = urlsplit(postback.url)
    if parts.password:
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        yield "a postback without the password of its URL", replace(postback, url=bare)
    # What a token stands for differs from postback to postback, and is no secret of the settings.
    fixed = {
        *_pairs(bench.endpoint.url),
        *(pair for pair in _pairs(bench.notification.url.source) if "{" not in pair[1]),
    }
    for name, value in _pairs(postback.url):
        if is_secret_parameter(unquote(name)) and value and (name, value) in fixed:
            kept = [pair for pair in _pairs(postback.url) if pair[0] != name]
            yield f"a postback without its parameter {name}", _with_pairs(postback, kept)
            yield f"a postback with another {name}", _with_pairs(postback, [*kept, (name, _WRONG)])


def _pairs(url: str) -> list[tuple[str, str]]:
    query = url.partition("#")[0].partition("?")[2]
    split = (part.partition("=") for part in query.split("&") if part)
    return [(name, value) for name, _, value in split]


def _with_pairs(postback: Postback, pairs: Iterable[tuple[str, str]]) -> Postback:
    return replace(
        postback, url=postback.url.partition("?")[0] + "?" + "&".join(f"{name}={value}" for name, value in pairs)
    )


async def _oversize(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    if bench.notification.body is None:
        long = replace(postback, url=f"{postback.url}{'&' if '?' in postback.url else '?'}long={'x' * 1_000_000}")
        await bench.send_postback(long)
        return [await still_there(bench, "a URL of a megabyte")]
    size = _QUICK_OVERSIZE_BYTES if bench.quick else _OVERSIZE_BYTES
    sent = await bench.send_postback(replace(postback, body=postback.body + b" " * size))
    what = f"a body of {size // 1024**2} MiB"
    outcomes: list[Outcome] = []
    if sent.status is not None and sent.status >= 500:
        outcomes.append(must_survive(sent, what))
    # Whoever hangs up on so much has refused it, too.
    return [*outcomes, await still_there(bench, what)]


async def _length_lies(bench: Bench) -> Iterable[Outcome]:
    if bench.notification.body is None:
        return [NotApplicable(why="the notification sends no body", by_settings=True)]
    if doubt := await refuses_all(bench):
        return [doubt]
    outcomes: list[Outcome] = []
    for what, line in (
        ("two lengths that differ", b"Content-Length: 1\r\nContent-Length: %d"),
        ("a length that is no number", b"Content-Length: x%d"),
        ("a negative length", b"Content-Length: -%d"),
    ):
        _, data = request_bytes(bench.postback(bench.event()))
        head, _, body = data.partition(b"\r\n\r\n")
        lines = [each for each in head.split(b"\r\n") if not each.lower().startswith(b"content-length:")]
        sent = await bench.send_bytes(b"\r\n".join((*lines, line % len(body), b"", body)))
        # Hanging up is an answer to bytes that are no HTTP.
        if sent.accepted or (sent.status is not None and sent.status >= 500):
            outcomes.append(must_refuse(sent, f"a request with {what}"))
    return [*outcomes, await still_there(bench, "wrong lengths")]


async def _deep(bench: Bench) -> Iterable[Outcome]:
    postback = bench.postback(bench.event())
    match bench.notification.body_format if bench.notification.body is not None else "query":
        case "json":
            deep = b"[" * _DEPTH + b"]" * _DEPTH
            head, brace, tail = postback.body.partition(b"{")
            bodies = {"deep nesting": deep, "deep nesting in a field": head + brace + b'"deep": ' + deep + b"," + tail}
        case "xml":
            bodies = {"deep nesting": b"<a>" * _DEPTH + b"</a>" * _DEPTH}
        case _:
            return [NotApplicable(why="a query has no depth", by_settings=True)]
    outcomes = [
        must_survive(await bench.send_postback(replace(postback, body=body)), what) for what, body in bodies.items()
    ]
    return [*outcomes, await still_there(bench, "deep nesting")]


async def _bad_utf8(bench: Bench) -> Iterable[Outcome]:
    if doubt := await refuses_all(bench):
        return [doubt]
    if bench.notification.body is None or bench.notification.body_format == "query":
        return [NotApplicable(why="what bytes a query may stand for is left free", by_settings=True)]
    outcomes: list[Outcome] = []
    marker = "utf8-goes-here"
    names = _texts(bench)
    if not names:
        return [NotApplicable(why="the notification sends no free text", by_settings=True)]
    for what, bad in (
        ("a byte that UTF-8 has not", b"caf\xe9"),
        ("half a character", b"\xf0\x9f\x98"),
        ("an overlong form", b"\xc0\xaf"),
    ):
        postback = bench.postback(bench.event(dict.fromkeys(names, marker)))
        sent = await bench.send_postback(replace(postback, body=postback.body.replace(marker.encode(), bad)))
        outcomes.append(must_refuse(sent, what))
    return outcomes


def _texts(bench: Bench) -> list[str]:
    body = bench.notification.body
    return free_texts(bench.notification, body.names) if body is not None else []


async def _entity_bomb(bench: Bench) -> Iterable[Outcome]:
    if unfit := await _no_xml(bench):
        return [unfit]
    lines = [b'<!ENTITY e0 "0123456789">']
    lines += [b'<!ENTITY e%d "%s">' % (level, b"&e%d;" % (level - 1) * 10) for level in range(1, _BOMB_LEVELS + 1)]
    sent = await bench.send_postback(_with_dtd(bench, b"".join(lines), b"&e%d;" % _BOMB_LEVELS))
    return [must_refuse(sent, "a document whose entities unfold to megabytes"), await still_there(bench, "it")]


async def _external_entity(bench: Bench) -> Iterable[Outcome]:
    if unfit := await _no_xml(bench):
        return [unfit]
    visits = 0

    async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nread")
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0, family=socket.AF_INET)
    port = int(server.sockets[0].getsockname()[1])
    outcomes: list[Outcome] = []
    try:
        for what, dtd, use in (
            ("an external entity", b'<!ENTITY x SYSTEM "http://127.0.0.1:%d/x">' % port, b"&x;"),
            ("an external parameter entity", b'<!ENTITY %% x SYSTEM "http://127.0.0.1:%d/p"> %%x;' % port, b"1"),
            ("an entity that is a file", b'<!ENTITY x SYSTEM "file:///etc/hostname">', b"&x;"),
        ):
            sent = await bench.send_postback(_with_dtd(bench, dtd, use))
            outcomes.append(must_refuse(sent, f"a document with {what}"))
    finally:
        server.close()
    if visits:
        outcomes.append(
            Fail(
                message="the endpoint fetched what an external entity named",
                expected="no connection",
                actual=f"{visits} connections to an address out of the document",
                captures=(),
            )
        )
    return outcomes


async def _no_xml(bench: Bench) -> NotApplicable | Inconclusive | None:
    if bench.notification.body is None or bench.notification.body_format != "xml":
        return NotApplicable(why="the notification sends no XML", by_settings=True)
    return await refuses_all(bench)


def _with_dtd(bench: Bench, dtd: bytes, use: bytes) -> Postback:
    """Return a postback whose document declares entities, and uses one in a text."""
    marker = "entity-goes-here"
    postback = bench.postback(bench.event(dict.fromkeys(_texts(bench), marker)))
    root = _root(postback.body).lstrip()
    name = root[1:].split(b">", 1)[0].split()[0].rstrip(b"/")
    head, found, tail = root.partition(marker.encode())
    # In CDATA it would be text: put it right after the first tag instead, unless a text stands free.
    if not found or head.endswith(b"<![CDATA[") or head.count(b'"') % 2:
        first, end, rest = root.partition(b">")
        root = first + end + b"<used>" + use + b"</used>" + rest
    else:
        root = head + use + tail
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE %s [%s]>\n%s' % (name, dtd, root)
    return replace(postback, body=body)


def _with_header(postback: Postback, name: str, value: str) -> Postback:
    rest = tuple(pair for pair in postback.headers if pair[0].lower() != name.lower())
    return replace(postback, headers=(*rest, (name, value)))


CASES: Final = (
    Case(
        id="rejects.malformed-body",
        level="SHOULD",
        requirement="A body that is not well-formed is refused.",
        fix="Answer 4xx when the parser fails, and not before it has run: what is accepted is not sent again.",
        sources=(NO_RETRY, OURS),
        run=_malformed,
    ),
    Case(
        id="rejects.wrong-type",
        level="SHOULD",
        requirement="A body of another format is refused.",
        fix="Answer 415, or 4xx when nothing of what a postback needs is found.",
        sources=(HTTP(section="§15.5.16"), OURS),
        run=_wrong_type,
    ),
    Case(
        id="rejects.wrong-method",
        level="SHOULD",
        requirement="A method that changes or removes things is refused.",
        fix="Allow the method of the notification only, and answer 405 to others.",
        sources=(HTTP(section="§15.5.6"),),
        run=_wrong_method,
    ),
    Case(
        id="rejects.missing-secret",
        level="MUST",
        requirement="A postback without the secret of the settings, or with another, is refused and not recorded.",
        fix="Compare the secret in full before anything is read or recorded; anybody can send what looks like money.",
        sources=(HEADER, OURS),
        run=_missing_secret,
    ),
    Case(
        id="rejects.oversize",
        level="MUST",
        requirement="A body far too large does no harm, whether it is taken or refused.",
        fix="Set a limit for bodies in the server and answer 413.",
        sources=(HTTP(section="§15.5.14"), OURS),
        run=_oversize,
    ),
    Case(
        id="rejects.wrong-length",
        level="MUST",
        requirement="A request whose length cannot be told is refused, and does no harm.",
        fix="Leave the framing of requests to a server that is kept up to date.",
        sources=(HTTP(section="§8.6"),),
        run=_length_lies,
    ),
    Case(
        id="rejects.deep-nesting",
        level="MUST",
        requirement="A body nested very deeply does no harm, whether it is taken or refused.",
        fix="Catch what the parser raises (RecursionError in Python) and answer 400.",
        sources=(JSON(section="§9: limits on the depth of nesting"), OURS),
        run=_deep,
    ),
    Case(
        id="rejects.bad-utf8",
        level="SHOULD",
        requirement="A body that is not UTF-8 is refused.",
        fix="Decode strictly and answer 400; a text with replacement characters matches nothing.",
        sources=(JSON(section="§8.1"), OURS),
        run=_bad_utf8,
    ),
    Case(
        id="rejects.xml-entity-bomb",
        level="MUST",
        requirement="A document whose entities unfold to megabytes is refused.",
        fix="Refuse any document with a DOCTYPE, such as with defusedxml; postbacks have none.",
        sources=(XML_ATTACKS, XML()),
        run=_entity_bomb,
    ),
    Case(
        id="rejects.xml-external-entity",
        level="MUST",
        requirement="A document with external entities is refused, and nothing it names is fetched.",
        fix="Refuse any document with a DOCTYPE, such as with defusedxml; postbacks have none.",
        sources=(XML_ATTACKS, XML()),
        run=_external_entity,
    ),
)
