"""Secrets out of what is shown: header values and parameters whose names say that they are secret."""

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
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#@]*:[^/?#@]*(?=@)")


def redacted(capture: Capture) -> Capture:
    """Return a capture with secret headers and parameters hidden; bodies stay as they are."""
    return msgspec.structs.replace(
        capture, target=redacted_target(capture.target), headers=tuple(redacted_headers(capture.headers))
    )


def redacted_headers(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the headers with secret values hidden."""
    for name, value in headers:
        yield name, SHOWN if _SECRET_HEADER.search(name) else value


def redacted_target(target: str) -> str:
    """Return a target or URL with the values of secret parameters, and a password before the host, hidden."""

    def shown(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}={SHOWN}" if is_secret_parameter(unquote(found[2])) else found[0]

    return _PARAMETER.sub(shown, _PASSWORD_IN_URL.sub(SHOWN, target))


def is_secret_parameter(name: str) -> bool:
    """Tell whether a parameter's name says that its value is a secret."""
    return _SECRET_PARAMETER.search(name) is not None
