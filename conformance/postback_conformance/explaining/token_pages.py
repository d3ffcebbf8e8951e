"""The token catalogue laid out for reading: what stands on a page about tokens, and that page as Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec
from msgspec.structs import replace

from postback_conformance.printable import printable
from postback_sender.tokens import Catalogue, Certainty, Token

# How many rows that differ by their number alone are folded into one.
_MANY = 3
_NUMBERED = re.compile(r"(.*?)([0-9]+)")
_MARKDOWN_MARKS = re.compile(r"([\\`*_\[\]<>&|])")

CERTAINTIES: dict[Certainty, str] = {
    "official": "impact.com lists it for postbacks",
    "inferred": "impact.com's API has a field of that name",
    "third-party": "only a stranger says so",
    "own": "your settings declare it",
}
HOW_FIELDS = "Written in a join over the items, after its variable:"
FIELDS_EXAMPLE = '{join(items, i, "…{i.sku}…")}'
NO_TOKENS = (
    "No source names a token of it. Declare those your account offers, each in a table such as [tokens.Name] "
    "of the notification."
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One token, or a run of numbered ones: then `last` is the name of the last, and N stands for the number."""

    token: Token
    last: str = ""

    @property
    def form(self) -> str:
        """What its text looks like, beyond its type: a sentence, or nothing."""
        values = f"One of {', '.join(self.token.values)}." if self.token.values else ""
        form = f"Format: {self.token.format}." if self.token.format else ""
        return " ".join(part for part in (values, form) if part)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that one source stands for, all of them tokens or all of them item fields."""

    title: str
    rows: tuple[Row, ...]
    of_items: bool = False


def fitting(tokens: Iterable[Token], search: str) -> tuple[Token, ...]:
    """Return the tokens whose name or meaning holds this text, upper and lower case being the same."""
    wanted = search.casefold()
    return tuple(token for token in tokens if wanted in token.name.casefold() or wanted in token.meaning.casefold())


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say about one kind; where it has what a section before has, `note` says so instead of groups."""

    kind: str
    meaning: str
    note: str
    groups: tuple[Group, ...]


def sections(catalogue: Catalogue, kinds: Sequence[str], *, search: str = "") -> list[Section]:
    """Return a section for each of these kinds, in their order; when searching, for those that have a fitting token."""
    told: dict[str, tuple[Token, ...]] = {}
    found: list[Section] = []
    for kind in kinds:
        tokens = fitting((*catalogue.tokens(kind), *catalogue.item_fields(kind)), search)
        if search and not tokens:
            continue
        same = next((before for before, theirs in told.items() if tokens and set(tokens) <= set(theirs)), None)
        left_out = [token.name for token in told[same] if token not in tokens] if same else []
        if same:
            note = f"Its tokens are those of {same}" + (f", without {', '.join(left_out)}." if left_out else ".")
        else:
            note = "" if tokens else NO_TOKENS
        told[kind] = tokens
        groups = () if same else tuple(_groups(tokens))
        found.append(Section(kind=kind, meaning=catalogue.kinds[kind].meaning, note=note, groups=groups))
    return found


def _groups(tokens: Iterable[Token]) -> Iterator[Group]:
    for (of_items, certainty, source), group in groupby(tokens, _provenance):
        lead = f"Item fields, {certainty}" if of_items else certainty.capitalize()
        yield Group(title=f"{lead}: {source}", rows=tuple(_rows(group)), of_items=of_items)


def _provenance(token: Token) -> tuple[bool, Certainty, str]:
    return token.of_items, token.certainty, token.source


def _rows(tokens: Iterable[Token]) -> Iterator[Row]:
    for folded, group in groupby(tokens, _without_number):
        run = list(group)
        if len(run) < _MANY:
            yield from (Row(token=token) for token in run)
        else:
            yield Row(token=replace(folded, name=run[0].name), last=run[-1].name)


def _without_number(token: Token) -> Token:
    numbered = _NUMBERED.fullmatch(token.name)
    if numbered is None:
        return token
    return replace(token, name=numbered[1], meaning=token.meaning.replace(numbered[2], "N"))


