"""What the tests share: a key, and a database of their own."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from endpoint import told
from ledger import Ledger


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The ledger's database; the environment says where it is, and what the notification sends as its key."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'postbacks.sqlite'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTNER_KEY", "only-for-tests")
        patch.setenv("DATABASE_URL", url)
        yield url


@pytest.fixture(scope="session")
def postback_probe(database_url: str) -> Iterator[Callable[[str], object]]:
    """What tells the kit which actions we recorded."""
    with closing(Ledger(database_url)) as ledger:
        yield lambda action_id: told(ledger, action_id)
