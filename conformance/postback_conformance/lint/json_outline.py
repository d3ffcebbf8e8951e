"""A JSON template as its fields, and the places where it leaves the grammar. Total: any text can be read.

One pass over the lexemes with a stack of what is open. After a place that nothing explains, grammar is no longer
judged, since every further complaint would follow from the first; fields and strings still are.
"""

from collections.abc import Callable, Iterator

from postback_conformance.lint import kinds
from postback_conformance.lint.fields import Field, Outline
from postback_conformance.lint.finding import Edit, FindingKind
from postback_conformance.lint.flat import JOIN, TOKEN, FlatText
from postback_conformance.lint.json_frames import BRACKETS, Frame
from postback_conformance.lint.json_lexemes import Lexeme, json_lexemes
from postback_conformance.lint.json_scalars import Role, bare_findings, comment_finding, shortened, string_findings
from postback_conformance.redaction import SHOWN
from postback_sender.template.nodes import Join, TokenNode, separator_of

# What a text without a key is called, when it has to be called something.
_FREE_KEY = "event"
_MATCHING = {"}": "object", "]": "array"}


def json_outline(flat: FlatText, is_number: Callable[[TokenNode, Join | None], bool]) -> Outline:
    """Return what can be read of a JSON template; `is_number` tells tokens whose value always is a JSON number."""
    reader = _Reader(flat, is_number)
    reader.read()
    return Outline(tuple(reader.fields), tuple(reader.findings))


