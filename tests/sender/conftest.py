"""What several sender tests start from."""

from collections.abc import Callable

import pytest

from postback_sender import Notification, NotificationSource, parse_notification

Settings = Callable[..., Notification]


@pytest.fixture
def settings() -> Settings:
    """Parse the text of a notification file; `files` lie beside it, `environment` surrounds it."""

    def parse(text: str = "", files: dict[str, str] | None = None, **environment: str) -> Notification:
        source = NotificationSource(name="n.toml", text=text, files=files or {})
        return parse_notification(source, environment)

    return parse
