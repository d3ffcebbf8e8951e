"""HTTP Archive (HAR) 1.2, written: for the importers of browsers and proxies, and for `har` to read again."""

import binascii
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote

import msgspec

from postback_receiver.capture import Answer, Capture
from postback_receiver.har import OWN_FIELD, HarOwn
from postback_receiver.timestamps import ns_to_iso

_NS_PER_MS: Final = 1_000_000
_HTTP_URL = re.compile(r"(?i)https?://(?P<authority>[^/?#]*)")
# What a Host header may say for readers to take the URL made of it; one that is refused costs them the whole archive.
_AUTHORITY = re.compile(
    r"(?:(?=.{1,253}$)[\w-]{1,63}(?:\.[\w-]{1,63})*|\[(?P<ip>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
# Everything that a request line holds as it is.
_IN_URL = "".join(map(chr, range(0x21, 0x7F)))

_Json: TypeAlias = dict[str, Any]


def write_har(captures: Iterable[Capture]) -> Iterator[bytes]:
    """Yield the pieces of an archive, one for each capture and one around each end; memory stays flat.

    Bodies that are not UTF-8 are base64 with `encoding` saying so, in requests (where HAR 1.2 itself has no such field,
    but its readers know it from 1.3 drafts) as in answers.
    """
    yield b'{"log":{"version":"1.2","creator":{"name":"postback-kit","version":"1"},"entries":['
    for number, capture in enumerate(captures):
        yield (b",\n" if number else b"\n") + msgspec.json.encode(_entry(capture))
    yield b"\n]}}\n"


def _entry(capture: Capture) -> _Json:
    answer = capture.answer
    sent_at_ns = answer.sent_at_ns if answer else None
    send, wait = _timings(capture)
    version = f"HTTP/{capture.http_version}" if capture.http_version else "unknown"
    entry: _Json = {
        "startedDateTime": _started(capture.received_at_ns),
        "time": send + wait,
        "request": _request(capture, version),
        "response": _response(answer, version),
        "cache": {},
        "timings": {"send": send, "wait": wait, "receive": 0},
        "connection": capture.connection,
        OWN_FIELD: HarOwn(
            id=capture.id,
            run=capture.run,
            endpoint=capture.endpoint,
            received_at=ns_to_iso(capture.received_at_ns),
            connected_ns=capture.connected_ns,
            monotonic_ns=capture.monotonic_ns,
            body_done_ns=capture.body_done_ns,
            gone_ns=capture.gone_ns,
            lateness_ns=capture.lateness_ns,
            connection=capture.connection,
            connection_request=capture.connection_request,
            remote=capture.remote,
            tls=capture.tls,
            http_version=capture.http_version,
            target=capture.target,
            trailers=capture.trailers,
            truncated=capture.truncated,
            malformed=capture.malformed,
            fault=capture.fault,
            answer_sent_at=None if sent_at_ns is None else ns_to_iso(sent_at_ns),
            answer_sent_ns=answer.sent_ns if answer else None,
        ),
    }
    if comment := "; ".join(_comments(capture)):
        entry["comment"] = comment
    return entry


def _started(received_at_ns: int) -> str:
    """Return a time with no more than six decimals, since not everybody reads more."""
    nanoseconds = abs(received_at_ns) % 1000
    return ns_to_iso(received_at_ns + (nanoseconds if received_at_ns < 0 else -nanoseconds))


def _timings(capture: Capture) -> tuple[float, float]:
    """Return how long the body took to come and the answer to leave, in milliseconds; 0 for what is not known."""
    answer, head_ns, body_ns = capture.answer, capture.monotonic_ns, capture.body_done_ns
    send_ns = max(0, body_ns - head_ns) if head_ns is not None and body_ns is not None else 0
    wait_ns = 0
    if answer and answer.sent_ns is not None and head_ns is not None:
        wait_ns = answer.sent_ns - head_ns - send_ns
    elif answer and answer.sent_at_ns is not None:
        wait_ns = answer.sent_at_ns - capture.received_at_ns - send_ns
    return send_ns / _NS_PER_MS, max(0, wait_ns) / _NS_PER_MS


def _comments(capture: Capture) -> Iterator[str]:
    if capture.malformed is not None:
        yield f"malformed: {capture.malformed}"
    if capture.truncated:
        yield "truncated: the body is not all here"
    if capture.fault is not None:
        yield f"fault: {capture.fault}"


def _request(capture: Capture, version: str) -> _Json:
    absolute = _HTTP_URL.match(capture.target)
    host = next(iter(capture.header("Host")), "")
    server = f"{'https' if capture.tls else 'http'}://{host if _is_authority(host) else 'localhost'}"
    lead = server if capture.target.startswith("/") else f"{server}/"
    if absolute and _is_authority(absolute["authority"]):
        lead = ""
    request: _Json = {
        "method": capture.method,
        "url": quote(lead + capture.target, safe=_IN_URL, encoding="latin-1"),
        "httpVersion": version,
        "cookies": [],
        "headers": _pairs(capture.headers),
        "queryString": _pairs(parse_qsl(capture.query, keep_blank_values=True)),
        "headersSize": -1,
        "bodySize": len(capture.body),
    }
    if capture.body:
        mime_type = next(iter(capture.header("Content-Type")), "")
        request["postData"] = {"mimeType": mime_type, **_text(capture.body)}
    return request


def _is_authority(text: str) -> bool:
    found = _AUTHORITY.fullmatch(text)
    if found is None or int(found["port"] or 0) >= 1 << 16:
        return False
    try:
        return found["ip"] is None or bool(IPv6Address(found["ip"]))
    except ValueError:
        return False


def _response(answer: Answer | None, version: str) -> _Json:
    headers = answer.headers if answer else ()
    body = answer.body if answer else b""
    values = {name.lower(): value for name, value in headers}
    content = {"size": len(body), "mimeType": values.get("content-type", ""), **_text(body)}
    return {
        "status": answer.status if answer else 0,
        "statusText": "",
        "httpVersion": version,
        "cookies": [],
        "headers": _pairs(headers),
        "content": content,
        "redirectURL": values.get("location", ""),
        "headersSize": -1,
        "bodySize": len(body),
    }


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[_Json]:
    return [{"name": name, "value": value} for name, value in pairs]


def _text(body: bytes) -> _Json:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"text": binascii.b2a_base64(body, newline=False).decode(), "encoding": "base64"}
