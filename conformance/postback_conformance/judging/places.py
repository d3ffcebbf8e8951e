"""Where in a request a finding is, in words that stay the same from one run to the next."""

import re

from postback_conformance.judging.verdict import Where

_QUOTED = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*")(?!\w)""")
_MOST_LETTERS = 400
_INDEX = re.compile(r"/\d+(?=/|$)")


def place_of(where: Where) -> str:
    """Return the token, header, parameter or JSON pointer a finding is about; empty when it is about none.

    Bytes are no place: they move with every value before them. Items of a list count as one: `/items/*/sku`.
    """
    if where.token is not None:
        return f"{{{where.token}}}"
    if where.header is not None:
        return f"header {where.header}"
    if where.parameter is not None:
        return f"parameter {where.parameter}"
    return "" if where.pointer is None else _INDEX.sub("/*", where.pointer)


def wording_of(message: str) -> str:
    """Return a message without what differs from one capture to the next: quoted values, and words with a digit."""
    words = _QUOTED.sub("*", message[:_MOST_LETTERS]).split()
    return " ".join("*" if any(map(str.isdigit, word)) else word for word in words)
