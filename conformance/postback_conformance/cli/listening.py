"""`listen`: a receiver in the foreground that shows what arrives and what is wrong with it."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from postback_conformance.cli.terminal import Format, FormatOption, put, say
from postback_conformance.judge import Judge
from postback_conformance.redaction import redacted_target
from postback_conformance.rules import RULES
from postback_conformance.settings_files import read_source
from postback_conformance.traffic import pack_source
from postback_receiver import (
    Capture,
    CaptureServer,
    Endpoint,
    ReceiverError,
    Reply,
    SqliteStore,
    capture_to_line,
    new_event_loop,
)
from postback_sender.notification import NotificationSource, parse_notification
from postback_sender.quantities import parse_size

DEFAULT_STORE = Path(".postback/captures.sqlite")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("listen")(_listen)


def _listen(
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Where to listen; only this machine by default.")] = "127.0.0.1",
    port_file: Annotated[
        Path | None, typer.Option("--port-file", metavar="FILE", help="Write the port there once it is open.")
    ] = None,
    store: Annotated[Path, typer.Option("--store", metavar="FILE", help="Where captures are kept.")] = DEFAULT_STORE,
    notification: Annotated[
        Path | None,
        typer.Option("--notification", metavar="N.toml", help="What should arrive; findings are shown as they come."),
    ] = None,
    status: Annotated[int, typer.Option("--status", min=200, max=599, help="What to answer.")] = 200,
    max_body: Annotated[str, typer.Option("--max-body", metavar="SIZE", help="Longer bodies are cut.")] = "1MiB",
    output: FormatOption = Format.TEXT,
) -> None:
    """Receive postbacks, keep every byte, and answer. Ctrl-C ends it; captures stay in the store."""
    source = read_source(notification) if notification else None
    reply = Reply(status=status, body=_success_text(source))
    endpoint = Endpoint(replies=lambda _: reply, settings=pack_source(source) if source else None)
    watcher = _Watcher(source, output)
    captures = SqliteStore(store)
    try:
        server = CaptureServer(
            captures,
            [endpoint],
            host=host,
            port=port,
            max_body_bytes=parse_size(max_body),
            on_capture=watcher.arrived,
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve(server, store, port_file))
    finally:
        captures.close()
    say(f"{watcher.count} captured in {store}")


async def _serve(server: CaptureServer, store: Path, port_file: Path | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        if port_file:
            _write_port(port_file, server.port)
        say(f"listening on {server.url}, captures go to {store}; Ctrl-C to stop")
        await stopped.wait()


def _write_port(path: Path, port: int) -> None:
    """Write the port so that a reader who sees the file sees all of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(f"{port}\n")
        draft.replace(path)
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

    def __init__(self, source: NotificationSource | None, output: Format) -> None:
        self.count = 0
        self._output = output
        self._judge = Judge(parse_notification(source, None), RULES) if source else None

    def arrived(self, capture: Capture) -> None:
        self.count += 1
        if self._output is Format.JSON:
            put(capture_to_line(capture))
        answered = str(capture.answer.status) if capture.answer else "no answer"
        note = "" if not capture.truncated else ", truncated"
        say(
            f"{capture.id[:8]}  {capture.method} {redacted_target(capture.target)[:100]}  "
            f"{len(capture.body)} bytes{note}  → {answered}"
        )
        for finding in self._judge.see(capture) if self._judge else ():
            say(f"          ✗ {finding.rule}: {finding.message}")
