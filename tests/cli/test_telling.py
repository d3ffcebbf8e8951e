"""What `listen` tells of each capture: cheaply, many at a time, and nothing that did not happen."""

import asyncio
import errno
import logging
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress

import pytest
from msgspec.structs import replace

from postback_conformance.cli import watching
from postback_conformance.cli.batch import Batch
from postback_conformance.cli.listen_settings import LogFormat
from postback_conformance.cli.operation_log import operation_log
from postback_conformance.cli.watching import Watcher
from postback_conformance.rules.examples import capture
from postback_receiver import Answer, Capture

SENT = replace(capture(b"{}"), answer=Answer(status=200, sent_at_ns=1, sent_ns=1))


class Log:
    """Keeps what is noted, when it shows anything."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self.is_quiet = is_quiet
        self.noted: list[tuple[str, str]] = []

    def shows(self, level: int) -> bool:
        return not self.is_quiet or level >= logging.WARNING

    def note(self, event: str, words: str, *, shown: str | None = None, level: int = 20, **facts: object) -> None:
        _ = shown, level, facts
        self.noted.append((event, words))


def watcher(log: Log, *, puts_captures: bool = False) -> Watcher:
    return Watcher((), log, puts_captures=puts_captures, reveal=False)


def test_lines_of_one_turn_are_written_in_one_go_and_those_outside_of_a_loop_at_once() -> None:
    written: list[list[str]] = []
    batch = Batch(written.append)

    async def turns() -> None:
        batch.add("a")
        batch.add("b")
        assert not written
        await asyncio.sleep(0)
        batch.add("c")

    asyncio.run(turns())
    batch.add("d")
    assert written == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    ("arrived", "end"),
    [
        (SENT, "(2 bytes, answered 200)"),
        (replace(SENT, answer=Answer(status=200)), "(2 bytes, answer 200 not sent)"),
        (replace(SENT, answer=None, fault="reset"), "(2 bytes, not answered, fault reset)"),
        (replace(SENT, target="/\x1b[2J?token=t"), r"/\x1b[2J?token=[hidden] (2 bytes, answered 200)"),
    ],
    ids=["sent", "cut", "none", "hostile"],
)
def test_a_capture_is_told_with_what_became_of_its_answer(arrived: Capture, end: str) -> None:
    log = Log()
    watcher(log).arrived(arrived)
    [(_, words)] = log.noted
    assert words.startswith(arrived.id[:8])
    assert words.endswith(end)


def test_nothing_is_put_together_for_whom_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(watching, "one_line")
    log = Log(is_quiet=True)
    watching_quietly = watcher(log)
    watching_quietly.arrived(SENT)
    assert not log.noted
    assert watching_quietly.count == 1


def test_a_reader_that_leaves_is_told_of_once_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_lines: Iterable[bytes]) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(watching, "put_all", refuse)
    log = Log(is_quiet=True)
    writing = watcher(log, puts_captures=True)
    for _ in range(3):
        writing.arrived(SENT)
    assert writing.count == 3
    assert [event for event, _ in log.noted] == ["output_lost"]
    assert not capsys.readouterr().out


@contextmanager
def stderr_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    reads, writes = os.pipe()
    os.close(reads)
    stream = os.fdopen(writes, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    yield
    # What is still in it goes nowhere, either.
    with suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("form", LogFormat)
def test_a_log_that_nobody_reads_any_more_troubles_neither_the_loop_nor_a_thread(
    monkeypatch: pytest.MonkeyPatch, form: LogFormat
) -> None:
    troubles: list[object] = []

    async def note() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        log.note("captured", "one")
        await asyncio.sleep(0)
        await asyncio.to_thread(log.note, "captured", "another")
        await asyncio.sleep(0)

    with stderr_that_nobody_reads(monkeypatch), operation_log(form, lambda: 0) as log:
        asyncio.run(note())
        log.note("stopped", "outside of a loop")
    assert not troubles


def test_a_full_disk_costs_the_lines_of_that_time_and_no_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with operation_log(LogFormat.JSON, lambda: 0) as log:
        with monkeypatch.context() as full:
            full.setattr(sys.stderr, "write", refuse)
            log.note("captured", "lost")
        log.note("captured", "kept")
    assert [line.count("kept") for line in capsys.readouterr().err.splitlines()] == [1]


def test_a_record_that_cannot_be_put_into_words_does_not_fail_whoever_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    words = "%d of them"
    with operation_log(LogFormat.JSON, lambda: 0):
        logging.getLogger("postback").warning(words, "none")
