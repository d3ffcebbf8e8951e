"""Captures as requests to send again, and answers compared with the recorded ones."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from postback_conformance.captured.capture_filter import CaptureFilter, all_match
from postback_conformance.captured.fresh_ids import IdPlaces, find_ids, with_fresh_ids
from postback_conformance.redaction import has_hidden
from postback_receiver import Answer, Capture, Headers
from postback_sender import Notification
from postback_sender.delivery.answer import Answer as ReplayAnswer
from postback_sender.delivery.content_coding import ContentCodingError, decoded
from postback_sender.matcher import MAX_ANSWER_BYTES
from postback_sender.replay.request import RecordedRequest, unsendable

_DIFF_LINES: Final = 12
_DIFF_LETTERS: Final = 120
_QUOTED_BYTES: Final = 16
# A clock that is kept right by small steps is not one that was set.
_SET_BACK_NS: Final = 1_000_000_000

Outcome = Literal["answered", "refused", "no answer"]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A capture that can be sent again: the request, what was answered then, and where its action's ids stand."""

    request: RecordedRequest
    answer: Answer | None
    ids: IdPlaces = IdPlaces()


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What of some traffic is to be sent again, in order, and how many captures are left out for which reason.

    `without_id` counts requests in which no action id was found, `hidden` those in which a secret was hidden when they
    were exported.
    """

    recorded: tuple[Recorded, ...]
    left_out: Counter[str]
    without_id: int = 0
    hidden: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer differs from the recorded one; `difference` is empty when it does not."""

    verdict: Literal["same", "status differs", "body differs", "nothing to compare"]
    difference: str = ""

    @property
    def differs(self) -> bool:
        """Whether the two are known to differ."""
        return self.verdict in {"status differs", "body differs"}


def select_captures(
    captures: Iterable[Capture],
    *,
    only: Sequence[CaptureFilter] = (),
    notifications: Mapping[str | None, Notification] | Notification | None = None,
) -> Selection:
    """Return the captures that can be sent again and that all filters take, in the order of their arrival.

    With `notifications` the ids of actions are looked for, by the one of each endpoint or by the one given for all.
    Arrival is what `arrivals_ns` says: wall time, which all runs of a receiver share. Where it is equal, the monotonic
    stamp decides, and then the order of the file.
    """
    left_out: Counter[str] = Counter()
    chosen: list[Capture] = []
    for capture in captures:
        if not all_match(only, capture):
            left_out["not selected by --only"] += 1
        elif reason := unfit(capture):
            left_out[reason] += 1
        else:
            chosen.append(capture)
    arrived = zip(arrivals_ns(chosen), chosen, strict=True)
    recorded: list[Recorded] = []
    for arrived_ns, capture in sorted(arrived, key=lambda each: (each[0], each[1].monotonic_ns or 0)):
        settings = (
            notifications if isinstance(notifications, Notification) else (notifications or {}).get(capture.endpoint)
        )
        ids = find_ids(capture, settings) if settings else IdPlaces()
        request = msgspec.structs.replace(recorded_request(capture), recorded_ns=arrived_ns)
        recorded.append(Recorded(request=request, answer=capture.answer, ids=ids))
    return Selection(
        recorded=tuple(recorded),
        left_out=left_out,
        without_id=sum(not each.ids for each in recorded),
        hidden=sum(map(has_hidden, chosen)),
    )


def arrivals_ns(captures: Sequence[Capture]) -> list[int]:
    """Return when each capture arrived, wall time, as if no clock had been set back during a run of its receiver.

    The monotonic stamps of a run tell: what came later arrived later. One that was set forward cannot be told from a
    machine that slept.
    """
    arrived_ns = [capture.received_at_ns for capture in captures]
    by_run: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, capture in enumerate(captures):
        if capture.run and capture.monotonic_ns is not None:
            by_run[capture.run].append((capture.monotonic_ns, place))
    for stamps in by_run.values():
        lost_ns, before_ns = 0, None
        for monotonic_ns, place in sorted(stamps):
            distance_ns = captures[place].received_at_ns - monotonic_ns
            if before_ns is not None and before_ns - distance_ns > _SET_BACK_NS:
                lost_ns += before_ns - distance_ns
            before_ns = distance_ns
            arrived_ns[place] += lost_ns
    return arrived_ns


