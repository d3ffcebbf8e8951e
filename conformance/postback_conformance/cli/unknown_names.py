"""Names that nobody knows, in templates and in events: told, because most of them are slips."""

from collections.abc import Iterable

from postback_conformance.cli.saying import say
from postback_conformance.explaining.event_names import EventNames, names_in
from postback_sender import Event, Notification

# So many unknown names tell that a file means something else; more tell no more.
_TOLD = 10


class UnknownNames:
    """Looks at events as they pass, and tells in the end which names mean nothing to a notification."""

    def __init__(self, settings: Notification) -> None:
        self._names = EventNames(settings)
        self._values: dict[str, None] = {}
        # Looked up once: a file has the same names over and over.
        self._known: set[str] = set()
        self._tokens = dict.fromkeys(self._names.strangers())

    def note(self, event: Event) -> None:
        """Take note of the names in an event."""
        for name in names_in(event):
            if name in self._known:
                continue
            if self._names.has(name):
                self._known.add(name)
                self._tokens.pop(name, None)
            elif len(self._values) <= _TOLD:
                self._values[name] = None

    def tell_values(self) -> None:
        """Say which values of the events show nowhere."""
        self._tell(self._values, "{}: no token of that name exists and no template has it, so its value shows nowhere")

    def tell_tokens(self) -> None:
        """Say which tokens of the templates nothing knows: neither a catalogue, nor an event by giving it a value."""
        self._tell(self._tokens, "{}: stands in a template, but no catalogue knows such a token and no event has it")

    def _tell(self, names: Iterable[str], message: str) -> None:
        names = list(names)
        for name in names[:_TOLD]:
            near = self._names.nearest(name)
            say(message.format(name) + (f"; did you mean {near}?" if near else ""))
        if len(names) > _TOLD:
            say("… and more names like these")
