"""What is true of every case, such as broken settings or an endpoint that is down: one test tells it in full."""

from typing import Final

import pytest

from postback_conformance.errors import NotificationWarning
from postback_conformance.lint.sendable import faults_told
from postback_conformance.printable import printable
from postback_conformance.suite.running import NOT_TRIED
from postback_sender.notification import NotificationSource

_INSTEAD: Final = pytest.StashKey[dict[str, str]]()
"""What is told instead of a message that was told before."""

_DOWN: Final = pytest.StashKey[dict[tuple[str, str], str]]()
"""The test that told in full how an endpoint, by its URL, does not answer."""

_SEEN: Final = pytest.StashKey[set[str]]()
"""The URLs of endpoints that have answered."""

_WARNED: Final = pytest.StashKey[list[NotificationSource]]()
"""The settings whose faults were told."""

_LONGEST: Final = 100


def tell_once(item: pytest.Item, error: BaseException) -> None:
    """Shorten the message of a failure of ours if an earlier test of this run had the same one."""
    if not isinstance(error, pytest.fail.Exception) or error.pytrace or not error.msg:
        return
    instead = item.config.stash.setdefault(_INSTEAD, {})
    if error.msg in instead:
        error.msg = instead[error.msg]
        return
    first, *more = error.msg.splitlines()
    if more or len(first) > _LONGEST:
        short = f"{first:.{_LONGEST}}… (in full at {item.nodeid})"
        # pytest hands the same error to each test of a fixture that failed once for all of them.
        instead[error.msg] = instead[short] = short


def has_answered(item: pytest.Item, url: str) -> None:
    """Note that an endpoint is there: should it die later, that is news, and each test tells it in full."""
    item.config.stash.setdefault(_SEEN, set()).add(url)


def told_before(item: pytest.Item, url: str, what: str) -> str:
    """Return the line that points to the test which told that an endpoint was never there; "" to tell it in full."""
    if url in item.config.stash.setdefault(_SEEN, set()):
        return ""
    told_by = item.config.stash.setdefault(_DOWN, {}).setdefault((url, what), item.nodeid)
    # A test that is run again is nothing to point to for itself.
    return "" if told_by == item.nodeid else printable(f"{NOT_TRIED}{what} (in full at {told_by})")


def warn_once(item: pytest.Item, source: NotificationSource) -> None:
    """Warn of what is wrong with settings that can be sent all the same, for the first test that has them."""
    warned = item.config.stash.setdefault(_WARNED, [])
    if source in warned:
        return
    warned.append(source)
    if faults := faults_told(source):
        told = printable("\n".join(faults), keep="\n")
        try:
            item.warn(NotificationWarning(told))
        except NotificationWarning:
            # People may have made it an error.
            raise pytest.fail.Exception(f"{NotificationWarning.__name__}: {told}", pytrace=False) from None
