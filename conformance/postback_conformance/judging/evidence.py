"""One capture as the rules of one notification see it; every reading is made at most once."""

from collections.abc import Callable, Mapping

import msgspec

from postback_conformance.judging.hidden_literals import holds_hidden
from postback_conformance.judging.histories import History
from postback_conformance.judging.named_values import NamedReading
from postback_conformance.judging.once import once
from postback_conformance.judging.readers import Readers
from postback_conformance.judging.readings import (
    PLAIN_JSON,
    PLAIN_XML,
    Fault,
    JsonReading,
    XmlReading,
    form_fault,
    read_json,
    read_xml,
)
from postback_conformance.judging.token_values import Reading, Value, wire_target
from postback_conformance.judging.verdict import Inconclusive, NotApplicable, Where
from postback_conformance.judging.wire_money import Figures, read_figures
from postback_conformance.redaction import HIDDEN_BY_EXPORT, LEFT_OUT_BY_EXPORT, has_hidden, has_left_out
from postback_receiver import Capture, decode_body
from postback_sender.notification import BodyFormat, Notification
from postback_sender.template.matching import Mismatch

__all__ = ["Evidence", "FormReading", "Resend", "Value"]

_FORMATS: tuple[BodyFormat, ...] = ("json", "xml", "query")
OTHER_METHOD = NotApplicable(why="another method than the notification's brought no body, of which http.method tells")
"""What is said of the body of a request that `has_no_body`."""
_NO_BODY = {each: NotApplicable(why=f"the notification has no {each} body", by_settings=True) for each in _FORMATS}


class FormReading(msgspec.Struct, frozen=True, kw_only=True):
    """A form body: the first byte that no query can hold as it is."""

    fault: Fault | None = None


