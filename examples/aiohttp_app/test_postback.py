"""What impact.com may send, tried on our endpoint: each case of Postback Kit's endpoint suite is a test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postback_conformance.hosting.hosted import Hosted


@pytest.fixture(scope="module")
def postback_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The endpoint under test, as a program: the kit starts it with PORT set, and kills it to see what is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTNER_KEY", "only-for-tests")  # which the notification sends, too
        patch.setenv("DATABASE", str(tmp_path_factory.mktemp("ledger") / "postbacks.sqlite"))
        patch.setenv("PROBE", "1")
        yield [sys.executable, str(Path(__file__).with_name("endpoint.py"))]


@pytest.fixture(scope="module")
def postback_probe(postback_endpoint: Hosted) -> str:
    """What tells the kit which actions we recorded."""
    return postback_endpoint.url.replace("/postback", "/probe")


def test_postback(postback_case: Callable[[], None]) -> None:
    postback_case()
