"""What `listen` is told to do, as plain data: it can be checked at once, and handed to another process."""

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from postback_conformance.errors import ConformanceError
from postback_conformance.receiving.fault_text import parse_fault
from postback_conformance.receiving.receiver_file import (
    EndpointFile,
    ForwardFile,
    ReceiverSource,
    TlsFile,
    parse_receiver_file,
)
from postback_conformance.receiving.wanted_answer import wanted_answer
from postback_receiver import Reply, random_id
from postback_receiver.retention import Retention
from postback_receiver.sqlite_file import Durability
from postback_sender import NotificationSource, parse_notification
from postback_sender.quantities import NANOSECONDS_PER_SECOND, QuantityError


class LogFormat(StrEnum):
    """How a receiver tells of its operation on stderr."""

    TEXT = "text"
    JSON = "json"


class ReplyFlags(msgspec.Struct, frozen=True, kw_only=True):
    """The one reply that flags ask for, in place of all that a file says; None and nothing where they leave it open."""

    status: int | None = None
    body: str | None = None
    delay_ns: int = 0
    faults: tuple[str, ...] = ()


class ListenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is set, by flags before a file. Without `file` there is one endpoint, for every path."""

    host: str
    port: int
    port_file: Path | None = None
    inspect_host: str = "127.0.0.1"
    inspect_port: int | None = None
    inspect_port_file: Path | None = None
    workers: int = 1
    store: Path
    durability: Durability = "process"
    retention: Retention = Retention()
    file: ReceiverSource | None = None
    notification: NotificationSource | None = None
    reply: ReplyFlags | None = None
    max_body_bytes: int
    tls: TlsFile | None = None
    forward: ForwardFile | None = None
    run_name: str = msgspec.field(default_factory=random_id)
    """Tells this receiver, with all its workers, from every other one that runs."""
    worker: int = 0
    """Which of several processes this is, from 1; 0 when there is but one."""
    log_format: LogFormat = LogFormat.TEXT
    output: Literal["text", "json"] = "text"
    reveal: bool = False


def endpoints_of(settings: ListenSettings) -> tuple[EndpointFile, ...]:
    """Return the endpoints, with the reply of the flags if they ask for one; ConformanceError when that is none."""
    if settings.file is not None:
        endpoints = parse_receiver_file(settings.file).endpoints
        flags = settings.reply
    else:
        endpoints = (_every_path(settings.notification),)
        flags = settings.reply or ReplyFlags()
    if flags is None:
        return endpoints
    return tuple(
        replace(endpoint, replies=(_reply(flags, endpoint.notification),), cases=(), maximum_requests=None)
        for endpoint in endpoints
    )


def why_one_process(endpoints: tuple[EndpointFile, ...], tls: TlsFile | None) -> str | None:
    """Return what only one process can do, as it has to know of all requests; None when several may share the work."""
    if tls is not None and tls.generated:
        return "each would make a certificate of its own; give them one with --tls-certificate"
    for endpoint in endpoints:
        if len(endpoint.replies) > 1 or any(case.attempts != (1, None) for case in endpoint.cases):
            return f"endpoint {endpoint.path} answers an event's attempts in turn, and they may reach different workers"
        if endpoint.maximum_requests is not None:
            return f"endpoint {endpoint.path} limits the requests of all workers together"
        replies = (*endpoint.replies, *(case.reply for case in endpoint.cases))
        if any(fault.label.startswith("down ") for reply in replies for fault in reply.faults):
            return f"endpoint {endpoint.path} goes down, and the other workers would stay up"
    return None


def why_no_relay(settings: ListenSettings) -> str | None:
    """Return what of the settings a relayed answer would leave without effect; None when there is no such thing."""
    if settings.forward is None or settings.forward.mode != "relay":
        return None
    if settings.reply is not None:
        return "--status, --body, --delay and --fault are about answers of our own"
    for endpoint in endpoints_of(settings):
        is_success = [reply.is_plain and reply.status < 300 for reply in endpoint.replies] == [True]
        if endpoint.cases or endpoint.maximum_requests is not None or not is_success:
            return f"endpoint {endpoint.path} has replies or a limit of its own"
    return None


def exposures(settings: ListenSettings) -> list[str]:
    """Return a warning for each port that can be reached from beyond this machine."""
    warnings: list[str] = []
    if not _is_loopback(settings.host):
        warnings.append(f"--host {settings.host}: whoever reaches this machine can send requests, and all are kept")
    if settings.inspect_port is not None and not _is_loopback(settings.inspect_host):
        warnings.append(
            f"--inspect-host {settings.inspect_host}: whoever reaches this machine can read health and numbers there, "
            "unencrypted and without a password"
        )
    return warnings


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _every_path(notification: NotificationSource | None) -> EndpointFile:
    return EndpointFile(
        path="/",
        notification=notification,
        key="event",
        end="last",
        maximum_requests=None,
        replies=(Reply(),),
        cases=(),
    )


def _reply(flags: ReplyFlags, source: NotificationSource | None) -> Reply:
    status, body = _success(source)
    if flags.status is not None and flags.status != status:
        # The text of a success would be taken for one, whatever the status says.
        status, body = flags.status, b"" if flags.status >= 300 else body
    try:
        return Reply(
            status=status,
            body=body if flags.body is None else flags.body.encode(errors="surrogateescape"),
            delay=flags.delay_ns / NANOSECONDS_PER_SECOND,
            faults=tuple(parse_fault(text) for text in flags.faults),
        )
    except (ValueError, QuantityError) as error:
        raise ConformanceError(f"{'--fault' if flags.faults else '--delay'}: {error}") from None


def _success(source: NotificationSource | None) -> tuple[int, bytes]:
    """Return what the partner's settings take for a success, so that the sender is content; 200 when that is open."""
    if source is None:
        return 200, b""
    try:
        return wanted_answer(parse_notification(source, None), "success")
    except ValueError:
        return 200, b""
