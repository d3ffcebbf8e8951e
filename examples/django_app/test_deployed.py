"""The endpoint as it runs in production: what it recorded is there after it was killed and started again."""

import sys
from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def postback_app(project: None) -> list[str]:
    """The command that starts the endpoint; the kit chooses the port."""
    return [sys.executable, "-m", "waitress", "--listen=127.0.0.1:{port}", "config.wsgi:application"]


@pytest.mark.postback(only="recovery.*")
def test_recovery(postback_case: Callable[[], None]) -> None:
    postback_case()
