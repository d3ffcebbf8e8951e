"""What is asked for: by the command line, by the marker of a test, by a fixture, by the ini file, in this order."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import pytest

from postback_sender.notification import Notification, NotificationSource, parse_notification
from postback_sender.notification_file import read_source

Given: TypeAlias = Notification | str | Path
"""Settings of a notification: the record, or the file they stand in."""


_MOST_DIGITS: Final = 20
_FLAG: Final = re.compile(r"(?<![\w-])--(allow-host|ca-file|insecure|probe|restart)\b")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a test tells of: the settings, and their text where they came from a file."""

    notification: Notification
    source: NotificationSource | None = None


def told_of(given: Given | NotificationSource, folders: Sequence[Path]) -> Told:
    """Return the settings; the path of a file may be relative to any of the folders."""
    if isinstance(given, Notification):
        return Told(notification=given)
    if not isinstance(given, NotificationSource):
        places = [folder / given for folder in folders]
        given = read_source(next((place for place in places if place.is_file()), places[0]))
    return Told(notification=parse_notification(given, os.environ), source=given)


def given_to(item: pytest.Item, fixture: Given | None) -> Given | None:
    """Return the notification of a test, None where nobody names one."""
    marked: Given | None = None
    for marker in item.iter_markers("postback"):
        marked = marked or (marker.args[0] if marker.args else marker.kwargs.get("notification"))
    given: Given | None = item.config.getoption("postback_notification") or marked or fixture
    return given or text(item.config, "notification") or None


def selected_by(item: pytest.Item | pytest.Function, key: str) -> list[str]:
    """Return the patterns that the closest marker with this key, `only` or `skip`, names."""
    for marker in item.iter_markers("postback"):
        named: Mapping[str, Any] = marker.kwargs
        if key in named:
            patterns: str | Sequence[str] = named[key]
            return [patterns] if isinstance(patterns, str) else [*patterns]
    return []


def folders(item: pytest.Item) -> list[Path]:
    """Return the folders that the path of a notification may be relative to."""
    return [item.config.invocation_params.dir, item.path.parent, item.config.rootpath]


def replay(config: pytest.Config) -> Path | None:
    """Return the case file that is to be run again."""
    name = text(config, "replay")
    return config.invocation_params.dir / name if name else None


def text(config: pytest.Config, name: str) -> str:
    """Return the value of an option or of its ini key, "" for none."""
    return str(config.getoption(_key(name)) or config.getini(_key(name)))


def number(config: pytest.Config, name: str, *, least: int = 0) -> int | None:
    """Return the same as a number, None for none."""
    value = text(config, name)
    if not value:
        return None
    # Digits only, where int() would also take "1_0" and "-1".
    if not (value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS and int(value) >= least):
        raise pytest.UsageError(f"--postback-{name}: expected a whole number of at least {least}, got {value!r:.50}")
    return int(value)


def several(config: pytest.Config, name: str) -> list[str]:
    """Return the values of an option that may be repeated, or of its ini key."""
    return [*(config.getoption(_key(name)) or config.getini(_key(name)))]


def switch(config: pytest.Config, name: str) -> bool:
    """Return whether an option or its ini key is on."""
    return bool(config.getoption(_key(name)) or config.getini(_key(name)))


def in_pytest(message: str) -> str:
    """Return a message that names flags of `postback conform` with those that pytest has for them."""
    return _FLAG.sub(r"--postback-\1", message)


def _key(name: str) -> str:
    return f"postback_{name.replace('-', '_')}"
