"""What a search of captures asks for, and what it means. A store may use any index, as long as it finds the same."""

import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from postback_receiver.capture import Capture
from postback_receiver.content_coding import decode_body

PAGE_SIZE: Final = 50
"""Captures on one page of a search, unless another number is asked for."""

MAX_SEARCHED_BYTES: Final = 64 * 1024
"""How far a search for a text or a value looks into a target, into headers and into a body, each."""

# Of what is sent, ASCII letters and digits and everything beyond ASCII make words; the rest stands between them. The
# tokenizer "ascii" of SQLite's full-text search draws the line at the same place.
_WORD: Final = re.compile("[0-9A-Za-z\x80-\U0010ffff]+")
_JSON_ESCAPE: Final = re.compile(r"(?:\\u[0-9A-Fa-f]{4})+|\\[\"\\/bfnrt]")
# Python refuses to read a number of thousands of digits; eight that count are beyond any character already.
_LONG_NUMBER: Final = re.compile("(?<=&#)(?:0+(?=[0-9]))?([0-9]{1,8})[0-9]*")
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")
_JSON_CHARACTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class CaptureQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which captures are wanted: those for which every condition given here holds; without any, all.

    Texts are looked for in the first `MAX_SEARCHED_BYTES` of the target, of the headers and of the body each.
    `text` is found where it begins at the start of a word, in any case, in the target, in a header line (`Name:
    value`) or in the body without its compression; `abc de` is found in `x=ABC def`, and `bc` is not. `values` are
    found as whole words in the target or in the body, as the value of a token is. Both look at what was sent and at
    what it says once escapes of URLs, JSON and XML are resolved. `headers` are names and values, a value of None
    taking any. `path_prefix` is cut at whole path segments, as the prefix of an endpoint is: `/a` takes `/a` and
    `/a/b`, but not `/ab`. Times are wall clock in nanoseconds since the epoch, `since_ns` included and `until_ns`
    not. `status` is the one answered. Of the yes-or-no conditions, `fault` asks for a misbehaviour on purpose,
    `unmatched` for requests no endpoint took.
    """

    text: str | None = None
    values: tuple[str, ...] = ()
    headers: tuple[tuple[str, str | None], ...] = ()
    path_prefix: str | None = None
    endpoint: str | None = None
    method: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    status: int | None = None
    fault: bool | None = None
    malformed: bool | None = None
    truncated: bool | None = None
    unmatched: bool | None = None

    def matches(self, capture: Capture) -> bool:
        """Whether every condition holds for a capture."""
        return self._fields_match(capture) and self._texts_match(capture)

    def overlooks(self, capture: Capture) -> bool:
        """Whether a text may stand in a capture beyond where it was looked for: all else holds, and it goes on."""
        looks_for_text = bool(self.values) or self.text is not None
        return looks_for_text and is_cut(capture) and self._fields_match(capture) and not self._texts_match(capture)

    def _fields_match(self, capture: Capture) -> bool:
        status = None if capture.answer is None else capture.answer.status
        return (
            self.endpoint in (None, capture.endpoint)
            and self.method in (None, capture.method)
            and self.status in (None, status)
            and (self.since_ns is None or capture.received_at_ns >= self.since_ns)
            and (self.until_ns is None or capture.received_at_ns < self.until_ns)
            and self.fault in (None, capture.fault is not None)
            and self.malformed in (None, capture.malformed is not None)
            and self.truncated in (None, capture.truncated)
            and self.unmatched in (None, capture.endpoint is None)
            and (self.path_prefix is None or lies_under(capture.path, self.path_prefix))
            and all(_has_header(capture, name, value) for name, value in self.headers)
        )

    def _texts_match(self, capture: Capture) -> bool:
        if not self.values and self.text is None:
            return True
        content = content_text(capture)
        return all(_finds(value, content, whole=True) for value in self.values) and (
            self.text is None or _finds(self.text, f"{content}\n{header_text(capture)}", whole=False)
        )


def content_text(capture: Capture) -> str:
    """Target and body as a search reads them: as sent and with escapes resolved, in folded case, in lines."""
    target, body = capture.target[:MAX_SEARCHED_BYTES], _beginning(_plain_body(capture))
    return fold("\n".join([*_target_readings(target), *_body_readings(readable(body))]))


def header_text(capture: Capture) -> str:
    """Header and trailer lines as a search reads them, in folded case."""
    lines = (f"{name}: {value}".encode("latin-1", "replace") for name, value in (*capture.headers, *capture.trailers))
    return fold("\n".join(map(readable, lines))[:MAX_SEARCHED_BYTES])


def is_cut(capture: Capture) -> bool:
    """Whether a search for a text does not look at all of a capture."""
    fields = (*capture.headers, *capture.trailers)
    # Of its lines, with what stands between name and value and at their ends; counted before the letters are read.
    lines = sum(len(name) + len(value) + 3 for name, value in fields)
    return max(len(capture.target), lines, len(_plain_body(capture))) > MAX_SEARCHED_BYTES


def readable(data: bytes) -> str:
    """Bytes as text: UTF-8 if they are, else one character for each byte."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def fold(text: str) -> str:
    """Text in which case makes no difference any more, and which is text: half a character becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _HALF_CHARACTER.sub("\ufffd", text)
    return text.casefold()


def unescape_markup(text: str) -> str:
    """Text with the character references of XML and HTML resolved, whatever number they name."""
    return html.unescape(_LONG_NUMBER.sub(r"\1", text) if "&#" in text else text)


def words(folded: str) -> list[str]:
    """The words of a text, in their order."""
    return _WORD.findall(folded)


def wire_text(text: str) -> str:
    """What a text is on the wire: one character for each byte."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def lies_under(path: str, prefix: str) -> bool:
    """Whether a path is the prefix or lies below it, both cut at whole segments."""
    segments = prefix.rstrip("/")
    return path == segments or path.startswith(f"{segments}/")


