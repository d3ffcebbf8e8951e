"""One capture as the rules of one notification see it; every reading is made at most once."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from postback_conformance.readings import Fault, JsonReading, XmlReading, form_fault, read_json, read_xml
from postback_conformance.token_values import Reading, Value, ValueReader, target_template, value_reader, wire_target
from postback_conformance.verdict import Inconclusive, NotApplicable
from postback_receiver import Capture, decode_body
from postback_sender.notification import BodyFormat, Notification
from postback_sender.template.matching import Mismatch

__all__ = ["Evidence", "FormReading", "Readers", "Value"]

_FORMATS: tuple[BodyFormat, ...] = ("json", "xml", "query")
_NO_BODY = {each: NotApplicable(why=f"the notification has no {each} body", by_settings=True) for each in _FORMATS}

if TYPE_CHECKING:
    from postback_conformance.histories import History
    from postback_conformance.rules.resends import Resend


class FormReading(msgspec.Struct, frozen=True, kw_only=True):
    """A form body: the first byte that no query can hold as it is."""

    fault: Fault | None = None


class Readers:
    """What reads the values of one notification's captures: one reader for its URL and one for its body."""

    def __init__(self, notification: Notification) -> None:
        known = notification.known_tokens
        target, body = target_template(notification.url), notification.body
        self.is_raw = notification.template.escaping == "raw"
        self.target: ValueReader | None = None if target is None else value_reader(target, "url", known)
        self.body: ValueReader | None = None if body is None else value_reader(body, notification.body_format, known)
        self._url_names = notification.url.names

    def has(self, token: str) -> bool:
        """Whether the templates have such a token, outside joins."""
        readers = (self.target, self.body)
        return token in self._url_names or any(reader is not None and token in reader.names for reader in readers)

    def has_certain(self, token: str) -> bool:
        """Whether it stands somewhere where nothing else can be meant."""
        readers = (self.target, self.body)
        return any(reader is not None and token in reader.certain for reader in readers)


