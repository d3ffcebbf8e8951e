"""Reads notification files from disk: the TOML and the body file beside it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from postback_sender.notification import Notification, NotificationSource, parse_notification
from postback_sender.settings_table import NotificationError

# A template is text a person wrote. Anything larger is the wrong file.
_MAX_BYTES = 4 * 1024 * 1024


def read_source(path: Path) -> NotificationSource:
    """Return a notification's source, or raise `NotificationError` naming the file that cannot be read."""
    text = _read(path)
    files: dict[str, str] = {}
    body_file = _body_file(text)
    if body_file is not None:
        files[body_file] = _read(path.parent / body_file, why=f" (the body_file of {path.name})")
    return NotificationSource(name=path.name, text=text, files=files)


def load_notification(path: Path, environment: Mapping[str, str] | None) -> Notification:
    """Return the notification of a file; see `parse_notification` for the environment."""
    return parse_notification(read_source(path), environment)


def _body_file(text: str) -> str | None:
    # Faults of the file itself are for parse_notification, which names their line.
    try:
        value = tomllib.loads(text).get("body_file")
    except tomllib.TOMLDecodeError:
        return None
    return value if isinstance(value, str) else None


def _read(path: Path, *, why: str = "") -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise NotificationError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; expected a settings or template file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise NotificationError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise NotificationError(f"{path}: cannot be read{why}: {error.strerror}") from None
