"""One of several receiver processes; started by `supervising`, never by hand.

Its standard input brings the settings and ends when it is to stop; its standard output takes reports. Whatever else is
printed goes to standard error.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from postback_conformance.cli.listen_settings import ListenSettings
from postback_conformance.cli.operation_log import leave_out_what_is_told, operation_log
from postback_conformance.cli.receiving import receiving
from postback_conformance.cli.worker_link import Report, read_frame, to_frame
from postback_receiver import Capture, ReceiverError, SystemClock, new_event_loop
from postback_receiver.metrics import Metric

REPORT_S: Final = 0.2
"""How often numbers are reported, when they have changed."""

MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024
"""Reports that wait because the parent is slow. Past it captures are stored and answered as ever, but not told."""


def main() -> int:
    """Work until the parent says to stop; return the exit code."""
    reports = os.dup(1)
    os.dup2(2, 1)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_work(int(sys.argv[1]), reports))
    except ReceiverError as error:
        sys.stderr.write(f"postback: worker {sys.argv[1]}: {error}\n")
        return 2


async def _work(number: int, reports: int) -> int:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), os.fdopen(0, "rb"))
    settings = await read_frame(orders, ListenSettings)
    if settings is None:
        return 0
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(reports, "wb"))
    told = _Teller(transport)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    log = operation_log(settings.log_format, SystemClock().now_ns, worker=number)
    leave_out_what_is_told()
    async with receiving(settings, log=log, on_capture=told.capture) as reception:
        told.numbers(reception.metrics())
        orders_end = asyncio.create_task(orders.read())
        stop = asyncio.create_task(stopped.wait())
        while not (orders_end.done() or stop.done()):
            await asyncio.wait({orders_end, stop}, timeout=REPORT_S, return_when=asyncio.FIRST_COMPLETED)
            told.numbers(reception.metrics())
        stop.cancel()
    told.numbers(reception.metrics())
    transport.close()
    logging.shutdown()
    return 0


class _Teller:
    """Writes reports, as far as the parent keeps up."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._last: tuple[Metric, ...] = ()
        self._untold = 0

    def capture(self, capture: Capture) -> None:
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._untold += 1
        else:
            self._send(Report(capture=capture))

    def numbers(self, metrics: list[Metric]) -> None:
        if (now := tuple(metrics)) != self._last or self._untold:
            self._send(Report(metrics=now, untold=self._untold))
            self._last, self._untold = now, 0

    def _send(self, report: Report) -> None:
        # Closed by a parent that was killed; the end of our orders says so, too.
        if not self._transport.is_closing():
            self._transport.write(to_frame(report))


if __name__ == "__main__":
    sys.exit(main())
