"""A receiver for programs and tests that are not asynchronous: one `with` block, plain calls, its own thread.

with Receiver() as receiver:
    run_the_thing_under_test(receiver.url)
    [first] = receiver.wait_for_count(1)
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from postback_receiver.capture import Capture
from postback_receiver.endpoint import Endpoint
from postback_receiver.errors import WaitTimeout
from postback_receiver.loop_thread import LoopThread
from postback_receiver.memory_store import MemoryStore
from postback_receiver.reply import End, Reply, ReplyScript, always, same_request
from postback_receiver.server import MAX_BODY_BYTES, CaptureServer
from postback_receiver.store import CaptureStore

_EVERY_PATH = (Endpoint(),)


class Receiver:
    """Captures requests on a port of its own for as long as its `with` block lasts.

    Captures stay readable afterwards. A store that is passed in stays the caller's to close.
    """

    def __init__(
        self,
        *,
        endpoints: Iterable[Endpoint] = _EVERY_PATH,
        store: CaptureStore | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        endpoints = list(endpoints)
        self._replies = {endpoint.prefix: endpoint.replies for endpoint in endpoints}
        self._store = MemoryStore() if store is None else store
        self._arrival = threading.Condition()
        self._server = CaptureServer(
            self._store,
            [replace(endpoint, replies=partial(self._answer, endpoint.prefix)) for endpoint in endpoints],
            host=host,
            port=port,
            max_body_bytes=max_body_bytes,
            on_arrival=self._arrived,
        )
        self._thread = LoopThread(self._server, name="postback receiver")

    def __enter__(self) -> Self:
        """Start to listen; ListenError when the port cannot be had."""
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.stop()

    @property
    def url(self) -> str:
        """Where to send postbacks, without a path."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.port

    @property
    def unreadable_requests(self) -> int:
        """Requests that could not be read as HTTP: answered with 400, and not recorded."""
        return self._server.unreadable_requests

    def reply(
        self,
        *replies: Reply,
        endpoint: str = "/",
        key: Callable[[Capture], str] = same_request,
        end: End = "last",
    ) -> None:
        """From now on answer with these, one after the other for each event; see `ReplyScript`.

        `endpoint` is the prefix of the endpoint that is to answer so.
        """
        if endpoint not in self._replies:
            raise ValueError(f"there is no endpoint {endpoint!r}; there are: {', '.join(sorted(self._replies))}")
        is_fixed = len(replies) == 1 and end == "last"
        self._replies[endpoint] = always(replies[0]) if is_fixed else ReplyScript(replies, key=key, end=end)

    def captures(self) -> list[Capture]:
        """What has arrived so far, in order."""
        return list(self._store.captures())

    def wait_for_count(self, count: int, *, timeout: float = 5.0) -> list[Capture]:
        """All captures, as soon as there are at least `count`; WaitTimeout when there are not within `timeout` seconds.

        A capture counts from the moment it is stored: its answer may still be on its way.
        """
        with self._arrival:
            if not self._arrival.wait_for(lambda: self._store.count() >= count, timeout):
                arrived = [_one_line(capture) for capture in self._store.captures()]
                raise WaitTimeout(wanted=f"{count} requests", timeout_s=timeout, arrived=arrived)
        return self.captures()

    def _answer(self, prefix: str, capture: Capture) -> Reply:
        return self._replies[prefix](capture)

    def _arrived(self, _capture: Capture) -> None:
        with self._arrival:
            self._arrival.notify_all()


def _one_line(capture: Capture) -> str:
    answer = "not answered" if capture.answer is None else f"answered {capture.answer.status}"
    return f"{capture.method} {capture.target} ({len(capture.body)} bytes, {answer})"
