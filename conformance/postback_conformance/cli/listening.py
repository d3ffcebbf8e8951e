"""`listen`: a receiver in the foreground that shows what arrives and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from postback_conformance.cli.listen_flags import forward_of, given, reply_of, retention_of, size, tls_of
from postback_conformance.cli.listen_settings import ListenSettings, LogFormat
from postback_conformance.cli.terminal import Format, FormatOption
from postback_conformance.errors import ConformanceError
from postback_conformance.receiving.receiver_file import load_receiver_file
from postback_sender.notification_file import read_source

DEFAULT_STORE = Path(".postback/captures.sqlite")
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080
DEFAULT_BODY_BYTES = 1024 * 1024

_KEEPING, _ANSWERS, _OPERATION, _TLS, _FORWARDING = "Keeping", "Answers", "Operation", "TLS", "Sending on"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("listen")(_listen)


def _listen(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="RECEIVER.toml", help="Endpoints, replies and the rest; flags go before it."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="0 takes a free one. Default: 8080.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen; only this machine by default. Default: 127.0.0.1.")
    ] = None,
    port_file: Annotated[
        Path | None, typer.Option("--port-file", metavar="FILE", help="Write the port there once it is open.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="FILE", help=f"Where captures are kept. Default: {DEFAULT_STORE}.")
    ] = None,
    durability: Annotated[
        Literal["process", "power"] | None,
        typer.Option(
            "--durability",
            help="What an acknowledged request outlives: kill -9, or a power cut as well. Default: process.",
            rich_help_panel=_KEEPING,
        ),
    ] = None,
    keep_age: Annotated[
        str | None,
        typer.Option("--keep-age", metavar="DURATION", help="Let older captures go.", rich_help_panel=_KEEPING),
    ] = None,
    keep_count: Annotated[
        int | None,
        typer.Option("--keep-count", min=1, help="Keep so many captures, the newest.", rich_help_panel=_KEEPING),
    ] = None,
    keep_bytes: Annotated[
        str | None,
        typer.Option(
            "--keep-bytes", metavar="SIZE", help="Keep captures of so many bytes, the newest.", rich_help_panel=_KEEPING
        ),
    ] = None,
    notification: Annotated[
        Path | None,
        typer.Option("--notification", metavar="N.toml", help="What should arrive; findings are shown as they come."),
    ] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secret headers and parameters.")] = False,
    format: FormatOption = Format.TEXT,
    status: Annotated[
        int | None,
        typer.Option("--status", min=200, max=599, help="What to answer. Default: 200.", rich_help_panel=_ANSWERS),
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            "--body",
            metavar="TEXT",
            help="Default: what the notification takes for a success.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option("--delay", metavar="DURATION", help="Answer that much later.", rich_help_panel=_ANSWERS),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="What goes wrong with each answer, such as 'reset' or 'slow-headers 2s'; may be repeated.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    max_body: Annotated[
        str | None,
        typer.Option(
            "--max-body", metavar="SIZE", help="Longer bodies are cut. Default: 1MiB.", rich_help_panel=_ANSWERS
        ),
    ] = None,
    inspect: Annotated[
        int | None,
        typer.Option(
            "--inspect",
            metavar="PORT",
            min=0,
            max=65_535,
            help="Serve /healthz, /readyz and /metrics on a port of their own; 0 takes a free one.",
            rich_help_panel=_OPERATION,
        ),
    ] = None,
    inspect_host: Annotated[
        str, typer.Option("--inspect-host", help="Where that port listens.", rich_help_panel=_OPERATION)
    ] = "127.0.0.1",
    inspect_port_file: Annotated[
        Path | None,
        typer.Option(
            "--inspect-port-file", metavar="FILE", help="Write the inspector's port there.", rich_help_panel=_OPERATION
        ),
    ] = None,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", help="On stderr: text for people, json for programs.", rich_help_panel=_OPERATION),
    ] = LogFormat.TEXT,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=64,
            help="Processes that share the port and the store. Default: 1.",
            rich_help_panel=_OPERATION,
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option("--tls-certificate", metavar="PEM", help="Speak TLS with this certificate.", rich_help_panel=_TLS),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key", metavar="PEM", help="Its key. Default: in the certificate's file.", rich_help_panel=_TLS
        ),
    ] = None,
    tls_generated: Annotated[
        bool,
        typer.Option(
            "--tls-generated",
            help="Speak TLS with a certificate made for this run; what to trust is written beside the store.",
            rich_help_panel=_TLS,
        ),
    ] = False,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            "--client-ca",
            metavar="PEM",
            help="Let only clients in that this authority vouches for.",
            rich_help_panel=_TLS,
        ),
    ] = None,
    forward_to: Annotated[
        str | None,
        typer.Option(
            "--forward-to", metavar="URL", help="Send every request on, byte for byte.", rich_help_panel=_FORWARDING
        ),
    ] = None,
    forward_mode: Annotated[
        Literal["tee", "relay"] | None,
        typer.Option(
            "--forward-mode",
            help="tee: we answer, and send on beside it. relay: that server's answer is ours. Default: tee.",
            rich_help_panel=_FORWARDING,
        ),
    ] = None,
    forward_timeout: Annotated[
        str | None,
        typer.Option(
            "--forward-timeout",
            metavar="DURATION",
            help="How long its answer may take. Default: 10s.",
            rich_help_panel=_FORWARDING,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="HOST",
            help="Allow a target beyond this machine: a name, an address, a network.",
            rich_help_panel=_FORWARDING,
        ),
    ] = None,
) -> None:
    """Receive postbacks, keep every byte, and answer. Ctrl-C ends it; captures stay in the store."""
    file = load_receiver_file(config) if config else None
    if file and notification:
        raise ConformanceError("--notification: with --config each endpoint names its own; write it there")
    inspect_port = given(file.inspector_port if file else None, inspect)
    if inspect_port is None and inspect_port_file is not None:
        raise ConformanceError("--inspect-port-file needs --inspect PORT; --inspect 0 takes a free one")
    settings = ListenSettings(
        host=given(DEFAULT_HOST, host, file.host if file else None),
        port=given(DEFAULT_PORT, port, file.port if file else None),
        port_file=port_file,
        inspect_host=inspect_host,
        inspect_port=inspect_port,
        inspect_port_file=inspect_port_file,
        workers=given(1, workers, file.workers if file else None),
        store=given(DEFAULT_STORE, store, file.store if file else None),
        durability=durability or (file.durability if file else "process"),
        retention=retention_of(keep_age, keep_count, keep_bytes, file),
        file=file.source if file else None,
        notification=read_source(notification) if notification else None,
        reply=reply_of(status, body, delay, fault or ()),
        max_body_bytes=given(DEFAULT_BODY_BYTES, size("--max-body", max_body), file.max_body_bytes if file else None),
        tls=tls_of(tls_certificate, tls_key, client_ca, file, generated=tls_generated),
        forward=forward_of(forward_to, forward_mode, forward_timeout, allow_host or (), file),
        log_format=log_format,
        output=format.value,
        reveal=reveal,
    )
    # Imported when used: the server takes 0.2 s that other commands need not wait for.
    from postback_conformance.cli.serving import serve  # noqa: PLC0415

    serve(settings)
