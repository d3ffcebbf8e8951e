"""The pytest plugin of Postback Kit: a receiver and a sender as fixtures.

pytest loads this module at every start, in everybody's repository. So it is one flat module that imports nothing of
ours until a fixture is used, and every name it adds begins with `postback`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from postback_conformance.driving import EventSender
    from postback_receiver import AsyncReceiver, Receiver


@pytest.fixture
def postback_listen_address() -> tuple[str, int]:
    """Where `postback_receiver` listens: host and port, 0 for a free one. Override it to change that."""
    return "127.0.0.1", 0


@pytest.fixture
def postback_ssl_context() -> ssl.SSLContext | None:
    """What `postback_receiver` speaks TLS with; None for plain HTTP. Override it to change that."""
    return None


@pytest.fixture
def postback_receiver(
    postback_listen_address: tuple[str, int], postback_ssl_context: ssl.SSLContext | None
) -> Iterator[Receiver]:
    """A running receiver of postbacks: `url`, `wait_for(...)`, `captures(...)`, `reply(...)` and more."""
    from postback_receiver import Receiver  # noqa: PLC0415  nothing of ours before a fixture is used

    host, port = postback_listen_address
    with Receiver(host=host, port=port, ssl_context=postback_ssl_context) as receiver:
        yield receiver


@pytest.fixture
def postback_async_receiver(
    postback_listen_address: tuple[str, int], postback_ssl_context: ssl.SSLContext | None
) -> Iterator[AsyncReceiver]:
    """The same for asynchronous tests, whatever runs them: `await postback_async_receiver.wait_for(...)`."""
    from postback_receiver import AsyncReceiver  # noqa: PLC0415  nothing of ours before a fixture is used

    host, port = postback_listen_address
    with AsyncReceiver(host=host, port=port, ssl_context=postback_ssl_context) as receiver:
        yield receiver


@pytest.fixture(scope="session")
def postback_receiver_factory() -> Callable[..., AbstractContextManager[Receiver]]:
    """A maker of receivers for a `with` statement; it takes what `Receiver` takes."""
    from postback_receiver import Receiver  # noqa: PLC0415  nothing of ours before a fixture is used

    return Receiver


@pytest.fixture
def postback_sender() -> EventSender:
    """Sends what impact.com would send: `postback_sender.send("notification.toml", to=url)`."""
    from postback_conformance.driving import EventSender  # noqa: PLC0415  nothing of ours before a fixture is used

    return EventSender()
