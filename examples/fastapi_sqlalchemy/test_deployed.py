"""The endpoint as it runs in production: what it recorded is there after it was killed and started again."""

import sys
from collections.abc import Callable

import pytest


@pytest.fixture(scope="module")
def postback_app(database_url: str) -> list[str]:
    """The command that starts the endpoint; the kit chooses the port."""
    return [sys.executable, "-m", "uvicorn", "--port={port}", "--factory", "endpoint:application"]


@pytest.mark.postback(only="recovery.*")
def test_recovery(postback_case: Callable[[], None]) -> None:
    postback_case()
