"""Sending captures on, as `listen` is told to."""

import logging

from postback_conformance.cli.operation_log import OperationLog
from postback_conformance.receiving.forwarding import Forwarded, Forwarder
from postback_conformance.receiving.receiver_file import ForwardFile
from postback_sender.clock import SystemClock
from postback_sender.quantities import NANOSECONDS_PER_SECOND


def new_forwarder(forward: ForwardFile, name: str, log: OperationLog) -> Forwarder:
    """Return what sends captures on as the settings say, under a receiver's name, and logs what becomes of each."""

    def tell(forwarded: Forwarded) -> None:
        name = forwarded.capture[:8]
        if forwarded.outcome == "forwarded":
            words, level = f"{name}  forwarded  → {forwarded.status}", logging.INFO
        else:
            words, level = f"{name}  not forwarded: {forwarded.detail}", logging.WARNING
        log.note(
            "forwarded" if forwarded.outcome == "forwarded" else "not_forwarded",
            words,
            level=level,
            capture=forwarded.capture,
            outcome=forwarded.outcome,
            status=forwarded.status,
            detail=forwarded.detail,
            seconds=forwarded.duration_ns / NANOSECONDS_PER_SECOND,
        )

    return Forwarder(
        forward.to,
        name=name,
        allowed_hosts=forward.allow,
        timeout_ns=forward.timeout_ns,
        clock=SystemClock(),
        tell=tell,
    )