class Resend(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A repeat: the how-manyth it is (from 1) since the request was new or a success, and the arrival before it."""

    number: int
    previous_id: str
    previous_ns: int | None
    previous_received_ns: int
    previous_lateness_ns: int
    previous_run: str
    previous_ended_ns: int | None
    """When its answer left or its peer had gone, whichever came first, by the same clock as `previous_ns`."""
    previous_status: int | None
    """What the arrival before was answered; None when the sender cannot have read that."""
    is_read: bool
    """Whether the sender got that answer for sure."""
    after_success: bool | None
    """Whether that was a success; None for one of which nobody can tell whether the sender got it."""
    doubt: str
    """Why it need not be a resend of what had failed; empty when it can be nothing else."""


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

    @property
    def resend(self) -> Resend | None:
        """What the endpoint's one `Resends` said of it; None when it repeats nothing, or nobody can tell."""
        if isinstance(self._resend, Exception):
            raise self._resend
        return self._resend

    @resend.setter
    def resend(self, resend: Resend | Exception | None) -> None:
        self._resend = resend

    @property
    def history(self) -> History | None:
        """What was known of its action before it arrived; None when no action can be told."""
        if isinstance(self._history, Exception):
            raise self._history
        return self._history

    @history.setter
    def history(self, history: History | Exception | None) -> None:
        self._history = history

    @once
    def figures(self) -> Figures:
        """What it says of its action's money."""
        return self.history.figures if self.history is not None else read_figures(self.texts)

    def header(self, name: str) -> tuple[str, ...]:
        """Return all values of a header in the order of the wire; `name` is in lower case."""
        return self.headers.get(name, ())

    @once
    def headers(self) -> dict[str, tuple[str, ...]]:
        """All headers by name, in lower case."""
        headers: dict[str, tuple[str, ...]] = {}
        for key, value in self.capture.headers:
            lower = key.lower()
            headers[lower] = (*headers[lower], value) if lower in headers else (value,)
        return headers

    @once
    def content(self) -> bytes | Inconclusive:
        """The body without its content codings, or why nobody can tell what is in it."""
        return _content(self.capture, self.header("content-encoding"))

    @once
    def json(self) -> JsonReading | NotApplicable | Inconclusive:
        """How the body reads as JSON; not applicable when the notification has no JSON body."""
        content = self._content_of("json")
        if not isinstance(content, bytes):
            return content
        return PLAIN_JSON if self._is_sound else read_json(content)

    @once
    def xml(self) -> XmlReading | NotApplicable | Inconclusive:
        """How the body reads as XML; not applicable when the notification has no XML body."""
        content = self._content_of("xml")
        if not isinstance(content, bytes):
            return content
        return PLAIN_XML if self._is_sound and content.isascii() else read_xml(content)

    @once
    def form(self) -> FormReading | NotApplicable | Inconclusive:
        """How the body reads as a form; not applicable when the notification has no body of that format."""
        content = self._content_of("query")
        return FormReading(fault=form_fault(content)) if isinstance(content, bytes) else content

    @once
    def texts(self) -> Mapping[str, str]:
        """The values of tokens that stand at unmistakable places, in URL and body.

        Of a token with two different values, none. A part of the request that is not laid out as its template is read
        by names.
        """
        body, target = self._body_told, self._target_told
        in_body = {} if body is None else body.texts
        in_target = {} if target is None else target.texts
        texts = {**in_target, **in_body}
        if len(texts) < len(in_target) + len(in_body):
            for name in in_body.keys() & in_target.keys():
                if in_body[name] != in_target[name]:
                    del texts[name]
        for name in self._readers.in_both:
            # A part that reads by its template and does not tell one has it twice, with different values.
            if (isinstance(body, Reading) and name not in in_body) or (
                isinstance(target, Reading) and name not in in_target
            ):
                texts.pop(name, None)
        return texts

    def odd_texts(self) -> dict[str, tuple[str, str]]:
        """Return two different texts of each token that stands in several places and has such."""
        odd: dict[str, tuple[str, str]] = {}
        target, body = self.target_reading, self.body_reading
        if isinstance(target, Reading) and isinstance(body, Reading):
            both = [(name, (target.texts[name], body.texts[name])) for name in target.texts.keys() & body.texts.keys()]
            odd = {name: texts for name, texts in both if texts[0] != texts[1]}
        for reading in (target, body):
            odd |= reading.odd() if isinstance(reading, Reading) else {}
        return odd

    @once
    def values(self) -> Mapping[str, Value]:
        """The same with their places: what only a finding needs."""
        return {name: self._value(name) for name in self.texts}

    def value(self, token: str) -> Value | None:
        """Return the value of a token, or None when it cannot be told; `without` says why."""
        return self._value(token) if token in self.texts else None

    @once
    def item_texts(self) -> tuple[Mapping[str, str], ...] | None:
        """The values of each item of the template's join by field (`sku`); None when they cannot be told."""
        body, target = self._body_told, self._target_told
        if body is not None and (texts := body.item_texts) is not None:
            return texts
        return None if target is None else target.item_texts

    @property
    def items(self) -> tuple[Mapping[str, Value], ...] | None:
        """The same with their places."""
        body, target = self._body_told, self._target_told
        if body is not None and (items := body.items) is not None:
            return items if self._is_as_sent else tuple(_each(item, _placeless) for item in items)
        if target is not None and (items := target.items) is not None:
            return tuple(_each(item, self._on_target) for item in items)
        return None

    def without(self, token: str) -> NotApplicable | Inconclusive:
        """Return why a token has no value here: the templates have none, or it cannot be told."""
        if not self._readers.has(token):
            return NotApplicable(why=f"the template has no {{{token}}}")
        if self.has_no_body and (self._readers.target is None or token not in self._readers.target.names):
            return OTHER_METHOD
        return Inconclusive(why=self._untold(token), captures=(self.capture.id,))

    @once
    def body_reading(self) -> Reading | Mismatch | Inconclusive | None:
        """What the body says by its template, or where it leaves it; None without a body or with raw values."""
        reader = self._readers.body
        if reader is None or self._readers.is_raw:
            return None
        content = self.content
        if not isinstance(content, bytes):
            return content
        reading = reader.read(content)
        if isinstance(reading, Mismatch) and (hidden := self._readers.hidden_body) and holds_hidden(content):
            reading = hidden.read(content)
        return reading

    @once
    def target_reading(self) -> Reading | Mismatch | None:
        """What the target says by the template of the URL, or where it leaves it; None when that cannot be told."""
        reader = self._readers.target
        if reader is None or self._readers.is_raw:
            return None
        target = wire_target(self.capture)
        reading = reader.read(target)
        if isinstance(reading, Mismatch) and (hidden := self._readers.hidden_target) and holds_hidden(target):
            reading = hidden.read(target)
        return reading

    @property
    def has_no_body(self) -> bool:
        """Whether it came without a body, by another method than the notification's: of that http.method tells."""
        return not self.capture.body and self.capture.method != self.notification.method and not self.capture.truncated

    @property
    def is_of_archive(self) -> bool:
        """Whether no receiver of ours saw it: an archive need not hold every header, nor a body as it was sent."""
        return not self.capture.run and not self.capture.remote

    def _content_of(self, body_format: BodyFormat) -> bytes | NotApplicable | Inconclusive:
        if self.notification.body is None or self.notification.body_format != body_format:
            return _NO_BODY[body_format]
        return OTHER_METHOD if self.has_no_body else self.content

    @once
    def _body_told(self) -> Reading | NamedReading | None:
        """What the body says, by its template or else by names."""
        reading, content, reader = self.body_reading, self.content, self._readers
        if isinstance(reading, Reading):
            return reading
        if not isinstance(reading, Mismatch) or not isinstance(content, bytes) or reader.named_body is None:
            return None
        # What is odd in any way may be read in several.
        is_read = {"json": self.json is PLAIN_JSON, "xml": self.xml is PLAIN_XML}.get(
            self.notification.body_format, True
        )
        return reader.named_body.read(content) if is_read else None

    @once
    def _target_told(self) -> Reading | NamedReading | None:
        """What the target says, by the template of the URL or else by names."""
        reading, reader = self.target_reading, self._readers
        if isinstance(reading, Reading):
            return reading
        if not isinstance(reading, Mismatch) or reader.named_target is None:
            return None
        return reader.named_target.read(wire_target(self.capture))

    def _value(self, name: str) -> Value:
        told = self._body_told
        if told is not None and name in told.texts:
            return told.value(name) if self._is_as_sent else _placeless(told.value(name))
        told = self._target_told
        if told is None:
            raise KeyError(name)
        return self._on_target(told.value(name))

    @once
    def is_as_its_templates(self) -> bool:
        """Whether all of it reads by its templates, and the body leaves nothing to look for but values."""
        is_body = self._is_sound or self.notification.body is None
        return is_body and isinstance(self.target_reading, Reading)

    @once
    def _is_sound(self) -> bool:
        """Whether the body reads by its template in a way that leaves nothing to look for in it."""
        reading = self.body_reading
        return isinstance(reading, Reading) and reading.is_sound

    @property
    def _is_as_sent(self) -> bool:
        """Whether the bytes of the capture hold the values; of a body that was compressed, none do."""
        return self.content is self.capture.body

    def _on_target(self, value: Value) -> Value:
        """Return a value with its place in the target as it came, which may begin with a server."""
        by = len(self.capture.target) - len(wire_target(self.capture))
        span = value.where.target
        if span is None:
            return value
        return Value(value.name, value.text, (span[0] + by, span[1] + by), value.in_target, value.of_item)

    def _untold(self, token: str) -> str:
        if self._readers.is_raw:
            return f"values are not escaped, so nobody can tell where that of {{{token}}} ends"
        if token not in self._readers.certain:
            return f"nobody can tell where the value of {{{token}}} ends: what stands beside it may belong to it"
        readings = (self.target_reading, self.body_reading)
        if unreadable := next((one for one in readings if isinstance(one, Inconclusive)), None):
            return unreadable.why
        if any(isinstance(one, Mismatch) for one in readings):
            also = f", and {HIDDEN_BY_EXPORT} (--reveal hides none)" if has_hidden(self.capture) else ""
            return f"the request is not as its template says{also}, so the value of {{{token}}} cannot be told"
        return f"{{{token}}} stands in several places, with different values"


def _placeless(value: Value) -> Value:
    if isinstance(value.at, Where):
        return value
    return Value(value.name, value.text, None, of_item=value.of_item)


def _each(item: dict[str, Value], change: Callable[[Value], Value]) -> dict[str, Value]:
    return {name: change(value) for name, value in item.items()}


def _content(capture: Capture, encodings: tuple[str, ...]) -> bytes | Inconclusive:
    if capture.truncated:
        why = LEFT_OUT_BY_EXPORT if has_left_out(capture) else "the body was not captured to its end"
        return Inconclusive(why=why, captures=(capture.id,))
    if not encodings:
        return capture.body
    decoded = decode_body(capture.body, encodings)
    if decoded.fault is not None:
        return Inconclusive(why=f"the body cannot be decoded: {decoded.fault}", captures=(capture.id,))
    return decoded.data
