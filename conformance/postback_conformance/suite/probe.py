"""The probe: how a partner shows what the endpoint recorded. By URL, as `module:function`, or any callable."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from inspect import iscoroutinefunction
from pkgutil import resolve_name
from typing import Final, Protocol, cast
from urllib.parse import quote, urljoin

import msgspec

from postback_conformance.certificates import advice
from postback_conformance.errors import ConformanceError
from postback_conformance.suite.calling_thread import CallingThread
from postback_sender.clock import Clock, SystemClock
from postback_sender.delivery.connections import Connections
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.retry import Failure
from postback_sender.delivery.target import check_target
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration

STATUSES: Final = ("PENDING", "APPROVED", "REVERSED")

_MONEY: Final = ("payout", "amount")
_LONGEST_QUOTE: Final = 80
# Before and after the point.
_MOST_DIGITS: Final = 40
_DEFAULT_LIMIT_NS: Final = 5 * NANOSECONDS_PER_SECOND


class ProbeError(ConformanceError):
    """A probe that raises, hangs or returns what is no answer to what was asked. The endpoint is not blamed for it."""


class ProbeHangsError(ProbeError):
    """A probe that gave no answer in time."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint recorded of one action. None, or absent from `texts`, is what it does not tell.

    `texts` holds everything else it tells, by the name the probe uses, such as `sub_id1`.
    """

    id: str
    status: str | None = None
    payout: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    event_date: str | None = None
    updates: int | None = None
    texts: Mapping[str, str] = {}


class Probe(Protocol):
    """Looks into an endpoint's records."""

    async def recorded(self, action_id: str) -> Recorded | None:
        """Return what was recorded of an action, None for nothing; raises `ProbeError`."""
        ...


ProbeFunction = Callable[[str], object]
"""Takes an action id and returns what the contract says, None for nothing; may be a coroutine function."""


def probe_at(
    place: str,
    *,
    endpoint: str = "",
    allowed_hosts: Collection[str] = (),
    trust: ssl.SSLContext | bool = True,
    limit_ns: int = _DEFAULT_LIMIT_NS,
    clock: Clock | None = None,
) -> Probe:
    """Return the probe at a URL, a path at the endpoint's URL, or `module:function`.

    `trust` are the certificates to trust, as for an `Endpoint`. Raises `ProbeError` or `TargetError`.
    """
    if endpoint and place.startswith("/"):
        place = urljoin(endpoint, place)
    if "://" in place:
        check_target(place, allowed_hosts=allowed_hosts)
        clock = clock or SystemClock()
        return UrlProbe(place, allowed_hosts=allowed_hosts, trust=trust, limit_ns=limit_ns, clock=clock)
    if not all(place.partition(":")):
        raise ProbeError(
            f"--probe {place}: expected a URL, a path at the endpoint or module:function, such as tests.ledger:recorded"
        )
    try:
        found: object = resolve_name(place)
    except Exception as error:
        raise ProbeError(f"--probe {place}: cannot be loaded: {_told(error)}") from error
    if not callable(found):
        raise ProbeError(f"--probe {place}: expected a function, got {_shown(found)}")
    return CallableProbe(cast("ProbeFunction", found), limit_ns=limit_ns)


class CallableProbe:
    """A function as a probe. One that is not asynchronous is called in a thread, so that it may block, or hang.

    Calls that do not overlap share a thread, so that it may keep a connection to its database.
    """

    def __init__(self, function: ProbeFunction, *, limit_ns: int = _DEFAULT_LIMIT_NS) -> None:
        self._function = function
        self._limit_ns = limit_ns
        self._idle: list[CallingThread] = []

    async def close(self) -> None:
        """End the thread that is kept for the next look."""
        while self._idle:
            self._idle.pop().end()

    async def recorded(self, action_id: str) -> Recorded | None:
        limit = asyncio.timeout(self._limit_ns / NANOSECONDS_PER_SECOND)
        try:
            async with limit:
                answer = await self._answer(action_id)
                if isinstance(answer, Awaitable):
                    answer = await cast("Awaitable[object]", answer)
        except Exception as error:
            if limit.expired():
                raise ProbeHangsError(f"the probe gave no answer within {format_duration(self._limit_ns)}") from None
            raise ProbeError(f"the probe failed: {_told(error)}") from error
        try:
            return read_probe(answer, action_id)
        except ProbeError:
            raise
        except Exception as error:
            raise ProbeError(f"the probe returned something that cannot be read: {_told(error)}") from error

    async def _answer(self, action_id: str) -> object:
        if iscoroutinefunction(self._function):
            return self._function(action_id)
        thread = self._idle.pop() if self._idle else CallingThread("postback probe")
        try:
            answer = await thread.call(lambda: self._function(action_id))
        except BaseException:
            # It may hang for good.
            thread.end()
            raise
        self._idle.append(thread)
        return answer


