"""A receiver in the foreground; what `listen` does once its flags are read."""

import asyncio
import signal
from pathlib import Path

import msgspec

from postback_conformance.cli.terminal import Format, put, say
from postback_conformance.cli.whole_file import write_whole
from postback_conformance.judge import Judge
from postback_conformance.redaction import redacted, redacted_target
from postback_conformance.rules import RULES
from postback_conformance.traffic import pack_source
from postback_receiver import (
    Capture,
    CaptureServer,
    Endpoint,
    ReceiverError,
    Reply,
    SqliteStore,
    always,
    capture_to_line,
    new_event_loop,
)
from postback_sender import NotificationSource, parse_notification
from postback_sender.notification_file import read_source


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen, what to answer, where captures go; the flags of `listen`."""

    host: str
    port: int
    port_file: Path | None
    store: Path
    notification: Path | None
    status: int
    max_body_bytes: int


def serve(stand: Stand, output: Format, *, reveal: bool) -> None:
    """Receive until SIGINT or SIGTERM; every request is kept, answered and told about."""
    source = read_source(stand.notification) if stand.notification else None
    watcher = _Watcher(source, output, reveal=reveal)
    endpoint = Endpoint(
        replies=always(Reply(status=stand.status, body=_success_text(source))),
        settings=pack_source(source) if source else None,
    )
    store = SqliteStore(stand.store)
    try:
        server = CaptureServer(
            store,
            [endpoint],
            host=stand.host,
            port=stand.port,
            max_body_bytes=stand.max_body_bytes,
            on_capture=watcher.arrived,
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(server, stand))
    finally:
        store.close()
    say(f"{watcher.count} captured in {stand.store}")
    if server.unreadable_requests:
        say(f"{server.unreadable_requests} could not be read as HTTP: answered 400, not recorded")


async def _serve(server: CaptureServer, stand: Stand) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        if stand.port_file:
            _write_port(stand.port_file, server.port)
        say(f"listening on {server.url}, captures go to {stand.store}; Ctrl-C to stop")
        if stand.notification is None:
            say("nothing is judged: --notification NOTIFICATION.toml says what should arrive")
        await stopped.wait()


def _write_port(path: Path, port: int) -> None:
    try:
        write_whole(path, f"{port}\n")
    except OSError as error:
        raise ReceiverError(f"--port-file {path}: cannot be written: {error.strerror}") from None


def _success_text(source: NotificationSource | None) -> bytes:
    """Return the text by which the partner's settings recognise success, so that the sender is content."""
    if source is None:
        return b""
    success = parse_notification(source, None).success_response
    text = (success.body_equals or success.body_contains or "") if success else ""
    return text.encode()


class _Watcher:
    """Prints each capture as it arrives, with the findings it gave rise to."""

    def __init__(self, source: NotificationSource | None, output: Format, *, reveal: bool) -> None:
        self.count = 0
        self._reveal = reveal
        self._output = output
        self._judge = Judge(parse_notification(source, None), RULES) if source else None

    def arrived(self, capture: Capture) -> None:
        self.count += 1
        if self._output is Format.JSON:
            put(capture_to_line(capture if self._reveal else redacted(capture)))
        answered = str(capture.answer.status) if capture.answer else "no answer"
        note = "" if not capture.truncated else ", truncated"
        say(
            f"{capture.id[:8]}  {capture.method} {redacted_target(capture.target)[:100]}  "
            f"{len(capture.body)} bytes{note}  → {answered}"
        )
        for finding in self._judge.see(capture) if self._judge else ():
            say(f"          ✗ {finding.rule}: {finding.message}")
