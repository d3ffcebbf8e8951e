"""What the tests share: the settings, a key, and a database of their own."""

from collections.abc import Iterator

import django
import pytest
from django.core.management import call_command
from django.db import connections


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set Django up as the environment says, here and in what is started from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "config.settings")
        patch.setenv("PARTNER_KEY", "only-for-tests")  # which the notification sends, too
        patch.setenv("DATABASE", str(tmp_path_factory.mktemp("ledger") / "postbacks.sqlite"))
        patch.setenv("PROBE", "1")
        django.setup()
        call_command("migrate", verbosity=0)
        connections.close_all()
        yield


@pytest.fixture(scope="session")
def postback_probe() -> str:
    """Where the endpoint tells the kit which actions it recorded."""
    return "/probe"
