"""What keeps every case from being tried, such as broken settings: one test tells it in full, others point there."""

from typing import Final

import pytest

_INSTEAD: Final = pytest.StashKey[dict[str, str]]()
"""What is told instead of a message that was told before."""

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
