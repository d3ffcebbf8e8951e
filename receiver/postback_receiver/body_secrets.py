"""Where in a body secrets stand: the values of fields, keys, elements and attributes that are named like one.

So are the parameters of URLs, and a password in one. Bodies are looked through as they are, well-formed or not, whole
or cut: a body that no parser takes holds its secrets all the same. Compression has to be taken off before. What stands
in JSON within JSON is not found.
"""

import binascii
import json
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

from postback_receiver.capture_query import unescape_markup
from postback_receiver.secret_names import SECRET_WORDS, is_secret_header, is_secret_parameter

BodyKind: TypeAlias = Literal["form", "json", "xml", "multipart", "raw", "other"]

_FORM = "application/x-www-form-urlencoded"
# A form without a Content-Type of its own, or with one that says nothing.
_FORM_START = re.compile(rb"[^=&\s<>{}\[\]\"]{1,200}+=")
_FORM_FIELD = re.compile(rb"(?:^|(?<=&))(?P<name>[^=&]*+)=(?P<value>[^&]++)")
# A name is no longer than this, so that a body of nothing but quotes is not read once for each of them.
_JSON_KEY = re.compile(rb'"(?P<name>(?:[^"\\]|\\.){1,200}+)"\s*+:\s*+', re.DOTALL)
_JSON_TOKEN = re.compile(
    rb'(?P<string>"(?P<text>(?:[^"\\]|\\.)*+\\?+)"?)|(?P<mark>[{}\[\],:])|(?P<bare>[^\s{}\[\],:"]++)', re.DOTALL
)
_JSON_WORDS = frozenset({b"true", b"false", b"null"})
_SECRET_WORDS = tuple(word.encode() for word in SECRET_WORDS)
_XML_NAME = rb"[^\s<>/=\"'!?]{1,200}+"
_XML_ELEMENT = re.compile(rb"<(?P<name>" + _XML_NAME + rb")(?:\s[^<>]*+)?(?<!/)>")
_XML_ATTRIBUTE = re.compile(rb"\s(?P<name>" + _XML_NAME + rb")\s*+=\s*+(?:\"(?P<double>[^\"<]++)|'(?P<single>[^'<]++))")
_XML_TEXT = re.compile(
    rb"<!\[CDATA\[(?P<cdata>(?:(?!\]\]>).)*+)(?:\]\]>)?|<[^>]*+>?|\s++|(?P<text>[^<\s](?:[^<]*[^<\s])?)", re.DOTALL
)
# What is no HTTP is read as generously as any server might: a line may end in a bare CR, a name may have blanks around
# it or no colon behind it, a value may go on in lines that begin with a blank.
_RAW_LINE = rb"(?:\A|(?<=[\r\n]))"
_RAW_NAME = re.compile(
    _RAW_LINE + rb"[ \t]*+(?:(?P<name>[^\r\n:/?=&\"{]{1,200}+):|(?P<word>[^\s:/?=&\"{]{1,200}+)[ \t])"
)
_RAW_VALUE = re.compile(rb"(?:[ \t]|(?:\r\n|\r|\n)[ \t])*+(?P<value>[^\r\n]*+(?:(?:\r\n|\r|\n)[ \t]++[^\r\n]*+)*+)")
# A value may have blanks in it. What looks like the end of a request line is none of it.
_RAW_FIELD = re.compile(
    rb"(?:" + _RAW_LINE + rb"(?P<first>[^=&#\s]{1,200}+)|[?&](?P<name>[^=&\r\n]{1,200}+))"
    rb"=(?P<value>[^&\r\n]+?)(?=[&\r\n]|\Z| HTTP/[0-9.]{1,8}(?:[\r\n]|\Z))"
)
# JSON may write the slashes and ampersands of a URL with a backslash; where a CDATA section ends, so does a URL. One
# within another is encoded once more.
_URL = re.compile(
    rb"https?(?::|%3[Aa])(?:\\?/|%2[Ff]){2}(?:(?P<password>[^/?#@:\s\"'<>\\]*+:[^/?#@\s\"'<>\\]++)@)?"
    rb"(?:[^\s\"'<>\\\]]|\](?!\]>)|\\/|\\u0026)*+"
)
_WITHIN_ANOTHER = re.compile(rb"(?i)%(?:3f|26)(?P<name>[^=&#%\\]{1,64}+)%3d(?P<value>(?:(?!%2[63])[^&#\\])++)")
_URL_PARAMETERS = (
    re.compile(rb"(?:[?&]|\\u0026)(?P<name>[^=&?#\\]{1,64}+)=(?P<value>(?:[^&#\\]|\\/)++)"),
    _WITHIN_ANOTHER,
)
# Of a body in parts (RFC 2046 §5.1, RFC 7578 §4.2): what names the boundary, the heads of parts, the names of fields.
_BOUNDARY = re.compile(r"""(?i);\s*+boundary\s*+=\s*+(?:"(?P<quoted>[^"]{1,200}+)"|(?P<bare>[^\s;"]{1,200}+))""")
_FIRST_DELIMITER = re.compile(rb"(?:\A|\n)--(?P<boundary>[^\r\n]{1,200}?)[ \t]*+\r?(?=\n)")
_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_PART_HEADER = re.compile(
    rb"(?im)^(?P<name>content-[a-z-]{1,40}+)[ \t]*+:(?P<value>[^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+)"
)
_PART_NAME = re.compile(
    rb"(?is)[;\s]name(?:\s*+=\s*+(?:\"(?P<quoted>(?:[^\"\\]|\\.)*+)|(?P<bare>[^;\s\"]++))"
    rb"|\*\s*+=\s*+[^';\s]*+'[^';\s]*+'(?P<extended>[^;\s]++))"
)
_PLAIN_CODINGS = frozenset({"", "7bit", "8bit", "binary", "identity"})
_DEEPEST_PART = 3


