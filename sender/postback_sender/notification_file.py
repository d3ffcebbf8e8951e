"""Reads notification files from disk: the TOML and the body file in its folder."""

import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NoReturn

from postback_sender.notification import Notification, NotificationSource, parse_notification
from postback_sender.settings_table import NotificationError, dotted, fail

# A template is text a person wrote. Anything larger is the wrong file.
_MAX_BYTES = 4 * 1024 * 1024


def read_source(path: Path) -> NotificationSource:
    """Return a notification's source, or raise `NotificationError` naming the file that cannot be read."""
    text = _read(path)
    files: dict[str, str] = {}
    body_file = _body_file(text)
    if body_file is not None:
        found = path_beside(path, body_file, text)
        files[body_file] = _read(found, why=f" (the body_file of {path.name})")
    return NotificationSource(name=path.name, text=text, files=files)


def load_notification(path: Path, environment: Mapping[str, str] | None) -> Notification:
    """Return the notification of a file; see `parse_notification` for the environment."""
    return parse_notification(read_source(path), environment)


def _body_file(text: str) -> str | None:
    # Faults of the file itself are for parse_notification, which names their line.
    try:
        value = tomllib.loads(text).get("body_file")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def path_beside(settings: Path, beside: str, text: str, *, path: str = "", key: str = "body_file") -> Path:
    """Return where a file is that settings refer to; `path` and `key` say where they do, in their `text`.

    It is sent to whoever the settings name, so nothing outside of their own folder may go out: NotificationError.
    """
    expected = f"expected a file in the folder of {settings.name}, got {beside!r}"

    def refuse(message: str) -> NoReturn:
        fail(f"{dotted(path, key)}: {message}", path, key, text=text, name=settings.name)

    written = PurePath(beside)
    if "\0" in beside or written.is_absolute() or ".." in written.parts:
        refuse(f"{expected}; move the file there and write its name")
    found = settings.parent / written
    try:
        is_inside = found.resolve().is_relative_to(settings.parent.resolve())
        # Asked before it is opened: a pipe would wait for its writer.
        is_regular = found.is_file() or not found.exists()
    except (OSError, RuntimeError) as error:
        # Python before 3.13 calls a link to itself a RuntimeError.
        reason = error.strerror if isinstance(error, OSError) else "a link that leads to itself"
        raise NotificationError(f"{found}: cannot be read (the {key} of {settings.name}): {reason}") from None
    if not is_inside:
        refuse(f"{expected}, a link that leads out of it; put a copy there")
    if not is_regular:
        refuse(f"{expected}, which is no regular file; write the name of a template")
    return found


def _read(path: Path, *, why: str = "") -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise NotificationError(f"{path}: cannot be read{why}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise NotificationError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; expected a settings or template file")
    try:
        # Line ends stay as they are: a body is sent byte for byte.
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotificationError(f"{path}: not UTF-8 at byte {error.start}") from None