class UrlProbe:
    """A URL as a probe: `?id=ACTION_ID` is added to it."""

    def __init__(
        self, url: str, *, allowed_hosts: Collection[str], trust: ssl.SSLContext | bool, limit_ns: int, clock: Clock
    ) -> None:
        self._url = url
        timeouts = Timeouts(total_ns=limit_ns)
        self._connections = Connections(timeouts, allowed_hosts=allowed_hosts, clock=clock, trust=trust)

    async def close(self) -> None:
        """Close the connections that are kept for the next look."""
        await self._connections.__aexit__(None, None, None)

    async def recorded(self, action_id: str) -> Recorded | None:
        mark = "&" if "?" in self._url else "?"
        (origin, authority, authorization), target = split_url(f"{self._url}{mark}id={quote(action_id, safe='')}")
        lines = [f"GET {target} HTTP/1.1", f"Host: {authority}", "Accept: application/json"]
        if authorization is not None:
            lines.append(f"Authorization: {authorization}")
        request = "\r\n".join((*lines, "\r\n")).encode()
        answer = await self._connections.exchange(origin, request, "GET")
        if answer.failure is Failure.CONNECTION:
            # The connection was kept, and the endpoint has closed it meanwhile; looking twice changes nothing.
            answer = await self._connections.exchange(origin, request, "GET")
        if answer.failure is not None:
            error = ProbeHangsError if answer.failure is Failure.TIMEOUT else ProbeError
            advised = advice(answer.failure, answer.detail)
            raise error(f"the probe gave no answer: {answer.failure}: {answer.detail}{advised}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ProbeError(f"the probe answered {answer.status}: expected 200, or 404 for an action it does not know")
        if answer.cut:
            raise ProbeError(f"the probe answered more than {len(answer.body)} bytes: return the asked action only")
        try:
            document = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProbeError(f"the probe answered no JSON: {_told(error)}") from None
        return read_probe(document, action_id)


def read_probe(answer: object, action_id: str) -> Recorded | None:
    """Return what a probe's answer says of an action, or raise `ProbeError` for what is no answer.

    `{"actions": {ID: {…}}}`, or a list whose entries have an `id`; None, or an action that is not in it, is nothing.
    """
    if answer is None:
        return None
    actions = _actions(answer)
    if isinstance(actions, Mapping):
        entry = cast("Mapping[object, object]", actions).get(action_id)
        return None if entry is None else _recorded(entry, action_id)
    if isinstance(actions, list | tuple):
        entries = [_object(entry, "actions") for entry in cast("list[object]", actions)]
        found = [entry for entry in entries if entry.get("id") == action_id]
        if len(found) > 1:
            raise ProbeError(f"the probe returned the action {action_id} {len(found)} times; one entry per action")
        return _recorded(found[0], action_id) if found else None
    raise ProbeError(f'the probe returned {_shown(answer)}: expected {{"actions": {{"{action_id}": {{…}}}}}}')


def _actions(answer: object) -> object:
    return cast("Mapping[object, object]", answer).get("actions") if isinstance(answer, Mapping) else None


def _recorded(entry: object, action_id: str) -> Recorded:
    fields = dict(_object(entry, action_id))
    fields.pop("id", None)
    money = {name: _money(fields.pop(name, None), f"{action_id}, {name}") for name in _MONEY}
    status = _text(fields.pop("status", None), f"{action_id}, status")
    if status is not None and status.upper() not in STATUSES:
        raise ProbeError(f"the probe, {action_id}, status: expected {', '.join(STATUSES)}, got {_shown(status)}")
    updates = fields.pop("updates", None)
    if updates is not None and (not isinstance(updates, int) or isinstance(updates, bool)):
        raise ProbeError(f"the probe, {action_id}, updates: expected a whole number, got {_shown(updates)}")
    texts = {str(name): _text(value, f"{action_id}, {name}") for name, value in fields.items()}
    known = {name: text for name, text in texts.items() if text is not None}
    return Recorded(
        id=action_id,
        status=status.upper() if status is not None else None,
        payout=money["payout"],
        amount=money["amount"],
        currency=known.pop("currency", None),
        event_date=known.pop("event_date", None),
        updates=updates,
        texts=known,
    )


def _object(value: object, place: str) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise ProbeError(f"the probe, {place}: expected an object, got {_shown(value)}")
    return cast("Mapping[object, object]", value)


def _text(value: object, place: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ProbeError(f"the probe, {place}: expected a text, got {_shown(value)}")


def _money(value: object, place: str) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        figure = Decimal(value)
    elif isinstance(value, str):
        try:
            figure = Decimal(value)
        except InvalidOperation:
            raise ProbeError(f'the probe, {place}: expected a decimal such as "4.20", got {_shown(value)}') from None
    else:
        raise ProbeError(f'the probe, {place}: expected a decimal in quotes, such as "4.20", got {_shown(value)}')
    if not figure.is_finite() or abs(figure.adjusted()) > _MOST_DIGITS:
        raise ProbeError(f'the probe, {place}: expected a decimal such as "4.20", got {_shown(value)}')
    return figure


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  what a partner's object does when it is asked for its name
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _told(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  what a partner's error does when it is asked what happened
        text = ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
