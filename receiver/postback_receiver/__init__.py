"""What a partner's endpoint sees of impact.com's postbacks: captured, answered by script, and kept.

    async with CaptureServer(store, [Endpoint(prefix="/postback")]) as server: ...   # in asynchronous code
    with Receiver() as receiver: ...                                                 # everywhere else

This package knows nothing of templates, rules or the sender; what it needs from there is a callable handed in.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from postback_receiver.capture import Answer, Capture, Headers
from postback_receiver.endpoint import Endpoint, EndpointTable
from postback_receiver.errors import (
    CaptureFormatError,
    CaptureLookupError,
    HarFormatError,
    ListenError,
    ReceiverError,
    StoreError,
    WaitTimeout,
)
from postback_receiver.har import read_har, write_har
from postback_receiver.memory_store import MemoryStore
from postback_receiver.ndjson import capture_to_line, line_to_capture, read_captures
from postback_receiver.reply import End, Replies, Reply, ReplyScript, always, same_request, text_reply
from postback_receiver.sqlite_store import SqliteReader, SqliteStore, open_store
from postback_receiver.stamps import Clock, SystemClock, random_id
from postback_receiver.store import CaptureReader, CaptureStore
from postback_receiver.timestamps import iso_to_ns, ns_to_iso

if TYPE_CHECKING:
    from postback_receiver.event_loop import new_event_loop
    from postback_receiver.receiver import Receiver
    from postback_receiver.server import CaptureServer

# What listens needs aiohttp, and that takes 0.2 s to import. Whoever only reads captures does not wait for it.
_LOADED_WHEN_USED = {
    "CaptureServer": "postback_receiver.server",
    "Receiver": "postback_receiver.receiver",
    "new_event_loop": "postback_receiver.event_loop",
}


def __getattr__(name: str) -> object:
    if name not in _LOADED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED_WHEN_USED[name]), name)


__all__ = [
    "Answer",
    "Capture",
    "CaptureFormatError",
    "CaptureLookupError",
    "CaptureReader",
    "CaptureServer",
    "CaptureStore",
    "Clock",
    "End",
    "Endpoint",
    "EndpointTable",
    "HarFormatError",
    "Headers",
    "ListenError",
    "MemoryStore",
    "Receiver",
    "ReceiverError",
    "Replies",
    "Reply",
    "ReplyScript",
    "SqliteReader",
    "SqliteStore",
    "StoreError",
    "SystemClock",
    "WaitTimeout",
    "always",
    "capture_to_line",
    "iso_to_ns",
    "line_to_capture",
    "new_event_loop",
    "ns_to_iso",
    "open_store",
    "random_id",
    "read_captures",
    "read_har",
    "same_request",
    "text_reply",
    "write_har",
]
