"""What impact.com may send, tried on our endpoint: each case of Postback Kit's endpoint suite is a test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postback_conformance.testing import Command, PostbackCase


@pytest.fixture(scope="module")
def postback_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The endpoint under test, as a program: the kit starts it, and kills it to see what is left."""
    database = tmp_path_factory.mktemp("ledger") / "postbacks.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTNER_KEY", "only-for-tests")  # which the notification sends, too
        yield Command(
            [sys.executable, "endpoint.py"],
            env={"PORT": "{port}", "DATABASE": str(database), "PROBE": "1"},
            cwd=Path(__file__).parent,
        )


@pytest.fixture(scope="module")
def postback_probe() -> str:
    """Where the endpoint tells the kit which actions it recorded."""
    return "/probe"


def test_postback(postback_case: PostbackCase) -> None:
    postback_case()
