"""What a partner's endpoint sees of impact.com's postbacks: captured, answered by script, and kept.

    async with CaptureServer(store, [Endpoint(prefix="/postback")]) as server: ...   # in asynchronous code
    program.add_subapp("/hooks", capture_app(store, [Endpoint(prefix="/postback")])) # inside an aiohttp program
    async with AsyncReceiver() as receiver: ...                                      # the same, to test with
    with Receiver() as receiver: ...                                                 # everywhere else

This package knows nothing of templates, rules or the sender; what it needs from there is a callable handed in.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postback_receiver.aiohttp_app import capture_app
    from postback_receiver.arrivals import Mark
    from postback_receiver.async_receiver import AsyncReceiver
    from postback_receiver.capture import Answer, Capture, Headers, Tls
    from postback_receiver.capture_json_schema import capture_schema
    from postback_receiver.capture_query import CaptureQuery
    from postback_receiver.content_coding import DecodedBody, decode_body
    from postback_receiver.counts import ReceiverCounts
    from postback_receiver.endpoint import Endpoint, EndpointTable
    from postback_receiver.errors import (
        CaptureFormatError,
        CaptureLookupError,
        HarFormatError,
        ListenError,
        OutOfOrder,
        ReceiverError,
        ReceiverStateError,
        SilenceBroken,
        StoreError,
        TlsError,
        WaitTimeout,
    )
    from postback_receiver.event_loop import new_event_loop
    from postback_receiver.faults import (
        Fault,
        accepted_then_lost,
        bad_chunk,
        close,
        down,
        dribble,
        garbage,
        never_answer,
        reset,
        slow_headers,
        sometimes,
        wrong_content_length,
    )
    from postback_receiver.har import read_har
    from postback_receiver.har_writing import write_har
    from postback_receiver.matching import Difference, Match, Matcher, NearestMiss
    from postback_receiver.memory_store import MemoryStore
    from postback_receiver.ndjson import capture_to_line, line_to_capture, read_captures
    from postback_receiver.receiver import Receiver
    from postback_receiver.reply import RandomDelay, Replies, Reply, same_request, text_reply
    from postback_receiver.reply_script import Case, End, ReplyScript, always
    from postback_receiver.request_limit import RequestLimit
    from postback_receiver.retention import Evictions, Retention
    from postback_receiver.server import CaptureServer
    from postback_receiver.sqlite_reader import SqliteReader, open_store
    from postback_receiver.sqlite_store import SqliteStore
    from postback_receiver.stamps import Clock, SystemClock, random_id
    from postback_receiver.store import CapturePage, CaptureReader, CaptureStore, Numbered
    from postback_receiver.timestamps import iso_to_ns, ns_to_iso
    from postback_receiver.tls import MadeTls, TlsFault, load_tls, make_tls

# Nobody waits for what they do not use: listening alone (asyncio, uvloop, ssl) takes longer to import than to start.
_LOADED_WHEN_USED = {
    "Answer": "postback_receiver.capture",
    "AsyncReceiver": "postback_receiver.async_receiver",
    "Capture": "postback_receiver.capture",
    "CaptureFormatError": "postback_receiver.errors",
    "CaptureLookupError": "postback_receiver.errors",
    "CapturePage": "postback_receiver.store",
    "CaptureQuery": "postback_receiver.capture_query",
    "CaptureReader": "postback_receiver.store",
    "CaptureServer": "postback_receiver.server",
    "CaptureStore": "postback_receiver.store",
    "Case": "postback_receiver.reply_script",
    "Clock": "postback_receiver.stamps",
    "DecodedBody": "postback_receiver.content_coding",
    "Difference": "postback_receiver.matching",
    "End": "postback_receiver.reply_script",
    "Endpoint": "postback_receiver.endpoint",
    "EndpointTable": "postback_receiver.endpoint",
    "Evictions": "postback_receiver.retention",
    "Fault": "postback_receiver.faults",
    "HarFormatError": "postback_receiver.errors",
    "Headers": "postback_receiver.capture",
    "ListenError": "postback_receiver.errors",
    "MadeTls": "postback_receiver.tls",
    "Mark": "postback_receiver.arrivals",
    "Match": "postback_receiver.matching",
    "Matcher": "postback_receiver.matching",
    "MemoryStore": "postback_receiver.memory_store",
    "NearestMiss": "postback_receiver.matching",
    "Numbered": "postback_receiver.store",
    "OutOfOrder": "postback_receiver.errors",
    "RandomDelay": "postback_receiver.reply",
    "Receiver": "postback_receiver.receiver",
    "ReceiverCounts": "postback_receiver.counts",
    "ReceiverError": "postback_receiver.errors",
    "ReceiverStateError": "postback_receiver.errors",
    "Replies": "postback_receiver.reply",
    "Reply": "postback_receiver.reply",
    "ReplyScript": "postback_receiver.reply_script",
    "RequestLimit": "postback_receiver.request_limit",
    "Retention": "postback_receiver.retention",
    "SilenceBroken": "postback_receiver.errors",
    "SqliteReader": "postback_receiver.sqlite_reader",
    "SqliteStore": "postback_receiver.sqlite_store",
    "StoreError": "postback_receiver.errors",
    "SystemClock": "postback_receiver.stamps",
    "Tls": "postback_receiver.capture",
    "TlsError": "postback_receiver.errors",
    "TlsFault": "postback_receiver.tls",
    "WaitTimeout": "postback_receiver.errors",
    "accepted_then_lost": "postback_receiver.faults",
    "always": "postback_receiver.reply_script",
    "bad_chunk": "postback_receiver.faults",
    "capture_app": "postback_receiver.aiohttp_app",
    "capture_schema": "postback_receiver.capture_json_schema",
    "capture_to_line": "postback_receiver.ndjson",
    "close": "postback_receiver.faults",
    "decode_body": "postback_receiver.content_coding",
    "down": "postback_receiver.faults",
    "dribble": "postback_receiver.faults",
    "garbage": "postback_receiver.faults",
    "iso_to_ns": "postback_receiver.timestamps",
    "line_to_capture": "postback_receiver.ndjson",
    "load_tls": "postback_receiver.tls",
    "make_tls": "postback_receiver.tls",
    "never_answer": "postback_receiver.faults",
    "new_event_loop": "postback_receiver.event_loop",
    "ns_to_iso": "postback_receiver.timestamps",
    "open_store": "postback_receiver.sqlite_reader",
    "random_id": "postback_receiver.stamps",
    "read_captures": "postback_receiver.ndjson",
    "read_har": "postback_receiver.har",
    "reset": "postback_receiver.faults",
    "same_request": "postback_receiver.reply",
    "slow_headers": "postback_receiver.faults",
    "sometimes": "postback_receiver.faults",
    "text_reply": "postback_receiver.reply",
    "write_har": "postback_receiver.har_writing",
    "wrong_content_length": "postback_receiver.faults",
}


def __getattr__(name: str) -> object:
    if name not in _LOADED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED_WHEN_USED[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LOADED_WHEN_USED})


__all__ = [
    "Answer",
    "AsyncReceiver",
    "Capture",
    "CaptureFormatError",
    "CaptureLookupError",
    "CapturePage",
    "CaptureQuery",
    "CaptureReader",
    "CaptureServer",
    "CaptureStore",
    "Case",
    "Clock",
    "DecodedBody",
    "Difference",
    "End",
    "Endpoint",
    "EndpointTable",
    "Evictions",
    "Fault",
    "HarFormatError",
    "Headers",
    "ListenError",
    "MadeTls",
    "Mark",
    "Match",
    "Matcher",
    "MemoryStore",
    "NearestMiss",
    "Numbered",
    "OutOfOrder",
    "RandomDelay",
    "Receiver",
    "ReceiverCounts",
    "ReceiverError",
    "ReceiverStateError",
    "Replies",
    "Reply",
    "ReplyScript",
    "RequestLimit",
    "Retention",
    "SilenceBroken",
    "SqliteReader",
    "SqliteStore",
    "StoreError",
    "SystemClock",
    "Tls",
    "TlsError",
    "TlsFault",
    "WaitTimeout",
    "accepted_then_lost",
    "always",
    "bad_chunk",
    "capture_app",
    "capture_schema",
    "capture_to_line",
    "close",
    "decode_body",
    "down",
    "dribble",
    "garbage",
    "iso_to_ns",
    "line_to_capture",
    "load_tls",
    "make_tls",
    "never_answer",
    "new_event_loop",
    "ns_to_iso",
    "open_store",
    "random_id",
    "read_captures",
    "read_har",
    "reset",
    "same_request",
    "slow_headers",
    "sometimes",
    "text_reply",
    "write_har",
    "wrong_content_length",
]
