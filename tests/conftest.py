"""What every part of the tests may ask for."""

import faulthandler
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from command_line import PATIENCE_S, running_server

# Enough for a law, run after run. No deadline, and nothing is too slow: a loaded machine breaks no law. No database:
# what one test found, all machines that search endpoints would try first, in this run and in the next.
settings.register_profile(
    "search",
    max_examples=25,
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    print_blob=True,
)
# The same examples in every run: who builds the kit, or asks whether it works, looks for no new ones.
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")

# A shell lets what it starts in the background ignore Ctrl-C, and so would every program that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def command_server() -> Iterator[str]:
    """The address of a process that has loaded the kit, and forks a child for each command."""
    with running_server() as address:
        yield address


def pytest_unconfigure() -> None:
    """Whatever still runs may not keep the tests from ending: it is shown, and they end."""
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
