"""What we know about one token and one kind of event, and the closed sets that describe them."""

from typing import Literal, get_args

import msgspec

EventKind = Literal[
    "action_lifecycle",
    "action_clearing",
    "action_inquiry",
    "tracking_value_request",
    "job_completion",
    "product_data_change",
]
TokenType = Literal["id", "text", "money", "number", "currency", "datetime", "enum", "url", "list"]
# How sure we are that the token exists: impact.com lists it for postbacks; its API has a field of that name; only a
# stranger says so; or the settings of a notification declare it.
Certainty = Literal["official", "inferred", "third-party", "own"]

# Formats that many rows share, or that generators recognise.
DIGITS = "digits"
UUID_FORMAT = "UUID"
COUNTRY_FORMAT = "ISO 3166-1 alpha-2"
CLICK_ID_FORMAT = "39 characters in every sample: letters, digits, colon and hyphen"
MONEY_FORMAT = "decimal with a dot and two decimals, no thousands separator, no currency sign"
DATE_FORMAT = "ISO 8601, whole seconds, numeric offset with a colon, never Z; in the program's time zone"

EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of event: what must happen before a notification of it goes out.

    `like` is the documented kind whose tokens it has: itself for a documented one, None for one unlike all of them.
    """

    name: str
    like: EventKind | None
    meaning: str = ""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One name a template may write in braces, with everything known about the text that replaces it.

    An item field (`of_items`) has its bare name here; a template writes it after the join variable, as in `{i.sku}`.
    `values` lists the members of a closed enum and is empty for every other type, open enums included.
    `may_be_empty` is False only where the sources show that the text is always there.
    """

    name: str
    kinds: frozenset[str]
    of_items: bool = False
    type: TokenType
    format: str = ""
    values: tuple[str, ...] = ()
    meaning: str
    example: str = ""
    may_be_empty: bool = True
    source: str
    certainty: Certainty
