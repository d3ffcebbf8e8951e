"""Finds the value of a token in a captured request by the literal text around it in the template.

Only tokens whose surroundings are unmistakable are found: the text before the token, back to the start of its line or
to the token before, has to occur exactly once in what arrived; the value ends where the text after the token, to the
end of its line, follows.
"""

import json
from urllib.parse import unquote

from postback_receiver import Capture
from postback_sender.notification import Notification
from postback_sender.template import Template
from postback_sender.template.nodes import Text, TokenNode

# Far more than a date, an amount or an id; a value that runs on beyond it has lost its end.
_LONGEST_VALUE = 2000


def token_value(notification: Notification, capture: Capture, token: str) -> str | None:
    """Return the value of a token in a capture, unescaped, or None when it cannot be told."""
    url = notification.url
    wire_target = capture.target.encode("latin-1").decode("utf-8", "replace")
    if (found := _between(url, token, wire_target)) is not None:
        return unquote(found)
    if notification.body is None:
        return None
    found = _between(notification.body, token, capture.body.decode("utf-8", "replace"))
    return None if found is None else _unescaped(found, notification.body_format)


def _between(template: Template, token: str, text: str) -> str | None:
    for index, node in enumerate(template.nodes):
        if not isinstance(node, TokenNode) or node.name != token or index == 0:
            continue
        before = template.nodes[index - 1]
        after = template.nodes[index + 1] if index + 1 < len(template.nodes) else None
        # Without text on its left a token has no beginning, and with another token on its right no end.
        if isinstance(before, Text) and (after is None or isinstance(after, Text)):
            lead = _last_part(before.text)
            start = text.find(lead) + len(lead)
            if lead and text.count(lead) == 1:
                tail = _first_part(after.text) if after else ""
                end = text.find(tail, start, start + _LONGEST_VALUE) if tail else len(text)
                return text[start:end] if end >= 0 else None
    return None


def _last_part(text: str) -> str:
    """Return the last line of a text, cut at the start of a parameter, since hosts and parameters before may differ."""
    line = text.rsplit("\n", 1)[-1] or text
    cut = max(line.rfind("?"), line.rfind("&"))
    return line[cut:] if cut >= 0 else line


def _first_part(text: str) -> str:
    """Return the first line of a text, or the line feed it begins with."""
    return text.partition("\n")[0] or text[:1]


def _unescaped(text: str, body_format: str) -> str | None:
    match body_format:
        case "query":
            return unquote(text.replace("+", " "))
        case "json":
            try:
                return str(json.loads(f'"{text}"'))
            except ValueError:
                return None
        case _:
            # Markup inside is a reference or a split CDATA section: what was meant takes a parser to tell.
            return None if "&" in text or "<" in text else text
