"""What a request says, as values: parameters, form fields, places in JSON. Views to match on; none of them raises."""

import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn, cast
from urllib.parse import unquote_to_bytes

from postback_receiver.capture import Capture
from postback_receiver.content_coding import decode_body

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Reading:
    """The values a request has in one field, in the order of the wire, and why there are none if that needs saying."""

    values: tuple[object, ...]
    problem: str = ""


def content(capture: Capture) -> bytes:
    """The body without its codings, as far as they can be taken off."""
    return decode_body(capture.body, capture.header("Content-Encoding")).data


def query_values(capture: Capture, name: str) -> tuple[str, ...]:
    """The values of a parameter of the query, decoded; none when it is not there."""
    return _named(capture.query.encode("latin-1", "replace"), name)


def form_values(capture: Capture, name: str) -> tuple[str, ...]:
    """The values of a field of the body, read as a form and decoded; none when it is not there."""
    return _named(content(capture), name)


def read_json(capture: Capture, path: tuple[str, ...]) -> Reading:
    """The value at a place in the body's JSON; none when the body is no JSON or has no such place."""
    body = content(capture)
    if not body:
        return Reading((), "an empty body")
    try:
        value: object = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        return Reading((), "a body that is nested too deep")
    except ValueError as error:
        return Reading((), f"a body that is no JSON: {error}")
    values: tuple[object, ...] = (value,)
    for key in path:
        values = tuple(member for each in values for member in _members(each, key))
    return Reading(values)


def pointer_path(pointer: str) -> tuple[str, ...]:
    """The keys and indexes of a JSON pointer (RFC 6901), such as `/items/0/sku`; ValueError when it is none."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"a JSON pointer starts with /, as in /items/0/sku, or is empty, not {pointer!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _members(value: object, key: str) -> tuple[object, ...]:
    if isinstance(value, dict) and key in value:
        return (cast(dict[str, object], value)[key],)
    if isinstance(value, list) and _INDEX.fullmatch(key):
        place = int(key)
        return tuple(cast(list[object], value)[place : place + 1])
    return ()


def _named(pairs: bytes, name: str) -> tuple[str, ...]:
    split = (pair.partition(b"=") for pair in pairs.split(b"&") if pair)
    return tuple(_decoded(value) for key, _, value in split if _decoded(key) == name)


def _decoded(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8", "replace")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
