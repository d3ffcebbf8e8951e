"""What stands between the lines of a join in a URL or form body: letters that end a value there, or the request."""

import re
from collections.abc import Iterator
from urllib.parse import quote

from postback_conformance.lint import kinds
from postback_conformance.lint.finding import Finding
from postback_conformance.lint.flat import JOIN, JOIN_END, FlatText
from postback_sender.template.nodes import separator_of

_PERCENT = r"%(?![0-9A-Fa-f]{2})"
# After an & there has to come a parameter: the end of the separator and the beginning of the repeated text.
_PARAMETER = re.compile(r"&\s*[^&=#]+=")
_AFTER_AND = re.compile(r"(?<=&)\s+|\s+(?=&)")


def join_findings(flat: FlatText, stretch: range, question: int, raw: re.Pattern[str]) -> Iterator[Finding]:
    """Find separators that a query cannot hold, or that cut a value; `question` is where the query begins.

    `raw` are the letters that cannot stand there, besides the `#`, and a `%` that no hex digits follow.
    """
    wrong = re.compile(rf"{raw.pattern}|#|{_PERCENT}")
    for place, join in flat.joins.items():
        if flat.text[place] != JOIN or place not in stretch:
            continue
        separator = separator_of(join, flat.template.options)
        end = flat.text.find(JOIN_END, place)
        follows = separator[separator.rfind("&") :] + flat.text[place + 1 : end]
        cuts = "&" in separator and question < place and not _PARAMETER.match(follows)
        if not cuts and not wrong.search(separator):
            continue
        encoded = wrong.sub(_encoded, _AFTER_AND.sub("", separator))
        is_secret = flat.is_secret(place, end + 1)
        shown = "what stands between two lines" if is_secret else f"{separator[:20]!r} between two lines"
        yield flat.finding(
            kinds.QUERY_SEPARATOR,
            place,
            message=f"{shown} {'begins another parameter' if cuts else 'cannot stand in a query as it is'}",
            advice='write "%26" for an & that is text, or begin the repeated text with a name and ='
            if cuts
            else f"name {'it percent-encoded' if is_secret else repr(encoded[:60])} as the separator",
            edits=[] if cuts else [flat.edit(end, end + 1, f'", "{encoded}")}}')],
        )


def _encoded(found: re.Match[str]) -> str:
    return quote(found[0], safe="", errors="replace")
