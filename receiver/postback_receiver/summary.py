"""How a capture is shown in a message: in one line, bounded, without secrets, and with nothing a terminal obeys."""

import re
from collections.abc import Iterator
from typing import Final

from postback_receiver.body_secrets import body_kind, body_secrets
from postback_receiver.capture import Answer, Capture
from postback_receiver.secret_names import SECRET_ENDINGS, SECRET_WORDS, named_secret_spans

MAX_LETTERS: Final = 120
"""Shown of one value: a usual postback URL. More is a wall nobody reads, and the store still has it all."""

_BEFORE: Final = 30
"""Shown of a long value before the place that matters."""

_LINE: Final = 200
"""Shown of a target."""

_HIDDEN: Final = "[hidden]"
# A name that ends like a secret's, then what separates it from its value in a form, in JSON, in XML or in a text.
_NAMED: Final = re.compile(
    rf"""(?ix){SECRET_ENDINGS} \\?["']?+ \s*+ [:=>] \s*+
    (?P<value> "(?:[^"\\]|\\.)*+"? | '[^']*+'? | \\"(?:[^"\\]|\\[^"])*+ | [^"'&,;\s<>}}\]]++ )""",
    re.DOTALL,
)


def one_line(capture: Capture, *, is_over: bool = False) -> str:
    """Method, target, size and answer: what tells one capture from the others.

    `is_over` says that nothing more becomes of it, so that an answer without a time is one that was not sent.
    """
    if capture.malformed is not None:
        return f"malformed request: {excerpt(capture.malformed)} ({len(capture.body)} bytes)"
    notes = [f"{len(capture.body)} bytes"]
    if capture.truncated:
        notes.append("truncated")
    if capture.is_unmatched:
        notes.append("no endpoint takes this path")
    notes.append(_answer(capture.answer, is_over=is_over))
    if capture.fault:
        notes.append(f"fault {excerpt(capture.fault)}")
    target = excerpt(shown_target(capture.target), limit=_LINE)
    return f"{excerpt(capture.method)} {target} ({', '.join(notes)})"


def _answer(answer: Answer | None, *, is_over: bool) -> str:
    if answer is None:
        return "not answered"
    is_lost = is_over and answer.sent_ns is None
    return f"answer {answer.status} not sent" if is_lost else f"answered {answer.status}"


def shown_target(target: str) -> str:
    """A target with the values of secret parameters hidden."""
    return _with_hidden(target, list(named_secret_spans(target)))


def without_secrets(text: str) -> str:
    """Text of a body, or a piece of one, with the values that stand beside the name of a secret hidden."""
    # Looking takes its time on a large body, and most have nothing to hide. A name may be written with escapes.
    folded = text.casefold()
    if not any(word in folded for word in (*SECRET_WORDS, "\\u", "%")):
        return text
    return _with_hidden(text, [*_in_body(text), *(found.span("value") for found in _NAMED.finditer(text))])


def _in_body(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets stand that redaction would hide in a body of this text."""
    body = text.encode("utf-8", "replace")
    letters = position = 0
    for secret in body_secrets(body, body_kind(body, ())):
        first = letters + len(body[position : secret.first].decode("utf-8", "replace"))
        letters = first + len(body[secret.first : secret.beyond].decode("utf-8", "replace"))
        position = secret.beyond
        yield first, letters


def hidden(value: str) -> str:
    """What is shown in place of a secret: its length, since a cut or doubled one is what people look for."""
    return f"[hidden, {len(value)} character{'' if len(value) == 1 else 's'}]"


def excerpt(text: str, *, at: int = 0, limit: int = MAX_LETTERS) -> str:
    """The part of a text around a place, at most `limit` letters of it; what is no letter is escaped."""
    first = 0 if len(text) <= limit else max(0, min(at - _BEFORE, len(text) - limit))
    part = text[first : first + limit]
    if not part.isprintable():
        part = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in part)
    return f"{'…' if first else ''}{part}{'…' if first + limit < len(text) else ''}"


def first_difference(one: str, other: str) -> int:
    """Where two texts part; the length of the shorter one when it begins the other."""
    same, beyond = 0, min(len(one), len(other))
    while same < beyond:
        middle = (same + beyond + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            beyond = middle - 1
    return same


def _with_hidden(text: str, spans: list[tuple[int, int]]) -> str:
    shown: list[str] = []
    position = 0
    for first, beyond in sorted(spans):
        if first >= position:
            shown += text[position:first], _HIDDEN
        position = max(position, beyond)
    return "".join((*shown, text[position:]))
