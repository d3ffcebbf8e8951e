"""What became of a request: how it was answered, in words that reports can use, and as a capture."""

from typing import Final

import msgspec

from postback_receiver import Answer as CapturedAnswer
from postback_receiver import Capture
from postback_sender.delivery.answer import Answer
from postback_sender.delivery.connections import ON_A_KEPT_CONNECTION
from postback_sender.delivery.policy import Attempt, Delivered
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.run import Delivery
from postback_sender.quantities import NANOSECONDS_PER_SECOND

_NOT_SENT: Final = Attempt(number=0, started_ns=0, finished_ns=0, failure=Failure.CONNECTION, detail="it was not sent")
# What a request larger than this says is not needed to see what was wrong.
_MOST_KEPT_BYTES: Final = 256 * 1024


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request, or of one event and all attempts to deliver it.

    `accepted` is whether its last answer means success by the settings. `captures` are the ids of the requests, one for
    each attempt. `body` and `headers` are those of the answer; the sender does not keep them, raw requests do.
    """

    key: str = ""
    attempts: tuple[Attempt, ...]
    accepted: bool
    captures: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def last(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1] if self.attempts else _NOT_SENT

    @property
    def status(self) -> int | None:
        """The status of the last answer, None without one."""
        return self.last.status

    @property
    def is_answered(self) -> bool:
        """Whether a whole HTTP answer came."""
        return self.last.failure in {None, Failure.ANSWER}

    @property
    def is_refused(self) -> bool:
        """Whether it was answered that the request is wrong: any 4xx, or what the settings call an error."""
        status = self.status
        if not self.is_answered or self.accepted or status is None:
            return False
        return 400 <= status < 500 or 200 <= status < 300

    @property
    def crossed_an_end(self) -> bool:
        """Whether one of its requests may have crossed the end of a kept connection, which is nobody's fault."""
        return any(
            one.failure is Failure.CONNECTION and one.detail.endswith(ON_A_KEPT_CONNECTION) for one in self.attempts
        )

    @property
    def took_s(self) -> float:
        """How long the last attempt took."""
        return (self.last.finished_ns - self.last.started_ns) / NANOSECONDS_PER_SECOND

    @property
    def told(self) -> str:
        """What happened, in words."""
        last = self.last
        if last.failure is None or last.failure is Failure.ANSWER:
            note = f" ({last.detail})" if last.detail else ""
            judged = "" if self.accepted or last.status is None or not 200 <= last.status < 300 else ", not a success"
            return f"answered {last.status}{judged}{note}"
        return f"{last.failure}: {last.detail}" if last.detail else str(last.failure)


def sent_by_delivery(delivery: Delivery, captures: tuple[str, ...]) -> Sent:
    """Return what became of an event that the sender delivered or gave up."""
    return Sent(
        key=delivery.postback.key,
        attempts=delivery.attempts,
        accepted=isinstance(delivery.outcome, Delivered),
        captures=captures,
    )


def sent_raw(attempt: Attempt, answer: Answer, capture: str) -> Sent:
    """Return what became of a raw request."""
    return Sent(
        attempts=(attempt,),
        accepted=attempt.failure is None,
        captures=(capture,),
        headers=answer.headers,
        body=answer.body,
    )


def capture_of_request(
    data: bytes, capture_id: str, attempt: Attempt, *, wall_ns: int, now_ns: int, answer: Answer | None = None
) -> Capture:
    """Return a request of ours as a capture, for reports: as much of it as an HTTP reader would see."""
    head, _, body = data.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = request_line.partition(" ")
    target, _, version = rest.rpartition(" ")
    headers = tuple((name, value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon)
    sent_at_ns = wall_ns - now_ns + attempt.started_ns
    answered_ns = wall_ns - now_ns + attempt.finished_ns
    answered = (
        CapturedAnswer(
            status=attempt.status,
            headers=answer.headers if answer else (),
            body=answer.body if answer else b"",
            sent_at_ns=answered_ns,
            sent_ns=attempt.finished_ns,
        )
        if attempt.status is not None
        else None
    )
    return Capture(
        id=capture_id,
        endpoint=None,
        received_at_ns=sent_at_ns,
        monotonic_ns=attempt.started_ns,
        connection="",
        connection_request=1,
        remote="",
        http_version=version.removeprefix("HTTP/"),
        method=method,
        target=target,
        headers=headers,
        body=body[:_MOST_KEPT_BYTES],
        truncated=len(body) > _MOST_KEPT_BYTES,
        answer=answered,
    )
