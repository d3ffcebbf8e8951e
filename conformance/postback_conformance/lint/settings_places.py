"""Places in the settings file for findings in a template that is written there, so that an editor can jump to them."""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

import msgspec

from postback_conformance.lint.finding import Finding
from postback_sender.notification import Notification, NotificationSource

_STRING = re.compile(r"'''.*?'{3,5}|\"\"\"(?:[^\\]|\\.)*?\"{3,5}|'[^'\n]*'|\"(?:[^\"\\\n]|\\.)*\"", re.DOTALL)
# What stands for one letter of a string, or for none: a backslash at a line's end.
_LETTER = re.compile(r"\\u.{4}|\\U.{8}|(?P<nothing>\\[ \t]*\r?\n\s*)|\\.|\r\n|.", re.DOTALL)
_LETTER_AS_IT_IS = re.compile(r"(?P<nothing>(?!))|\r\n|.", re.DOTALL)


class SettingsPlaces:
    """The places of findings in the settings file of a source."""

    def __init__(self, source: NotificationSource) -> None:
        self._source = source
        self._table = tomllib.loads(source.text)
        self._starts = _line_starts(source.text)
        self._offsets = cache(self._find)
        self._template_starts = cache(_line_starts)

    def template(self, name: str) -> str:
        """Return the text of the template that errors call `name`."""
        return self._source.files[name] if name in self._source.files else str(self._table.get(self._key(name), ""))

    def placed(self, finding: Finding, notification: Notification | None) -> Finding:
        """Return a finding with its line and column in the settings file; those in other files stay as they are.

        `notification` is what the finding was found in. When its template is not the one that the file holds, such as a
        URL that was put together, the place is the line of the key.
        """
        name = self._source.name
        if not finding.file.startswith(f"{name}, "):
            return finding
        key = self._key(finding.file)
        finding = msgspec.structs.replace(finding, file=name)
        offsets = self._offsets(key) if key in {"url", "body"} else []
        if not offsets or finding.line is None or finding.column is None:
            return finding
        template = self.template(f"{name}, {key}")
        if not _is_of(notification, key, template):
            line, _ = self._line_and_column(offsets[0])
            return msgspec.structs.replace(finding, place=f"{name}, {key}, line {line}", line=line, column=None)
        offset = self._template_starts(template)[finding.line - 1] + finding.column - 1
        line, column = self._line_and_column(offsets[offset])
        place = f"{name}, {key}, line {line}, column {column}"
        return msgspec.structs.replace(finding, place=place, line=line, column=column)

    def _key(self, name: str) -> str:
        return name.removeprefix(f"{self._source.name}, ")

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def _find(self, key: str) -> list[int]:
        """Return where each letter of a key's value, and its end, stand in the file; nothing when that is unknown."""
        written = next((one for one in self._strings(key) if _value(one[0]) == self._table.get(key)), None)
        return [] if written is None else _offsets(written)

    def _strings(self, key: str) -> Iterator[re.Match[str]]:
        """Yield the strings a key may have as its value; what looks like it may stand within another string."""
        for assignment in re.finditer(rf"^[ \t]*(['\"]?){key}\1[ \t]*=[ \t]*", self._source.text, re.MULTILINE):
            if found := _STRING.match(self._source.text, assignment.end()):
                yield found


def _is_of(notification: Notification | None, key: str, template: str) -> bool:
    """Tell whether this is the template that was judged; where there is no notification, it is the one at fault."""
    if notification is None:
        return True
    judged = notification.url if key == "url" else notification.body
    return judged is not None and judged.source == template


def _value(written: str) -> object:
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        return None


def _offsets(written: re.Match[str]) -> list[int]:
    quote = written[0][0]
    quotes = quote * 3 if written[0].startswith(quote * 3) else quote
    position, end = written.start() + len(quotes), written.end() - len(quotes)
    if len(quotes) == 3 and (line_break := re.compile(r"\r?\n").match(written.string, position)):
        # The line break after the opening quotes is not part of the value.
        position = line_break.end()
    letter = _LETTER if quote == '"' else _LETTER_AS_IT_IS
    letters = letter.finditer(written.string, position, end)
    return [*(found.start() for found in letters if found["nothing"] is None), end]


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer("\n", text))]
