"""`[[endpoint.reply]]` in a `receiver.toml`: from what is written to a `Reply`, with the place of every slip."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn, TypeVar

import msgspec

from postback_conformance.captured.capture_filter import all_match, parse_filter
from postback_conformance.errors import FilterError
from postback_conformance.receiving.fault_text import parse_fault
from postback_conformance.receiving.wanted_answer import Wanted, wanted_answer
from postback_receiver import Capture, Case, Fault, RandomDelay, Reply, sometimes
from postback_sender import Notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND, QuantityError, parse_duration
from postback_sender.settings_table import decode_table, dotted, fail

T = TypeVar("T", bound=msgspec.Struct)

_ATTEMPTS = re.compile(r"\s*(\d{1,9})\s*(?:(-)\s*(\d{1,9})?\s*)?", re.ASCII)


class ReplyFile(msgspec.Struct, frozen=True, kw_only=True):
    """A reply as it is written."""

    status: int | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    body_file: str | None = None
    use: Wanted | None = None
    delay: str | float | dict[str, Any] = 0
    fault: str | dict[str, Any] | None = None
    faults: list[str | dict[str, Any]] | None = None
    when: str | list[str] | None = None
    attempts: str | int | None = None


class _DelayTable(msgspec.Struct, frozen=True, kw_only=True):
    least: str | float = 0
    most: str | float
    seed: int | None = None


class _FaultTable(msgspec.Struct, frozen=True, kw_only=True):
    fault: str
    probability: float = 1.0
    seed: int | None = None


class Tables:
    """The tables of one file: reads them into records, and fails with the file's name and the line."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name

    def read(self, table: Mapping[str, Any], kind: type[T], path: str) -> T:
        """Return a table as a record of a kind; NotificationError for an unknown key or a value that is none."""
        return decode_table(table, kind, path=path, text=self._text, name=self._name)

    def fail(self, message: str, path: str, key: str) -> NoReturn:
        """Raise NotificationError about a key of a table."""
        fail(f"{dotted(path, key)}: {message}", path, key, text=self._text, name=self._name)

    def nanoseconds(self, value: str | float, path: str, key: str) -> int:
        """Return a duration that may be 0."""
        try:
            return parse_duration(value)
        except QuantityError as error:
            self.fail(str(error), path, key)


class ReplyReader:
    """Reads the replies of one endpoint; `seed` is the file's own, `body_file` returns what a file beside it holds."""

    def __init__(
        self,
        tables: Tables,
        *,
        seed: int,
        notification: Notification | None,
        body_file: Callable[[str], bytes],
    ) -> None:
        self._tables = tables
        self._seed = seed
        self._notification = notification
        self._body_file = body_file

    def success(self, path: str) -> Reply:
        """Return what an endpoint without replies answers: what its notification takes for a success, or 200."""
        if self._notification is None:
            return Reply()
        status, body = self._wanted("success", path, "notification")
        return Reply(status=status, body=body)

    def reply(self, table: Mapping[str, Any], path: str) -> Reply | Case:
        """Return one reply; a `Case` when it is for some requests only."""
        file = self._tables.read(table, ReplyFile, path)
        status, body = self._answer(file, path)
        faults = self._faults(file, path)
        try:
            reply = Reply(status=status, headers=tuple(file.headers.items()), body=body)
        except ValueError as error:
            self._tables.fail(str(error), path, "status" if "status" in str(error) else "headers")
        try:
            reply = Reply(
                status=status,
                headers=reply.headers,
                body=body,
                delay=self._delay(file.delay, path),
                faults=faults,
            )
        except ValueError as error:
            self._tables.fail(str(error), path, "delay" if "delay" in str(error) else _fault_key(file))
        if file.when is None and file.attempts is None:
            return reply
        return Case(reply=reply, when=self._when(file.when, path), attempts=self._attempts(file.attempts, path))

    def _answer(self, file: ReplyFile, path: str) -> tuple[int, bytes]:
        given = [key for key in ("use", "body", "body_file") if getattr(file, key) is not None]
        if len(given) > 1:
            self._tables.fail(f"{given[0]} is set as well; keep one of them", path, given[1])
        if file.use is not None:
            if file.status is not None:
                self._tables.fail("use says the status as well; keep one of them", path, "status")
            return self._wanted(file.use, path, "use")
        status = 200 if file.status is None else file.status
        if file.body_file is not None:
            return status, self._body_file(file.body_file)
        return status, (file.body or "").encode()

    def _wanted(self, wanted: Wanted, path: str, key: str) -> tuple[int, bytes]:
        if self._notification is None:
            self._tables.fail("this endpoint has no notification that would tell; write status and body", path, key)
        try:
            return wanted_answer(self._notification, wanted)
        except ValueError as error:
            self._tables.fail(str(error), path, key)

    def _delay(self, value: str | float | dict[str, Any], path: str) -> float | RandomDelay:
        if not isinstance(value, dict):
            return self._tables.nanoseconds(value, path, "delay") / NANOSECONDS_PER_SECOND
        table = self._tables.read(value, _DelayTable, f"{path}.delay")
        least, most = (
            self._tables.nanoseconds(span, path, "delay") / NANOSECONDS_PER_SECOND for span in (table.least, table.most)
        )
        try:
            return RandomDelay(least, most, seed=self._seed if table.seed is None else table.seed)
        except ValueError as error:
            self._tables.fail(str(error), path, "delay")

    def _faults(self, file: ReplyFile, path: str) -> tuple[Fault, ...]:
        if file.fault is not None and file.faults is not None:
            self._tables.fail("faults is set as well; keep one of them", path, "fault")
        written = [file.fault] if file.fault is not None else file.faults or []
        return tuple(self._fault(each, path, _fault_key(file)) for each in written)

    def _fault(self, written: str | dict[str, Any], path: str, key: str) -> Fault:
        table = {"fault": written} if isinstance(written, str) else written
        file = self._tables.read(table, _FaultTable, dotted(path, key))
        try:
            fault = parse_fault(file.fault)
            seed = self._seed if file.seed is None else file.seed
            return sometimes(fault, file.probability, seed=seed)
        except (ValueError, QuantityError) as error:
            self._tables.fail(str(error), path, key)

    def _when(self, written: str | list[str] | None, path: str) -> Callable[[Capture], bool] | None:
        if written is None:
            return None
        try:
            filters = tuple(parse_filter(text) for text in ([written] if isinstance(written, str) else written))
        except FilterError as error:
            self._tables.fail(str(error), path, "when")
        return partial(all_match, filters)

    def _attempts(self, written: str | int | None, path: str) -> tuple[int, int | None]:
        if written is None:
            return 1, None
        found = _ATTEMPTS.fullmatch(str(written))
        first = int(found[1]) if found else 0
        last = None if not found or (found[2] and not found[3]) else int(found[3] or first)
        if first < 1 or (last is not None and last < first):
            self._tables.fail(
                f'expected attempts such as 1, "1-2" or "3-", counted from 1, got {written!r}', path, "attempts"
            )
        return first, last


def _fault_key(file: ReplyFile) -> str:
    return "fault" if file.faults is None else "faults"
