"""The notification's URL as a capture should show it, with wildcards for what only the sender knows.

A judge reads settings without the environment, so `${NAME}` is as unknown as a token. It may be a secret, too: what
arrived where it may stand is never shown.
"""

import re
import string
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile
from urllib.parse import parse_qsl, quote

import msgspec

from postback_conformance.redaction import SHOWN, redacted_target
from postback_receiver import Capture
from postback_receiver.capture import path_of
from postback_sender.template import Template
from postback_sender.template.nodes import Text

VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_.]*\}")

# Letters no URL holds stand for what is not known: a token, a variable of the environment.
_TOKEN, _VARIABLE = "\0", "\1"
# A value is escaped and stays within its segment; a variable is put in as it is, and may hold a whole path.
_UNKNOWN = {_TOKEN: "[^/?]*", _VARIABLE: ".*"}
_UNKNOWN_MARK = re.compile(f"([{_TOKEN}{_VARIABLE}])")
_ENCODED = re.compile("%([0-9A-Fa-f]{2})")
# RFC 3986 §2.3: encoded or not, they mean the same.
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_SLASHES = re.compile("/+")


class WantedUrl(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the target of every request before it arrives."""

    path: str
    """As people read it; variables as they are written."""
    pattern: re.Pattern[str]
    """What may stand on the request line as its path, once that is `normal_path`."""
    loose_pattern: re.Pattern[str]
    """The same, however many slashes stand where there is one, and at the end."""
    path_lead: str
    """The path up to the first thing that is not known, as it travels."""
    hides_path: bool
    names: tuple[str, ...]
    """The parameters that have to be there; one whose name is not known is left out."""
    hidden: frozenset[str]
    """The parameters whose value comes from the environment."""
    hides_query: bool
    """A variable stands in the URL, so that a parameter nobody named may be a part of it."""
    hides_names: bool
    """A variable stands where it can bring parameters of its own."""

    def fits(self, path: str) -> bool:
        """Tell whether a path means that of the notification (RFC 3986 §6.2.2)."""
        return bool(self.pattern.fullmatch(normal_path(path)))

    def fits_but_for_slashes(self, path: str) -> bool:
        """Tell the same, where slashes may be missing or be too many."""
        return bool(self.loose_pattern.fullmatch(normal_path(path)))

    def shown_path(self, capture: Capture) -> str:
        """Return the path that arrived, up to where it may hold what came from the environment."""
        if not self.hides_path:
            return redacted_target(capture.path)
        return capture.path[: self._same(capture.path)] + SHOWN

    def shown_names(self, names: list[str]) -> str:
        """Return the names of parameters that arrived; in a URL with variables, only the ones it names itself."""
        return ", ".join(dict.fromkeys(SHOWN if self._is_hidden(name) else name for name in names))

    def shown_query(self, query: str) -> str:
        """Return the query that arrived without secrets and without what may have come from the environment."""
        return redacted_target("?" + "&".join(map(self._shown_parameter, query.split("&"))))

    def hidden_spans(self, target: str) -> Iterator[tuple[int, int]]:
        """Yield where in a target what came from the environment may stand (first, beyond last), in reading order."""
        path, _, query = target.partition("?")
        if self.hides_path:
            yield self._same(path), len(path)
        begin = len(path) + 1
        for parameter in query.split("&"):
            end = begin + len(parameter)
            if (hidden := self._hidden_from(parameter)) is not None:
                yield begin + hidden, end
            begin = end + 1

    def _same(self, path: str) -> int:
        """Return how much of a path is there before anything unknown may come."""
        same = takewhile(lambda pair: pair[0] == pair[1], zip(path, self.path_lead, strict=False))
        return sum(1 for _ in same)

    def _shown_parameter(self, parameter: str) -> str:
        hidden = self._hidden_from(parameter)
        return parameter if hidden is None else parameter[:hidden] + SHOWN

    def _hidden_from(self, parameter: str) -> int | None:
        """Return from where on a parameter may hold what came from the environment."""
        written, equals, _value = parameter.partition("=")
        name = next(iter(names_of(written + "=")), "")
        if self._is_hidden(name):
            return 0
        return len(written + equals) if name in self.hidden else None

    def _is_hidden(self, name: str) -> bool:
        return self.hides_query and name not in self.names


@lru_cache(maxsize=64)
def wanted_url(template: Template) -> WantedUrl:
    """Return what is known about the target of a notification's requests."""
    marked = "".join(
        VARIABLE.sub(_VARIABLE, node.text) if isinstance(node, Text) else _TOKEN for node in template.nodes
    ).partition("#")[0]
    written = iter(
        found[0] for node in template.nodes if isinstance(node, Text) for found in VARIABLE.finditer(node.text)
    )
    before, _, query = marked.partition("?")
    path = path_of(before)
    host = before.removesuffix(path)
    for _ in range(host.count(_VARIABLE)):
        next(written)
    parts = _UNKNOWN_MARK.split(path)
    # Blanks and letters beyond ASCII travel percent-encoded.
    pattern = "".join(
        _UNKNOWN.get(part) or re.escape(normal_path(quote(part, safe=string.punctuation))) for part in parts
    )
    loose = _SLASHES.sub("/+", pattern.replace(_UNKNOWN[_TOKEN], _TOKEN)).removesuffix("/+") + "/*"
    in_host, names = _VARIABLE in host, names_of(query)
    return WantedUrl(
        path="".join("{…}" if part == _TOKEN else next(written) if part == _VARIABLE else part for part in parts),
        # What stands for the host may bring the beginning of the path.
        pattern=re.compile((".*" if in_host else "") + pattern, re.DOTALL),
        loose_pattern=re.compile((".*" if in_host else "") + loose.replace(_TOKEN, _UNKNOWN[_TOKEN]), re.DOTALL),
        path_lead="" if in_host else quote(parts[0], safe=string.punctuation),
        hides_path=in_host or _VARIABLE in path,
        names=tuple(name for name in names if not _UNKNOWN_MARK.search(name)),
        hidden=frozenset(name for name, value in parse_qsl(query, keep_blank_values=True) if _VARIABLE in value),
        hides_query=_VARIABLE in marked,
        hides_names=any(_VARIABLE in name for name in names),
    )


def normal_path(path: str) -> str:
    """Return a path without encodings that mean nothing, and the others in capital letters (RFC 3986 §6.2.2)."""
    return _ENCODED.sub(_normal, path) if "%" in path else path


def _normal(encoded: re.Match[str]) -> str:
    letter = chr(int(encoded[1], 16))
    return letter if letter in _UNRESERVED else encoded[0].upper()


def names_of(query: str) -> list[str]:
    """Return the names of a query's parameters, repeated ones as often as they come."""
    return [name for name, _ in parse_qsl(query, keep_blank_values=True)]