class Evidence:
    """A capture, read by the notification of its endpoint.

    `readers` are those of the notification, made once by whoever judges more than one capture.
    """

    def __init__(self, notification: Notification, capture: Capture, readers: Readers | None = None) -> None:
        self.notification = notification
        self.capture = capture
        self._readers = readers or Readers(notification)
        self._resend: Resend | Exception | None = None
        self._history: History | Exception | None = None
        self._headers: dict[str, tuple[str, ...]] | None = None
        self._content: bytes | Inconclusive | None = None
        self._json: JsonReading | NotApplicable | Inconclusive | None = None
        self._xml: XmlReading | NotApplicable | Inconclusive | None = None
        self._form: FormReading | NotApplicable | Inconclusive | None = None
        self._body_reading: Reading | Mismatch | Inconclusive | None = None
        self._target_reading: Reading | Mismatch | None = None
        self._texts: dict[str, str] | None = None
        self._values: Mapping[str, Value] | None = None

    @property
    def resend(self) -> "Resend | None":
        """What the endpoint's one `Resends` said of it; None when it repeats nothing, or nobody can tell."""
        if isinstance(self._resend, Exception):
            raise self._resend
        return self._resend

    @resend.setter
    def resend(self, resend: "Resend | Exception | None") -> None:
        self._resend = resend

    @property
    def history(self) -> "History | None":
        """What was known of its action before it arrived; None when no action can be told."""
        if isinstance(self._history, Exception):
            raise self._history
        return self._history

    @history.setter
    def history(self, history: "History | Exception | None") -> None:
        self._history = history

    def header(self, name: str) -> tuple[str, ...]:
        """Return all values of a header in the order of the wire; `name` is in lower case."""
        if self._headers is None:
            headers: dict[str, tuple[str, ...]] = {}
            for key, value in self.capture.headers:
                lower = key.lower()
                headers[lower] = (*headers[lower], value) if lower in headers else (value,)
            self._headers = headers
        return self._headers.get(name, ())

    @property
    def content(self) -> bytes | Inconclusive:
        """The body without its content codings, or why nobody can tell what is in it."""
        if self._content is None:
            self._content = _content(self.capture)
        return self._content

    @property
    def json(self) -> JsonReading | NotApplicable | Inconclusive:
        """How the body reads as JSON; not applicable when the notification has no JSON body."""
        if self._json is None:
            content = self._content_of("json")
            self._json = read_json(content) if isinstance(content, bytes) else content
        return self._json

    @property
    def xml(self) -> XmlReading | NotApplicable | Inconclusive:
        """How the body reads as XML; not applicable when the notification has no XML body."""
        if self._xml is None:
            content = self._content_of("xml")
            self._xml = read_xml(content) if isinstance(content, bytes) else content
        return self._xml

    @property
    def form(self) -> FormReading | NotApplicable | Inconclusive:
        """How the body reads as a form; not applicable when the notification has no body of that format."""
        if self._form is None:
            content = self._content_of("query")
            self._form = FormReading(fault=form_fault(content)) if isinstance(content, bytes) else content
        return self._form

    @property
    def texts(self) -> Mapping[str, str]:
        """The values of tokens that stand at unmistakable places, in URL and body.

        Of a token with two different values, none; of a part of the request that is not as its template says, none.
        """
        if self._texts is None:
            body, target = self.body_reading, self.target_reading
            in_body = body.texts if isinstance(body, Reading) else {}
            in_target = target.texts if isinstance(target, Reading) else {}
            self._texts = texts = in_target | in_body
            if len(texts) < len(in_target) + len(in_body):
                for name in in_body.keys() & in_target.keys():
                    if in_body[name] != in_target[name]:
                        del texts[name]
        return self._texts

    @property
    def values(self) -> Mapping[str, Value]:
        """The same with their places: what only a finding needs."""
        if self._values is None:
            self._values = {name: self._value(name) for name in self.texts}
        return self._values

    def value(self, token: str) -> Value | None:
        """Return the value of a token, or None when it cannot be told; `without` says why."""
        return self._value(token) if token in self.texts else None

    @property
    def item_texts(self) -> tuple[Mapping[str, str], ...] | None:
        """The values of each item of the template's join by field (`sku`); None when they cannot be told."""
        body, target = self.body_reading, self.target_reading
        if isinstance(body, Reading) and (texts := body.item_texts) is not None:
            return texts
        return target.item_texts if isinstance(target, Reading) else None

    @property
    def items(self) -> tuple[Mapping[str, Value], ...] | None:
        """The same with their places."""
        body, target = self.body_reading, self.target_reading
        if isinstance(body, Reading) and (items := body.items) is not None:
            return items if self._is_as_sent else tuple(_each(item, _placeless) for item in items)
        if isinstance(target, Reading) and (items := target.items) is not None:
            return tuple(_each(item, self._on_target) for item in items)
        return None

    def without(self, token: str) -> NotApplicable | Inconclusive:
        """Return why a token has no value here: the templates have none, or it cannot be told."""
        if not self._readers.has(token):
            return NotApplicable(why=f"the template has no {{{token}}}")
        return Inconclusive(why=self._untold(token), captures=(self.capture.id,))

    @property
    def body_reading(self) -> Reading | Mismatch | Inconclusive | None:
        """What the body says by its template, or where it leaves it; None without a body or with raw values."""
        if self._body_reading is None and self._readers.body is not None and not self._readers.is_raw:
            content = self.content
            self._body_reading = self._readers.body.read(content) if isinstance(content, bytes) else content
        return self._body_reading

    @property
    def target_reading(self) -> Reading | Mismatch | None:
        """What the target says by the template of the URL, or where it leaves it; None when that cannot be told."""
        if self._target_reading is None and self._readers.target is not None and not self._readers.is_raw:
            self._target_reading = self._readers.target.read(wire_target(self.capture))
        return self._target_reading

    def _content_of(self, body_format: BodyFormat) -> bytes | NotApplicable | Inconclusive:
        if self.notification.body is None or self.notification.body_format != body_format:
            return _NO_BODY[body_format]
        return self.content

    def _value(self, name: str) -> Value:
        reading = self.body_reading
        if isinstance(reading, Reading) and name in reading.texts:
            return reading.value(name) if self._is_as_sent else _placeless(reading.value(name))
        reading = self.target_reading
        if not isinstance(reading, Reading):
            raise KeyError(name)
        return self._on_target(reading.value(name))

    @property
    def _is_as_sent(self) -> bool:
        """Whether the bytes of the capture hold the values; of a body that was compressed, none do."""
        return self.content is self.capture.body

    def _on_target(self, value: Value) -> Value:
        """Return a value with its place in the target as it came, which may begin with a server."""
        by = len(self.capture.target) - len(wire_target(self.capture))
        span = value.where.target
        at = None if span is None else (span[0] + by, span[1] + by)
        return Value(value.name, value.text, at, value.in_target, value.of_item)

    def _untold(self, token: str) -> str:
        if self._readers.is_raw:
            return f"values are not escaped, so nobody can tell where that of {{{token}}} ends"
        if not self._readers.has_certain(token):
            return f"nobody can tell where the value of {{{token}}} ends: what stands beside it may belong to it"
        readings = (self.target_reading, self.body_reading)
        if unreadable := next((one for one in readings if isinstance(one, Inconclusive)), None):
            return unreadable.why
        if any(isinstance(one, Mismatch) for one in readings):
            return f"the request is not as its template says, so the value of {{{token}}} cannot be told"
        return f"{{{token}}} stands in several places, with different values"


def _placeless(value: Value) -> Value:
    return Value(value.name, value.text, None, of_item=value.of_item)


def _each(item: dict[str, Value], change: Callable[[Value], Value]) -> dict[str, Value]:
    return {name: change(value) for name, value in item.items()}


def _content(capture: Capture) -> bytes | Inconclusive:
    if capture.truncated:
        return Inconclusive(why="the body was not captured to its end", captures=(capture.id,))
    encodings = capture.header("Content-Encoding")
    if not encodings:
        return capture.body
    decoded = decode_body(capture.body, encodings)
    if decoded.fault is not None:
        return Inconclusive(why=f"the body cannot be decoded: {decoded.fault}", captures=(capture.id,))
    return decoded.data
