"""Workers and the process that keeps them: none is lost for good, and nothing they report is lost without a word."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from fork_server import PATIENCE_S
from postback_conformance.cli import supervising
from postback_conformance.cli.supervising import Workers
from postback_conformance.cli.worker import Teller
from postback_conformance.cli.worker_link import Report, read_frame, to_frame
from postback_conformance.rules.examples import capture
from postback_receiver import Capture, ReceiverError, new_event_loop
from postback_receiver.metrics import gauge

CAPTURE = replace(capture(b"x" * 10_000), id="a")
COUNT = 100
"""Of captures: more than fit into a pipe."""


class Log:
    """Keeps the names and facts of events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def shows(self, level: int) -> bool:
        _ = level
        return True

    def note(self, event: str, words: str, *, shown: str | None = None, level: int = 20, **facts: object) -> None:
        _ = words, shown, level
        self.events.append((event, facts))


def run(what: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await what()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(bounded())


async def told_through(pipe: int) -> Teller:
    """A teller that has a hundred captures to tell, through a pipe that nobody has read from yet."""
    _, told = await asyncio.get_running_loop().connect_write_pipe(Teller, os.fdopen(pipe, "wb"))
    for _ in range(COUNT):
        told.capture(CAPTURE)
    told.numbers([gauge("postback_x", "X.", 1)])
    return told


def test_the_last_reports_are_waited_for() -> None:
    async def tell_late() -> None:
        reads, writes = os.pipe()
        told = await told_through(writes)
        finishing = asyncio.create_task(told.finish())
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reads, "rb")
        )
        reports: list[Report] = []
        while (report := await read_frame(reader, Report)) is not None:
            reports.append(report)
        transport.close()
        assert await finishing == 0
        assert sum(report.capture is not None for report in reports) == COUNT
        assert reports[-1].metrics

    run(tell_late)


def test_captures_that_nobody_took_the_reports_of_are_counted() -> None:
    async def tell_nobody() -> None:
        reads, writes = os.pipe()
        told = await told_through(writes)
        untold = await told.finish(patience_s=0.01)
        os.set_blocking(reads, False)
        in_pipe = len(os.read(reads, 10_000_000)) // len(to_frame(Report(capture=CAPTURE)))
        os.close(reads)
        assert untold == COUNT - in_pipe > 0

    run(tell_nobody)


# A worker that says that it runs, tells of a capture, and waits for its end.
FAITHFUL = f"""
import sys
sys.stdout.buffer.write(bytes.fromhex("{to_frame(Report(metrics=(), capture=replace(CAPTURE, body=b""))).hex()}"))
sys.stdout.flush()
sys.stdin.read()
"""

SILENT = "import sys; sys.stdin.read()"

Spawn = Callable[..., Awaitable[Process]]


def spawning(*, fails: Callable[[int], bool], started: list[Process], program: str = FAITHFUL) -> Spawn:
    """Start stand-ins for workers, except where `fails` says of an attempt's number that the system refuses."""
    really_spawn = asyncio.create_subprocess_exec
    attempts = 0

    async def spawn(*_command: str, **_options: object) -> Process:
        nonlocal attempts
        attempts += 1
        if fails(attempts):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(await really_spawn(sys.executable, "-IS", "-c", program, stdin=PIPE, stdout=PIPE))
        return started[-1]

    return spawn


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  what is looked at tells nobody when it changes
        await asyncio.sleep(0.005)


def test_a_worker_that_cannot_be_started_again_is_tried_until_it_can_and_one_can_see_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def keep() -> None:
        started: list[Process] = []
        refuses = [False]
        monkeypatch.setattr(supervising, "RESTART_DELAYS_S", (0.0, 0.01))
        spawn = spawning(fails=lambda _: refuses[0], started=started)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
        log, told = Log(), list[Capture]()

        def observe(arrived: Capture) -> None:
            told.append(arrived)
            raise RuntimeError("an observer that fails ends no worker")

        async with Workers(b"", 1, log=log, on_capture=observe) as workers:
            assert (workers.running, workers.trouble()) == (1, None)
            refuses[0] = True
            started[0].kill()
            await until(lambda: workers.trouble() is not None)
            assert workers.running == 0
            assert "worker 1 cannot be started: Resource temporarily unavailable" in str(workers.trouble())
            refuses[0] = False
            await until(lambda: workers.running == 1)
            assert workers.trouble() is None
        assert len(started) == len(told) == 2
        names = [event for event, _ in log.events]
        assert names[:2] == ["worker_restarted", "worker_not_started"]
        assert set(names[2:]) <= {"worker_not_started"}

    run(keep)


def test_a_first_worker_that_cannot_be_started_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep() -> None:
        started: list[Process] = []
        spawn = spawning(fails=lambda attempt: attempt == 2, started=started)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
        with pytest.raises(ReceiverError, match="worker 2 cannot be started: Resource temporarily unavailable"):
            async with Workers(b"", 2, log=Log(), on_capture=lambda _: None):
                pass
        assert [process.returncode for process in started] == [0]

    run(keep)


def test_a_start_that_is_given_up_leaves_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep() -> None:
        started: list[Process] = []
        spawn = spawning(fails=lambda _: False, started=started, program=SILENT)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
        entering = asyncio.create_task(Workers(b"", 1, log=Log(), on_capture=lambda _: None).__aenter__())
        await until(lambda: bool(started))
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert [process.returncode for process in started] == [0]

    run(keep)