def freshened(recorded: Recorded, *, seed: int, round_number: int) -> RecordedRequest:
    """Return a request with new action ids; one without known ids as it is."""
    if not recorded.ids:
        return recorded.request
    target, body = with_fresh_ids(
        recorded.request.target, recorded.request.body, recorded.ids, seed=seed, round_number=round_number
    )
    return msgspec.structs.replace(recorded.request, target=target, body=body)


def outcome_of(answer: ReplayAnswer, recorded: Answer | None) -> Outcome:
    """Say how a request went: refused means an answer beyond 2xx where the recorded one was not, or is not known."""
    if answer.failure is not None or answer.status is None:
        return "no answer"
    was_refused = recorded is not None and not 200 <= recorded.status < 300
    return "answered" if was_refused or 200 <= answer.status < 300 else "refused"


def compare(answer: ReplayAnswer, recorded: Answer | None) -> Comparison:
    """Compare an answer with the recorded one: status, then body, as far as is kept of one and decompressed."""
    if answer.failure is not None or recorded is None:
        return Comparison(verdict="nothing to compare")
    if answer.status != recorded.status:
        return Comparison(verdict="status differs", difference=f"status {recorded.status} then, {answer.status} now")
    then, now = recorded.body[:MAX_ANSWER_BYTES], answer.body
    if then != now:
        then, now = plain_body(then, recorded.headers), plain_body(now, answer.headers)
    if then == now:
        return Comparison(verdict="same")
    return Comparison(verdict="body differs", difference="\n".join(_difference(then, now)))


def unfit(capture: Capture) -> str | None:
    """Return why a capture cannot be sent again, or None when it can."""
    if capture.malformed is not None:
        return "it is no HTTP request"
    if capture.truncated:
        return "the body is not all there"
    return unsendable(recorded_request(capture))


def recorded_request(capture: Capture) -> RecordedRequest:
    """Return the request of a capture."""
    return RecordedRequest(
        id=capture.id,
        recorded_ns=capture.received_at_ns,
        method=capture.method,
        target=capture.target,
        headers=capture.headers,
        body=capture.body,
    )


def plain_body(body: bytes, headers: Headers) -> bytes:
    """Return a body decompressed, as far as is kept of one; what cannot be is returned as it is."""
    coding = ", ".join(value for name, value in headers if name.lower() == "content-encoding")
    try:
        return decoded(body, coding, limit=MAX_ANSWER_BYTES)
    except ContentCodingError:
        return body


def _difference(then: bytes, now: bytes) -> Iterator[str]:
    try:
        old, new = then.decode().splitlines(), now.decode().splitlines()
    except UnicodeDecodeError:
        old, new = [], []
    lines = list(difflib.unified_diff(old, new, "recorded", "now", n=1, lineterm=""))
    if not lines:
        pairs = enumerate(zip(then, now, strict=False))
        first = next((place for place, (old_byte, new_byte) in pairs if old_byte != new_byte), min(len(then), len(now)))
        yield f"the first differing byte is {first}, of {len(then)} recorded and {len(now)} now"
        for name, data in (("recorded", then), ("now", now)):
            quoted = data[first : first + _QUOTED_BYTES].hex(" ") or "the end"
            yield f"  {name.ljust(8)}  {quoted}"
        return
    for line in lines[:_DIFF_LINES]:
        yield line[:_DIFF_LETTERS] + ("…" if len(line) > _DIFF_LETTERS else "")
    if len(lines) > _DIFF_LINES:
        yield f"… and {len(lines) - _DIFF_LINES} more lines"