class BodySecret(NamedTuple):
    """A secret: where it stands (first byte, beyond the last), what it says, and whether it needs quotes around it."""

    first: int
    beyond: int
    value: bytes
    is_bare: bool = False


def body_kind(body: bytes, content_types: Iterable[str]) -> BodyKind:
    """Return what a body is by its Content-Type, and where that does not tell by how it begins."""
    said = [value.partition(";")[0].strip().lower() for value in content_types]
    if _FORM in said:
        return "form"
    if any(value.startswith("multipart/") for value in said):
        return "multipart"
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if any("json" in value for value in said) or start in (b"{", b"["):
        return "json"
    if any("xml" in value for value in said) or start == b"<":
        return "xml"
    if all(value in ("", "text/plain") for value in said) and _FORM_START.match(body):
        return "form"
    return "other"


def boundary_of(content_types: Iterable[str]) -> bytes:
    """Return what a Content-Type says stands between the parts of a body; empty when it does not say."""
    found = next((found for value in content_types if (found := _BOUNDARY.search(value))), None)
    return (found["quoted"] or found["bare"]).encode("utf-8", "replace") if found else b""


def body_secrets(body: bytes, kind: BodyKind, boundary: bytes = b"") -> Iterator[BodySecret]:
    """Yield the secrets of a body in reading order, without overlaps; `raw` is a request that was no HTTP.

    `boundary` is what stands between the parts of a `multipart` body; without it, what its first line says.
    """
    match kind:
        case "form":
            yield from _apart((*_in_form(body), *_in_urls(body)))
        case "json":
            yield from _apart((*_in_json(body), *_in_urls(body)))
        case "xml":
            yield from _apart((*_in_xml(body), *_in_urls(body)))
        case "raw":
            yield from _apart((*_in_raw(body), *_in_json(body), *_in_xml(body), *_in_urls(body)))
        case "multipart":
            yield from _apart(_in_parts(body, boundary, 1))
        case "other":
            yield from _apart(_in_urls(body))


