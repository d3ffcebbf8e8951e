"""A capture as a report shows it: its beginning, the place a finding is about marked, its secrets hidden."""

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from postback_conformance.judging.verdict import Where
from postback_conformance.printable import printable
from postback_conformance.redaction import Hide, redacted_body, redacted_headers, secret_spans
from postback_receiver import Capture
from postback_receiver.body_secrets import BodyKind, body_kind, body_secrets, boundary_of
from postback_receiver.secret_names import is_secret_header

# Enough to see the fault in its surroundings, not a whole catalogue of items.
_BYTES_AROUND: Final = 400
_TARGET_AROUND: Final = 300
_MOST_HEADERS: Final = 60
_HEADER_LETTERS: Final = 400
# A bad place may be as long as the body: of a long one the beginning and the end tell where it is.
_MARKED_BYTES: Final = 600
# What is shorter stands in too many texts by accident, and is found out by trying anyway.
_SHORTEST_SECRET: Final = 4


class Piece(msgspec.Struct, frozen=True):
    """A stretch of text that can be shown as it is; `is_marked`: it is what the finding is about."""

    text: str
    is_marked: bool = False


class Exhibit(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a capture; `body_bytes` is how long its body is, shown or not.

    `malformed` says why it is no HTTP request: then `body` is the bytes that came, and there is no more.
    """

    capture: str
    received_at_ns: int
    method: str
    target: tuple[Piece, ...]
    http_version: str
    headers: tuple[tuple[str, str, bool], ...]
    body: tuple[Piece, ...]
    body_bytes: int
    truncated: bool
    malformed: str | None
    status: int | None
    fault: str | None


def exhibit(capture: Capture, where: Where, hide: Hide | None) -> Exhibit:
    """Return what to show of a capture; None for `hide` shows its secrets."""
    answer, marked = capture.answer, (where.header or "").lower()
    headers = capture.headers if hide is None else redacted_headers(capture.headers, hide=hide)
    return Exhibit(
        capture=printable(capture.id),
        received_at_ns=capture.received_at_ns,
        method=printable(capture.method),
        target=_target_pieces(capture.target, where.target, hide),
        http_version=printable(capture.http_version),
        headers=tuple(
            (printable(name), _cut(printable(value), _HEADER_LETTERS), name.lower() == marked)
            for name, value in list(headers)[:_MOST_HEADERS]
        ),
        body=_body_pieces(capture, where.span, hide),
        body_bytes=len(capture.body),
        truncated=capture.truncated,
        malformed=None if capture.malformed is None else printable(capture.malformed),
        status=answer.status if answer is not None and answer.sent_at_ns is not None else None,
        fault=None if capture.fault is None else printable(capture.fault),
    )


def secrets_of(capture: Capture) -> frozenset[str]:
    """Return the secrets of a capture as they may stand in a text about it, those of a few letters left out."""
    written = [value for name, value in capture.headers if is_secret_header(name)]
    written += [value.rpartition(" ")[2] for value in written]
    written += [capture.target[first:beyond] for first, beyond in secret_spans(capture.target)]
    written += [unquote_plus(value) for value in written]
    bodily = list(body_secrets(capture.body, _kind(capture), boundary_of(capture.header("Content-Type"))))
    written += [one.value.decode("utf-8", "backslashreplace") for one in bodily]
    written += [capture.body[one.first : one.beyond].decode("utf-8", "backslashreplace") for one in bodily]
    return frozenset(one for one in written if len(one) >= _SHORTEST_SECRET)


def without_secrets(text: str, secrets: Iterable[str], hide: Hide) -> str:
    """Return a text with the secrets hidden, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        for form in dict.fromkeys((secret, printable(secret))):
            if form in text:
                text = text.replace(form, hide(secret.encode("utf-8", "surrogatepass")))
    return text


def _kind(capture: Capture) -> BodyKind:
    return "raw" if capture.malformed is not None else body_kind(capture.body, capture.header("Content-Type"))


def _body_pieces(capture: Capture, span: tuple[int, int] | None, hide: Hide | None) -> tuple[Piece, ...]:
    first, beyond = _within(span, len(capture.body))
    kind = _kind(capture)

    def text(start: int, end: int) -> str:
        shown = (
            capture.body[start:end]
            if hide is None
            else redacted_body(capture.body, kind, hide, first=start, beyond=end)
        )
        return printable(shown.decode("utf-8", "backslashreplace"), keep="\n\t")

    start, end = max(0, first - _BYTES_AROUND), min(len(capture.body), beyond + _BYTES_AROUND)
    # Not in the middle of a letter, which would be shown as escapes that are not in the body.
    while 0 < start < first and capture.body[start] & 0xC0 == 0x80:
        start += 1
    while beyond < end < len(capture.body) and capture.body[end] & 0xC0 == 0x80:
        end -= 1
    if beyond - first > _MARKED_BYTES:
        half = _MARKED_BYTES // 2
        marked = f"{text(first, first + half)} … {text(beyond - half, beyond)}"
    else:
        marked = text(first, beyond)
    return _pieces(
        ("… " if start else "") + text(start, first),
        marked,
        text(beyond, end) + (" …" if end < len(capture.body) else ""),
    )


def _target_pieces(target: str, span: tuple[int, int] | None, hide: Hide | None) -> tuple[Piece, ...]:
    first, beyond = _within(span, len(target))
    # A secret that a cut goes through is hidden whole: on the left of the mark, or within it.
    spans = list(secret_spans(target)) if hide is not None else []

    def text(start: int, end: int) -> str:
        shown: list[str] = []
        position = start
        for opening, closing in spans:
            left, right = max(position, opening), min(end, closing)
            if left < right and hide is not None:
                shown += target[position:left], hide(target[opening:closing].encode("latin-1", "replace"))
                position = right
        return printable("".join((*shown, target[position:end])))

    return _pieces(
        _cut(text(0, first), _TARGET_AROUND, from_end=True),
        _cut(text(first, beyond), _MARKED_BYTES),
        _cut(text(beyond, len(target)), _TARGET_AROUND),
    )


def _within(span: tuple[int, int] | None, length: int) -> tuple[int, int]:
    first, beyond = span or (0, 0)
    first = min(max(0, first), length)
    return first, min(max(first, beyond), length)


def _pieces(before: str, marked: str, after: str) -> tuple[Piece, ...]:
    return tuple(_kept((Piece(before), Piece(marked, is_marked=True), Piece(after))))


def _kept(pieces: Iterable[Piece]) -> Iterator[Piece]:
    return (piece for piece in pieces if piece.text)


def _cut(text: str, most: int, *, from_end: bool = False) -> str:
    if len(text) <= most:
        return text
    return f"…{text[-most:]}" if from_end else f"{text[:most]}…"
