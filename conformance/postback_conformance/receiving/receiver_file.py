"""`receiver.toml`: where a receiver listens, what it keeps, and what each of its endpoints answers.

    receiver = load_receiver_file(Path("receiver.toml"))
    CaptureServer(store, [endpoint.new_endpoint() for endpoint in receiver.endpoints])

Reading is strict, as with a notification: an unknown key is an error that names its line and the nearest valid one. The
file with all it refers to is a `ReceiverSource`: plain data, which another process can read again.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec

from postback_conformance.captured.traffic import pack_source
from postback_conformance.errors import ReceiverFileError
from postback_conformance.judging.event_keys import KeyKind, event_keys
from postback_conformance.receiving.numbered_entries import numbered_entries
from postback_conformance.receiving.reply_tables import ReplyReader, Tables
from postback_receiver import (
    Capture,
    Case,
    End,
    Endpoint,
    EndpointTable,
    Replies,
    Reply,
    ReplyScript,
    RequestLimit,
    always,
)
from postback_receiver.retention import Retention
from postback_receiver.tls import TlsFault
from postback_sender import NotificationSource, parse_notification
from postback_sender.delivery.target import check_target
from postback_sender.errors import TargetError
from postback_sender.notification_file import path_beside, read_source
from postback_sender.quantities import QuantityError, Rate, parse_rate, parse_size
from postback_sender.settings_table import NotificationError, dotted, fail, read_toml

MAX_FILE_BYTES = 16 * 1024 * 1024
"""For the settings, and for each body they refer to."""

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class TlsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate of the port, and whose certificate a client has to show; `generated` makes one at the start."""

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    generated: bool = False
    fault: TlsFault | None = None


class ForwardFile(msgspec.Struct, frozen=True, kw_only=True):
    """Where captures are sent on to; with `relay` that server answers. `allow` names hosts beyond loopback."""

    to: str
    mode: Literal["tee", "relay"] = "tee"
    timeout_ns: int
    allow: tuple[str, ...] = ()


