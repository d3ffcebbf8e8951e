"""What every part of the tests may ask for."""

import faulthandler
from collections.abc import Iterator

import pytest
from hypothesis import settings

from command_line import PATIENCE_S, running_server

# Enough for a law, run after run; no deadline, since a loaded machine breaks no law.
settings.register_profile("suite", max_examples=25, deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def command_server() -> Iterator[str]:
    """The address of a process that has loaded the kit, and forks a child for each command."""
    with running_server() as address:
        yield address


def pytest_unconfigure() -> None:
    """Whatever still runs may not keep the tests from ending: it is shown, and they end."""
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
