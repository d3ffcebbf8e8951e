"""The endpoint as it runs in production: what it recorded is there after it was killed and started again."""

import sys
from pathlib import Path

import pytest

from postback_conformance.testing import Command, PostbackCase


@pytest.fixture(scope="module")
def postback_app(project: None) -> Command:
    """The command that starts the endpoint; the kit chooses the port."""
    words = [sys.executable, "-m", "waitress", "--listen=127.0.0.1:{port}", "config.wsgi:application"]
    return Command(words, cwd=Path(__file__).parent)


@pytest.mark.postback(only="recovery.*")
def test_recovery(postback_case: PostbackCase) -> None:
    postback_case()
