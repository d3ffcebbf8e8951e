"""One of several receiver processes; started by `supervising`, never by hand.

Its standard input brings the settings and ends when it is to stop; its standard output takes reports. Whatever else is
printed goes to standard error.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections import deque
from contextlib import AsyncExitStack
from typing import Final, cast

from msgspec.structs import replace

from postback_conformance.cli.listen_settings import ListenSettings
from postback_conformance.cli.operation_log import operation_log
from postback_conformance.cli.receiving import receiving
from postback_conformance.cli.worker_link import Report, read_frame, to_frame
from postback_conformance.errors import ConformanceError
from postback_receiver import Capture, ReceiverError, SystemClock, new_event_loop
from postback_receiver.metrics import Metric

REPORT_S: Final = 0.2
"""How often numbers are reported, when they have changed."""

MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024
"""Reports that wait because the parent is slow. Past it captures are stored and answered as ever, but not told."""


TELL_PATIENCE_S: Final = 5.0
"""How long the parent may take for the last reports. It needs about two seconds for as many as may wait."""


def main() -> int:
    """Work until the parent says to stop; return the exit code."""
    reports = os.dup(1)
    os.dup2(2, 1)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_work(int(sys.argv[1]), reports))
    except (ReceiverError, ConformanceError) as error:
        sys.stderr.write(f"postback: worker {sys.argv[1]}: {error}\n")
        return 2


async def _work(number: int, reports: int) -> int:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), os.fdopen(0, "rb"))
    settings = await read_frame(orders, ListenSettings)
    if settings is None:
        return 0
    _, told = await loop.connect_write_pipe(Teller, os.fdopen(reports, "wb"))
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    async with AsyncExitStack() as stack:
        log = stack.enter_context(operation_log(settings.log_format, SystemClock().now_ns, worker=number))
        reception = await stack.enter_async_context(
            receiving(replace(settings, worker=number), log=log, on_capture=told.capture)
        )
        gc.freeze()  # as in `serving`
        told.numbers(reception.metrics())
        orders_end = asyncio.create_task(orders.read())
        stop = asyncio.create_task(stopped.wait())
        while not (orders_end.done() or stop.done()):
            await asyncio.wait({orders_end, stop}, timeout=REPORT_S, return_when=asyncio.FIRST_COMPLETED)
            told.numbers(reception.metrics())
        stop.cancel()
    told.numbers(reception.metrics())
    if untold := await told.finish():
        words = f"{untold} more are in the store and were neither shown nor judged: nobody took the reports of them"
        log.note("untold", words, level=logging.WARNING, captures=untold)
    logging.shutdown()
    return 0


class Teller(asyncio.Protocol):
    """Writes reports to a pipe, as far as the parent keeps up."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        # Of each report that may still wait: its bytes, and how many captures nobody hears of without it.
        self._waiting: deque[tuple[int, int]] = deque()
        self._waiting_bytes = 0
        self._last: tuple[Metric, ...] = ()
        self._untold = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        _ = exc
        self._ended.set()

    def capture(self, capture: Capture) -> None:
        """Report a capture whose answer has left, or count it when too much waits already."""
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._untold += 1
        else:
            self._send(Report(capture=capture), captures=1)

    def numbers(self, metrics: list[Metric]) -> None:
        """Report the numbers, when they have changed."""
        if (now := tuple(metrics)) != self._last or self._untold:
            self._send(Report(metrics=now, untold=self._untold), captures=self._untold)
            self._last, self._untold = now, 0

    async def finish(self, *, patience_s: float = TELL_PATIENCE_S) -> int:
        """Wait a bounded time until the parent has taken everything; return how many captures it does not hear of."""
        self._transport.close()
        try:
            async with asyncio.timeout(patience_s):
                await self._ended.wait()
        except TimeoutError:
            self._forget_what_left()
            return sum(captures for _, captures in self._waiting)
        return 0

    def _send(self, report: Report, *, captures: int) -> None:
        # Closed by a parent that was killed; the end of our orders says so, too.
        if self._transport.is_closing():
            return
        frame = to_frame(report)
        self._transport.write(frame)
        self._waiting.append((len(frame), captures))
        self._waiting_bytes += len(frame)
        self._forget_what_left()

    def _forget_what_left(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        while self._waiting and self._waiting_bytes - self._waiting[0][0] >= unsent:
            self._waiting_bytes -= self._waiting.popleft()[0]


if __name__ == "__main__":
    sys.exit(main())
