"""Secrets out of what is shown.

Secret are the values of headers, parameters, fields, keys, elements and attributes whose names say so, and whatever
settings took out of the environment, wherever it stands in a URL or header. A person sees `[hidden]` in their place.
What leaves as data has a keyed hash there, such as `[secret:3f9a40c2d17b]`: the same for the same secret, wherever it
stood, and nothing that could be tried out without the key.

Compressed bodies are looked through without their compression, and compressed again where something was hidden. What
cannot be decompressed whole is left out, with a note in its place, and the capture marked as truncated.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

from postback_receiver import Answer, Capture, Headers
from postback_receiver.body_secrets import BodyKind, BodySecret, body_kind, body_secrets, boundary_of, form_text
from postback_receiver.content_coding import decode_body, encode_body
from postback_receiver.fields import content
from postback_receiver.secret_names import is_secret_header, named_secret_spans
from postback_sender.postback import request_target

Hide: TypeAlias = Callable[[bytes], str]
"""What to show in place of a secret."""

SHOWN: Final = "[hidden]"

HIDDEN_BY_EXPORT: Final = "a secret of this request was hidden when it was exported"
"""Why something cannot be told of a capture in which `has_hidden`."""

LEFT_OUT_BY_EXPORT: Final = "the export left the body out, since nobody could look through it for secrets"
"""Why nothing can be told of a body that `has_left_out`."""

_LEFT_OUT: Final = b"[left out: "

_HASH_LETTERS: Final = 12
_STAND_IN = re.compile(rf"\[hidden\]|\[secret:[0-9a-f]{{{_HASH_LETTERS}}}\]")
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def hidden(_secret: bytes) -> str:
    """Return what a person sees in place of a secret."""
    return SHOWN


def keyed_hashes(key: bytes) -> Hide:
    """Return what makes of each secret a short hash that depends on the key, so that equal ones can be told."""

    def hide(secret: bytes) -> str:
        return f"[secret:{hmac.digest(key, secret, 'sha256').hex()[:_HASH_LETTERS]}]"

    return hide


def has_stand_in(text: str) -> bool:
    """Tell whether a secret was hidden in a text."""
    return _STAND_IN.search(text) is not None


def has_hidden(capture: Capture) -> bool:
    """Tell whether a secret of a request was hidden when it was exported."""
    texts = (capture.target, *(value for _, value in capture.headers), content(capture).decode("latin-1"))
    return any(map(has_stand_in, texts))


def has_left_out(capture: Capture) -> bool:
    """Tell whether a body was left out of what is shown, since nobody can look through it for secrets."""
    bodies = (capture.body, capture.answer.body if capture.answer else b"")
    return any(body.startswith(_LEFT_OUT) for body in bodies)


class SecretEnvironment(Mapping[str, str]):
    """An environment that remembers in `secrets` each value that settings took out of it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.secrets: set[str] = set()

    def __getitem__(self, name: str) -> str:
        value = self._environment[name]
        self.secrets.add(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)


def redacted(capture: Capture, hide: Hide = hidden) -> Capture:
    """Return a capture with what is named like a secret hidden, in the request as in the answer.

    What is not named so, every other byte of a body among it, stays as it is.
    """
    answer, malformed = capture.answer, capture.malformed
    if malformed is not None:
        body = redacted_body(capture.body, "raw", hide)
    else:
        body = _redacted_content(capture.body, capture.headers, hide)
    return msgspec.structs.replace(
        capture,
        method=capture.method if malformed is None else _redacted_raw(capture.method, hide),
        target=redacted_target(capture.target, hide=hide),
        headers=tuple(redacted_headers(capture.headers, hide=hide)),
        body=body,
        truncated=capture.truncated or (body != capture.body and body.startswith(_LEFT_OUT)),
        trailers=tuple(redacted_headers(capture.trailers, hide=hide)),
        malformed=None if malformed is None else _redacted_raw(malformed, hide),
        answer=None if answer is None else _redacted_answer(answer, hide),
    )


def _redacted_raw(text: str, hide: Hide) -> str:
    return redacted_body(text.encode(), "raw", hide).decode()


def _redacted_answer(answer: Answer, hide: Hide) -> Answer:
    return msgspec.structs.replace(
        answer,
        headers=tuple(redacted_headers(answer.headers, hide=hide)),
        body=_redacted_content(answer.body, answer.headers, hide),
    )


def _redacted_content(body: bytes, headers: Headers, hide: Hide) -> bytes:
    codings = _values(headers, "content-encoding")
    types = _values(headers, "content-type")
    decoded = decode_body(body, codings)
    if decoded.fault is None:
        shown = _redacted_plain(decoded.data, types, hide)
        return body if shown == decoded.data else encode_body(shown, codings)
    if body.startswith(_LEFT_OUT) or (decoded.data == body and _is_plain_text(body)):
        # What is text after all was never compressed.
        return _redacted_plain(body, types, hide)
    note = f"{len(body)} compressed bytes, which cannot be looked through for secrets: {decoded.fault}]"
    return _LEFT_OUT + note.encode()


