"""A receiver in the foreground; what `listen` does once its flags are read."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from postback_conformance.cli.listen_settings import ListenSettings, endpoints_of, exposures, why_one_process
from postback_conformance.cli.operation import Operation
from postback_conformance.cli.operation_log import OperationLog, operation_log
from postback_conformance.cli.receiving import ca_file_of, open_store_of, receiving
from postback_conformance.cli.supervising import Workers, reserve
from postback_conformance.cli.watching import Watcher
from postback_conformance.cli.whole_file import write_whole
from postback_conformance.cli.worker_link import to_frame
from postback_conformance.errors import ConformanceError
from postback_conformance.redaction import redacted_target
from postback_receiver import ReceiverError, SystemClock, new_event_loop
from postback_receiver.listening import base_url

if TYPE_CHECKING:
    from postback_receiver.inspector import Inspector


_STOPS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(settings: ListenSettings) -> None:
    """Receive until SIGINT or SIGTERM; every request is kept, answered and told about."""
    endpoints = endpoints_of(settings)
    if settings.workers > 1 and (reason := why_one_process(endpoints, settings.tls)):
        raise ConformanceError(f"--workers {settings.workers}: {reason}")
    with operation_log(settings.log_format, SystemClock().now_ns) as log:
        watcher = Watcher(endpoints, log, puts_captures=settings.output == "json", reveal=settings.reveal)
        kept = {endpoint.path: endpoint.new_endpoint().settings for endpoint in endpoints}
        operation = Operation(settings.store, kept)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(settings, watcher, operation, log))
        watcher.finish()
        words = f"{watcher.count} captured in {settings.store}"
        if watcher.malformed:
            words += f"; {watcher.malformed} could not be read as HTTP and stand there as they came"
        log.note("stopped", words, captured=watcher.count, malformed=watcher.malformed)


async def _serve(settings: ListenSettings, watcher: Watcher, operation: Operation, log: OperationLog) -> None:
    stopped = asyncio.Event()
    serving = asyncio.current_task()

    def stop() -> None:
        stopped.set()
        if operation.stage == "starting" and serving is not None:
            operation.stage = "stopping"
            log.note("stopping", "stopping before it has begun to listen")
            serving.cancel()

    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stop)
    try:
        await _run(settings, watcher, operation, log, stopped)
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
    finally:
        # uvloop leaves them behind, and what is still judged after the end could not be interrupted.
        for number in _STOPS:
            loop.remove_signal_handler(number)


async def _run(
    settings: ListenSettings, watcher: Watcher, operation: Operation, log: OperationLog, stopped: asyncio.Event
) -> None:
    async with AsyncExitStack() as stack:
        # Opened first and closed last: while the receiver comes up and goes down, it is asked whether it is ready.
        inspector = await _open_inspector(settings, operation, stack)
        receive = _supervised if settings.workers > 1 else _in_this_process
        port = await stack.enter_async_context(receive(settings, watcher, operation, log))
        # What is loaded stays, and need not be looked through for garbage again and again.
        gc.freeze()
        stack.callback(gc.unfreeze)
        operation.stage = "running"
        _write_ports(settings, port, inspector)
        _say_started(settings, port, inspector, log)
        if not watcher.judges_something:
            log.note("nothing_judged", "nothing is judged: --notification NOTIFICATION.toml says what should arrive")
        await stopped.wait()
        operation.stage = "stopping"
        log.note("stopping", "stopping: requests in flight are finished")


@asynccontextmanager
async def _in_this_process(
    settings: ListenSettings, watcher: Watcher, operation: Operation, log: OperationLog
) -> AsyncGenerator[int]:
    async with receiving(settings, log=log, on_capture=watcher.arrived, on_arrival=watcher.began) as reception:
        operation.store, operation.numbers = reception.store, reception.metrics
        operation.listeners = lambda: int(reception.server.is_listening)
        yield reception.server.port


@asynccontextmanager
async def _supervised(
    settings: ListenSettings, watcher: Watcher, operation: Operation, log: OperationLog
) -> AsyncGenerator[int]:
    # The store is opened before any worker does it, so that one process alone makes it.
    with closing(await open_store_of(settings)) as store, closing(await reserve(settings.host, settings.port)) as held:
        port: int = held.getsockname()[1]
        orders = to_frame(replace(settings, port=port))
        workers = Workers(orders, settings.workers, log=log, on_capture=watcher.arrived)
        async with workers:
            operation.store, operation.numbers = store, workers.metrics
            operation.listeners, operation.trouble = lambda: workers.running, workers.trouble
            yield port
    if workers.untold:
        words = f"{workers.untold} more are in the store and were neither shown nor judged here: there were too many"
        log.note("untold", words, level=logging.WARNING, captures=workers.untold)


async def _open_inspector(settings: ListenSettings, operation: Operation, stack: AsyncExitStack) -> "Inspector | None":
    if settings.inspect_port is None:
        return None
    # Imported when used: it brings aiohttp, and most receivers do without an inspector.
    from postback_receiver.inspector import Inspector  # noqa: PLC0415

    inspector = Inspector(
        why_unready=operation.why_unready,
        read_metrics=operation.metrics,
        host=settings.inspect_host,
        port=settings.inspect_port,
    )
    return await stack.enter_async_context(inspector)


def _write_ports(settings: ListenSettings, port: int, inspector: "Inspector | None") -> None:
    # The capture port last: whoever waits for its file finds the other one written.
    if settings.inspect_port_file and inspector:
        _write_port("--inspect-port-file", settings.inspect_port_file, inspector.port)
    if settings.port_file:
        _write_port("--port-file", settings.port_file, port)


def _write_port(flag: str, path: Path, port: int) -> None:
    try:
        write_whole(path, f"{port}\n")
    except OSError as error:
        raise ReceiverError(f"{flag} {path}: cannot be written: {error.strerror}") from None


def _say_started(settings: ListenSettings, port: int, inspector: "Inspector | None", log: OperationLog) -> None:
    url = base_url(settings.host, port, secure=settings.tls is not None)
    log.note(
        "started",
        f"listening on {url}, captures go to {settings.store}; Ctrl-C to stop",
        url=url,
        store=str(settings.store),
        workers=settings.workers,
        inspector=inspector.url if inspector else None,
    )
    if inspector:
        log.note("inspecting", f"health, readiness and metrics are on {inspector.url}", url=inspector.url)
    for warning in exposures(settings):
        log.note("exposed", warning, level=logging.WARNING)
    if settings.tls and settings.tls.generated:
        path = ca_file_of(settings)
        log.note("certificate_made", f"clients have to trust {path}", path=str(path))
    if settings.forward:
        words = f"every request is sent on to {redacted_target(settings.forward.to)}"
        log.note("forwarding", words, mode=settings.forward.mode)