def form_text(data: bytes | str) -> bytes:
    """Return what a value in a form or a query says."""
    return unquote_to_bytes(data.replace(b"+", b" ") if isinstance(data, bytes) else data.replace("+", " "))


def _in_form(body: bytes) -> Iterator[BodySecret]:
    for field in _FORM_FIELD.finditer(body):
        if _is_secret(unquote(field["name"].decode("latin-1"))):
            yield BodySecret(*field.span("value"), form_text(field["value"]))


def _in_json(body: bytes) -> Iterator[BodySecret]:
    if not _may_name_a_secret(body):
        return
    position = 0
    while key := _JSON_KEY.search(body, position):
        # The closing quote of a text may pass for the opening one of a key; so the next search begins right behind.
        position = key.start() + 1
        if _is_secret(_json_text(key["name"])):
            secrets, position = _in_json_value(body, key.end())
            yield from secrets


def _may_name_a_secret(body: bytes) -> bool:
    # Most bodies do not, and telling that is cheap. Escapes and letters beyond ASCII may spell any word.
    lower = body.lower()
    return not body.isascii() or b"\\" in body or any(word in lower for word in _SECRET_WORDS)


def _in_json_value(body: bytes, position: int) -> tuple[list[BodySecret], int]:
    """Return the texts and numbers of the value at a place, all of them when it is an array or an object, and its end.

    What is never closed goes on to the end of the body.
    """
    secrets: list[BodySecret] = []
    depth, end = 0, position
    waiting: re.Match[bytes] | None = None
    for token in _JSON_TOKEN.finditer(body, position):
        mark = token["mark"]
        # A text before a colon was a key.
        if waiting and mark != b":":
            secrets += _json_secret(waiting)
        waiting = token if mark is None else None
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(mark, 0) if mark else 0
        if depth < 0 or (depth == 0 and mark == b","):
            break
        end = token.end()
        if depth == 0:
            break
    if waiting:
        secrets += _json_secret(waiting)
    return secrets, end


def _json_secret(token: re.Match[bytes]) -> Iterator[BodySecret]:
    if token["bare"] is not None:
        if token["bare"] not in _JSON_WORDS:
            yield BodySecret(*token.span("bare"), token["bare"], is_bare=True)
    elif token["text"]:
        yield BodySecret(*token.span("text"), _json_text(token["text"]).encode("utf-8", "surrogatepass"))


def _json_text(written: bytes) -> str:
    text = written.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _in_xml(body: bytes) -> Iterator[BodySecret]:
    for attribute in _XML_ATTRIBUTE.finditer(body):
        if _is_secret(_local_name(attribute["name"])):
            group = "double" if attribute["double"] else "single"
            yield BodySecret(*attribute.span(group), _xml_text(attribute[group]))
    position = 0
    while element := _XML_ELEMENT.search(body, position):
        position = element.end()
        if not _is_secret(_local_name(element["name"])):
            continue
        end = body.find(b"</" + element["name"], position)
        end = len(body) if end < 0 else end
        for piece in _XML_TEXT.finditer(body, position, end):
            if piece["cdata"]:
                yield BodySecret(*piece.span("cdata"), piece["cdata"])
            elif piece["text"]:
                yield BodySecret(*piece.span("text"), _xml_text(piece["text"]))
        position = end


def _local_name(name: bytes) -> str:
    return name.rpartition(b":")[2].decode("utf-8", "replace")


