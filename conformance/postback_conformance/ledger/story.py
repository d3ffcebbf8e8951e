"""A script of steps as people read it: what happened in words, and each request as a line for a shell."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

from postback_conformance.captured.curl_command import curl_command
from postback_conformance.judging.walks import NOTHING, Point
from postback_conformance.judging.wire_money import UNITS
from postback_conformance.ledger.comparing import ANSWER, RECORD, Difference, money_text
from postback_conformance.ledger.model import Tells, Update, update_of
from postback_conformance.ledger.step import Restart, Send, Step
from postback_conformance.redaction import redacted
from postback_receiver import Capture
from postback_sender.delivery.request import request_bytes
from postback_sender.notification import Notification
from postback_sender.postback import event_key, render_postback
from postback_sender.replay.request import Destination

# A story tells what happened, also what the templates leave out.
_EVERYTHING: Final = Tells(status=True, payout=True, amount=True, delta_payout=True, delta_amount=True)

_MOST_IN_A_LINE: Final = 8

MOST_TOLD: Final = 60
"""Steps that are told one by one."""


def told(steps: Sequence[Step], found: Sequence[Difference], notification: Notification) -> str:
    """Return a story in words: each step on a numbered line, and then what is wrong."""
    lines = [f"{number:>3}. {text}" for number, text in enumerate(_in_words(steps[:MOST_TOLD], notification), 1)]
    if len(steps) > MOST_TOLD:
        lines.append(f"     … and {len(steps) - MOST_TOLD} more steps")
    return "\n".join((*lines, *(difference_text(one, steps) for one in found)))


def in_one_line(steps: Sequence[Step], notification: Notification) -> str:
    """Return a short story as one sentence, and how many steps a long one has."""
    if len(steps) > _MOST_IN_A_LINE:
        return f"after {len(steps)} steps"
    return "; ".join(_in_words(steps, notification))


def difference_text(difference: Difference, steps: Sequence[Step]) -> str:
    """Return a difference after these steps as one sentence."""
    is_alone = len(_actions(steps)) < 2
    of_action = "" if is_alone else f" of {difference.action}"
    if difference.field == RECORD:
        name = "it" if is_alone else f"the action {difference.action}"
        return f"Then {name} must be recorded, and the probe knows nothing of it."
    if difference.field == ANSWER:
        return f"The endpoint must take this update{of_action}: {difference.actual}."
    text = f"Then the {difference.field}{of_action} must be {difference.expected}, not {difference.actual}"
    return f"{text}: that is {difference.looks_like}." if difference.looks_like else f"{text}."


def curl_lines(steps: Sequence[Step], shown: Notification, url: str, *, reveal: bool = False) -> str:
    """Return the requests of a story for a shell, to the endpoint at `url`.

    `shown` are settings to show: whatever they hold stands in the lines, except for what is named like a secret, unless
    it is to be revealed.
    """
    parts = urlsplit(url)
    to = Destination.parse(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    ids = ", ".join(sorted(_actions(steps[:MOST_TOLD])))
    lines = [f"# The endpoint knows {ids} by now: to begin from nothing, write another id in its place.\n"]
    for number, step in enumerate(steps[:MOST_TOLD], 1):
        if isinstance(step, Restart):
            lines.append(f"# {number}. now start the endpoint anew\n")
            continue
        request = _request(step, shown, url)
        command = curl_command(request if reveal else redacted(request), to).decode("utf-8", "backslashreplace")
        if step.lost:
            lines.append(f"# {number}. twice: the first answer was lost\n{command}{command}")
        elif step.at_once > 1:
            times = " ".join(map(str, range(1, step.at_once + 1)))
            lines.append(f"# {number}. {step.at_once} times at the same moment\n")
            lines.append(f"for _ in {times}; do\n{command.rstrip()} &\ndone; wait\n")
        else:
            lines.append(f"# {number}.\n{command}")
    return "".join(lines)


def _request(step: Send, shown: Notification, url: str) -> Capture:
    postback = render_postback(shown, step.event, to=url)
    _, data = request_bytes(postback)
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    target = head[0].split(" ")[1]
    headers = tuple(
        (name, value)
        for name, _, value in (line.partition(": ") for line in head[1:])
        if name.lower() != "content-length"
    )
    return Capture(
        id="",
        endpoint=None,
        received_at_ns=0,
        connection="",
        connection_request=1,
        remote="",
        http_version="1.1",
        method=postback.method,
        target=target,
        headers=headers,
        body=postback.body,
    )


def _in_words(steps: Sequence[Step], notification: Notification) -> Iterator[str]:
    is_alone = len(_actions(steps)) < 2
    seen: dict[tuple[str, int], int] = {}
    newest: dict[str, int] = {}
    for number, step in enumerate(steps, 1):
        if isinstance(step, Restart):
            yield "the endpoint is started anew"
            continue
        key = event_key(step.event)
        name = "" if is_alone else f"action {key}: "
        before = seen.setdefault((key, step.made), number)
        text = (
            f"{name}{_what(step, notification)}"
            if before == number
            else f"{name}the postback of step {before} comes again"
        )
        if before == number and step.made < newest.get(key, -1):
            text += ", but its postback comes late"
        newest[key] = max(step.made, newest.get(key, -1))
        if step.lost:
            text += "; it is taken, the answer gets lost, and it is sent again"
        if step.at_once > 1:
            text += f"; its postback comes {step.at_once} times at the same moment"
        yield text


def _actions(steps: Iterable[Step]) -> set[str]:
    return {event_key(step.event) for step in steps if isinstance(step, Send)}


def _what(step: Send, notification: Notification) -> str:
    update = update_of(step.event.values, _EVERYTHING)
    status = f" ({update.status})" if update.status else ""
    if notification.catalogue.kinds[step.event.kind].like == "action_clearing":
        return f"cleared{_figures(update)}{status}"
    return f"{_verb(step.made, update)}{_figures(update)}{status}"


def _verb(made: int, update: Update) -> str:
    if made == 0:
        return "tracked"
    if update.status == "REVERSED":
        return "reversed"
    return "restored" if update.start == NOTHING != update.end else "modified"


def _figures(update: Update) -> str:
    """Say from where to where the figures went."""
    if update.start is None or update.end is None:
        return ""
    if update.start == NOTHING:
        return f" with {_point(update.end)}"
    return f" from {_point(update.start)} to {_point(update.end)}"


def _point(point: Point) -> str:
    payout, amount = (money_text(Decimal(units) / UNITS) for units in point)
    return f"payout {payout}, amount {amount}"
