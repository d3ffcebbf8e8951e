"""Puts corrected templates back where they came from: the body's own file, or a value in the TOML, comments kept."""

import tomllib

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item, String

from postback_conformance.errors import ConformanceError
from postback_sender.notification import Notification, NotificationSource, parse_notification


def rewritten(source: NotificationSource, fixed: Notification) -> NotificationSource:
    """Return the source with the templates of `fixed`, read back to make sure that they and nothing else changed.

    Raises `ConformanceError` when a text cannot be written so that it reads back the same.
    """
    before = parse_notification(source, None)
    table = tomllib.loads(source.text)
    text, files = source.text, dict(source.files)
    if fixed.url.source != before.url.source:
        text = _with_value(text, "url", fixed.url.source, name=source.name)
    if fixed.body is not None and before.body is not None and fixed.body.source != before.body.source:
        if "body_file" in table:
            files[table["body_file"]] = fixed.body.source
        else:
            text = _with_value(text, "body", fixed.body.source, name=source.name)
    result = msgspec.structs.replace(source, text=text, files=files)
    # Raises for a URL that is none any more.
    parse_notification(result, None)
    return result


def _with_value(text: str, key: str, value: str, *, name: str) -> str:
    """Return a TOML text with another string under a key of its top table."""
    refusal = ConformanceError(f"{name}: the corrected {key} cannot be written into this file; nothing was written")
    try:
        document = tomlkit.parse(text)
        item = document.item(key)
        if not isinstance(item, String):
            raise refusal
        document[key] = _like(item.as_string(), value)
        changed = tomlkit.dumps(document)
    except (TOMLKitError, KeyError, ValueError):
        raise refusal from None
    if 0 < text.count("\r\n") == text.count("\n"):
        changed = changed.replace("\r\n", "\n").replace("\n", "\r\n")
    if tomllib.loads(changed) != {**tomllib.loads(text), key: value}:
        raise refusal
    return changed


def _like(written: str, value: str) -> Item:
    """Return a string of the kind that was written, or of the kind that can hold anything."""
    quotes = next(quotes for quotes in ("'''", '"""', "'", '"') if written.startswith(quotes))
    try:
        text = tomlkit.string(value, literal=quotes[0] == "'", multiline=len(quotes) == 3).as_string()
    except ValueError:
        return tomlkit.string(value)
    # The line break after the opening quotes is not part of the value; tomlkit writes one where it has to.
    had_break, has_break = (one[3:4] in {"\n", "\r"} for one in (written, text))
    lead = "\n" if len(quotes) == 3 and had_break and not has_break else ""
    return tomlkit.value(f"{quotes}{lead}{text[len(quotes) :]}")