class _Reader:
    def __init__(self, flat: FlatText, is_number: Callable[[TokenNode, Join | None], bool]) -> None:
        self._flat = flat
        self._is_number = is_number
        lexemes = list(json_lexemes(flat.text))
        self._lexemes = [lexeme for lexeme in lexemes if lexeme.kind != "comment"]
        self._stack = [Frame("top", "value", 0)]
        self._is_lost = False
        self._free_keys = self._find_free_keys()
        self.fields: list[Field] = []
        self.findings = [comment_finding(flat, lexeme) for lexeme in lexemes if lexeme.kind == "comment"]

    def read(self) -> None:
        for index, lexeme in enumerate(self._lexemes):
            match self._text(lexeme) if lexeme.kind == "mark" else "":
                case "":
                    self._scalar(lexeme, index)
                case "{":
                    self._open(Frame("object", "key", lexeme.start, keys={}))
                case "[":
                    self._open(Frame("array", "value", lexeme.start))
                case "}" | "]" as bracket:
                    self._close(lexeme, bracket)
                case ",":
                    self._comma(lexeme, index)
                case ":":
                    self._colon(lexeme)
                case mark if mark == JOIN:
                    self._open_join(lexeme)
                case _:
                    self._close_join(lexeme, index)
        end = len(self._flat.text)
        self._end_members(self._stack[-1], end)
        if len(self._stack) > 1:
            self._not_closed(self._stack[1])

    # Values and keys

    def _scalar(self, lexeme: Lexeme, index: int) -> None:
        frame = self._stack[-1]
        is_key = frame.has_members and (frame.state == "key" or (frame.state == "after" and self._next_is(index, ":")))
        if frame.kind == "top" and frame.state == "after":
            self._unexpected(lexeme, "the end of the body")
        self.findings += string_findings(self._flat, lexeme) if lexeme.kind == "string" else ()
        if lexeme.kind == "bare" and not (self._is_lost and TOKEN not in self._text(lexeme)):
            role: Role = "key" if is_key else "body" if frame.kind == "top" else "value"
            self.findings += bare_findings(self._flat, lexeme, role=role, is_number=self._is_number)
        if frame.state == "colon" and self._next_is(index, ":"):
            # The one before was a value without a key, and a comma is missing after it.
            self._key_without_value(frame)
            self._missing_comma(frame, lexeme.start)
            self._key(frame, lexeme)
        elif frame.state == "colon":
            self._missing_colon(frame, lexeme)
        elif frame.state == "after" and frame.has_members and not is_key:
            self._unexpected(lexeme, "',' or '}'")
        elif frame.state == "after":
            self._missing_comma(frame, lexeme.start)
        if is_key:
            self._key(frame, lexeme)
        elif not (frame.has_members and frame.state == "colon"):
            self._value(frame, lexeme)

    def _key(self, frame: Frame, lexeme: Lexeme) -> None:
        name = self._content(lexeme)
        frame.key, frame.key_lexeme, frame.state, frame.comma, frame.last = name, lexeme, "colon", None, lexeme.end - 1
        if TOKEN in name or JOIN in name:
            self._find(
                kinds.TOKEN_AS_KEY,
                lexeme.start,
                f"{self._flat.shown(lexeme.start, lexeme.end)} stands as a key",
                'write a key of your own, such as "name", and the token as its value',
            )
        elif name in frame.keys:
            line = self._flat.line(frame.keys[name])
            self._find(
                kinds.DUPLICATE_KEY,
                lexeme.start,
                f'the key "{name}" is there a second time; the first is in line {line}',
                "give each key once; rename or remove one of the two",
            )
        else:
            frame.keys[name] = lexeme.start

    def _value(self, frame: Frame, lexeme: Lexeme) -> None:
        tokens = tuple(self._flat.tokens_in(lexeme.start, lexeme.end))
        if tokens:
            self._field(lexeme.start, tokens)
        self._end_value(frame, lexeme.end - 1)

    def _field(self, place: int, tokens: tuple[TokenNode, ...]) -> None:
        name, parent = self._stack[-1].names
        self.fields.append(Field(name=name, parent=parent, place=place, tokens=tokens))

    def _end_value(self, frame: Frame, place: int) -> None:
        frame.state, frame.comma, frame.last = "after", None, place

    # Punctuation

    def _comma(self, lexeme: Lexeme, index: int) -> None:
        frame = self._stack[-1]
        if frame.state == "colon":
            if not self._comma_for_colon(frame, lexeme, index):
                self._key_without_value(frame)
                frame.state, frame.comma = "key", lexeme.start
        elif frame.state == "after" and frame.kind != "top":
            frame.state, frame.comma = ("key" if frame.has_members else "value"), lexeme.start
        elif frame.has_members and frame.state == "value":
            self._no_value(frame, lexeme.start)
            frame.state, frame.comma = "key", lexeme.start
        elif frame.kind == "top":
            self._unexpected(lexeme, "the end of the body" if frame.last is not None else "a value")
        else:
            self._extra_comma(lexeme.start, "expected a value before it")

    def _comma_for_colon(self, frame: Frame, lexeme: Lexeme, index: int) -> bool:
        """Say whether the comma after a key stands where a colon belongs: the key is plain text and a token follows."""
        key, after = frame.key_lexeme, self._lexemes[index + 1 : index + 2]
        is_one = (
            key is not None
            and TOKEN not in self._flat.text[key.start : key.end]
            and bool(after)
            and after[0].kind != "mark"
            and TOKEN in self._flat.text[after[0].start : after[0].end]
            and not self._next_is(index + 1, ":")
        )
        if is_one:
            self._find(
                kinds.MISSING_COLON,
                lexeme.start,
                f"expected ':' after the key \"{self._key_shown(frame)}\", got ','",
                "write a colon",
                [self._flat.edit(lexeme.start, lexeme.end, ":")],
            )
            frame.state = "value"
        return is_one

    def _colon(self, lexeme: Lexeme) -> None:
        frame = self._stack[-1]
        if frame.state == "colon":
            frame.state, frame.last = "value", lexeme.start
        else:
            self._unexpected(lexeme, "a value" if frame.state == "value" else "a key" if frame.has_members else "','")

    def _open(self, frame: Frame) -> None:
        outer = self._stack[-1]
        if outer.state == "colon" and outer.key_lexeme:
            self._missing_colon(outer, Lexeme("mark", frame.opened, frame.opened + 1))
        elif outer.state == "after":
            self._missing_comma(outer, frame.opened)
        elif outer.state == "key":
            self._unexpected(Lexeme("mark", frame.opened, frame.opened + 1), "a key")
        # A brace that was to begin a token has a finding of its own.
        self._is_lost |= frame.opened in self._flat.judged
        self._stack.append(frame.within(self._stack[-1]))

    def _close(self, lexeme: Lexeme, bracket: str) -> None:
        wanted = _MATCHING[bracket]
        inmost = self._stack[-1]
        if not (inmost.objects if wanted == "object" else inmost.arrays):
            self._unexpected(lexeme, "a value" if self._stack[-1].state == "value" else "the end")
            return
        while self._stack[-1].kind != wanted:
            self._not_closed(self._stack.pop())
            self._end_value(self._stack[-1], lexeme.start)
        frame = self._stack.pop()
        self._end_members(frame, lexeme.start)
        self._end_value(self._stack[-1], lexeme.start)

    def _end_members(self, frame: Frame, place: int) -> None:
        """Look at what is left hanging where an object, an array or a join's body ends."""
        if frame.state == "colon":
            self._key_without_value(frame)
        elif frame.state == "value" and frame.has_members:
            self._no_value(frame, place)
        elif frame.comma is not None and not (frame.kind.startswith("join") and not self._separates(frame.opened)):
            self._extra_comma(frame.comma, "nothing follows it")

    # Joins

    def _open_join(self, lexeme: Lexeme) -> None:
        outer = self._stack[-1]
        if outer.state == "colon":
            self._missing_colon(outer, lexeme)
        if outer.kind == "array" and (outer.state == "after" or outer.comma is not None):
            self._beside_values(lexeme.start)
        elif outer.state == "after" and outer.kind != "top":
            self._missing_comma(outer, lexeme.start)
        if outer.has_members and outer.state == "key":
            self._grammar(
                kinds.JOIN_OUTSIDE_ARRAY,
                lexeme.start,
                "this join writes keys into an object: each line of an order repeats them",
                f'write an array under a key of its own, "items": [{self._flat.joins[lexeme.start].source[:12]}…]',
            )
            self._stack.append(Frame("join of members", "key", lexeme.start, keys={}).within(outer))
            return
        if outer.kind != "array":
            self._grammar(
                kinds.JOIN_OUTSIDE_ARRAY,
                lexeme.start,
                "this join stands in no array: without lines it leaves no value, with two it leaves several",
                f"write [ before it and ] behind it, [{self._flat.joins[lexeme.start].source[:12]}…]",
            )
        self._stack.append(Frame("join of values", "value", lexeme.start).within(outer))

    def _close_join(self, lexeme: Lexeme, index: int) -> None:
        while not self._stack[-1].kind.startswith("join"):
            if len(self._stack) == 1:
                return
            self._not_closed(self._stack.pop())
            self._end_value(self._stack[-1], lexeme.start)
        frame = self._stack.pop()
        self._end_members(frame, lexeme.start)
        self._separator(frame)
        outer = self._stack[-1]
        if outer.kind == "array" and self._next_is(index, ","):
            self._beside_values(frame.opened)
        self._end_value(outer, lexeme.start)

    def _separator(self, frame: Frame) -> None:
        separator = self._join_separator(frame.opened)
        if frame.last is None or separator.strip() == ",":
            return
        hanging = frame.comma is not None and frame.state in {"key", "value"}
        what = (
            "the comma at the end of the repeated text is left over after the last line"
            if hanging
            else f"expected a comma between two lines, got {separator!r}"
        )
        self._grammar(
            kinds.JOIN_SEPARATOR,
            frame.opened,
            what,
            'end the repeated text without a comma and write "," as the separator: {join(items, i, "…", ",")}',
        )

    def _separates(self, join: int) -> bool:
        return self._join_separator(join).strip() == ","

    def _join_separator(self, join: int) -> str:
        node = self._flat.joins[join]
        return separator_of(node, self._flat.template.options)

    def _beside_values(self, place: int) -> None:
        self._grammar(
            kinds.JOIN_BESIDE_VALUES,
            place,
            "this join shares its array with other values: without lines a comma is left over",
            "give the join an array of its own",
        )

    # Findings

    def _key_without_value(self, frame: Frame) -> None:
        key = frame.key_lexeme
        if key is None:
            return
        flat, quote = self._flat, self._flat.quote(key.start)
        name = next(self._free_keys)
        edits = (
            []
            if TOKEN in frame.key or key.quoting != "sound"
            else [flat.edit(key.start, key.start, f"{quote}{name}{quote}: ")]
        )
        shown = shortened(flat.shown(key.start, key.end))
        self._grammar(
            kinds.KEY_WITHOUT_VALUE,
            key.start,
            f"{shown} stands where a key belongs, and no ':' and value follow",
            f"give it a key, {quote}{name}{quote}: {shown}, or remove it",
            edits,
        )

    def _no_value(self, frame: Frame, place: int) -> None:
        self._grammar(
            kinds.KEY_WITHOUT_VALUE,
            frame.key_lexeme.start if frame.key_lexeme else place,
            f'the key "{self._key_shown(frame)}" has no value',
            'write a value after the colon, "" for none',
        )

    def _missing_colon(self, frame: Frame, lexeme: Lexeme) -> None:
        after = frame.last if frame.last is not None else lexeme.start
        self._grammar(
            kinds.MISSING_COLON,
            lexeme.start,
            f"expected ':' after the key \"{self._key_shown(frame)}\"",
            "write a colon between key and value",
            [self._flat.insertion_after(after, ":")] if frame.key_lexeme and frame.key_lexeme.kind == "string" else [],
        )
        frame.state = "value"

    def _missing_comma(self, frame: Frame, place: int) -> None:
        if frame.kind == "top":
            self._unexpected(Lexeme("mark", place, place + 1), "the end of the body")
            return
        last = frame.last if frame.last is not None else place
        self._grammar(
            kinds.MISSING_COMMA,
            place,
            "expected ',' before this",
            f"write a comma at the end of line {self._flat.line(last)}",
            [self._flat.insertion_after(last, ",")],
        )
        frame.state = "key" if frame.has_members else "value"

    def _extra_comma(self, place: int, why: str) -> None:
        edits = [self._flat.edit(place, place + 1, "")]
        self._grammar(kinds.EXTRA_COMMA, place, f"a comma too many: {why}", "remove the comma", edits)

    def _not_closed(self, frame: Frame) -> None:
        if frame.kind in BRACKETS:
            shape = BRACKETS[frame.kind]
            self._grammar(
                kinds.BRACKET_NOT_CLOSED, frame.opened, f"this {shape[0]} is never closed", f"close it, {shape}"
            )

    def _unexpected(self, lexeme: Lexeme, expected: str) -> None:
        shown = shortened(self._flat.shown(lexeme.start, lexeme.end))
        self._grammar(
            kinds.UNEXPECTED, lexeme.start, f"expected {expected}, got {shown}", "remove it, or add what is missing"
        )
        self._is_lost = True

    def _grammar(
        self, kind: FindingKind, place: int, message: str, advice: str, edits: list[Edit] | None = None
    ) -> None:
        if not self._is_lost:
            self._find(kind, place, message, advice, edits)

    def _find(self, kind: FindingKind, place: int, message: str, advice: str, edits: list[Edit] | None = None) -> None:
        self.findings.append(self._flat.finding(kind, place, message=message, advice=advice, edits=edits or ()))

    # Looking around

    def _text(self, lexeme: Lexeme) -> str:
        return self._flat.text[lexeme.start : lexeme.end]

    def _content(self, lexeme: Lexeme) -> str:
        text = self._text(lexeme)
        if lexeme.kind == "bare":
            return text
        first = 0 if lexeme.quoting == "not opened" else 1
        return text[first:] if lexeme.quoting == "not closed" else text[first:-1]

    def _key_shown(self, frame: Frame) -> str:
        lexeme = frame.key_lexeme
        return SHOWN if lexeme and self._flat.is_secret(lexeme.start, lexeme.end) else shortened(frame.key)

    def _next_is(self, index: int, mark: str) -> bool:
        after = self._lexemes[index + 1 : index + 2]
        return bool(after) and after[0].kind == "mark" and self._text(after[0]) == mark

    def _find_free_keys(self) -> Iterator[str]:
        taken = {self._content(lexeme) for lexeme in self._lexemes if lexeme.kind != "mark"}
        numbered = (_FREE_KEY if number == 1 else f"{_FREE_KEY}_{number}" for number in range(1, len(taken) + 2**31))
        return (name for name in numbered if name not in taken)
