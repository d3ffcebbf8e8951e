"""Reads a TOML table into a record and turns every slip into one message for a person.

msgspec checks types; this adds what a writer of settings needs: the line, the nearest valid name, the valid choices.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from postback_sender.errors import SenderError

T = TypeVar("T", bound=msgspec.Struct)

_TABLE_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
# What a writer of TOML calls what msgspec calls otherwise.
_TOML_WORDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "array": "list",
    "object": "table",
    "bool": "true or false",
}
_AT_KEY = re.compile(r" - at `\$\.?([^`]*)`")


class NotificationError(SenderError):
    """Settings that cannot be used; the text names the file, the line where it is known, and the key."""


def read_toml(text: str, *, name: str) -> dict[str, Any]:
    """Return the tables of a TOML text, or raise `NotificationError` naming the file and the place in it."""
    try:
        return tomllib.loads(text)
    # A TOMLDecodeError, or what int() says of thousands of digits.
    except ValueError as error:
        raise NotificationError(f"{name}: not valid TOML: {error}") from None
    except RecursionError:
        raise NotificationError(f"{name}: lists or tables are nested too deeply to be settings") from None


def decode_table(table: Mapping[str, Any], kind: type[T], *, path: str, text: str, name: str) -> T:
    """Return one table as a record of `kind`; `path` is its dotted place in the file, empty for the top."""
    hints = _hints(kind)
    fields = kind.__struct_fields__
    for key, value in table.items():
        if key not in fields:
            fail(f"unknown key {dotted(path, key)!r}{did_you_mean(key, fields)}", path, key, text=text, name=name)
        choices = _choices(hints[key])
        if choices and isinstance(value, str) and value not in choices:
            fail_choice(value, choices, path=path, key=key, text=text, name=name)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        place = _AT_KEY.search(str(error))
        key = place[1] if place else ""
        # What may be left out is null to msgspec; TOML has no such thing.
        reason = _AT_KEY.sub("", str(error)).replace("`", "").replace(" | null", "")
        for ours, theirs in _TOML_WORDS.items():
            reason = re.sub(rf"\b{ours}\b", theirs, reason)
        key = key.removesuffix("[...]")
        message = f"{dotted(path, key)}: {reason[:1].lower()}{reason[1:]}"
        fail(message, path, key.split("[")[0].split(".")[0], text=text, name=name)


def fail(message: str, path: str, key: str, *, text: str, name: str) -> NoReturn:
    """Raise a `NotificationError` that names the file and, when it can be found, the line of the key."""
    line = line_of(text, path, key)
    raise NotificationError(f"{name}, line {line}: {message}" if line else f"{name}: {message}")


def fail_choice(value: str, choices: Iterable[str], *, path: str, key: str, text: str, name: str) -> NoReturn:
    """Raise a `NotificationError` for a value that is none of the choices, with the nearest one."""
    choices = tuple(choices)
    expected = ", ".join(f'"{choice}"' for choice in choices)
    hint = did_you_mean(value, choices)
    fail(f'{dotted(path, key)}: expected one of {expected}, got "{value}"{hint}', path, key, text=text, name=name)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return `; did you mean X?` for the nearest candidate, or the empty text."""
    nearest = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


def dotted(path: str, key: str) -> str:
    """Return the full name of a key, such as `template.escaping`."""
    return ".".join(part for part in (path, key) if part)


def line_of(text: str, path: str, key: str) -> int | None:
    """Return the line (from 1) where a key of a table is set, or None when it cannot be told."""
    table = ""
    assignment = re.compile(rf'\s*"?{re.escape(key)}"?\s*=')
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE_HEADER.match(line):
            table = header[1]
            if table == dotted(path, key):
                return number
        elif table == path and assignment.match(line):
            return number
    return None


@cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, object]:
    # A file may hold the same kind of table ten thousand times.
    return get_type_hints(kind)


def _choices(hint: object) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for part in get_args(hint) for choice in _choices(part))
