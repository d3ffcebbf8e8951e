"""Secrets that are written out where they could come from the environment; none is repeated in what is said."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Finding, finding_of
from postback_conformance.lint.flat import TOKEN, VARIABLE, FlatText
from postback_conformance.lint.query_outline import Pair
from postback_receiver.secret_names import is_secret_header, is_secret_parameter
from postback_sender.notification import Notification

_PASSWORD = re.compile(r"(?<=://)[^/?#@:]*:(?P<password>[^/?#@]+)@")


def url_secrets(flat: FlatText, pairs: Iterable[Pair]) -> Iterator[Finding]:
    """Find secrets written into a URL: by the names of its parameters, and the password before its host."""
    found = _PASSWORD.search(flat.text)
    if found and not _comes_from_elsewhere(found["password"]):
        yield flat.finding(
            kinds.SECRET_IN_URL,
            found.start("password"),
            message="the URL carries a password in clear",
            advice="write ${PASSWORD} and set it in the environment",
        )
    for pair in pairs:
        if pair.value.strip() and is_secret_parameter(unquote(pair.name)) and not _comes_from_elsewhere(pair.value):
            yield flat.finding(
                kinds.SECRET_IN_URL,
                pair.place,
                message=f"the parameter {pair.name} carries a secret in clear",
                advice=f"write {pair.name}=${{{_variable(pair.name)}}} and set it in the environment",
            )


def header_secrets(notification: Notification) -> Iterator[Finding]:
    """Find secrets written into headers."""
    for name, value in notification.headers:
        if is_secret_header(name) and value and "${" not in value:
            yield finding_of(
                kinds.SECRET_IN_HEADER,
                f"{notification.name}, headers.{name}",
                message=f"the header {name} carries a secret in clear",
                advice=f'write "${{{_variable(name)}}}" and set it in the environment',
            )


def _comes_from_elsewhere(value: str) -> bool:
    return TOKEN in value or VARIABLE in value


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()
