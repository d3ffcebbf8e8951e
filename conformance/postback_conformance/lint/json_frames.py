"""`Frame`: one of the brackets and joins that are open around a place of a JSON template, and what may come next."""

from typing import Literal

import msgspec

from postback_conformance.lint.json_lexemes import Lexeme

BRACKETS = {"object": "{ … }", "array": "[ … ]"}

FrameKind = Literal["top", "object", "array", "join of values", "join of members"]
State = Literal["key", "colon", "value", "after"]


class Frame(msgspec.Struct):
    """Something open: what may come next in it, and what of it is behind us.

    `under` and `above` are the keys it stands under; `objects` and `arrays` count what is open since the last join.
    """

    kind: FrameKind
    state: State
    opened: int
    under: str = ""
    above: str = ""
    objects: int = 0
    arrays: int = 0
    key: str = ""
    key_lexeme: Lexeme | None = None
    comma: int | None = None
    last: int | None = None
    keys: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, str]:
        """The key that a value in it stands under, and the one around that."""
        return (self.key, self.under) if self.kind == "object" else (self.under, self.above)

    @property
    def has_members(self) -> bool:
        return self.kind in {"object", "join of members"}

    def within(self, outer: "Frame") -> "Frame":
        """Return this frame, opened where `outer` is the inmost one."""
        self.under, self.above = outer.names
        if self.kind in BRACKETS:
            self.objects = outer.objects + (self.kind == "object")
            self.arrays = outer.arrays + (self.kind == "array")
        return self
