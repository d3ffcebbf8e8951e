"""What reads the values of a notification's captures; made once, used for all of them."""

from postback_conformance.judging.hidden_literals import with_hidden
from postback_conformance.judging.named_values import NamedReader
from postback_conformance.judging.once import once
from postback_conformance.judging.token_values import ValueReader, target_template, value_reader
from postback_sender.notification import Notification
from postback_sender.template import Format, Template


class Readers:
    """What reads the values of one notification's captures: one reader for its URL and one for its body."""

    def __init__(self, notification: Notification) -> None:
        known = notification.known_tokens
        target, body = target_template(notification.url), notification.body
        self.is_raw = notification.template.escaping == "raw"
        self.target: ValueReader | None = None if target is None else value_reader(target, "url", known)
        self.body: ValueReader | None = None if body is None else value_reader(body, notification.body_format, known)
        self._url_names = notification.url.names
        self._notification = notification
        both = [reader for reader in (self.target, self.body) if reader is not None]
        nothing = frozenset[str]()
        self.names = nothing.union(*(reader.names for reader in both))
        """The tokens of the templates outside joins, as the catalogue spells them."""
        self.fields = nothing.union(*(reader.fields for reader in both))
        """The fields of items in joins."""
        self.certain = nothing.union(*(reader.certain for reader in both))
        """Those of the tokens that stand somewhere where nothing else can be meant."""
        self.twice = nothing.union(*(reader.columns.twice for reader in both))
        self.in_both = nothing
        if self.target is not None and self.body is not None:
            self.in_both = self.target.certain & self.body.certain
            self.twice |= self.in_both
        """Those of the tokens that stand so in several places; `in_both` are in URL and body."""
        self.certain_fields = nothing.union(*(reader.columns_of_items.numbers for reader in both))
        """Those of the fields."""

    @once
    def hidden_target(self) -> ValueReader | None:
        """What reads a target in which an export hid a secret that the template holds; None when it holds none."""
        template = target_template(self._notification.url)
        hidden = None if template is None else with_hidden(template, "url")
        return None if hidden is None else value_reader(hidden, "url", self._notification.known_tokens)

    @once
    def hidden_body(self) -> ValueReader | None:
        """The same for a body."""
        notification = self._notification
        hidden = None if notification.body is None else with_hidden(notification.body, notification.body_format)
        return None if hidden is None else value_reader(hidden, notification.body_format, notification.known_tokens)

    @once
    def named_target(self) -> NamedReader | None:
        """What reads a target by its parameters; None where the template of the URL cannot be read at all."""
        template = target_template(self._notification.url)
        return None if template is None else self._named(template, "url")

    @once
    def named_body(self) -> NamedReader | None:
        """The same for a body, by its names."""
        notification = self._notification
        return None if notification.body is None else self._named(notification.body, notification.body_format)

    def _named(self, template: Template, text_format: Format) -> NamedReader:
        return NamedReader(template, text_format, self._notification.known_tokens, self._is_free)

    def _is_free(self, name: str) -> bool:
        token = self._notification.catalogue.find(self._notification.event, name)
        return token is None or token.type in {"text", "url"}

    def has(self, token: str) -> bool:
        """Whether the templates have such a token, outside joins."""
        return token in self._url_names or token in self.names
