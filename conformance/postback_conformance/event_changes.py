"""Changes to the values of an event, as `--set` and `--unset` ask for them.

A token goes by its name, `Payout`; a field of the line items by `items.` and its name, `items.sku`, and is changed in
every item; `items` alone is the list, which can be emptied.
"""

from collections.abc import Iterable, Mapping

import msgspec

from postback_conformance.errors import ConformanceError
from postback_sender import Event, Notification
from postback_sender.template.compiler import ITEMS
from postback_sender.template.nodes import Join, TokenNode

_OF_ITEMS = f"{ITEMS}."


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of values: a new text, or None where the value goes; by token, and by field of every item."""

    tokens: Mapping[str, str | None]
    fields: Mapping[str, str | None]
    without_items: bool

    def applied(self, event: Event) -> Event:
        """Return the event with the changes made."""
        items = () if self.without_items else tuple(_changed(item, self.fields) for item in event.items)
        return msgspec.structs.replace(event, values=_changed(event.values, self.tokens), items=items)


def read_changes(set_: Iterable[str], unset: Iterable[str], notification: Notification) -> Changes:
    """Return the changes of flags such as `Payout=12.50` and `items.sku`.

    Raises `ConformanceError` for a name that neither the catalogue nor a template of the notification has, and for one
    that is both set and unset.
    """
    wanted: dict[str, str | None] = {}
    for text in set_:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConformanceError(f"--set: expected TOKEN=VALUE such as Payout=12.50, got {text!r}")
        if name == ITEMS:
            raise ConformanceError(f"--set: {ITEMS} is a list; set a field of every item, such as {ITEMS}.sku=A-1")
        _check(name, "--set", notification)
        wanted[name] = value
    for name in unset:
        if wanted.get(name) is not None:
            raise ConformanceError(f"--unset: {name} is set, too; keep one of the two")
        _check(name, "--unset", notification)
        wanted[name] = None
    return Changes(
        tokens={name: value for name, value in wanted.items() if not name.startswith(_OF_ITEMS) and name != ITEMS},
        fields={name.removeprefix(_OF_ITEMS): value for name, value in wanted.items() if name.startswith(_OF_ITEMS)},
        without_items=ITEMS in wanted,
    )


def _changed(values: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    after = {**values, **changes}
    return {name: value for name, value in after.items() if value is not None}


def _check(name: str, flag: str, notification: Notification) -> None:
    of_items = name.startswith(_OF_ITEMS)
    bare = name.removeprefix(_OF_ITEMS)
    catalogue, kind = notification.catalogue, notification.event
    tokens, fields = _template_names(notification)
    if catalogue.find(kind, bare, of_items=of_items) or bare in (fields if of_items else tokens):
        return
    # {i.sku} is how a template names a field: whoever writes it here means that field.
    owner, dot, field = name.partition(".")
    if dot and not of_items and (catalogue.find(kind, field, of_items=True) or field in fields):
        hint: str | None = f"{_OF_ITEMS}{field} for the {field} of every item"
        problem = f"{name} is no token; {owner} is a name that only a template knows"
    else:
        near = catalogue.nearest(kind, bare, of_items=of_items)
        hint = near and (f"{_OF_ITEMS}{near}" if of_items else near)
        what = "field of the items" if of_items else "token"
        problem = f"{bare} is no {what} of {kind}, and the template has none of that name"
    raise ConformanceError(f"{flag}: {problem}" + (f"; did you mean {hint}?" if hint else ""))


def _template_names(notification: Notification) -> tuple[set[str], set[str]]:
    """Return the tokens and the item fields that the templates write."""
    tokens: set[str] = set()
    fields: set[str] = set()
    for template in (notification.url, notification.body):
        for node in template.nodes if template else ():
            if isinstance(node, TokenNode):
                tokens.add(node.name)
            elif isinstance(node, Join):
                names = [inner.name.partition(".") for inner in node.body if isinstance(inner, TokenNode)]
                fields |= {field for owner, _, field in names if owner == node.variable}
                tokens |= {owner for owner, dot, _ in names if not dot}
    return tokens, fields
