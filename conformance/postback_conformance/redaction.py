"""Secrets out of what is shown: values of headers, parameters and form fields whose names say that they are secret."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import msgspec

from postback_receiver import Capture

SHOWN = "[hidden]"

_SECRET_HEADER = re.compile(r"(?i)auth|cookie|token|secret|key|signature|passw")
# At the end of the name only: `key_visual` and `author` are no secrets, `api_key` and `apiKey` are.
_SECRET_PARAMETER = re.compile(r"(?i)(?:token|secret|key|signature|sig|password|passwd|pwd|auth)$")
_PARAMETER = re.compile(r"([?&])([^=&#]*)=([^&#]+)")
_FORM_FIELD = re.compile(rb"(?:^|(?<=&))([^=&]*)=([^&]+)")
_FORM = "application/x-www-form-urlencoded"
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#@]*:[^/?#@]*(?=@)")


def redacted(capture: Capture) -> Capture:
    """Return a capture with secret headers, parameters and form fields hidden; JSON and XML bodies stay as they are."""
    return msgspec.structs.replace(
        capture,
        target=redacted_target(capture.target),
        headers=tuple(redacted_headers(capture.headers)),
        body=redacted_form(capture.body) if is_form(capture) else capture.body,
    )


def redacted_headers(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the headers with secret values hidden."""
    for name, value in headers:
        yield name, SHOWN if is_secret_header(name) else value


def redacted_target(target: str) -> str:
    """Return a target or URL with the values of secret parameters, and a password before the host, hidden."""
    shown: list[str] = []
    position = 0
    for start, end in secret_spans(target):
        shown += target[position:start], SHOWN
        position = end
    return "".join((*shown, target[position:]))


def secret_spans(target: str) -> Iterator[tuple[int, int]]:
    """Yield where in a target or URL a secret stands (first, beyond last), in reading order and without overlaps."""
    passwords = (found.span() for found in _PASSWORD_IN_URL.finditer(target))
    parameters = (found.span(3) for found in _PARAMETER.finditer(target) if is_secret_parameter(unquote(found[2])))
    position = 0
    for start, end in sorted((*passwords, *parameters)):
        if end > position:
            yield max(start, position), end
            position = end


def redacted_form(body: bytes, first: int = 0, beyond: int | None = None) -> bytes:
    """Return these bytes of a form body with the values of secret fields hidden, also where a cut goes through one."""
    beyond = len(body) if beyond is None else min(beyond, len(body))
    shown: list[bytes] = []
    position = first
    for field in _FORM_FIELD.finditer(body):
        start, end = max(position, field.start(2)), min(beyond, field.end(2))
        if start < end and is_secret_parameter(unquote(field[1].decode("latin-1"))):
            shown += body[position:start], SHOWN.encode()
            position = end
    return b"".join((*shown, body[position:beyond]))


def is_form(capture: Capture) -> bool:
    """Tell whether a capture's body says that it is a form, which names its fields as a query does."""
    return any(value.partition(";")[0].strip().lower() == _FORM for value in capture.header("Content-Type"))


def is_secret_header(name: str) -> bool:
    """Tell whether a header's name says that its value is a secret."""
    return _SECRET_HEADER.search(name) is not None


def is_secret_parameter(name: str) -> bool:
    """Tell whether a parameter's name says that its value is a secret."""
    return _SECRET_PARAMETER.search(name) is not None
