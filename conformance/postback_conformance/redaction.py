"""Secrets out of what is shown.

Secret are the values of headers, parameters and form fields whose names say so, and whatever settings took out of the
environment, wherever it stands in a URL or header.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

import msgspec

from postback_receiver import Capture
from postback_sender.postback import request_target

SHOWN = "[hidden]"

_SECRET_HEADER = re.compile(r"(?i)auth|cookie|token|secret|key|signature|passw")
# At the end of the name only: `key_visual` and `author` are no secrets, `api_key` and `apiKey` are.
SECRET_ENDINGS = "(?:token|secret|key|signature|sig|password|passwd|pwd|auth)"
"""What the names of secret parameters end in, as a pattern; upper and lower case do not count."""
_SECRET_PARAMETER = re.compile(rf"(?i){SECRET_ENDINGS}$")
_PARAMETER = re.compile(r"([?&])([^=&#]*)=([^&#]+)")
_FORM_FIELD = re.compile(rb"(?:^|(?<=&))([^=&]*)=([^&]+)")
_FORM = "application/x-www-form-urlencoded"
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#@]*:[^/?#@]*(?=@)")
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


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


def redacted(capture: Capture) -> Capture:
    """Return a capture with secret headers, parameters and form fields hidden; JSON and XML bodies stay as they are."""
    return msgspec.structs.replace(
        capture,
        target=redacted_target(capture.target),
        headers=tuple(redacted_headers(capture.headers)),
        body=redacted_form(capture.body) if is_form(capture) else capture.body,
    )


def redacted_headers(headers: Iterable[tuple[str, str]], secrets: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield the headers with secret values hidden; `secrets` are hidden wherever they stand."""
    known = [re.escape(secret) for secret in sorted(secrets, key=len, reverse=True) if secret]
    pattern = re.compile("|".join(known)) if known else None
    for name, value in headers:
        if is_secret_header(name):
            yield name, SHOWN
        else:
            yield name, pattern.sub(SHOWN, value) if pattern else value


def redacted_target(target: str, secrets: Iterable[str] = ()) -> str:
    """Return a target or URL as it may be shown.

    Hidden are the values of secret parameters, a password before the host, and `secrets`, as texts of the environment,
    wherever they stand.
    """
    shown: list[str] = []
    position = 0
    for start, end in secret_spans(target, secrets):
        shown += target[position:start], SHOWN
        position = end
    return "".join((*shown, target[position:]))


def secret_spans(target: str, secrets: Iterable[str] = ()) -> Iterator[tuple[int, int]]:
    """Yield where in a target or URL a secret stands (first, beyond last), in reading order and without overlaps."""
    passwords = (found.span() for found in _PASSWORD_IN_URL.finditer(target))
    parameters = (found.span(3) for found in _PARAMETER.finditer(target) if is_secret_parameter(unquote(found[2])))
    values = (found.span() for form in _forms(secrets) for found in re.finditer(re.escape(form), target))
    first, beyond = 0, 0
    for start, end in sorted((*passwords, *parameters, *values)):
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