def _xml_text(written: bytes) -> bytes:
    return unescape_markup(written.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _in_urls(body: bytes) -> Iterator[BodySecret]:
    for url in _URL.finditer(body):
        if url["password"]:
            yield BodySecret(*url.span("password"), form_text(url["password"]))
        for parameter in _URL_PARAMETERS:
            for found in parameter.finditer(body, *url.span()):
                if _is_secret(unquote(found["name"].decode("latin-1"))):
                    value = found["value"].replace(b"\\/", b"/")
                    written = unquote_to_bytes(value) if parameter is _WITHIN_ANOTHER else value
                    yield BodySecret(*found.span("value"), form_text(written))


def _in_raw(data: bytes) -> Iterator[BodySecret]:
    beyond = 0
    for header in _RAW_NAME.finditer(data):
        # Within the value of another it is hidden already, and would be looked through a second time.
        if header.start() < beyond or not is_secret_header((header["name"] or header["word"]).decode("latin-1")):
            continue
        value = _RAW_VALUE.match(data, header.end())
        if value and value["value"]:
            beyond = value.end()
            yield BodySecret(*value.span("value"), value["value"])
    for field in _RAW_FIELD.finditer(data):
        if _is_secret(unquote((field["name"] or field["first"]).decode("latin-1"))):
            yield BodySecret(*field.span("value"), form_text(field["value"]))


def _in_parts(body: bytes, boundary: bytes, depth: int) -> Iterator[BodySecret]:
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*+(?:\r?\n|\Z)")
    if not boundary or not delimiter.search(body):
        found = _FIRST_DELIMITER.search(body)
        if found is None:
            # In parts by its own account only.
            yield from body_secrets(body, "raw")
            return
        delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(found["boundary"]) + rb"(?:--)?[ \t]*+(?:\r?\n|\Z)")
    first = 0
    for found in (*delimiter.finditer(body), None):
        beyond = found.start() if found else len(body)
        for secret in _in_part(body[first:beyond], depth):
            yield secret._replace(first=first + secret.first, beyond=first + secret.beyond)
        first = found.end() if found else beyond


def _in_part(part: bytes, depth: int) -> Iterator[BodySecret]:
    blank = _BLANK_LINE.search(part)
    if blank is None:
        yield from body_secrets(part, "raw")
        return
    head, start = part[: blank.end()], blank.end()
    yield from _in_raw(head)
    if start == len(part):
        return
    content = part[start:]
    said = {
        header["name"].decode("latin-1").lower(): header["value"].decode("latin-1").strip()
        for header in _PART_HEADER.finditer(head)
    }
    coding = said.get("content-transfer-encoding", "").lower()
    name = _PART_NAME.search(said.get("content-disposition", "").encode("latin-1"))
    if name and _is_secret(_part_name(name)):
        yield BodySecret(start, len(part), _from_base64(content) if coding == "base64" else content)
        return
    types = [said["content-type"]] if "content-type" in said else []
    kind = body_kind(content, types)
    is_opaque = coding not in _PLAIN_CODINGS or said.get("content-encoding", "").lower() not in _PLAIN_CODINGS
    if is_opaque or (kind == "multipart" and depth == _DEEPEST_PART):
        # Nobody looks into it here, so nobody is to see it.
        yield BodySecret(start, len(part), content)
        return
    boundary = boundary_of(types)
    inner = _in_parts(content, boundary, depth + 1) if kind == "multipart" else body_secrets(content, kind)
    for secret in inner:
        yield secret._replace(first=start + secret.first, beyond=start + secret.beyond)


def _part_name(found: re.Match[bytes]) -> str:
    if found["extended"]:
        return unquote(found["extended"].decode("latin-1"))
    written = found["quoted"] or found["bare"] or b""
    # Browsers write a quote as %22, others with a backslash.
    return unquote(written.decode("utf-8", "replace").replace("\\", ""))


def _from_base64(written: bytes) -> bytes:
    try:
        return binascii.a2b_base64(written)
    except ValueError:
        return written


def _apart(secrets: Iterable[BodySecret]) -> Iterator[BodySecret]:
    """Yield secrets in reading order; of two that overlap, one that covers both."""
    covering: BodySecret | None = None
    for secret in sorted(secrets):
        if covering and secret.first < covering.beyond:
            if secret.beyond > covering.beyond:
                covering = covering._replace(beyond=secret.beyond)
            continue
        if covering:
            yield covering
        covering = secret
    if covering:
        yield covering


def _is_secret(name: str) -> bool:
    return is_secret_parameter(name.strip())
