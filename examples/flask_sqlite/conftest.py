"""What the tests share: a key, and a database of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the ledger; the environment has the key that the notification sends."""
    path = tmp_path_factory.mktemp("ledger") / "postbacks.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTNER_KEY", "only-for-tests")
        yield path


@pytest.fixture(scope="session")
def postback_probe() -> str:
    """Where the endpoint tells the kit which actions it recorded."""
    return "/probe"
