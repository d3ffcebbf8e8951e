"""Several receiver processes on one port and one store: the parent starts them, watches over them and ends them.

    parent: inspector, findings, words      worker 1 … N: the capture port (SO_REUSEPORT), the store
            ◄── reports: numbers, captures that were answered ──┘

The parent judges, since a rule about rates or repeats has to see all traffic, and a worker sees a part of it. What the
parent cannot keep up with is stored all the same, and said.
"""

import asyncio
import logging
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from postback_conformance.cli.operation_log import OperationLog
from postback_conformance.cli.worker_link import Report, read_frame
from postback_receiver import Capture, ListenError, ReceiverError
from postback_receiver.listening import listen
from postback_receiver.metrics import Metric, counter, gauge, of_workers
from postback_receiver.recording import tell

RESTART_DELAYS_S: Final = (0.0, 0.2, 1.0, 5.0)
"""How long a worker that ended again and again is left dead; the last one holds from then on."""

HEALTHY_S: Final = 60.0
"""A worker that ran this long has overcome whatever ended it before."""

STOP_PATIENCE_S: Final = 30.0
"""Longer than a worker takes that lets its requests finish, cuts the rest and tells what is left; then it hangs, and is
killed."""


class Workers:
    """Keeps `count` worker processes running for as long as its `async with` block lasts.

    `settings` is the frame each one is given, `on_capture` gets what they report, on the event loop; what it raises is
    logged. Entering raises `ReceiverError` when one of them cannot start; later on, such a start is tried again.
    """

    def __init__(
        self, settings: bytes, count: int, *, log: OperationLog, on_capture: Callable[[Capture], None]
    ) -> None:
        self._settings = settings
        self._count = count
        self._log = log
        self._on_capture = on_capture
        self._processes: dict[int, Process] = {}
        self._ready: dict[int, asyncio.Event] = {number: asyncio.Event() for number in range(1, count + 1)}
        self._metrics: dict[int, tuple[Metric, ...]] = {}
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._failures: dict[int, str] = {}
        self._stopping = asyncio.Event()
        self._restarts = 0
        self.untold = 0

    @property
    def running(self) -> int:
        """How many workers listen at the moment."""
        return sum(event.is_set() for event in self._ready.values())

    def trouble(self) -> str | None:
        """Return which workers do not come back and why, or None when all run or are just being replaced."""
        return "; ".join(f"worker {number} {why}" for number, why in sorted(self._failures.items())) or None

    def metrics(self) -> list[Metric]:
        """Return the numbers that the workers reported last, each told apart by a label, and those about them."""
        return [
            *of_workers({str(number): self._metrics[number] for number in sorted(self._metrics)}),
            gauge("postback_workers", "Receiver processes that listen.", self.running),
            counter(
                "postback_worker_restarts_total", "Receiver processes that ended and were restarted.", self._restarts
            ),
        ]

    async def __aenter__(self) -> Self:
        self._keepers = {number: asyncio.create_task(self._keep(number)) for number in self._ready}
        all_ready = asyncio.create_task(self._all_ready())
        is_ready = False
        try:
            await asyncio.wait({all_ready, *self._keepers.values()}, return_when=asyncio.FIRST_COMPLETED)
            is_ready = all_ready.done()
        finally:
            # Also when nobody wants to wait for the start any longer.
            if not is_ready:
                all_ready.cancel()
                with suppress(asyncio.CancelledError):
                    await all_ready
                await self._stop()
        if not is_ready:
            for keeper in self._keepers.values():
                keeper.result()
            raise ReceiverError("a worker could not start; what it said stands above")
        return self

    async def _all_ready(self) -> None:
        for event in self._ready.values():
            await event.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        self._stopping.set()
        for process in self._processes.values():
            if process.stdin:
                process.stdin.close()
        _, late = await asyncio.wait(self._keepers.values(), timeout=STOP_PATIENCE_S)
        for number, keeper in self._keepers.items():
            if keeper in late:
                words = f"worker {number} did not stop within {STOP_PATIENCE_S:g} s and was killed"
                self._log.note("worker_killed", words, level=logging.WARNING, worker=number)
                keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    async def _keep(self, number: int) -> None:
        """Run one worker after the other; ends when all are to stop, or when the first one cannot start."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while not self._stopping.is_set():
            started = loop.time()
            code: int | None = None
            try:
                code = await self._run(number)
                why = f"ended ({how_it_ended(code)})"
            except OSError as error:
                reason = error.strerror or type(error).__name__
                why = f"cannot be started: {reason}; look at the limits on open files and processes"
            except Exception as error:  # noqa: BLE001 -- a worker that is not kept is one that nobody misses
                code, why = -signal.SIGKILL, f"was ended, since it could not be understood ({type(error).__name__})"
            was_ready = self._ready[number].is_set()
            self._ready[number].clear()
            if self._stopping.is_set():
                return
            if not was_ready:
                if number not in self._metrics:
                    if code is None:
                        raise ReceiverError(f"worker {number} {why}")
                    return
                self._failures[number] = why
            deaths = 1 if loop.time() - started > HEALTHY_S else deaths + 1
            if code is None:
                words = f"worker {number} {why}; it is tried again and again"
                self._log.note("worker_not_started", words, level=logging.WARNING, worker=number)
            else:
                self._restarts += 1
                words = f"worker {number} {why}; it is started again"
                self._log.note("worker_restarted", words, level=logging.WARNING, worker=number, code=code)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), restart_delay_s(deaths))

    async def _run(self, number: int) -> int:
        # A session of its own: Ctrl-C is for the parent, which tells the workers.
        process = self._processes[number] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "postback_conformance.cli.worker", str(number)),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process that is started with pipes has them")
        try:
            process.stdin.write(self._settings)
            if self._stopping.is_set():
                process.stdin.close()
            while (report := await read_frame(process.stdout, Report)) is not None:
                self._take(number, report)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _take(self, number: int, report: Report) -> None:
        self._ready[number].set()
        self._failures.pop(number, None)
        self.untold += report.untold
        if report.metrics is not None:
            self._metrics[number] = report.metrics
        if report.capture is not None:
            tell(self._on_capture, report.capture)


def restart_delay_s(deaths: int) -> float:
    """Return how long a worker stays dead after so many deaths, none of them after a long life."""
    return RESTART_DELAYS_S[min(deaths, len(RESTART_DELAYS_S)) - 1]


def how_it_ended(code: int) -> str:
    """Say what the code of a process that ended means."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


async def reserve(host: str, port: int) -> socket.socket:
    """Return a socket that holds a port for the workers and takes no connections; ListenError when it is not free."""
    # Opened as usual first: a port that is shared can also be had when somebody else shares it already.
    listener = await listen(asyncio.Protocol, host=host, port=port)
    family, address = listener.sockets[0].family, listener.sockets[0].getsockname()
    listener.close()
    await listener.wait_closed()
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ListenError(host=host, port=port, reason="this system cannot share a port", advice="Take one worker.")
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind(address)
    except OSError as error:
        held.close()
        raise ListenError(host=host, port=port, reason=str(error), advice="Take another port.") from error
    return held
