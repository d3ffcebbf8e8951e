"""What a receiver says about its own operation on stderr: words for people, or one JSON object a line for programs.

An event has a name that stays (`started`, `store_failure`), words for people that may change, and facts. Bodies and
secrets are never among them: a target comes in redacted, and of an exception from elsewhere only the name of
its kind.
"""

import json
import logging
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from postback_conformance.cli.batch import Batch, discard
from postback_conformance.cli.listen_settings import LogFormat
from postback_conformance.cli.saying import is_quiet, say_all
from postback_receiver import ReceiverError, ns_to_iso

Fact = str | int | float | bool | None


class OperationLog(Protocol):
    """Where events of operation go. They are written soon, many at a time."""

    def shows(self, level: int) -> bool:
        """Whether events of a level are shown at all, so that nobody need put words together for them."""
        ...

    def note(
        self, event: str, words: str, *, shown: str | None = None, level: int = logging.INFO, **facts: Fact
    ) -> None:
        """Tell one event: its name, words for people, and facts for programs.

        `shown` takes the place of the words at a terminal, when it says what is not to be kept in logs.
        """
        ...


class TextLog:
    """Tells people the words."""

    def __init__(self) -> None:
        self._lines: Batch[str] = Batch(_surviving(say_all))

    def shows(self, level: int) -> bool:
        _ = level
        return not is_quiet()

    def note(
        self, event: str, words: str, *, shown: str | None = None, level: int = logging.INFO, **facts: Fact
    ) -> None:
        _ = event, level, facts
        self._lines.add(words if shown is None else shown)


class JsonLog:
    """Writes one JSON object a line: `at`, `level`, `event`, the facts, `message`."""

    def __init__(self, now_ns: Callable[[], int], *, worker: int | None = None) -> None:
        self._now_ns = now_ns
        self._worker: dict[str, Fact] = {} if worker is None else {"worker": worker}
        self._lines: Batch[str] = Batch(_surviving(_write_to_stderr))

    def shows(self, level: int) -> bool:
        return not is_quiet() or level >= logging.WARNING

    def note(
        self, event: str, words: str, *, shown: str | None = None, level: int = logging.INFO, **facts: Fact
    ) -> None:
        _ = shown
        if self.shows(level):
            self._lines.add(log_line(self._now_ns(), event, words, level=level, facts={**self._worker, **facts}))


def _surviving(write: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """Return a `write` to stderr whose failure is nobody's: there is no other place to tell it."""

    def write_or_lose(lines: list[str]) -> None:
        # A full disk may have room again. A reader that has left does not come back.
        with suppress(OSError, ValueError):
            try:
                write(lines)
            except BrokenPipeError:
                discard(sys.stderr)

    return write_or_lose


def _write_to_stderr(lines: list[str]) -> None:
    sys.stderr.write("".join(lines))
    sys.stderr.flush()


def log_line(at_ns: int, event: str, words: str, *, level: int, facts: Mapping[str, Fact]) -> str:
    """Return one event as a line of JSON in ASCII, which no terminal obeys."""
    name = logging.getLevelName(level).lower()
    return json.dumps({"at": ns_to_iso(at_ns), "level": name, "event": event, **facts, "message": words}) + "\n"


_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({})))


class RecordHandler(logging.Handler):
    """Turns what libraries log into events. `extra={"event": ...}` names one and may hold facts; else it is `log`."""

    def __init__(self, log: OperationLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._note(record)
        except Exception:  # noqa: BLE001 -- as of every handler: whoever logs is not to fail of it
            self.handleError(record)

    def _note(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _ATTRIBUTES}
        event = str(extra.pop("event", "log"))
        facts: dict[str, Fact] = {"logger": record.name}
        facts |= {name: value for name, value in extra.items() if isinstance(value, str | int | float | bool)}
        if record.exc_info and (error := record.exc_info[1]):
            # Only our own messages are known to hold no secret.
            facts["error"] = str(error) if isinstance(error, ReceiverError) else type(error).__name__
        self._log.note(event, record.getMessage(), shown=None, level=record.levelno, **facts)


@contextmanager
def operation_log(form: LogFormat, now_ns: Callable[[], int], *, worker: int | None = None) -> Generator[OperationLog]:
    """Give the log of a form; as JSON, all that libraries log goes there, too, and nothing else to stderr.

    Left out is what is told of each capture anyway. At the end, logging is as it was before.
    """
    root = logging.getLogger()
    before = root.handlers[:]
    log: OperationLog = TextLog()
    if form is LogFormat.JSON:
        log = JsonLog(now_ns, worker=worker)
        root.handlers[:] = [RecordHandler(log)]
    handlers = root.handlers[:]
    for handler in handlers:
        handler.addFilter(_is_told_nowhere_else)
    try:
        yield log
    finally:
        for handler in handlers:
            handler.removeFilter(_is_told_nowhere_else)
        root.handlers[:] = before


def _is_told_nowhere_else(record: logging.LogRecord) -> bool:
    return getattr(record, "event", None) != "unreadable_request"
