"""What a capture should be like: claims that combine with `&`, `|` and `~`, and that name what differs.

    path("/postback") & header("X-Key", "s") & ~form_field("Status", "REVERSED")

A text is what a value has to equal, a compiled pattern (`re.compile`) what has to be found in it. A field that repeats
needs one value that fits. Without an expected value the field only has to be there.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from types import NoneType
from typing import Final, TypeAlias, cast

from postback_receiver.capture_query import readable
from postback_receiver.fields import Reading, content, form_values, pointer_path, query_values, read_json
from postback_receiver.matching import Field, Test, satisfies
from postback_receiver.secret_names import is_secret_header, is_secret_parameter
from postback_receiver.summary import excerpt, without_secrets

__all__ = [
    "ANYTHING",
    "Expected",
    "body",
    "body_contains",
    "endpoint",
    "form_field",
    "header",
    "json_field",
    "method",
    "path",
    "query",
    "satisfies",
    "status",
]

Expected: TypeAlias = str | re.Pattern[str]
"""A text that a value equals, or a pattern that is found in it."""


class _Anything:
    def __repr__(self) -> str:
        return "ANYTHING"


ANYTHING: Final = _Anything()
"""Stands for any value of a JSON field, `null` included."""


def method(expected: Expected) -> Field:
    """The method, in upper case as it is sent."""
    return Field(name="method", read=lambda capture: Reading((capture.method,)), test=_text_test(expected), weight=3)


def path(expected: Expected) -> Field:
    """The path of the target, as sent: still percent-encoded, without the query."""
    return Field(
        name="path", read=lambda capture: Reading((_readable(capture.path),)), test=_text_test(expected), weight=4
    )


def endpoint(prefix: str | None) -> Field:
    """The prefix of the endpoint that took it; None for what no endpoint took."""
    _check("an endpoint", prefix, str, NoneType, wanted='a prefix such as "/", or None')
    return Field(
        name="endpoint",
        read=lambda capture: Reading((capture.endpoint,)),
        test=Test(holds=lambda value: value == prefix, text=_endpoint_text(prefix)),
        weight=4,
        to_text=_endpoint_text,
        quote="",
    )


def header(name: str, expected: Expected | None = None) -> Field:
    """A header, whatever the case of its name; read as UTF-8 where it is that, else one character for each byte."""
    _check("the name of a header", name, str, wanted="a text")
    return Field(
        name=f"header {name}",
        read=lambda capture: Reading(tuple(map(_readable, capture.header(name)))),
        test=_text_test(expected, is_secret=is_secret_header(name)),
        is_secret=is_secret_header(name),
    )


def query(name: str, expected: Expected | None = None) -> Field:
    """A parameter of the query, decoded."""
    _check("the name of a parameter", name, str, wanted="a text")
    return Field(
        name=f"query parameter {name}",
        read=lambda capture: Reading(query_values(capture, name)),
        test=_text_test(expected, is_secret=is_secret_parameter(name)),
        is_secret=is_secret_parameter(name),
    )


def form_field(name: str, expected: Expected | None = None) -> Field:
    """A field of a form body, decoded."""
    _check("the name of a form field", name, str, wanted="a text")
    return Field(
        name=f"form field {name}",
        read=lambda capture: Reading(form_values(capture, name)),
        test=_text_test(expected, is_secret=is_secret_parameter(name)),
        is_secret=is_secret_parameter(name),
    )


def json_field(pointer: str, expected: object = ANYTHING) -> Field:
    """A place in a JSON body, by JSON pointer (`/items/0/sku`); ValueError when that is none.

    Numbers are equal by value, but `true` is not 1 and `"1"` is not 1. A pattern is searched in texts.
    """
    _check("a JSON pointer", pointer, str, wanted="a text such as /items/0/sku")
    keys = pointer_path(pointer)
    is_secret = is_secret_parameter(keys[-1]) if keys else False
    read = partial(read_json, path=keys)
    name = f"JSON field {pointer}" if pointer else "JSON body"
    if isinstance(expected, re.Pattern):
        test = _text_test(cast(re.Pattern[str], expected), is_secret=is_secret)
    elif expected is ANYTHING:
        test = _text_test(None)
    else:
        test = Test(holds=lambda value: _same_json(value, expected), text="", wanted=_json_text(expected))
    return Field(name=name, read=read, test=test, to_text=_json_text, quote="", is_secret=is_secret)


def body(expected: Expected | bytes | re.Pattern[bytes]) -> Field:
    """The whole body without its compression: equal to these bytes (text is UTF-8), or a pattern found in it."""
    if isinstance(expected, re.Pattern):
        return _body(_search(expected), f"a match for {_pattern_text(expected)}")
    _check("the body", expected, str, bytes, wanted="a text, bytes or a pattern of re.compile")
    exact = expected.encode() if isinstance(expected, str) else expected
    return _body(lambda value: value == exact, "", wanted=_body_text(exact))


def body_contains(expected: str | bytes) -> Field:
    """The body, without its compression, has these bytes in it (text is UTF-8)."""
    _check("a part of the body", expected, str, bytes, wanted="a text or bytes")
    part = expected.encode() if isinstance(expected, str) else expected
    shown = f"one with '{excerpt(without_secrets(_body_text(part)))}' in it"
    return _body(lambda value: isinstance(value, bytes) and part in value, shown)


def status(*codes: int) -> Field:
    """The status the receiver answered with, or was to answer with: one of these."""
    for code in codes:
        _check("a status", code, int, wanted="a number such as 200")
    shown = " or ".join(map(str, codes)) or "any"
    return Field(
        name="status answered",
        read=lambda capture: Reading((capture.answer.status,) if capture.answer else ()),
        test=Test(holds=lambda value: not codes or value in codes, text=shown),
        quote="",
    )


def _check(what: str, expected: object, *types: type, wanted: str) -> None:
    """Raise TypeError for what no value would ever be equal to."""
    if not isinstance(expected, types):
        raise TypeError(f"{what}: expected {wanted}, got {expected!r:.100}")


def _readable(text: str) -> str:
    return readable(text.encode("latin-1", "replace"))


def _text_test(expected: Expected | None, *, is_secret: bool = False) -> Test:
    if expected is None:
        return Test(holds=lambda _value: True, text="any value")
    if isinstance(expected, str):
        return Test(holds=lambda value: value == expected, text="", wanted=expected)
    if not isinstance(getattr(expected, "pattern", None), str):
        raise TypeError(f"expected a text, or a pattern of re.compile for texts, got {expected!r:.100}")
    shown = "the given pattern" if is_secret else _pattern_text(expected)
    return Test(holds=_search(expected), text=f"a match for {shown}")


def _search(pattern: re.Pattern[str] | re.Pattern[bytes]) -> Callable[[object], bool]:
    """Whether a pattern is found; bytes are read as UTF-8 where the pattern is text."""
    source = pattern.pattern
    if isinstance(source, bytes):
        in_bytes = re.compile(source, pattern.flags)
        return lambda value: isinstance(value, bytes) and in_bytes.search(value) is not None
    in_text = re.compile(source, pattern.flags)

    def found(value: object) -> bool:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return isinstance(text, str) and in_text.search(text) is not None

    return found


def _body(holds: Callable[[object], bool], text: str, *, wanted: str | None = None) -> Field:
    return Field(
        name="body",
        read=lambda capture: Reading((content(capture),)),
        test=Test(holds=holds, text=text, wanted=wanted),
        weight=2,
        to_text=_body_text,
    )


def _body_text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except RecursionError:
        return "what is nested too deep to be shown"


def _pattern_text(pattern: re.Pattern[str] | re.Pattern[bytes]) -> str:
    return f"/{excerpt(without_secrets(_body_text(pattern.pattern)))}/"


def _endpoint_text(prefix: object) -> str:
    return "none" if prefix is None else str(prefix)


def _same_json(one: object, other: object) -> bool:
    """JSON's equality: Python's, but for `True == 1`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast(dict[str, object], one), cast(dict[str, object], other)
        return left.keys() == right.keys() and all(_same_json(left[key], right[key]) for key in left)
    if isinstance(one, list) and isinstance(other, list | tuple):
        these, those = cast(list[object], one), cast(Sequence[object], other)
        return len(these) == len(those) and all(map(_same_json, these, those))
    return one == other
