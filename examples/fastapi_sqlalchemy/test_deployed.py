"""The endpoint as it runs in production: what it recorded is there after it was killed and started again."""

import sys
from pathlib import Path

import pytest

from postback_conformance.testing import Command, PostbackCase


@pytest.fixture(scope="module")
def postback_app(database_url: str) -> Command:
    """The command that starts the endpoint; the kit chooses the port."""
    return Command(
        [sys.executable, "-m", "uvicorn", "--port={port}", "--factory", "endpoint:application"],
        env={"DATABASE_URL": database_url, "PROBE": "1"},
        cwd=Path(__file__).parent,
    )


@pytest.mark.postback(only="recovery.*")
def test_recovery(postback_case: PostbackCase) -> None:
    postback_case()
