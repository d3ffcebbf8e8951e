"""Where in a text secrets stand, as far as names tell: generous, since what is hidden in vain costs nobody anything.

Any text can be read, also one that is broken as JSON, XML or query; each pattern takes one pass.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from postback_conformance.redaction import SHOWN
from postback_receiver.secret_names import SECRET_ENDINGS, is_secret_parameter

Span = tuple[int, int]

# A name, in quotes or not, what joins name and value (nothing, where that was forgotten), and the value: a string with
# what follows it before the next comma, a list or object, or words. The value of an XML element is its text up to the
# next tag. The two marks are the ends of a join.
_LETTERS = r'(?:[^"\\]|\\.)*+'
_WORDS = "[^\\s\"',:;{}\\[\\]<>=&/\ue001\ue002][^\"',:;{}\\[\\]<>=&/\n\ue001\ue002]*+(?!\\s*+[:=])"
_VALUE = (
    rf"""(?:"(?P<double>{_LETTERS}(?:"\s*+(?:"{_LETTERS}(?="(?!\s*+:))|{_WORDS}))*+)|'(?P<single>[^'\n]*+)"""
    r"""|[\[{](?P<group>[^\[\]{}]*+)|(?P<word>[^\n"'&<>,;{}\[\]]++))"""
)
_QUOTE = "\\\\?[\"'\u201c\u201d\u201e\u2018\u2019`]"
_NAMED = re.compile(rf"(?is){SECRET_ENDINGS}(?:(?:{_QUOTE})?\s*+[:=]|{_QUOTE}\s*+,?)\s*+(?:\\(?=\"))?{_VALUE}")
_ELEMENT = re.compile(
    rf"(?i)<[\w.:-]*{SECRET_ENDINGS}(?:\s[^<>]*+)?>(?P<text>(?:[^<]|<!\[CDATA\[(?:[^\]]|\](?!\]>))*+(?:\]\]>)?)++)"
)
_PAIR = re.compile(r"(?:^|(?<=[?&#]))\s*+(?P<name>[^=&?#]++)=(?P<value>[^&]++)")
_PASSWORD = re.compile(r"(?<=://)[^/?#@:]*+:(?P<password>[^/?#@]++)(?=@)")


def secret_spans(text: str, *, is_query: bool) -> list[Span]:
    """Return where the values of secret keys, elements, attributes and parameters stand, in order and apart.

    In a query, or a URL, a parameter's value goes up to the next `&`.
    """
    found = sorted(span for span in _spans(text, is_query=is_query) if span[0] < span[1])
    apart: list[Span] = []
    for first, beyond in found:
        if apart and first <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(beyond, apart[-1][1])
        else:
            apart.append((first, beyond))
    return apart


def _spans(text: str, *, is_query: bool) -> Iterator[Span]:
    for pattern in (_NAMED, _ELEMENT, _PASSWORD):
        for found in pattern.finditer(text):
            yield found.span(found.lastgroup or 0)
    if is_query:
        for found in _PAIR.finditer(text):
            if is_secret_parameter(unquote(found["name"]).strip()):
                yield found.span("value")


def without(text: str, spans: list[Span]) -> str:
    """Return a text with these stretches hidden, line by line, so that it keeps its lines."""
    shown: list[str] = []
    position = 0
    for first, beyond in spans:
        hidden = "\n".join(SHOWN if line else "" for line in text[first:beyond].split("\n"))
        shown += text[position:first], hidden
        position = beyond
    return "".join((*shown, text[position:]))
