"""A URL or a form body as its pairs, and the letters a query cannot hold as they are."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from postback_conformance.lint import kinds
from postback_conformance.lint.fields import Field, Outline
from postback_conformance.lint.finding import Finding
from postback_conformance.lint.flat import JOIN, JOIN_END, MARKS, TOKEN, FlatText
from postback_conformance.lint.query_joins import join_findings
from postback_conformance.redaction import SHOWN

# RFC 3986 §3.4, with the square brackets that many write as they are; a URL may have a fragment, too.
_RAW = re.compile(rf"[^!$-;=?-\[\]_a-z~{MARKS}]+")
_RAW_IN_URL = re.compile(rf"[^!#-;=?-\[\]_a-z~{MARKS}]+")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PAIR = re.compile(r"[^&]+")
# Scheme, user and host: what stands there is not for this module to judge.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter as it is written; `value` has marks where tokens and variables stand."""

    name: str
    value: str
    place: int
    beyond: int


class QueryOutline(Outline, frozen=True):
    """The outline of a query, with its pairs as they are written."""

    pairs: tuple[Pair, ...]


def form_outline(flat: FlatText) -> QueryOutline:
    """Return what can be read of a form body."""
    beyond = len(flat.text)
    return _outline(flat, 0, beyond, [*_letters(flat, 0, _RAW), *join_findings(flat, range(beyond), -1, _RAW)])


def url_outline(flat: FlatText) -> QueryOutline:
    """Return what can be read of a URL; its pairs are those between `?` and `#`."""
    text = flat.text
    authority = _AUTHORITY.match(text)
    begun = authority.end() if authority else 0
    host = text.rfind("@", 0, begun) + 1
    beyond = text.find("#", begun) if "#" in text[begun:] else len(text)
    question = text.find("?", begun, beyond)
    findings = [*_letters(flat, begun, _RAW_IN_URL)]
    place = next((place for place in range(host, begun) if text[place] in TOKEN + JOIN), -1)
    if place >= 0:
        findings.append(
            flat.finding(
                kinds.IN_AUTHORITY,
                place,
                message=f"{flat.shown(place, place + 1)} stands in the host or port of the URL",
                advice="write the host and port out, or take them from the environment: ${HOST}",
            )
        )
    place = text.find(TOKEN, beyond)
    if place >= 0:
        findings.append(
            flat.finding(
                kinds.IN_FRAGMENT,
                place,
                message=f"{{{flat.tokens[place].name}}} stands behind the # of the URL",
                advice="write %23 for a # that is text, or move the token before it",
            )
        )
    findings += join_findings(flat, range(begun, beyond), question if question >= 0 else beyond, _RAW_IN_URL)
    outline = _outline(flat, question + 1 if question >= 0 else beyond, beyond, findings)
    path = tuple(flat.tokens_in(begun, question if question >= 0 else beyond))
    if not path:
        return outline
    return msgspec.structs.replace(outline, fields=(Field(name="", place=begun, tokens=path), *outline.fields))


def _outline(flat: FlatText, first: int, beyond: int, findings: list[Finding]) -> QueryOutline:
    pairs: list[Pair] = []
    fields: list[Field] = []
    seen: dict[str, int] = {}
    for found in _PAIR.finditer(flat.text, first, beyond):
        name, _, value = found[0].partition("=")
        name = name.strip().strip(JOIN + JOIN_END)
        pair = Pair(name=name, value=value, place=found.start(), beyond=found.end())
        pairs.append(pair)
        if tokens := tuple(flat.tokens_in(found.start(), found.end())):
            fields.append(Field(name=name, place=pair.place, tokens=tokens))
        if TOKEN in name:
            findings.append(_token_as_name(flat, pair))
        elif name in seen and not name.endswith("[]"):
            findings.append(
                flat.finding(
                    kinds.DUPLICATE_PARAMETER,
                    pair.place,
                    message=f"the parameter {name} is there a second time",
                    advice="give each parameter once; rename or remove one of the two",
                )
            )
        seen[name] = pair.place
    return QueryOutline(tuple(fields), tuple(findings), tuple(pairs))


def _token_as_name(flat: FlatText, pair: Pair) -> Finding:
    token = next(flat.tokens_in(pair.place, pair.beyond))
    return flat.finding(
        kinds.TOKEN_AS_NAME,
        pair.place,
        message=f"{{{token.name}}} stands where a parameter's name belongs",
        advice=f"write a name of your own before it, such as {token.name.rpartition('.')[2].lower()}={{{token.name}}}",
    )


def _letters(flat: FlatText, begun: int, raw: re.Pattern[str]) -> Iterator[Finding]:
    """Find the letters from a place on that a query cannot hold; one finding for each run of them."""
    for found in raw.finditer(flat.text, begun):
        stretches = _without(flat.judged, found.start(), found.end())
        for first, beyond in stretches:
            letters = flat.text[first:beyond]
            replacement = "" if _is_layout(flat.text, first, beyond) else quote(letters, safe="", errors="replace")
            advice = f"write {replacement}" if replacement else "remove it"
            is_secret = flat.is_secret(first, beyond)
            # Editors write one at the end of every file.
            ends = not replacement and beyond == len(flat.text) and letters.endswith("\n")
            why = "becomes the end of the last value" if ends else "cannot stand in a query as it is"
            yield flat.finding(
                kinds.RAW_CHARACTER,
                first,
                message=f"{SHOWN if is_secret else repr(letters[:20])} {why}",
                advice="percent-encode it" if is_secret else advice,
                edits=[flat.edit(first, beyond, replacement)],
            )
    for found in _BAD_PERCENT.finditer(flat.text, begun):
        if found.start() in flat.judged:
            continue
        yield flat.finding(
            kinds.BAD_PERCENT,
            found.start(),
            message="a % that no two hex digits follow",
            advice="write %25 for a percent sign that is text",
            edits=[flat.edit(found.start(), found.end(), "%25")],
        )


def _without(judged: set[int], first: int, beyond: int) -> Iterator[tuple[int, int]]:
    """Cut a stretch at the letters that have a finding of their own."""
    for place in [place for place in range(first, beyond) if place in judged]:
        if first < place:
            yield first, place
        first = place + 1
    if first < beyond:
        yield first, beyond


def _is_layout(text: str, first: int, beyond: int) -> bool:
    """Tell white space that lays a query out, between two pairs or at an end, from such that belongs to a value."""
    at_an_edge = first == 0 or beyond == len(text) or text[first - 1] in "&?" or text[beyond] == "&"
    return at_an_edge and not text[first:beyond].strip()