def markdown_page(shown: Iterable[Section]) -> str:
    """Return the sections as one page of Markdown, with what to do where they end."""
    certainties = "\n".join(f"- *{certainty}*: {meaning}." for certainty, meaning in CERTAINTIES.items())
    parts = [f"{_INTRODUCTION}\n\n{certainties}"]
    for section in shown:
        parts.append(f"## `{section.kind}`")
        parts += [_text(words) for words in (section.meaning, section.note) if words]
        for group in section.groups:
            how = [f"{HOW_FIELDS} `{FIELDS_EXAMPLE}`."] if group.of_items else []
            parts += [_text(group.title), *how, _table(group.rows)]
    return "\n\n".join((*parts, _OF_YOUR_OWN)) + "\n"


def _table(rows: Iterable[Row]) -> str:
    lines = ["| token | type | meaning | example | may be empty |", "|---|---|---|---|---|"]
    for row in rows:
        token = row.token
        name = _code(token.name) + (f" … {_code(row.last)}" if row.last else "")
        values = f"One of {', '.join(map(_code, token.values))}." if token.values else ""
        form = f"Format: {_text(token.format)}." if token.format else ""
        meaning = " ".join(part for part in (_text(token.meaning), values, form) if part)
        example = _code(token.example) if token.example else ""
        lines.append(f"| {name} | {token.type} | {meaning} | {example} | {'yes' if token.may_be_empty else 'no'} |")
    return "\n".join(lines)


def _text(words: str) -> str:
    return _MARKDOWN_MARKS.sub(r"\\\1", printable(words))


def _code(text: str) -> str:
    shown = printable(text).replace("|", r"\|")
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"{fence}{shown}{fence}"


_INTRODUCTION = """\
# Tokens

What a template may write between braces, by kind of event. `postback tokens` prints this page; `--event KIND` shows one
kind, `--notification FILE.toml` the kind that a notification reports with the tokens it declares, `--search TEXT` the
tokens with that text in name or meaning, and `--format json` the same for programs. Names are written in exactly these
letters. An absent value is empty on the wire.

How sure we are that a token exists:"""

_OF_YOUR_OWN = """\
## Tokens and kinds of your own

Accounts have tokens, and maybe kinds of event, that no public list names. Declare them in the notification; templates,
lint, examples and generated events then know them like any other.

```toml
event = "points_credited"
url = "http://127.0.0.1:8080/postback?action={ActionId}&tier={Tier}&note={Text1}"

[kinds.points_credited]
like = "action_lifecycle"
meaning = "Points were credited for an action."

[tokens.Tier]
type = "enum"
values = ["SILVER", "GOLD"]
meaning = "How good a customer it is."
may_be_empty = false

[tokens.color]
of_items = true
example = "red"
```

A table `[tokens.NAME]` may hold:

| key | meaning | without it |
|---|---|---|
| `type` | `text`, `id`, `money`, `number`, `currency`, `datetime`, `enum` or `url`; `list` for `items` only | `text` |
| `format` | what its text looks like, in words | nothing |
| `values` | the members of an enum | any text |
| `meaning` | what it says | nothing |
| `example` | a text that it may stand for; examples and generated events use it | the first of `values`, or nothing |
| `may_be_empty` | whether it may come without a text; one that may not needs an example or values | `true` |
| `of_items` | whether it is a field of the items, written as `{i.NAME}` in a join over them | `false` |

- The name is made of ASCII letters, digits and underscores, as in a template. It is a token or an item field, not both.
- A token of yours takes the place of the documented one that has its name, for this notification only.
- Generated events draw its value from `values`, else by its `type`; all events of one action have the same.

A table `[kinds.NAME]` may say in `meaning` when it happens, and in `like` which documented kind it resembles: it then
has the tokens and item fields of that kind, and its generated events are made like those. Without `like` it has the
tokens you declare, and generated events are single ones. Events belong together by their `ActionId`, or by their `Id`
where that is missing, whatever their kind; those without either stand alone.

## Fields picked with check boxes

For Action Inquiry, brands pick query parameters with check boxes instead of writing a URL template (official). That the
parameters are called like the tokens is inferred. List them in the order in which they are sent:

```toml
event = "action_inquiry"
url = "http://127.0.0.1:8080/inquiries?token=${TOKEN}"
query_fields = ["Id", "ActionId", "ResolutionStatus"]
```

The URL then holds no tokens of its own. What is added to it here is
`&Id={Id}&ActionId={ActionId}&ResolutionStatus={ResolutionStatus}`."""
