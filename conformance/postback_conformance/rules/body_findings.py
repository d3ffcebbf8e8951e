"""How a fault in a body is told: the bytes around it, and where it stands in what was captured."""

from postback_conformance.judging.evidence import Evidence
from postback_conformance.judging.readings import Fault, utf8_fault
from postback_conformance.judging.verdict import Fail, NotApplicable, Where
from postback_conformance.printable import printable
from postback_conformance.redaction import is_form, redacted_form

_BYTES_BEFORE = 24
_BYTES_FROM = 16

NOT_UTF8 = NotApplicable(why="the body is not UTF-8, of which body.utf8 tells")
"""What is said of a body whose fault `is_encoding`."""


def body_fault(evidence: Evidence, fault: Fault, what: str, expected: str) -> Fail:
    """Return the finding that a body has a fault; `what` says what it makes of the body."""
    content = evidence.content
    return Fail(
        message=f"{what}: {fault.reason}" + ("" if content is evidence.capture.body else " when decoded"),
        expected=expected,
        actual=around(evidence, content if isinstance(content, bytes) else b"", fault.span),
        captures=(evidence.capture.id,),
        where=where_in(evidence, fault.span),
    )


def is_encoding(evidence: Evidence, fault: Fault) -> bool:
    """Tell whether the fault of a body is a byte that is not UTF-8, of which body.utf8 tells."""
    content = evidence.content
    other = None if not isinstance(content, bytes) or content.isascii() else utf8_fault(content)
    return other is not None and (other.span or (-1,))[0] == (fault.span or (-2,))[0]


def where_in(evidence: Evidence, span: tuple[int, int] | None, token: str | None = None) -> Where:
    """Return the place of bytes of the content; of a body that was compressed, no bytes of the capture hold them."""
    return Where(span=span if evidence.content is evidence.capture.body else None, token=token)


def around(evidence: Evidence, content: bytes, span: tuple[int, int] | None) -> str:
    """Return the bytes before and after a fault, as text that one line can hold; secret fields of a form are hidden."""
    start = span[0] if span else 0
    first, beyond = max(0, start - _BYTES_BEFORE), start + _BYTES_FROM
    notification = evidence.notification
    is_one = is_form(evidence.capture) or (notification.body is not None and notification.body_format == "query")
    shown = redacted_form(content, first, beyond) if is_one else content[first:beyond]
    return printable(shown.decode("utf-8", "backslashreplace"))
