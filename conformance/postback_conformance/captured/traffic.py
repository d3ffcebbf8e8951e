"""Captured traffic from a file: a capture store, NDJSON or HAR, told apart by how they begin."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from postback_conformance.errors import TrafficError
from postback_conformance.printable import printable
from postback_receiver import (
    Capture,
    CaptureFormatError,
    CaptureReader,
    HarFormatError,
    open_store,
    read_captures,
    read_har,
)
from postback_receiver.har import MAX_HAR_BYTES
from postback_receiver.sqlite_file import is_database
from postback_sender.notification import Notification, NotificationSource, parse_notification

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]:]', re.DOTALL)
# Beyond that, nobody writes comments before an archive.
_LONGEST_START = 65_536
_LONGEST_MESSAGE = 400
_EXPECTED = "expected a capture store, NDJSON or HAR"


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Captures in the order of arrival, and the settings each endpoint had when they arrived."""

    name: str
    count: int | None
    read: Callable[[], Iterable[Capture]]
    settings: Mapping[str, bytes | None]
    store: CaptureReader | None = None
    """The store it is in, for whoever wants to search it; None for a file."""


@contextmanager
def open_traffic(path: Path) -> Generator[Traffic]:
    """Open a store, an NDJSON file or a HAR for reading; raises `TrafficError` or `StoreError` with what to do."""
    try:
        is_store, start = is_database(path), b""
        if not is_store:
            with path.open("rb") as file:
                start = file.read(_LONGEST_START).removeprefix(_BOM).lstrip()
    except OSError as error:
        raise TrafficError(f"{path}: cannot be read: {error.strerror}; {_EXPECTED}") from None
    if is_store:
        store = open_store(path)
        try:
            yield Traffic(
                name=str(path), count=store.count(), read=store.captures, settings=store.endpoints(), store=store
            )
        finally:
            store.close()
    elif _is_archive(start):
        archived = _har(path)
        yield Traffic(name=str(path), count=len(archived), read=lambda: archived, settings={})
    elif not start or start.startswith(b"{"):
        yield Traffic(name=str(path), count=None, read=lambda: _ndjson(path), settings={})
    else:
        got = "UTF-16: save it as UTF-8" if start.startswith(_UTF_16) else repr(start[:16].decode("utf-8", "replace"))
        raise TrafficError(f"{path}: {_EXPECTED}; got {got}")


def _is_archive(start: bytes) -> bool:
    """Tell whether a text begins as an archive does: one object with a key `log`, before or after any comment."""
    depth, latest = 0, b""
    for found in _JSON_TOKEN.finditer(start):
        token = found[0]
        # A line of NDJSON may have a `log` of somebody's own, but says first what it is.
        if token == b":" and depth == 1 and latest in {b'"log"', b'"format"'}:
            return latest == b'"log"'
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token, 0)
        if depth == 0:
            return False
        latest = token
    return False


def is_store_begun(path: Path) -> bool:
    """Tell whether a store can be read at `path`, or may come to be there; raises `TrafficError` for anything else."""
    try:
        if is_database(path):
            return True
        is_empty = not path.stat().st_size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise TrafficError(f"{path}: cannot be read: {error.strerror}; expected a capture store") from None
    if is_empty:
        return False
    raise TrafficError(f"{path}: only a capture store can be followed; judge a file without --follow")


def notifications_of(settings: Mapping[str, bytes | None], *, name: str) -> dict[str | None, Notification]:
    """Return the notification of each endpoint, as a store kept them; header values stay unresolved.

    Raises `TrafficError` when there is none, as in an NDJSON file; `name` is what the message calls the traffic.
    """
    found: dict[str | None, Notification] = {
        prefix: parse_notification(unpack_source(packed), None) for prefix, packed in settings.items() if packed
    }
    if not found:
        raise TrafficError(
            f"{name}: nothing says what these captures should look like; pass --notification NOTIFICATION.toml"
        )
    return found


def pack_source(source: NotificationSource) -> bytes:
    """Return a notification's source as the bytes a store keeps for an endpoint."""
    return msgspec.json.encode(source)


def unpack_source(settings: bytes) -> NotificationSource:
    """Return the source of a notification from what a store kept."""
    try:
        return msgspec.json.decode(settings, type=NotificationSource)
    except msgspec.MsgspecError as error:
        raise TrafficError(f"the store's endpoint settings cannot be read: {error}; pass --notification") from None


def _ndjson(path: Path) -> Iterator[Capture]:
    with path.open("rb") as file:
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        try:
            yield from read_captures(file)
        except CaptureFormatError as error:
            raise TrafficError(f"{path}: {_short(error)}; export it again, or take that line out") from None


def _har(path: Path) -> list[Capture]:
    with path.open("rb") as file:
        # One byte more than an archive may have, so that one too large is known to be.
        data = file.read(MAX_HAR_BYTES + 1)
    try:
        return read_har(data)
    except HarFormatError as error:
        todo = "export it again" if error.entry is None else "export it again, or take that entry out"
        raise TrafficError(f"{path}: {_short(error)}; {todo}") from None


def _short(error: Exception) -> str:
    """Return a message that may quote what the file holds, as a terminal can show it."""
    text = printable(str(error))
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
