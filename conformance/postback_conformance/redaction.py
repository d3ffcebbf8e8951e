"""Secrets out of what is shown: header values and parameters whose names say that they are secret."""

import re
from collections.abc import Iterable, Iterator

SHOWN = "[hidden]"

_SECRET_HEADER = re.compile(r"(?i)authorization|cookie|token|secret|key|signature|password")
_SECRET_PARAMETER = re.compile(r"(?i)(?P<before>[?&](?:[\w.-]*(?:token|secret|key|signature|password|auth))=)[^&#]+")


def redacted_headers(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the headers with secret values hidden."""
    for name, value in headers:
        yield name, SHOWN if _SECRET_HEADER.search(name) else value


def redacted_target(target: str) -> str:
    """Return a target or URL with the values of secret parameters hidden."""
    return _SECRET_PARAMETER.sub(rf"\g<before>{SHOWN}", target)
