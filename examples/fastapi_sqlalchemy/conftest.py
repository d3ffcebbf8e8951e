"""What the tests share: a key, and a database of their own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The ledger's database; the environment has the key that the notification sends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTNER_KEY", "only-for-tests")
        yield f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'postbacks.sqlite'}"


@pytest.fixture(scope="session")
def postback_probe() -> str:
    """Where the endpoint tells the kit which actions it recorded."""
    return "/probe"
