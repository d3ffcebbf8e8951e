"""What the tests share: a key, and a database of their own."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from endpoint import told
from ledger import Ledger


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the ledger; the environment says where it is, and what the notification sends as its key."""
    path = tmp_path_factory.mktemp("ledger") / "postbacks.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTNER_KEY", "only-for-tests")
        patch.setenv("DATABASE", str(path))
        yield path


@pytest.fixture(scope="session")
def postback_probe(database: Path) -> Iterator[Callable[[str], object]]:
    """What tells the kit which actions we recorded."""
    with closing(Ledger(database)) as ledger:
        yield lambda action_id: told(ledger, action_id)
