"""The literal text between two tokens, which knows where in the template each byte of it stands."""

from collections.abc import Sequence

import msgspec

from postback_sender.template.nodes import Text


class Literal(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that must stand in a text, the template's texts they come from, and where in its source they begin."""

    data: bytes
    texts: tuple[Text, ...]
    begin: int
    source: str

    def same(self, data: bytes, position: int) -> int:
        """Return how many of its first bytes stand at that position of the data."""
        there = data[position : position + len(self.data)]
        if there == self.data:
            return len(self.data)
        return next(
            (at for at, (ours, its) in enumerate(zip(self.data, there, strict=False)) if ours != its), len(there)
        )

    def offset(self, count: int) -> int:
        """Return where in the template's source the text after its first `count` bytes stands, in characters."""
        letters = len(self.data[:count].decode("utf-8", "ignore"))
        for text in self.texts:
            if letters < len(text.text):
                return _offset_in(text, letters, self.source)
            letters -= len(text.text)
        return self.texts[-1].end if self.texts else self.begin


def literal_of(texts: Sequence[Text], *, begin: int, source: str) -> Literal:
    """Return the literal of some texts that stand side by side."""
    # A lone surrogate becomes bytes that no UTF-8 has: such a literal matches nothing.
    data = "".join(text.text for text in texts).encode(errors="surrogatepass")
    return Literal(data=data, texts=tuple(texts), begin=begin, source=source)


def _offset_in(text: Text, letters: int, source: str) -> int:
    if source[text.start : text.end] == text.text:
        return text.start + letters
    offset = text.start
    for _ in range(letters):
        # An escaped character is written with two.
        offset += 2 if source[offset : offset + 2] in {r"\{", r"\}", r"\""} else 1
    return min(offset, text.end)
