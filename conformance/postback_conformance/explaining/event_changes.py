"""Changes to the values of an event, as `--set` and `--unset` ask for them.

A token goes by its name, `Payout`; a field of the line items by `items.` and its name, `items.sku`, and is changed in
every item; `items` alone is the list, which can be emptied.
"""

from collections.abc import Iterable, Mapping

import msgspec

from postback_conformance.errors import ConformanceError
from postback_conformance.explaining.event_names import OF_ITEMS, EventNames
from postback_sender import Event, Notification
from postback_sender.template.compiler import ITEMS


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
    names, kind = EventNames(notification), notification.event
    for text in set_:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConformanceError(f"--set: expected TOKEN=VALUE such as Payout=12.50, got {text!r}")
        if name == ITEMS:
            raise ConformanceError(f"--set: {ITEMS} is a list; set a field of every item, such as {ITEMS}.sku=A-1")
        wanted[_checked(name, "--set", names, kind)] = value
    for written in unset:
        name = _checked(written, "--unset", names, kind)
        if wanted.get(name) is not None:
            raise ConformanceError(f"--unset: {name} is set, too; keep one of the two")
        wanted[name] = None
    return Changes(
        tokens={name: value for name, value in wanted.items() if not name.startswith(OF_ITEMS) and name != ITEMS},
        fields={name.removeprefix(OF_ITEMS): value for name, value in wanted.items() if name.startswith(OF_ITEMS)},
        without_items=ITEMS in wanted,
    )


def _changed(values: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    after = {**values, **changes}
    return {name: value for name, value in after.items() if value is not None}


def _checked(name: str, flag: str, names: EventNames, kind: str) -> str:
    """Return the name as the catalogue spells it, or as a template does."""
    name = names.spelled(name)
    if names.has(name):
        return name
    of_items = name.startswith(OF_ITEMS)
    # {i.sku} is how a template names a field: whoever writes it here means that field.
    owner, dot, field = name.partition(".")
    if dot and not of_items and names.has(f"{OF_ITEMS}{field}"):
        hint: str | None = f"{OF_ITEMS}{field} for the {field} of every item"
        problem = f"{name} is no token; {owner} is a name that only a template knows"
    else:
        hint = names.nearest(name)
        what = "field of the items" if of_items else "token"
        problem = f"{name.removeprefix(OF_ITEMS)} is no {what} of {kind}, and the template has none of that name"
    raise ConformanceError(f"{flag}: {problem}" + (f"; did you mean {hint}?" if hint else ""))
