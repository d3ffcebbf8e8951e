"""What several sender tests start from."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from new_outboxes import SOURCE, OpenNew
from postback_sender import Notification, NotificationSource, parse_notification
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

Settings = Callable[..., Notification]


@pytest.fixture
def settings() -> Settings:
    """Parse the text of a notification file; `files` lie beside it, `environment` surrounds it."""

    def parse(text: str = "", files: dict[str, str] | None = None, **environment: str) -> Notification:
        source = NotificationSource(name="n.toml", text=text, files=files or {})
        return parse_notification(source, environment)

    return parse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of an outbox is to be."""
    return tmp_path / "outbox.sqlite"


@pytest.fixture(params=["memory", "sqlite"])
def open_new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenNew]:
    """Opens empty outboxes of one kind."""
    numbers = count()
    with ExitStack() as stack:

        def open_it(*, ordered: bool = True) -> Outbox:
            outbox: Outbox = MemoryOutbox(ordered=ordered)
            if request.param == "sqlite":
                outbox = SqliteOutbox(tmp_path / f"{next(numbers)}.sqlite", SOURCE, ordered=ordered)
            stack.callback(outbox.close)
            return outbox

        yield open_it