def _redacted_plain(body: bytes, content_types: Sequence[str], hide: Hide) -> bytes:
    kind = body_kind(body, content_types)
    return _with_hidden(body, body_secrets(body, kind, boundary_of(content_types)), hide, 0, len(body))


def _values(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name]


def _is_plain_text(body: bytes) -> bool:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def redacted_headers(
    headers: Iterable[tuple[str, str]], secrets: Iterable[str] = (), *, hide: Hide = hidden
) -> Iterator[tuple[str, str]]:
    """Yield the headers with secret values hidden; `secrets` are hidden wherever they stand."""
    known = [re.escape(secret) for secret in sorted(secrets, key=len, reverse=True) if secret]
    pattern = re.compile("|".join(known)) if known else None
    for name, value in headers:
        if is_secret_header(name):
            yield name, _stand_in(value, _octets(value), hide) if value else value
        else:
            shown = pattern.sub(lambda found: hide(_octets(found[0])), value) if pattern else value
            # A Referer or Location has its parameters as a target has.
            yield name, redacted_target(shown, hide=hide) if "?" in shown or "://" in shown else shown


def redacted_target(target: str, secrets: Iterable[str] = (), *, hide: Hide = hidden) -> str:
    """Return a target or URL as it may be shown.

    Hidden are the values of secret parameters, a password before the host, and `secrets`, as texts of the environment,
    wherever they stand.
    """
    shown: list[str] = []
    position = 0
    for start, end in secret_spans(target, secrets):
        written = _octets(target[start:end])
        # What stands in a URL within a parameter is encoded once more.
        is_inner = target[max(0, start - 3) : start].lower() == "%3d"
        secret = form_text(unquote_to_bytes(written) if is_inner else written)
        shown += target[position:start], _stand_in(target[start:end], secret, hide)
        position = end
    return "".join((*shown, target[position:]))


def secret_spans(target: str, secrets: Iterable[str] = ()) -> Iterator[tuple[int, int]]:
    """Yield where in a target or URL a secret stands (first, beyond last), in reading order and without overlaps."""
    values = (found.span() for form in _forms(secrets) for found in re.finditer(re.escape(form), target))
    first, beyond = 0, 0
    for start, end in sorted((*named_secret_spans(target), *values)):
        if start < beyond:
            beyond = max(beyond, end)
            continue
        if beyond:
            yield first, beyond
        first, beyond = start, end
    if beyond:
        yield first, beyond


def _forms(secrets: Iterable[str]) -> set[str]:
    """Return how secrets may stand in a URL: whole, without a server that was replaced, without a fragment."""
    forms: set[str] = set()
    for secret in secrets:
        sent = request_target(secret.encode(errors="surrogateescape"))
        forms |= {part.partition("#")[0] for part in (sent, _SERVER.sub("", sent))} | {sent}
    return {form for form in forms if form.strip("/?&=#")}


def redacted_body(
    body: bytes, kind: BodyKind, hide: Hide = hidden, *, first: int = 0, beyond: int | None = None
) -> bytes:
    """Return these bytes of a body with its secrets hidden, also where a cut goes through one."""
    beyond = len(body) if beyond is None else min(beyond, len(body))
    return _with_hidden(body, body_secrets(body, kind), hide, first, beyond)


def _with_hidden(body: bytes, secrets: Iterable[BodySecret], hide: Hide, first: int, beyond: int) -> bytes:
    shown: list[bytes] = []
    position = first
    for secret in secrets:
        start, end = max(position, secret.first), min(beyond, secret.beyond)
        if start < end:
            written = body[secret.first : secret.beyond].decode("latin-1")
            stand_in = _stand_in(written, secret.value, hide)
            shown += body[position:start], (f'"{stand_in}"' if secret.is_bare else stand_in).encode("latin-1")
            position = end
    return b"".join((*shown, body[position:beyond]))


def body_secret_spans(body: bytes, body_format: str) -> Iterator[tuple[int, int]]:
    """Yield where in a body secrets stand, by the format that settings say it has: query, json or xml."""
    kind: BodyKind = "json" if body_format == "json" else "xml" if body_format == "xml" else "form"
    return ((secret.first, secret.beyond) for secret in body_secrets(body, kind))


def redacted_form(body: bytes, first: int = 0, beyond: int | None = None) -> bytes:
    """Return these bytes of a form body with the values of secret fields hidden, also where a cut goes through one."""
    return redacted_body(body, "form", first=first, beyond=beyond)


def is_form(capture: Capture) -> bool:
    """Tell whether a capture's body says that it is a form, which names its fields as a query does."""
    return body_kind(b"", capture.header("Content-Type")) == "form"


def _stand_in(written: str, secret: bytes, hide: Hide) -> str:
    """Return what to show in place of a secret; what stands in for one already goes on doing so."""
    return written if _STAND_IN.fullmatch(written) else hide(secret)


def _octets(text: str) -> bytes:
    """Return the bytes of a text, of which one character is one byte unless it came from elsewhere."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
