"""What a receiver says about its own operation on stderr: words for people, or one JSON object a line for programs.

An event has a name that stays (`started`, `store_failure`), words for people that may change, and facts. Bodies and
secrets are never among them: a target comes in redacted, and of an exception from elsewhere only the name of
its kind.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from postback_conformance.cli.listen_settings import LogFormat
from postback_conformance.cli.terminal import people, say
from postback_receiver import ReceiverError, ns_to_iso

Fact = str | int | float | bool | None


class OperationLog(Protocol):
    """Where events of operation go."""

    def note(
        self, event: str, words: str, *, shown: str | None = None, level: int = logging.INFO, **facts: Fact
    ) -> None:
        """Tell one event: its name, words for people, and facts for programs.

        `shown` takes the place of the words at a terminal, when it says what is not to be kept in logs.
        """
        ...


class TextLog:
    """Tells people the words."""

    def note(
        self, event: str, words: str, *, shown: str | None = None, level: int = logging.INFO, **facts: Fact
    ) -> None:
        _ = event, level, facts
        say(words if shown is None else shown)


class JsonLog:
    """Writes one JSON object a line: `at`, `level`, `event`, the facts, `message`."""

    def __init__(self, now_ns: Callable[[], int], *, worker: int | None = None) -> None:
        self._now_ns = now_ns
        self._worker: dict[str, Fact] = {} if worker is None else {"worker": worker}

    def note(
        self, event: str, words: str, *, shown: str | None = None, level: int = logging.INFO, **facts: Fact
    ) -> None:
        _ = shown
        if people.quiet and level < logging.WARNING:
            return
        sys.stderr.write(log_line(self._now_ns(), event, words, level=level, facts={**self._worker, **facts}))
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
        extra = {name: value for name, value in vars(record).items() if name not in _ATTRIBUTES}
        event = str(extra.pop("event", "log"))
        facts: dict[str, Fact] = {"logger": record.name}
        facts |= {name: value for name, value in extra.items() if isinstance(value, str | int | float | bool)}
        if record.exc_info and (error := record.exc_info[1]):
            # Only our own messages are known to hold no secret.
            facts["error"] = str(error) if isinstance(error, ReceiverError) else type(error).__name__
        self._log.note(event, record.getMessage(), shown=None, level=record.levelno, **facts)


def operation_log(form: LogFormat, now_ns: Callable[[], int], *, worker: int | None = None) -> OperationLog:
    """Return the log of a form; as JSON, all that libraries log goes there, too, and nothing else to stderr."""
    if form is LogFormat.TEXT:
        return TextLog()
    log = JsonLog(now_ns, worker=worker)
    logging.getLogger().handlers[:] = [RecordHandler(log)]
    return log


def leave_out_what_is_told() -> None:
    """Keep out of the log what is told of each capture anyway."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: getattr(record, "event", None) != "unreadable_request")
