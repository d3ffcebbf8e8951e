"""One running receiver as the flags of `listen` want it: the server, its store, and what it sends on."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from postback_conformance.cli.listen_settings import ListenSettings, endpoints_of, why_no_relay
from postback_conformance.cli.operation_log import OperationLog
from postback_conformance.cli.whole_file import write_whole
from postback_conformance.errors import ConformanceError
from postback_conformance.receiving.receiver_file import ForwardFile
from postback_receiver import Capture, CaptureServer, ReceiverError, SqliteStore
from postback_receiver.metrics import Metric, gauge, labelled_counter, receiver_metrics
from postback_receiver.tls import LOCAL_HOSTS, load_tls, make_tls

if TYPE_CHECKING:
    from postback_conformance.receiving.forwarding import Forwarder

_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not bound to


class Reception(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver that runs."""

    server: CaptureServer
    store: SqliteStore
    forwarder: "Forwarder | None"

    def metrics(self) -> list[Metric]:
        """Return the numbers of this process."""
        numbers = receiver_metrics(self.server.counts, lateness_ns=self.server.lateness_ns)
        return numbers if self.forwarder is None else [*numbers, *_forward_metrics(self.forwarder)]


@asynccontextmanager
async def receiving(
    settings: ListenSettings,
    *,
    log: OperationLog,
    on_capture: Callable[[Capture], None],
    on_arrival: Callable[[Capture], None] | None = None,
) -> AsyncGenerator[Reception]:
    """Receive for as long as the block lasts; ListenError, StoreError or TlsError when that cannot be."""
    if reason := why_no_relay(settings):
        raise ConformanceError(f"--forward-mode relay: the server behind answers, and {reason}; leave one of them out")
    async with AsyncExitStack() as stack:
        store = await open_store_of(settings)
        stack.callback(store.close)
        forward = settings.forward
        forwarder = await _open_forwarder(settings, forward, log, stack) if forward else None
        is_relay = forward is not None and forward.mode == "relay"
        server = CaptureServer(
            store,
            [endpoint.new_endpoint(worker=settings.worker) for endpoint in endpoints_of(settings)],
            host=settings.host,
            port=settings.port,
            ssl_context=_tls_context(settings),
            reuse_port=settings.workers > 1,
            max_body_bytes=settings.max_body_bytes,
            on_arrival=_both(on_arrival, forwarder.take if forwarder and not is_relay else None),
            on_capture=on_capture,
            relay=forwarder.relay if forwarder and is_relay else None,
        )
        await stack.enter_async_context(server)
        if forwarder and leads_to(forwarder.to.origin.host, forwarder.to.origin.port, settings.host, server.port):
            raise ConformanceError("--forward-to leads back to the capture port: everything would go round for ever")
        yield Reception(server=server, store=store, forwarder=forwarder)


def _both(
    one: Callable[[Capture], None] | None, other: Callable[[Capture], None] | None
) -> Callable[[Capture], None] | None:
    if one is None or other is None:
        return one or other

    def tell(capture: Capture) -> None:
        one(capture)
        other(capture)

    return tell


async def _open_forwarder(
    settings: ListenSettings, forward: ForwardFile, log: OperationLog, stack: AsyncExitStack
) -> "Forwarder":
    # Imported when used: it takes a while, and most receivers send nothing on.
    from postback_conformance.cli.sending_on import new_forwarder  # noqa: PLC0415

    return await stack.enter_async_context(new_forwarder(forward, settings.run_name, log))


async def open_store_of(settings: ListenSettings) -> SqliteStore:
    """Open the store of a receiver, which is made when it is missing; StoreError when that cannot be.

    A file that another program keeps locked is waited for; whoever is cancelled meanwhile does not wait.
    """
    handed: Future[SqliteStore] = Future()

    def open_it() -> None:
        try:
            store = SqliteStore(settings.store, durability=settings.durability, retention=settings.retention)
        except Exception as error:  # noqa: BLE001 -- whoever waits is told
            with suppress(InvalidStateError):
                handed.set_exception(error)
            return
        try:
            handed.set_result(store)
        except InvalidStateError:
            # Nobody waits any longer.
            store.close()

    # SQLite waits in one piece. A thread of the loop's own would be waited for at its end.
    threading.Thread(target=open_it, name="store opening", daemon=True).start()
    try:
        return await asyncio.wrap_future(handed)
    except asyncio.CancelledError:
        if not handed.cancel() and handed.exception() is None:
            handed.result().close()
        raise


def ca_file_of(settings: ListenSettings) -> Path:
    """Return where the certificate goes that clients have to trust when the server's own is made for the run."""
    return settings.store.with_name("receiver-ca.pem")


def _tls_context(settings: ListenSettings) -> ssl.SSLContext | None:
    tls = settings.tls
    if tls is None:
        return None
    if tls.certificate is not None:
        return load_tls(tls.certificate, tls.key, client_ca=tls.client_ca)
    hosts = [host for host in (*LOCAL_HOSTS, settings.host) if host not in _EVERY_ADDRESS]
    made = make_tls(list(dict.fromkeys(hosts)), client_ca=tls.client_ca, fault=tls.fault)
    path = ca_file_of(settings)
    try:
        write_whole(path, made.ca_pem.decode())
    except OSError as error:
        raise ReceiverError(f"{path}: the certificate to trust cannot be written: {error.strerror}") from None
    return made.context


def leads_to(host: str, port: int, own_host: str, own_port: int) -> bool:
    """Return whether a target is this very port, as far as the two addresses tell."""
    if port != own_port:
        return False
    if host in {own_host, "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback and own_host in {*_EVERY_ADDRESS, *LOCAL_HOSTS}
    except ValueError:
        return False


def _forward_metrics(forwarder: "Forwarder") -> Iterator[Metric]:
    outcomes: dict[str, float] = {str(outcome): count for outcome, count in forwarder.outcomes.items()}
    yield labelled_counter("postback_forwarded_total", "Captures that were to be sent on.", "outcome", outcomes)
    yield gauge("postback_forward_queue", "Captures that wait to be sent on.", forwarder.queued)
