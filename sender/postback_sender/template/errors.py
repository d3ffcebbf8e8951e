"""The error of a template that does not follow the grammar, with the place drawn under the source line."""

from postback_sender.errors import SenderError

# Minified bodies are one line of many kilobytes; more than a terminal's width around the caret helps nobody.
_EXCERPT_BEFORE = 60
_EXCERPT_AFTER = 40


class TemplateSyntaxError(SenderError):
    """A template that does not follow the grammar.

    `line` and `column` count from 1, in characters; `source_line` is the whole line they point into.
    """

    def __init__(self, message: str, *, source: str, offset: int, name: str = "template") -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.line, self.column, self.source_line = locate(source, offset)

    def __str__(self) -> str:
        return (
            f"{self.name}, line {self.line}, column {self.column}: {self.message}\n"
            f"{excerpt(self.source_line, self.column)}"
        )


def locate(source: str, offset: int) -> tuple[int, int, str]:
    """Return line and column (from 1) of a character offset, and the text of that line."""
    line_start = source.rfind("\n", 0, offset) + 1
    line_end = source.find("\n", offset)
    text = source[line_start : line_end if line_end >= 0 else len(source)]
    return source.count("\n", 0, offset) + 1, offset - line_start + 1, text.removesuffix("\r")


def excerpt(source_line: str, column: int) -> str:
    """Return the line around a column (from 1) with a caret below it, two lines in all."""
    start = max(0, column - 1 - _EXCERPT_BEFORE)
    end = column - 1 + _EXCERPT_AFTER
    before = ("…" if start else "") + source_line[start : column - 1]
    after = source_line[column - 1 : end] + ("…" if end < len(source_line) else "")
    # Tabs and other characters that move the cursor would put the caret under the wrong letter.
    line = "".join(letter if letter.isprintable() else " " for letter in before + after)
    return f"    {line}\n    {' ' * len(before)}^"
