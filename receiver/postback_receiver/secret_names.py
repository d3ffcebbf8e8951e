"""Which names of headers and parameters say that their value is a secret, and where in a target such values stand.

Whoever shows traffic asks here, so that a message and a report hide the same things.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

_SECRET_HEADER: Final = re.compile(r"(?i)auth|cookie|token|secret|key|signature|passw")
# At the end of the name only: `key_visual` and `author` are no secrets, `api_key` and `apiKey` are, and `keys[token]`.
SECRET_WORDS: Final = ("token", "secret", "key", "signature", "sig", "password", "passwd", "pwd", "auth")
SECRET_ENDINGS: Final = f"(?:{'|'.join(SECRET_WORDS)})"
"""What the names of secret parameters end in, as a pattern; upper and lower case do not count."""
_SECRET_PARAMETER: Final = re.compile(rf"(?i){SECRET_ENDINGS}(?:\[[0-9]*+\]|\])*+$")
_MAX_KNOWN: Final = 64
"""Names up to this length are remembered."""
# A target may be a megabyte of `?` or `:`. Nothing that was passed over once is looked at again.
_PARAMETER: Final = re.compile(r"[?&](?P<name>[^=&#]*+)(?:=(?P<value>[^&#]*+))?")
# A URL within a parameter, encoded once.
_INNER_PARAMETER: Final = re.compile(r"(?i)%(?:3f|26)(?P<name>[^=&#%]{1,64}+)%3d(?P<value>(?:(?!%26|%23)[^&#])++)")
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)[^/?#@:]*+:[^/?#@]*+(?=@)")


def is_secret_header(name: str) -> bool:
    """Whether a header's name says that its value is a secret."""
    return _known_header(name) if len(name) <= _MAX_KNOWN else _is_header(name)


def is_secret_parameter(name: str) -> bool:
    """Whether the name of a parameter, or of a field of a form or of JSON, says that its value is a secret."""
    return _known_parameter(name) if len(name) <= _MAX_KNOWN else _is_parameter(name)


def _is_header(name: str) -> bool:
    return _SECRET_HEADER.search(name) is not None


def _is_parameter(name: str) -> bool:
    return _SECRET_PARAMETER.search(name) is not None


# The same few names come again and again.
_known_header = lru_cache(maxsize=1024)(_is_header)
_known_parameter = lru_cache(maxsize=1024)(_is_parameter)


def named_secret_spans(target: str) -> Iterator[tuple[int, int]]:
    """Where in a target or URL secrets stand (first, beyond last): a password before the host, then parameters.

    Those of a URL within a parameter come last, and may lie within others.
    """
    yield from (found.span() for found in _PASSWORD_IN_URL.finditer(target))
    for found in _PARAMETER.finditer(target):
        if found["value"] and is_secret_parameter(unquote(found["name"])):
            yield found.span("value")
    for found in _INNER_PARAMETER.finditer(target):
        if is_secret_parameter(found["name"]):
            yield found.span("value")