def _has_header(capture: Capture, name: str, value: str | None) -> bool:
    present = capture.header(name)
    return bool(present) if value is None else wire_text(value) in present


def _finds(text: str, folded: str, *, whole: bool) -> bool:
    wanted = fold(text)
    starts_word, ends_word = _is_in_word(wanted[:1]), whole and _is_in_word(wanted[-1:])
    place = folded.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        cut_before = starts_word and place > 0 and _is_in_word(folded[place - 1])
        if not cut_before and not (ends_word and _is_in_word(folded[end : end + 1])):
            return True
        place = folded.find(wanted, place + 1)
    return False


def _plain_body(capture: Capture) -> bytes:
    """The body without its codings, as far as they can be taken off and are searched."""
    codings = capture.header("Content-Encoding")
    return decode_body(capture.body, codings, max_bytes=MAX_SEARCHED_BYTES + 1).data if codings else capture.body


def _beginning(body: bytes) -> bytes:
    """What of a body is searched: cut between characters, if it is cut."""
    if len(body) <= MAX_SEARCHED_BYTES:
        return body
    end = MAX_SEARCHED_BYTES
    while end > MAX_SEARCHED_BYTES - 3 and body[end] & 0xC0 == 0x80:
        end -= 1
    return body[:end]


def _is_in_word(character: str) -> bool:
    return character.isalnum() if character.isascii() else True


def _target_readings(target: str) -> Iterator[str]:
    yield readable(target.encode("latin-1", "replace"))
    if "%" in target or "+" in target:
        yield readable(unquote_plus(target, encoding="latin-1").encode("latin-1", "replace"))


def _body_readings(body: str) -> Iterator[str]:
    yield body
    if "\\" in body:
        yield _JSON_ESCAPE.sub(_json_characters, body)
    if "&" in body and ";" in body:
        yield unescape_markup(body)
    if "=" in body and ("%" in body or "+" in body) and not body.lstrip().startswith(("{", "[", "<")):
        yield unquote_plus(body)


def _json_characters(escape: re.Match[str]) -> str:
    text = escape[0]
    if text[1] != "u":
        return _JSON_CHARACTERS.get(text[1], text[1])
    # Two halves of a character beyond the first plane come together here; a half alone is no text.
    units = bytes.fromhex(text.replace("\\u", ""))
    return units.decode("utf-16-be", "replace")
