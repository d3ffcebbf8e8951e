"""Which names a value of an event may go by: those of the catalogue, and those that a template writes.

A field of the line items goes by `items.` and its name, as in `items.sku`.
"""

from collections.abc import Iterator

from postback_sender import Event, Notification
from postback_sender.template.compiler import ITEMS
from postback_sender.template.nodes import Join, TokenNode

OF_ITEMS = f"{ITEMS}."


class EventNames:
    """The names that mean something to a notification; `tokens` and `fields` are those that its templates write."""

    def __init__(self, notification: Notification) -> None:
        self._kind = notification.event
        self._catalogue = notification.catalogue
        self._vocabulary = notification.url.vocabulary(notification.known_tokens)
        self.tokens: set[str] = set()
        self.fields: set[str] = set()
        for template in (notification.url, notification.body):
            for node in template.nodes if template else ():
                if isinstance(node, TokenNode):
                    self.tokens.add(self._vocabulary.spelled(node.name, ""))
                elif isinstance(node, Join):
                    self._add_from(node)

    def spelled(self, name: str) -> str:
        """Return the name as the catalogue spells it, where upper and lower case do not count."""
        return self._vocabulary.spelled(name, ITEMS if name.startswith(OF_ITEMS) else "")

    def has(self, name: str) -> bool:
        """Tell whether the catalogue or a template has the name."""
        written = self.fields if name.startswith(OF_ITEMS) else self.tokens
        return self._is_known(name) or name.removeprefix(OF_ITEMS) in written

    def nearest(self, name: str) -> str | None:
        """Return the name that somebody who wrote this one most likely meant."""
        of_items = name.startswith(OF_ITEMS)
        near = self._catalogue.nearest(self._kind, name.removeprefix(OF_ITEMS), of_items=of_items)
        return near and (f"{OF_ITEMS}{near}" if of_items else near)

    def strangers(self) -> Iterator[str]:
        """Yield the names that the templates write and the catalogue has not."""
        names = (*sorted(self.tokens), *(f"{OF_ITEMS}{field}" for field in sorted(self.fields)))
        return (name for name in names if not self._is_known(name))

    def _is_known(self, name: str) -> bool:
        bare, of_items = name.removeprefix(OF_ITEMS), name.startswith(OF_ITEMS)
        return self._catalogue.find(self._kind, bare, of_items=of_items) is not None

    def _add_from(self, join: Join) -> None:
        for node in join.body:
            if isinstance(node, TokenNode):
                owner, dot, field = self._vocabulary.spelled(node.name, join.variable).partition(".")
                if dot and owner == join.variable:
                    self.fields.add(field)
                elif not dot:
                    self.tokens.add(owner)


def names_in(event: Event) -> Iterator[str]:
    """Yield the names of an event's values, and of the fields of its items."""
    yield from event.values
    yield from dict.fromkeys(f"{OF_ITEMS}{field}" for item in event.items for field in item)