class EndpointFile(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint: its path prefix, its notification, and its replies by turn (`replies`) and by case (`cases`)."""

    path: str
    notification: NotificationSource | None
    key: KeyKind
    end: End
    maximum_requests: Rate | None
    replies: tuple[Reply, ...]
    cases: tuple[Case, ...]

    def new_endpoint(self, *, worker: int = 0) -> Endpoint:
        """Return it as a receiver takes it, with nothing remembered of any event.

        Each `worker` of several has luck of its own: an event's second attempt is the first one for another process,
        and must not meet what the first one met.
        """
        replies = self._replies(worker)
        limit = self.maximum_requests
        return Endpoint(
            prefix=self.path,
            replies=replies if limit is None else RequestLimit(replies, count=limit.count, window_ns=limit.window_ns),
            settings=pack_source(self.notification) if self.notification else None,
        )

    def _replies(self, worker: int) -> Replies:
        if len(self.replies) == 1 and self.replies[0].is_settled and not self.cases and self.end != "error":
            # Who gets the same thing every time need not be known, and finding that out is most of the work.
            return always(self.replies[0])
        notification = parse_notification(self.notification, None) if self.notification else None
        keys = event_keys(self.key, notification)
        if worker:
            keys = _keys_of_worker(worker, keys)
        return ReplyScript(self.replies, key=keys, end=self.end, cases=self.cases)


class ReceiverSource(msgspec.Struct, frozen=True, kw_only=True):
    """The settings as written, with the folder that their paths start from and the files they refer to by name."""

    name: str
    folder: str
    text: str
    notifications: dict[str, NotificationSource] = {}
    bodies: dict[str, bytes] = {}


class ReceiverFile(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a receiver, checked and in plain units; None where the file leaves something to the flags."""

    source: ReceiverSource
    host: str | None
    port: int | None
    store: Path | None
    durability: Literal["process", "power"]
    max_body_bytes: int | None
    workers: int | None
    inspector_port: int | None
    seed: int
    retention: Retention
    tls: TlsFile | None
    forward: ForwardFile | None
    endpoints: tuple[EndpointFile, ...]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    host: str | None = None
    port: Port | None = None
    store: str | None = None
    durability: Literal["process", "power"] = "process"
    max_body: str | int | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    inspector_port: Port | None = None
    seed: int = 0
    retention: dict[str, Any] = {}
    tls: dict[str, Any] | None = None
    forward: dict[str, Any] | None = None
    endpoint: tuple[dict[str, Any], ...] = ()


class _RetentionTable(msgspec.Struct, frozen=True, kw_only=True):
    age: str | float | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    bytes: str | int | None = None


class _TlsTable(msgspec.Struct, frozen=True, kw_only=True):
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    generated: bool = False
    fault: TlsFault | None = None


class _ForwardTable(msgspec.Struct, frozen=True, kw_only=True):
    to: str
    mode: Literal["tee", "relay"] = "tee"
    timeout: str | float = "10s"
    allow: tuple[str, ...] = ()


class _EndpointTable(msgspec.Struct, frozen=True, kw_only=True):
    path: str = "/"
    notification: str | None = None
    key: KeyKind = "event"
    end: End = "last"
    maximum_requests: str | int | None = None
    reply: tuple[dict[str, Any], ...] = ()


def load_receiver_file(path: Path) -> ReceiverFile:
    """Return the settings of a file. Its paths start from its own folder. Raises ReceiverFileError."""
    return parse_receiver_file(read_receiver_source(path))


def read_receiver_source(path: Path) -> ReceiverSource:
    """Return a file with the notifications and bodies it refers to, or raise ReceiverFileError."""
    try:
        text = _read(path).decode()
    except UnicodeDecodeError as error:
        raise ReceiverFileError(f"{path}: not UTF-8 at byte {error.start}") from None
    source = ReceiverSource(name=path.name, folder=str(path.parent.absolute()), text=text)
    try:
        numbered = numbered_entries(text)
        for number, endpoint in enumerate(_tables_in(read_toml(text, name=path.name).get("endpoint")), start=1):
            place = f"endpoint {number}"
            if isinstance(name := endpoint.get("notification"), str):
                found = path_beside(path, name, numbered, path=place, key="notification")
                with _told_at(place, "notification", numbered, path.name):
                    source.notifications[name] = read_source(found)
            for turn, reply in enumerate(_tables_in(endpoint.get("reply")), start=1):
                if isinstance(name := reply.get("body_file"), str):
                    found = path_beside(path, name, numbered, path=f"{place}.reply {turn}")
                    with _told_at(f"{place}.reply {turn}", "body_file", numbered, path.name):
                        source.bodies[name] = _read(found)
    except NotificationError as error:
        raise ReceiverFileError(str(error)) from None
    return source


@contextmanager
def _told_at(path: str, key: str, text: str, name: str) -> Generator[None]:
    """Tell what is wrong with another file together with the place that names it."""
    try:
        yield
    except (NotificationError, ReceiverFileError) as error:
        fail(f"{dotted(path, key)}: {error}", path, key, text=text, name=name)


def parse_receiver_file(source: ReceiverSource) -> ReceiverFile:
    """Return the settings of a source, or raise ReceiverFileError or, for a template, TemplateSyntaxError."""
    try:
        return _Reader(source).receiver()
    except NotificationError as error:
        raise ReceiverFileError(str(error)) from None


def check_forward(file: ReceiverFile, to: str, allowed_hosts: Collection[str]) -> None:
    """Raise ReceiverFileError, with the place in the file, when captures may not be sent on to where it says."""
    try:
        check_target(to, allowed_hosts=allowed_hosts)
    except TargetError as error:
        tables = Tables(numbered_entries(file.source.text), file.source.name)
        try:
            tables.fail(f"{error}; in this file, allow under [forward]", "forward", "to")
        except NotificationError as placed:
            raise ReceiverFileError(str(placed)) from None


class _Reader:
    def __init__(self, source: ReceiverSource) -> None:
        self._source = source
        self._tables = Tables(numbered_entries(source.text), source.name)
        self._folder = Path(source.folder)

    def receiver(self) -> ReceiverFile:
        table = read_toml(self._source.text, name=self._source.name)
        self._check_list(table, "", "endpoint")
        file = self._tables.read(table, _File, "")
        return ReceiverFile(
            source=self._source,
            host=file.host,
            port=file.port,
            store=self._path(file.store),
            durability=file.durability,
            max_body_bytes=None if file.max_body is None else self._size(file.max_body, "", "max_body"),
            workers=file.workers,
            inspector_port=file.inspector_port,
            seed=file.seed,
            retention=self._retention(file.retention),
            tls=None if file.tls is None else self._tls(file.tls),
            forward=None if file.forward is None else self._forward(file.forward),
            endpoints=self._endpoints(file),
        )

    def _check_list(self, table: Mapping[str, Any], path: str, key: str, header: str | None = None) -> None:
        if isinstance(table.get(key), dict):
            self._tables.fail(f"expected a list of tables, got one table; write [[{header or key}]]", path, key)

    def _retention(self, table: Mapping[str, Any]) -> Retention:
        file = self._tables.read(table, _RetentionTable, "retention")
        age_ns = None if file.age is None else self._tables.nanoseconds(file.age, "retention", "age")
        if age_ns == 0:
            self._tables.fail("expected more than 0", "retention", "age")
        size = None if file.bytes is None else self._size(file.bytes, "retention", "bytes")
        return Retention(max_age_ns=age_ns, max_captures=file.count, max_bytes=size)

    def _tls(self, table: Mapping[str, Any]) -> TlsFile:
        file = self._tables.read(table, _TlsTable, "tls")
        if file.generated == (file.certificate is not None):
            self._tables.fail("expected either a certificate or generated = true", "", "tls")
        for key in ("key", "fault"):
            # A certificate may come with its key in one file; what is wrong with one is made on the spot.
            if getattr(file, key) is not None and file.generated == (key == "key"):
                partner = "a certificate" if key == "key" else "generated = true"
                self._tables.fail(f"goes with {partner} only", "tls", key)
        return TlsFile(
            certificate=self._path(file.certificate),
            key=self._path(file.key),
            client_ca=self._path(file.client_ca),
            generated=file.generated,
            fault=file.fault,
        )

    def _forward(self, table: Mapping[str, Any]) -> ForwardFile:
        file = self._tables.read(table, _ForwardTable, "forward")
        timeout_ns = self._tables.nanoseconds(file.timeout, "forward", "timeout")
        if not timeout_ns:
            self._tables.fail("expected more than 0", "forward", "timeout")
        return ForwardFile(to=file.to, mode=file.mode, timeout_ns=timeout_ns, allow=file.allow)

    def _endpoints(self, file: _File) -> tuple[EndpointFile, ...]:
        tables = file.endpoint or ({},)
        endpoints = [
            self._endpoint(table, f"endpoint {number}", file.seed) for number, table in enumerate(tables, start=1)
        ]
        for number in range(1, len(endpoints) + 1):
            try:
                EndpointTable(Endpoint(prefix=endpoint.path) for endpoint in endpoints[:number])
            except ValueError:
                message = f"another endpoint has the path {endpoints[number - 1].path!r}; give each its own"
                self._tables.fail(message, f"endpoint {number}", "path")
        return tuple(endpoints)

    def _endpoint(self, table: Mapping[str, Any], path: str, seed: int) -> EndpointFile:
        self._check_list(table, path, "reply", "endpoint.reply")
        file = self._tables.read(table, _EndpointTable, path)
        try:
            Endpoint(prefix=file.path)
        except ValueError:
            self._tables.fail(f"expected a path that starts with /, without a query, got {file.path!r}", path, "path")
        source = None if file.notification is None else self._notification(file.notification, path)
        reader = ReplyReader(
            self._tables,
            seed=seed,
            notification=None if source is None else parse_notification(source, None),
            body_file=self._source.bodies.__getitem__,
        )
        written = [reader.reply(reply, f"{path}.reply {turn}") for turn, reply in enumerate(file.reply, start=1)]
        replies = tuple(reply for reply in written if isinstance(reply, Reply))
        return EndpointFile(
            path=file.path,
            notification=source,
            key=file.key,
            end=file.end,
            maximum_requests=self._rate(file.maximum_requests, path),
            replies=replies or (reader.success(path),),
            cases=tuple(case for case in written if isinstance(case, Case)),
        )

    def _notification(self, name: str, path: str) -> NotificationSource:
        if name not in self._source.notifications:
            self._tables.fail(f"no file {name!r} beside {self._source.name}", path, "notification")
        return self._source.notifications[name]

    def _rate(self, value: str | int | None, path: str) -> Rate | None:
        try:
            return None if value is None else parse_rate(value)
        except QuantityError as error:
            self._tables.fail(str(error), path, "maximum_requests")

    def _size(self, value: str | int, path: str, key: str) -> int:
        try:
            size = parse_size(value)
        except QuantityError as error:
            self._tables.fail(str(error), path, key)
        return size or self._tables.fail("expected more than 0", path, key)

    def _path(self, written: str | None) -> Path | None:
        return None if written is None else self._folder / written


def _keys_of_worker(worker: int, keys: Callable[[Capture], str]) -> Callable[[Capture], str]:
    return lambda capture: f"worker {worker} {keys(capture)}"


def _tables_in(value: object) -> list[dict[str, Any]]:
    """Return the tables of a list; what is none is told of when the file is understood."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", table) for table in listed if isinstance(table, dict)]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ReceiverFileError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ReceiverFileError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    return data
